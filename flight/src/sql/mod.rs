//! Flight SQL, on the port and with the methods of native Flight: what a descriptor, a ticket or an action carries
//! tells the two apart.
//!
//! ```text
//! GetFlightInfo ─ statement ─► plan ─► one endpoint, its ticket a handle that carries the statement
//!                                          │
//! DoGet ─────────────────────── handle ────┴─► execute ─► batches ─► wire, as they are
//! ```
//!
//! The server keeps nothing that a client could miss: a handle carries text, bound parameters and
//! session ([`handle`]), a session is a cookie ([`session`]). What is kept in memory (executions, bound values) is
//! bounded and only saves work or lets a running statement be cancelled.
//!
//! Protocol: `FlightSql.proto` and `Flight.proto` of Apache Arrow.

pub(crate) mod action;
mod catalog;
pub(crate) mod command;
pub(crate) mod get;
mod handle;
pub(crate) mod info;
mod ingest;
mod keys;
mod parameters;
pub(crate) mod put;
mod session;
#[cfg(test)]
pub(crate) use session::messages as session_messages;
mod sql_info;
#[cfg(test)]
mod tests;
mod types;

use barograph_query::Statement;
use bytes::Bytes;

use crate::call::State;
use crate::{Error, FlightSettings, Result};
use handle::Handle;

/// Bytes that a ticket takes around its handle.
const TICKET_FRAME_BYTES: usize = 256;

/// Plans what a handle carries.
async fn prepare(state: &State, handle: &Handle, user: &str) -> Result<Statement> {
    let session = handle.session.for_user(user);
    Ok(state.sql.prepare(&session, &handle.text).await?)
}

/// Bytes that a handle may have, so that it fits into a ticket.
fn handle_bytes_max(settings: &FlightSettings) -> usize {
    settings.ticket_bytes_max.get().saturating_sub(TICKET_FRAME_BYTES).max(1)
}

fn encode(state: &State, handle: &Handle) -> Result<Bytes> {
    handle.encode(handle_bytes_max(&state.settings))
}

/// The handle of a prepared statement, with the values that were bound to it.
fn prepared(state: &State, bytes: &Bytes) -> Result<Handle> {
    let handle = Handle::decode(bytes)?;
    let kept =
        if handle.parameters.is_empty() { state.bound_parameters.get(&handle.name) } else { None };
    Ok(match kept {
        Some(parameters) => Handle { parameters, ..handle },
        None => handle,
    })
}

/// Refuses to work inside a transaction.
fn no_transaction(id: Option<&Bytes>) -> Result<()> {
    match id {
        Some(id) if !id.is_empty() => Err(transactions()),
        _ => Ok(()),
    }
}

/// What is said about transactions.
fn transactions() -> Error {
    Error::unsupported(
        "this server has no transactions: every statement sees the rows of one moment, and every \
         batch of an ingest is kept as a whole once it is acknowledged; leave autocommit on",
    )
}

/// What is said about Substrait.
fn substrait() -> Error {
    Error::unsupported("this server reads no Substrait plans: send the statement as SQL text")
}
