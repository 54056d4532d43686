//! A decorator of a store that hides the hint `_last_checkpoint` of a log. Readers do not need the hint: where another
//! program left a wrong one, the log is read without it.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetResult, ObjectStore, Result};

use crate::store::decorator::Decorator;

/// Name of the note in the folder of the log.
pub(super) const HINT: &str = "_last_checkpoint";

/// A store that does not give the note away.
#[derive(Debug)]
pub(super) struct WithoutHint(pub(super) Arc<dyn ObjectStore>);

impl WithoutHint {
    fn check(location: &Path) -> Result<()> {
        match location.filename() {
            Some(HINT) => {
                let source = format!("{HINT} is not looked at").into();
                Err(Error::NotFound { path: location.to_string(), source })
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Decorator for WithoutHint {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.0
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        Self::check(location)?;
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        Self::check(location)?;
        self.0.get_ranges(location, ranges).await
    }
}
