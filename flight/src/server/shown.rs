//! From which view is a ticket answered? The one that it names, that of the version that it names, or the
//! current one.

use std::sync::Arc;

use barograph_engine::View;

use super::State;
use crate::Result;
use crate::ticket::{Query, Read, Ticket};

/// The view of a ticket that asks `query`.
pub(super) async fn view(state: &State, ticket: &Ticket, query: &Query) -> Result<Arc<View>> {
    if let Some(id) = &ticket.view {
        return state.pins.get(id, &ticket.table);
    }
    let as_of = match &ticket.read {
        Read::Range(range) => range.as_of,
        Read::Point { .. } => None,
    };
    match (as_of, query) {
        (Some(as_of), Query::Scan(scan)) => {
            Ok(state.engine.view_as_of(&ticket.table, as_of, &scan.keys, scan.time).await?)
        }
        _ => Ok(state.engine.view(&ticket.table)?),
    }
}
