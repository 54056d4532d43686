//! The errors of the engine, by what the caller can do about them.

use std::fmt;
use std::time::Duration;

use barograph_access::{Refusal, RefusalKind};
use barograph_lake::Span;
use barograph_lake::internal::{Cause, because};

/// The kind of an error: what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong: mend it and send it again.
    Request,
    /// The table, key or action does not exist.
    NotFound,
    /// It is not known who asks: show who you are.
    Unauthenticated,
    /// Who asks may not do it: ask whoever gives the right.
    Denied,
    /// A bound is reached: free resources or come back after `retry_after`.
    Resources,
    /// The caller went away or asked to stop: the answer is not whole.
    Cancelled,
    /// The work took longer than it may: ask for less, or allow more.
    Timeout,
    /// The store or the disk does not answer as it should: the same call may work later.
    Unavailable,
    /// Others have appended to the log: follow it, and decide again.
    Behind,
    /// Stored bytes are damaged: call an operator.
    Damage,
    /// A defect in this program.
    Internal,
}

/// An error of the engine: a kind for the program, a message that names the thing, the value and the
/// mend for the reader, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", because(source.as_deref()))]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    bound: Option<&'static str>,
    source: Option<Cause>,
}

/// Result with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without an underlying cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, bound: None, source: None }
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

    /// The bound `name` is reached.
    pub fn resources(
        bound: &'static str,
        message: impl fmt::Display,
        retry_after: Duration,
    ) -> Self {
        let mut error = Self::new(
            ErrorKind::Resources,
            format!("{bound}: {message}; retry in {} ms", retry_after.as_millis()),
        );
        error.retry_after = Some(retry_after);
        error.bound = Some(bound);
        error
    }

    /// A defect in this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The kind: what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The time after which a retry makes sense, if it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The bound that is reached, by the name of its setting, if it is one.
    pub fn bound(&self) -> Option<&'static str> {
        self.bound
    }

    /// A copy of the error, for another of the callers that it concerns.
    pub fn again(&self) -> Self {
        Self {
            kind: self.kind,
            message: self.to_string(),
            retry_after: self.retry_after,
            bound: self.bound,
            source: None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind() {
            RefusalKind::Unauthenticated => ErrorKind::Unauthenticated,
            RefusalKind::Denied => ErrorKind::Denied,
            RefusalKind::Exhausted => ErrorKind::Resources,
        };
        let retry_after = refusal.retry_after().map(Span::duration);
        Self { retry_after, bound: refusal.bound(), ..Self::new(kind, refusal.to_string()) }
    }
}

impl From<barograph_lake::Error> for Error {
    fn from(error: barograph_lake::Error) -> Self {
        use barograph_lake::ErrorKind as Lake;
        let kind = match error.kind() {
            Lake::Request => ErrorKind::Request,
            Lake::NotFound | Lake::Damage => ErrorKind::Damage,
            Lake::Conflict | Lake::Store => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
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
