//! The errors of the server and the client, and the one place that maps their kinds to gRPC codes and back.

use std::fmt;
use std::time::Duration;

use arrow_flight::error::FlightError;
use barograph_access::{Call, Refusal};
use barograph_engine::ErrorKind;
use barograph_lake::internal::{Cause, because};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status, TimeoutExpired};

use crate::refusals;

/// Name of the response header (or trailer) that says after how many ms a refused request may be
/// sent again.
pub(crate) const RETRY_AFTER_MS: &str = "retry-after-ms";
/// Name of the response header (or trailer) that says the SQLSTATE of an error of SQL.
pub(crate) const SQLSTATE: &str = "sqlstate";

/// An error of the server or the client: what the caller can do, a message that names the thing, the
/// value and the mend, and the cause. Crosses the wire as a gRPC status and keeps its kind:
///
/// | kind | gRPC code |
/// |---|---|
/// | `Request` | `INVALID_ARGUMENT` |
/// | `NotFound` | `NOT_FOUND` |
/// | `Unauthenticated` | `UNAUTHENTICATED` |
/// | `Denied` | `PERMISSION_DENIED` |
/// | `Resources` | `RESOURCE_EXHAUSTED`, with `retry-after-ms` in the metadata |
/// | `Cancelled` | `CANCELLED` |
/// | `Timeout` | `DEADLINE_EXCEEDED` |
/// | `Unavailable` | `UNAVAILABLE` |
/// | `Damage` | `DATA_LOSS` |
/// | `Internal` | `INTERNAL` |
///
/// Where SQL was asked the status also says an SQLSTATE, at the end of the message and in the metadata
/// (`sqlstate`); what SQL cannot do here is `UNIMPLEMENTED`.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}{}", because(source.as_deref()), state(*sqlstate))]
#[non_exhaustive]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    bound: Option<&'static str>,
    source: Option<Cause>,
    /// The code where it says more than the kind.
    code: Option<Code>,
    sqlstate: Option<&'static str>,
    /// Names that it is about which its caller is not shown: for records, and never told.
    hidden: Option<Box<Hidden>>,
}

/// Names of tables and columns.
#[derive(Debug)]
struct Hidden(Vec<String>);

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without an underlying cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            bound: None,
            source: None,
            code: None,
            sqlstate: None,
            hidden: None,
        }
    }

    /// The request is wrong.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, message)
    }

    /// SQL has it, this server does not.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        let code = Some(Code::Unimplemented);
        Self { code, ..Self::request(message) }.with_sqlstate("0A000")
    }

    /// It is there already.
    pub(crate) fn exists(message: impl Into<String>) -> Self {
        let code = Some(Code::AlreadyExists);
        Self { code, ..Self::request(message) }.with_sqlstate("42P07")
    }

    /// The bound `setting` is reached.
    pub fn resources(
        setting: &'static str,
        message: impl fmt::Display,
        retry_after: Duration,
    ) -> Self {
        let mut error = Self::new(
            ErrorKind::Resources,
            format!("{setting}: {message}; retry in {} ms", retry_after.as_millis()),
        );
        error.retry_after = Some(retry_after);
        error.bound = Some(setting);
        error
    }

    /// The same error with `note` after its message.
    #[must_use]
    pub fn with_note(self, note: impl fmt::Display) -> Self {
        Self { message: format!("{}; {note}", self.message), ..self }
    }

    /// Says `state` to those who ask in SQL.
    pub(crate) fn with_sqlstate(self, state: &'static str) -> Self {
        Self { sqlstate: Some(state), ..self }
    }

    /// The error as those who ask in SQL are told: with an SQLSTATE, that of its kind if none was said.
    pub(crate) fn in_sql(self) -> Self {
        let state = self.sqlstate.unwrap_or_else(|| sqlstate_of(self.kind));
        self.with_sqlstate(state)
    }

    /// Keeps `source` as the cause.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind, which says what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The time after which a retry makes sense, if it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same error once more.
    pub(crate) fn again(&self) -> Self {
        Self {
            retry_after: self.retry_after,
            bound: self.bound,
            code: self.code,
            ..Self::new(self.kind, self.to_string())
        }
    }

    /// Keeps names that its caller is not shown, for the record.
    pub(crate) fn about_hidden(self, hidden: Vec<String>) -> Self {
        let hidden = (!hidden.is_empty()).then(|| Box::new(Hidden(hidden)));
        Self { hidden, ..self }
    }

    /// Records `call` as denied if it failed for names that its caller is not shown.
    pub(crate) fn record(&self, call: &mut Call) {
        if let Some(hidden) = &self.hidden {
            hidden.0.iter().for_each(|name| call.is_about(name));
            call.denied(Refusal::denied("the statement names what is not given"));
        }
    }

    /// Counts it among the refusals, if it is one: it is about to be told.
    pub fn count(&self) {
        match self.kind {
            ErrorKind::Resources => refusals::count(self.bound),
            ErrorKind::Unauthenticated => refusals::count(Some("unauthenticated")),
            ErrorKind::Denied => refusals::count(Some("denied")),
            _ => {}
        }
    }

    /// The gRPC code of the error.
    pub fn code(&self) -> Code {
        self.code.unwrap_or_else(|| code_of(self.kind))
    }
}

