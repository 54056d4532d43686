//! The view that a ticket is answered from: the pinned one that it names, that of the version or time that it names, or
//! the current one.

use std::sync::Arc;

use barograph_engine::View;
use barograph_lake::{AsOf, TableSchema};

use crate::Result;
use crate::call::State;
use crate::ticket::{Query, Read, Ticket};

/// The columns of the table that a ticket asks about, as it had them at the version that it names.
pub(super) fn schema(state: &State, ticket: &Ticket) -> Result<Arc<TableSchema>> {
    Ok(match as_of(ticket) {
        Some(as_of) => state.engine.schema_as_of(&ticket.table, as_of)?,
        None => state.engine.schema(&ticket.table)?,
    })
}

fn as_of(ticket: &Ticket) -> Option<AsOf> {
    match &ticket.read {
        Read::Range(range) => range.as_of,
        Read::Point { .. } => None,
    }
}

/// The view of a ticket that asks `query`.
pub(super) async fn view(state: &State, ticket: &Ticket, query: &Query) -> Result<Arc<View>> {
    if let Some(id) = &ticket.view {
        return state.pins.get(id, &ticket.table);
    }
    match (as_of(ticket), query) {
        (Some(as_of), Query::Scan(scan)) => {
            Ok(state.engine.view_as_of(&ticket.table, as_of, &scan.keys, scan.time).await?)
        }
        _ => Ok(state.engine.view(&ticket.table)?),
    }
}
