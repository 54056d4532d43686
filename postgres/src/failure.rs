//! Failures as PostgreSQL says them: a severity, an SQLSTATE of its list, and a message that names thing, value and mend.

use barograph_engine::ErrorKind;
use barograph_flight::Error;
use pgwire::messages::response::ErrorResponse;

/// What has gone wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    state: &'static str,
    message: String,
    is_fatal: bool,
}

/// Result with a [`Failure`].
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A message that is not of the protocol.
pub(crate) const PROTOCOL: &str = "08P01";
/// What PostgreSQL has and this server has not.
pub(crate) const UNSUPPORTED: &str = "0A000";
/// A value that cannot be meant.
pub(crate) const INVALID_VALUE: &str = "22023";
/// A name that nothing has.
pub(crate) const UNKNOWN_NAME: &str = "42704";
const READ_ONLY: &str = "25006";
const SYNTAX: &str = "42601";
const UNKNOWN_TABLE: &str = "42P01";
const UNKNOWN_COLUMN: &str = "42703";
const UNKNOWN_FUNCTION: &str = "42883";
const WRONG_TEXT: &str = "22P02";
const DIVISION_BY_ZERO: &str = "22012";
const OUT_OF_RANGE: &str = "22003";

/// Parts of messages about statements that say which of PostgreSQL's codes is meant.
const BY_WORDS: [(&str, &str); 14] = [
    ("SQL only reads here", READ_ONLY),
    ("there is no table", UNKNOWN_TABLE),
    ("there is no column", UNKNOWN_COLUMN),
    ("No field named", UNKNOWN_COLUMN),
    ("Invalid function", UNKNOWN_FUNCTION),
    ("there is no function", UNKNOWN_FUNCTION),
    ("Expected:", SYNTAX),
    ("Unterminated", SYNTAX),
    ("sql parser error", SYNTAX),
    ("ivide by zero", DIVISION_BY_ZERO),
    ("Cannot cast string", WRONG_TEXT),
    ("arsing", WRONG_TEXT),
    ("verflow", OUT_OF_RANGE),
    ("is not supported", UNSUPPORTED),
];

impl Failure {
    /// The statement fails; the connection goes on.
    pub(crate) fn new(state: &'static str, message: impl Into<String>) -> Self {
        Self { state, message: message.into(), is_fatal: false }
    }

    /// The connection ends.
    pub(crate) fn fatal(state: &'static str, message: impl Into<String>) -> Self {
        Self { is_fatal: true, ..Self::new(state, message) }
    }

    /// The same, after which the connection ends.
    pub(crate) fn ending(self) -> Self {
        Self { is_fatal: true, ..self }
    }

    /// Somebody asked that the statement be ended.
    pub(crate) fn cancelled() -> Self {
        Self::new("57014", "the statement was cancelled, as its client has asked")
    }

    /// A statement in a transaction in which one has failed.
    pub(crate) fn aborted() -> Self {
        Self::new(
            "25P02",
            "a statement of this transaction has failed: further ones are refused until ROLLBACK",
        )
    }

    /// The server ends.
    pub(crate) fn shutting_down() -> Self {
        Self::fatal("57P01", "the server is shutting down: connect to the next one")
    }

    /// Whether the connection ends.
    pub(crate) fn is_fatal(&self) -> bool {
        self.is_fatal
    }

    /// The SQLSTATE.
    #[cfg(test)]
    pub(crate) fn state(&self) -> &'static str {
        self.state
    }

    /// As it is sent.
    pub(crate) fn response(&self) -> ErrorResponse {
        let severity = if self.is_fatal { "FATAL" } else { "ERROR" };
        // A zero byte would end the field.
        let message = self.message.replace('\0', " ");
        ErrorResponse::new(vec![
            (b'S', severity.to_owned()),
            (b'V', severity.to_owned()),
            (b'C', self.state.to_owned()),
            (b'M', message),
        ])
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.count();
        let message = error.to_string();
        let state = match error.kind() {
            ErrorKind::Request => {
                let by_words = BY_WORDS.iter().find(|(words, _)| message.contains(words));
                by_words.map_or("42000", |(_, state)| *state)
            }
            ErrorKind::NotFound => UNKNOWN_TABLE,
            ErrorKind::Unauthenticated => "28P01",
            ErrorKind::Denied => "42501",
            ErrorKind::Resources => "53000",
            ErrorKind::Cancelled | ErrorKind::Timeout => "57014",
            ErrorKind::Unavailable => "57P03",
            ErrorKind::Damage => "XX001",
            _ => "XX000",
        };
        Self::new(state, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_has_the_code_of_postgresql() {
        let state = |message: &str| Failure::from(Error::request(message)).state();
        assert_eq!(state("there is no table x: did you mean y?"), "42P01");
        assert_eq!(state("DROP TABLE: SQL only reads here. Rows"), "25006");
        assert_eq!(state("Expected: an expression, found: EOF"), "42601");
        assert_eq!(state("whatever"), "42000");
        let timeout = Error::new(ErrorKind::Timeout, "not done after 5 ms");
        assert_eq!(Failure::from(timeout).state(), "57014");
    }

    #[test]
    fn a_zero_byte_ends_no_field() {
        let response = Failure::fatal(PROTOCOL, "a\0b").response();
        assert!(response.fields.contains(&(b'M', "a b".to_owned())));
        assert!(response.fields.contains(&(b'S', "FATAL".to_owned())));
    }
}
