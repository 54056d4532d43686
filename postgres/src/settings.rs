//! The settings of the PostgreSQL door: where it listens, and what its connections may hold.

use barograph_flight::{Error, Result};
use barograph_lake::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the PostgreSQL door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSettings {
    /// Address and port for clients of PostgreSQL, such as `127.0.0.1:5432`. If empty, there is no such port. The rules of
    /// `flight.listen` hold here, too: beyond this machine, connections have to be encrypted, by `flight.tls_certificate`,
    /// and clients have to say who they are.
    pub listen: String,
    /// Most connections at the same time. Further ones are refused. Raise it for applications with large pools of
    /// connections; one takes some hundred KiB while it answers.
    pub connections_max: usize,
    /// Largest message of a client: a statement, or the values of its parameters. A connection that sends a larger one is
    /// closed.
    pub message_bytes_max: Size,
    /// Most prepared statements of a connection, and most cursors. Raise it for drivers that prepare every statement and
    /// keep all of them.
    pub prepared_max: usize,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            listen: String::new(),
            connections_max: 256,
            message_bytes_max: Size::mebibytes(4),
            prepared_max: 1_000,
        }
    }
}

impl PostgresSettings {
    /// Refuses values that no server can run with.
    ///
    /// # Errors
    /// `Request` with the name of the setting, its value and what it may be.
    pub fn check(&self) -> Result<()> {
        let counts =
            [("connections_max", self.connections_max), ("prepared_max", self.prepared_max)];
        for (name, count) in counts {
            if !(1..=1 << 20).contains(&count) {
                let text = format!("postgres.{name} is {count}: give 1 to {}", 1 << 20);
                return Err(Error::request(text));
            }
        }
        let (size, least, most) =
            (self.message_bytes_max, Size::bytes(1 << 16), Size::bytes(1 << 30));
        if !(least.get()..=most.get()).contains(&size.get()) {
            return Err(Error::request(format!(
                "postgres.message_bytes_max is {size}: give {least} to {most}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_value_is_named() {
        PostgresSettings::default().check().unwrap();
        let settings = PostgresSettings { connections_max: 0, ..Default::default() };
        let error = settings.check().unwrap_err().to_string();
        assert_eq!(error, "postgres.connections_max is 0: give 1 to 1048576");
        let settings = PostgresSettings { message_bytes_max: Size::bytes(9), ..Default::default() };
        let error = settings.check().unwrap_err().to_string();
        assert_eq!(error, "postgres.message_bytes_max is 9B: give 64KiB to 1GiB");
    }
}
