//! ListFlights: the tables of the server, one flight a table.

use arrow_flight::{Criteria, FlightDescriptor, FlightInfo};
use barograph_access::Identity;

use super::info::endpoint;
use crate::call::{Shown, State, shown, signed};
use crate::ticket::{RangeRead, Ticket};
use crate::{Error, Result};

/// Rows and bytes are not told.
const UNKNOWN: i64 = -1;

/// The tables that `identity` may read whose names begin with the criteria's expression; all of them if it is empty.
pub(super) fn answer(
    state: &State,
    criteria: &Criteria,
    identity: &Identity,
) -> Result<Vec<FlightInfo>> {
    let prefix = std::str::from_utf8(&criteria.expression).map_err(|e| {
        Error::request("criteria: give the beginning of table names as text, or nothing")
            .with_source(e)
    })?;
    let tables = state.engine.tables();
    let wanted = tables.into_iter().filter(|table| table.schema.name().starts_with(prefix));
    let seen = wanted.filter_map(|table| Some((shown(identity, &table.schema)?, table)));
    seen.map(|(Shown(restriction), table)| {
        let name = table.schema.name().to_owned();
        let whole = Ticket::range(&name, RangeRead::default());
        let visible = restriction.as_ref().map_or(&table.schema, |of| of.visible());
        // How much there is of what is not shown is not said either.
        let known = |count: u64| if restriction.is_some() { UNKNOWN } else { signed(count) };
        Ok(FlightInfo::new()
            .try_with_schema(visible.arrow())?
            .with_descriptor(FlightDescriptor::new_path(vec![name]))
            .with_endpoint(endpoint(&whole))
            .with_total_records(known(table.rows))
            .with_total_bytes(known(table.bytes))
            .with_ordered(true))
    })
    .collect()
}
