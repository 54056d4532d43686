//! ListFlights: the tables of the server, one flight a table.

use arrow_flight::{Criteria, FlightDescriptor, FlightInfo};

use super::info::endpoint;
use crate::call::{State, signed};
use crate::ticket::{RangeRead, Ticket};
use crate::{Error, Result};

/// The tables whose names begin with the criteria's expression; all if it is empty.
pub(super) fn answer(state: &State, criteria: &Criteria) -> Result<Vec<FlightInfo>> {
    let prefix = std::str::from_utf8(&criteria.expression).map_err(|e| {
        Error::request("criteria: give the beginning of table names as text, or nothing")
            .with_source(e)
    })?;
    let tables = state.engine.tables();
    let wanted = tables.into_iter().filter(|table| table.schema.name().starts_with(prefix));
    wanted
        .map(|table| {
            let name = table.schema.name().to_owned();
            let whole = Ticket::range(&name, RangeRead::default());
            Ok(FlightInfo::new()
                .try_with_schema(table.schema.arrow())?
                .with_descriptor(FlightDescriptor::new_path(vec![name]))
                .with_endpoint(endpoint(&whole))
                .with_total_records(signed(table.rows))
                .with_total_bytes(signed(table.bytes))
                .with_ordered(true))
        })
        .collect()
}
