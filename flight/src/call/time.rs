//! The time of access: that of the engine.

use std::sync::Arc;

use barograph_access::{Access, AccessSettings, Time};
use barograph_engine::{Clock, Engine};
use barograph_lake::{Span, Timestamp};

use crate::{Error, Result};

/// The clock of an engine, as access counts by it.
#[derive(Debug)]
struct EngineTime(Arc<dyn Clock>);

impl Time for EngineTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn elapsed(&self) -> Span {
        self.0.elapsed()
    }
}

/// Access as `settings` say, by the time of `clock`.
///
/// # Errors
/// `Request` if a setting cannot be meant, or a file cannot be used.
pub fn access_by(clock: &Arc<dyn Clock>, settings: AccessSettings) -> Result<Arc<Access>> {
    let time = Arc::new(EngineTime(Arc::clone(clock)));
    Access::open(settings, time).map_err(|error| Error::request(error.to_string()))
}

/// Access of everybody to everything.
pub(crate) fn open_access(engine: &Engine) -> Result<Arc<Access>> {
    access_by(engine.clock(), AccessSettings::default())
}
