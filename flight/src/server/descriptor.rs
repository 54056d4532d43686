//! The meaning of a FlightDescriptor: a path is a whole table, the command of a read is a ticket, that of a put names a
//! table.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use serde::Deserialize;

use crate::ticket::{RangeRead, Ticket, VERSION};
use crate::{Error, FlightSettings, Result};

/// The command of a DoPut: `{"v":1,"table":"readings"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutCommand {
    v: i64,
    table: String,
}

/// What a descriptor of a read asks for.
pub(super) fn ticket(descriptor: &FlightDescriptor, settings: &FlightSettings) -> Result<Ticket> {
    match descriptor.r#type() {
        DescriptorType::Path => Ok(Ticket::range(path(descriptor)?, RangeRead::default())),
        DescriptorType::Cmd => Ticket::parse(&descriptor.cmd, settings.ticket_bytes_max.get()),
        DescriptorType::Unknown => Err(unknown()),
    }
}

/// What the descriptor of an exchange opens it with; a path opens it for the newest readings.
pub(super) fn exchange_ticket(
    descriptor: &FlightDescriptor,
    settings: &FlightSettings,
) -> Result<Ticket> {
    match descriptor.r#type() {
        DescriptorType::Path => Ok(Ticket::latest(path(descriptor)?, None)),
        _ => ticket(descriptor, settings),
    }
}

/// The table that a DoPut writes to.
pub(super) fn put_table(descriptor: &FlightDescriptor) -> Result<String> {
    match descriptor.r#type() {
        DescriptorType::Path => Ok(path(descriptor)?.to_owned()),
        DescriptorType::Cmd => {
            let command: PutCommand = serde_json::from_slice(&descriptor.cmd).map_err(|e| {
                Error::request(format!(
                    "command of a put: {e}; write it like {{\"v\":1,\"table\":\"readings\"}}, or give the path [\"readings\"]"
                ))
            })?;
            if command.v != VERSION {
                return Err(Error::request(format!(
                    "command of a put has version {}: this server reads version {VERSION}",
                    command.v
                )));
            }
            Ok(command.table)
        }
        DescriptorType::Unknown => Err(unknown()),
    }
}

fn path(descriptor: &FlightDescriptor) -> Result<&str> {
    match descriptor.path.as_slice() {
        [table] => Ok(table),
        other => Err(Error::request(format!(
            "descriptor path {other:?}: give the name of one table, like [\"readings\"]"
        ))),
    }
}

fn unknown() -> Error {
    Error::request(
        "descriptor is neither a path nor a command: give the path [\"readings\"] or a ticket as command",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_names_its_table_by_path_or_command() {
        let path = FlightDescriptor::new_path(vec!["readings".to_owned()]);
        assert_eq!(put_table(&path).unwrap(), "readings");
        let command = FlightDescriptor::new_cmd(r#"{"v":1,"table":"readings"}"#);
        assert_eq!(put_table(&command).unwrap(), "readings");
        for (descriptor, expected) in [
            (FlightDescriptor::new_path(vec![]), "descriptor path []"),
            (FlightDescriptor::new_path(vec!["a".into(), "b".into()]), "[\"a\", \"b\"]"),
            (FlightDescriptor::new_cmd("readings"), "expected value"),
            (FlightDescriptor::new_cmd(r#"{"v":2,"table":"a"}"#), "version 2"),
            (FlightDescriptor::new_cmd(r#"{"v":1,"table":"a","x":1}"#), "unknown field `x`"),
            (FlightDescriptor::default(), "neither a path nor a command"),
        ] {
            let error = put_table(&descriptor).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
