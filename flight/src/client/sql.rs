//! SQL statements, each answered batch by batch.

use arrow_flight::FlightDescriptor;
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt};
use barograph_engine::ErrorKind;
use prost::Message;

use super::{Answer, Client};
use crate::{Error, Result};

impl Client {
    /// The answer to a statement, batch by batch.
    ///
    /// # Errors
    /// `Request` with the place of the fault if the statement cannot be understood or would write.
    pub async fn sql(&self, text: &str) -> Result<Answer> {
        let command = CommandStatementQuery { query: text.to_owned(), transaction_id: None };
        let command: Any = command.as_any();
        let descriptor = FlightDescriptor::new_cmd(command.encode_to_vec());
        self.repeated(async |mut flight| {
            let descriptor = self.request(descriptor.clone());
            let info = flight.get_flight_info(descriptor).await?.into_inner();
            match <[_; 1]>::try_from(info.endpoint) {
                Ok([endpoint]) if endpoint.ticket.is_some() => {
                    self.get_at(flight, endpoint.ticket.unwrap_or_default()).await
                }
                _ => Err(Error::new(
                    ErrorKind::Internal,
                    "the server does not give the answer in one part: is it of another version?",
                )),
            }
        })
        .await
    }
}
