//! What time is it for the server? The engine's time.

use std::sync::Arc;

use barograph_engine::{Clock, Engine};
use barograph_lake::Micros;

/// The clock of an engine.
#[derive(Debug)]
pub(super) struct EngineClock(pub(super) Arc<Engine>);

impl Clock for EngineClock {
    fn now(&self) -> Micros {
        self.0.now()
    }
}
