//! The errors of commands, by the exit code they end with.

use std::fmt;

/// The end of a command that did not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The work failed: exit code 1.
    Failed,
    /// The command line, the settings or the mapping is wrong: exit code 2.
    Usage,
    /// The reader of the output went away: nothing to say, exit code 0.
    OutputClosed,
    /// Stopped by Ctrl-C before the work was done: exit code 1.
    Stopped,
}

/// An error of a command: a kind for the exit code and a message that names the thing, the value and
/// the mend.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Result with the command line's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The work failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, message: message.into() }
    }

    /// The command line, the settings or the mapping is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Usage, message: message.into() }
    }

    /// Stopped by Ctrl-C; `message` says how to go on.
    pub(crate) fn stopped(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Stopped, message: message.into() }
    }

    /// The error with lines after its message that show more of it.
    pub(crate) fn with_hint(mut self, lines: impl AsRef<str>) -> Self {
        self.message = format!("{}\n{}", self.message, lines.as_ref());
        self
    }

    /// The kind: how the command ends.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Failed | ErrorKind::Stopped => 1,
            ErrorKind::Usage => 2,
            ErrorKind::OutputClosed => 0,
        }
    }

    /// The same error, with what was being done in front of its message.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { kind: ErrorKind::OutputClosed, message: error.to_string() };
        }
        Self::failed(error.to_string())
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::IoError(_, io) => io.into(),
            other if is_broken_pipe(&other) => {
                Self { kind: ErrorKind::OutputClosed, message: other.to_string() }
            }
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        if is_broken_pipe(&error) {
            return Self { kind: ErrorKind::OutputClosed, message: error.to_string() };
        }
        Self::failed(error.to_string())
    }
}

impl From<barograph_lake::Error> for Error {
    fn from(error: barograph_lake::Error) -> Self {
        match error.kind() {
            barograph_lake::ErrorKind::Request => Self::usage(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<barograph_engine::Error> for Error {
    fn from(error: barograph_engine::Error) -> Self {
        match error.kind() {
            barograph_engine::ErrorKind::Request => Self::usage(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<barograph_flight::Error> for Error {
    fn from(error: barograph_flight::Error) -> Self {
        use barograph_engine::ErrorKind as Kind;
        match error.kind() {
            Kind::Request | Kind::NotFound => Self::usage(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<barograph_jobs::Error> for Error {
    fn from(error: barograph_jobs::Error) -> Self {
        match error.kind() {
            barograph_jobs::ErrorKind::Request => Self::usage(error.to_string()),
            barograph_jobs::ErrorKind::Stopped => Self::stopped(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

/// Writers of columns wrap the broken pipe in their own errors, some of them only as text.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::BrokenPipe;
        }
        cause = error.source();
    }
    error.to_string().to_lowercase().contains("broken pipe")
}
