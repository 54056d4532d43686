//! Flight SQL commands, told from native tickets: a command is a protobuf `Any` with the type of the command, a native
//! ticket is JSON.

use arrow_flight::sql::{Any, Command};
use bytes::Bytes;
use prost::Message;

use crate::{Error, Result};

/// How the type of every command begins.
const COMMANDS: &str = "type.googleapis.com/arrow.flight.protocol.sql.";
/// Tag of the field `type_url` of `Any`, which every encoder writes first.
const TYPE_URL_TAG: u8 = 0x0a;

/// The command in a descriptor, a ticket or the body of an action; `None` if it is not SQL.
///
/// # Errors
/// A command that is not one of Flight SQL, or cannot be read.
pub(crate) fn read(bytes: &Bytes) -> Result<Option<Command>> {
    if bytes.first() != Some(&TYPE_URL_TAG) {
        return Ok(None);
    }
    // JSON may begin with the same byte, a line feed, but is no `Any`.
    let any = match Any::decode(bytes.clone()) {
        Ok(any) if any.type_url.starts_with(COMMANDS) => any,
        _ => return Ok(None),
    };
    match Command::try_from(any) {
        Ok(Command::Unknown(any)) => Err(Error::unsupported(format!(
            "this server does not know the Flight SQL command {:?}",
            any.type_url
        ))),
        Ok(command) => Ok(Some(command)),
        Err(e) => Err(Error::request("Flight SQL command").with_source(e).in_sql()),
    }
}

/// The name of a command without what all of them have in common.
pub(super) fn name(command: &Command) -> &str {
    let url = command.type_url();
    url.strip_prefix(COMMANDS).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::{CommandGetCatalogs, CommandStatementQuery, ProstMessageExt};

    use super::*;

    #[test]
    fn a_command_is_told_from_a_ticket() {
        let query = CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
        let bytes: Bytes = query.as_any().encode_to_vec().into();
        assert_eq!(read(&bytes).unwrap(), Some(Command::CommandStatementQuery(query)));
        let catalogs: Bytes = CommandGetCatalogs {}.as_any().encode_to_vec().into();
        let command = read(&catalogs).unwrap().unwrap();
        assert_eq!(name(&command), "CommandGetCatalogs");
        for ticket in ["", "{\"v\":1}", "\n{\"v\":1,\"table\":\"readings\"}", "\n\n", "\nx"] {
            assert_eq!(read(&Bytes::from(ticket)).unwrap(), None, "{ticket:?}");
        }
    }

    #[test]
    fn an_unknown_or_broken_command_is_refused_with_its_name() {
        let unknown = Any { type_url: format!("{COMMANDS}CommandFly"), value: Bytes::new() };
        let error = read(&unknown.encode_to_vec().into()).unwrap_err();
        assert_eq!(error.code(), tonic::Code::Unimplemented);
        assert!(error.to_string().contains("CommandFly"), "{error}");
        let broken = Any {
            type_url: CommandStatementQuery::type_url().to_owned(),
            value: Bytes::from_static(&[0xff]),
        };
        let error = read(&broken.encode_to_vec().into()).unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
    }
}