/// The SQLSTATE of a kind of error: of ISO/IEC 9075, or of PostgreSQL where that has none.
fn sqlstate_of(kind: ErrorKind) -> &'static str {
    match kind {
        // Syntax error or access rule violation.
        ErrorKind::Request => "42000",
        // Undefined table.
        ErrorKind::NotFound => "42P01",
        // Invalid authorization specification.
        ErrorKind::Unauthenticated => "28000",
        // Insufficient privilege.
        ErrorKind::Denied => "42501",
        // Insufficient resources.
        ErrorKind::Resources => "53000",
        // Query cancelled.
        ErrorKind::Cancelled => "57014",
        // Timeout expired.
        ErrorKind::Timeout => "HYT00",
        // Cannot connect now.
        ErrorKind::Unavailable => "57P03",
        // Data corrupted.
        ErrorKind::Damage => "XX001",
        // Internal error.
        _ => "XX000",
    }
}

/// The gRPC code of a kind of error.
pub(crate) fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Request => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Resources => Code::ResourceExhausted,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Damage => Code::DataLoss,
        _ => Code::Internal,
    }
}

/// The kind of error that a gRPC code says.
pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::AlreadyExists => ErrorKind::Request,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Denied,
        Code::NotFound => ErrorKind::NotFound,
        Code::ResourceExhausted => ErrorKind::Resources,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::Unavailable | Code::Aborted => ErrorKind::Unavailable,
        Code::DataLoss => ErrorKind::Damage,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}

/// The name of a gRPC code as the specification writes it, such as `INVALID_ARGUMENT`.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The kind of error that a code's name, such as `INVALID_ARGUMENT`, says.
pub(crate) fn kind_of_name(name: &str) -> ErrorKind {
    (0..=16)
        .map(Code::from_i32)
        .find(|&code| code_name(code) == name)
        .map_or(ErrorKind::Internal, kind_of)
}

/// The words for an SQLSTATE after a message; none if there is none.
fn state(of: Option<&str>) -> impl fmt::Display {
    fmt::from_fn(move |f| of.map_or(Ok(()), |state| write!(f, " (SQLSTATE {state})")))
}

impl From<barograph_engine::Error> for Error {
    fn from(error: barograph_engine::Error) -> Self {
        let (retry_after, bound) = (error.retry_after(), error.bound());
        Self { retry_after, bound, ..Self::new(error.kind(), error.to_string()) }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        barograph_engine::Error::from(refusal).into()
    }
}

impl From<barograph_lake::Error> for Error {
    fn from(error: barograph_lake::Error) -> Self {
        barograph_engine::Error::from(error).into()
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::new(ErrorKind::Internal, "columns").with_source(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Unavailable, "network").with_source(error)
    }
}

impl From<tonic::transport::Error> for Error {
    fn from(error: tonic::transport::Error) -> Self {
        Self::new(ErrorKind::Unavailable, "connection").with_source(error)
    }
}

/// Longest message that is sent. It travels in a header, in which a byte may take three, and clients take 16 KiB of those.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Of a longer one, so much of its end is kept: the SQLSTATE stands there.
const END_BYTES: usize = 256;

/// The message without the middle of one that is too long, which repeats what was sent.
fn fitting(message: String) -> String {
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    let head = message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX - END_BYTES));
    let end = message.get(message.ceil_char_boundary(message.len() - END_BYTES)..);
    format!("{} … {}", head.unwrap_or_default(), end.unwrap_or_default())
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.count();
        let mut status = Self::new(error.code(), fitting(error.to_string()));
        if let Some(after) = error.retry_after {
            let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            status.metadata_mut().insert(RETRY_AFTER_MS, MetadataValue::from(ms));
        }
        if let Some(state) = error.sqlstate {
            status.metadata_mut().insert(SQLSTATE, MetadataValue::from_static(state));
        }
        status
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let retry_after = status
            .metadata()
            .get(RETRY_AFTER_MS)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_millis);
        let message = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        Self { retry_after, ..Self::new(kind_of_status(&status), message) }
    }
}

/// The kind of error that a status says. One that did not come from a server has a source: the connection broke.
fn kind_of_status(status: &Status) -> ErrorKind {
    let is_local = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Cancelled if status.message() == TimeoutExpired(()).to_string() => ErrorKind::Timeout,
        Code::Unknown | Code::Cancelled | Code::Internal if is_local => ErrorKind::Unavailable,
        code => kind_of(code),
    }
}

impl From<FlightError> for Error {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => (*status).into(),
            FlightError::Arrow(error) => Self::request("Arrow data").with_source(error),
            other => Self::request("Flight data").with_source(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_survives_the_wire() {
        for kind in [
            ErrorKind::Request,
            ErrorKind::NotFound,
            ErrorKind::Unauthenticated,
            ErrorKind::Denied,
            ErrorKind::Resources,
            ErrorKind::Cancelled,
            ErrorKind::Timeout,
            ErrorKind::Unavailable,
            ErrorKind::Damage,
            ErrorKind::Internal,
        ] {
            let back = Error::from(Status::from(Error::new(kind, "what")));
            assert_eq!((back.kind(), back.to_string()), (kind, "what".to_owned()));
            assert_eq!(kind_of_name(code_name(code_of(kind))), kind);
        }
    }

    #[test]
    fn a_message_fits_into_a_header() {
        let long = Error::request("€".repeat(5_000)).with_sqlstate("42000");
        let status = Status::from(long);
        assert!(status.message().len() < MESSAGE_BYTES_MAX + 10);
        assert!(status.message().starts_with("€€") && status.message().contains("€ … €"));
        assert!(status.message().ends_with("(SQLSTATE 42000)"));
        assert_eq!(Status::from(Error::request("short")).message(), "short");
    }

    #[test]
    fn the_retry_delay_survives_the_wire() {
        let error =
            Error::resources("flight.streams_max", "8 are running", Duration::from_millis(125));
        let status = Status::from(error);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let back = Error::from(status);
        assert_eq!(back.retry_after(), Some(Duration::from_millis(125)));
        assert_eq!(back.to_string(), "flight.streams_max: 8 are running; retry in 125 ms");
    }
}
