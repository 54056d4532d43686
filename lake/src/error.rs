//! The errors of the lake, each of a kind that says what the caller can do about it.

use std::fmt;

/// The kind of an error, by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong: mend it and send it again.
    Request,
    /// The thing asked for does not exist.
    NotFound,
    /// Another writer was first: read again and decide again.
    Conflict,
    /// The store did not answer as it should: the same call may work later.
    Store,
    /// Stored bytes are not what was written: an operator must look.
    Damage,
    /// A defect in this program.
    Internal,
}

/// An error of the lake: a kind for the program, a message that names the thing, the value and the
/// mend for the reader, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", because(source.as_deref()))]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Cause>,
}

/// What caused an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The words for a cause after a message; none if there is no cause.
pub fn because(
    source: Option<&(dyn std::error::Error + Send + Sync + 'static)>,
) -> impl fmt::Display {
    fmt::from_fn(move |f| source.map_or(Ok(()), |source| write!(f, ": {source}")))
}

/// Result with the lake's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without an underlying cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps `source` as the cause.
    pub fn with_source(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The request is wrong.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, message)
    }

    /// Stored bytes are damaged.
    pub fn damage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damage, message)
    }

    /// The kind, which says what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        let kind = match &error {
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            object_store::Error::AlreadyExists { .. }
            | object_store::Error::Precondition { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Store,
        };
        Self::new(kind, "object store").with_source(error)
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::damage("Parquet").with_source(error)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::new(ErrorKind::Internal, "columns").with_source(error)
    }
}
