//! The view that a ticket is answered from: the pinned one that it names, that of the version or time that it names, or
//! the current one.

use std::sync::Arc;

use barograph_access::{Allowed, Identity};
use barograph_engine::{ErrorKind, Restriction, View};
use barograph_lake::{AsOf, TableSchema};

use crate::call::{State, restriction};
use crate::ticket::{Query, Read, Ticket};
use crate::{Error, Result};

/// The columns of the table that a ticket asks about, as it had them at the version that it names.
pub(super) fn schema(
    state: &State,
    ticket: &Ticket,
    identity: &Identity,
) -> Result<Arc<TableSchema>> {
    let now = state.table(identity, &ticket.table)?;
    Ok(match as_of(ticket) {
        Some(as_of) => state.engine.schema_as_of(&ticket.table, as_of)?,
        None => now,
    })
}

/// What is given of the table that a ticket asks about. Rights are about the columns that it has now.
///
/// # Errors
/// `Denied` where the ticket names a version at which it had others.
pub(super) fn given(
    state: &State,
    ticket: &Ticket,
    schema: &Arc<TableSchema>,
    allowed: &Allowed,
) -> Result<Option<Arc<Restriction>>> {
    let given = restriction(schema, allowed)?;
    if given.is_some() && state.engine.schema(&ticket.table)? != *schema {
        let text = format!(
            "table {:?} had other columns then, and your rights are about those that it has now",
            ticket.table
        );
        return Err(Error::new(ErrorKind::Denied, text));
    }
    Ok(given)
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
