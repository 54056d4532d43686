//! The errors of access: settings and files that cannot be used.

use std::path::Path;

use barograph_lake::internal::{Cause, because};

/// What cannot be used, named with the value and the mend.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", because(source.as_deref()))]
pub struct Error {
    message: String,
    source: Option<Cause>,
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Keeps `source` as the cause.
    #[must_use]
    pub fn with_source(self, source: impl Into<Cause>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// A file that cannot be used.
    pub(crate) fn file(what: &str, path: &Path, source: impl Into<Cause>) -> Self {
        Self::new(format!("{what} {}", path.display())).with_source(source)
    }
}
