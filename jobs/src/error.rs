//! The errors of jobs, by what the caller can do about them.

use std::fmt;
use std::time::Duration;

use barograph_lake::internal::{Cause, because};

/// The kind of an error: what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request (a mapping, a file name, a table) is wrong: mend it.
    Request,
    /// A file cannot be read to its end: mend or replace it, then run the job again.
    Input,
    /// A bound is reached: come back after `retry_after`.
    Resources,
    /// The store or sink of the rows does not answer as it should: the same call may work later.
    Unavailable,
    /// Stored bytes are damaged: call an operator.
    Damage,
    /// The run was asked to stop: begin it again when it suits.
    Stopped,
    /// A defect in this program.
    Internal,
}

/// An error of a job: a kind for the program, a message that names the thing, the value and the mend
/// for the reader, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", because(source.as_deref()))]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    source: Option<Cause>,
}

/// Result with the jobs' [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without an underlying cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, source: None }
    }

    /// Keeps `source` as the cause.
    pub fn with_source(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets the time after which a retry makes sense.
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// The request is wrong.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, message)
    }

    /// A file cannot be read.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// A defect in this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error, with what was being done in front of its message.
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The kind: what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether a retry may succeed.
    pub(crate) fn can_be_helped(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Resources)
    }

    /// The time after which a retry makes sense, if it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<barograph_engine::Error> for Error {
    fn from(error: barograph_engine::Error) -> Self {
        use barograph_engine::ErrorKind as Engine;
        let kind = match error.kind() {
            Engine::Request | Engine::NotFound => ErrorKind::Request,
            Engine::Resources => ErrorKind::Resources,
            Engine::Damage => ErrorKind::Damage,
            Engine::Internal => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        };
        let retry_after = error.retry_after();
        Self::new(kind, "engine").with_retry_after(retry_after).with_source(error)
    }
}

impl From<barograph_lake::Error> for Error {
    fn from(error: barograph_lake::Error) -> Self {
        use barograph_lake::ErrorKind as Lake;
        let kind = match error.kind() {
            Lake::Request | Lake::NotFound => ErrorKind::Request,
            Lake::Damage => ErrorKind::Damage,
            Lake::Internal => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, "lake").with_source(error)
    }
}

impl From<barograph_lake::Unknown> for Error {
    fn from(unknown: barograph_lake::Unknown) -> Self {
        barograph_lake::Error::from(unknown).into()
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal("columns").with_source(error)
    }
}

impl From<polars::error::PolarsError> for Error {
    fn from(error: polars::error::PolarsError) -> Self {
        Self::internal("frame").with_source(error)
    }
}
