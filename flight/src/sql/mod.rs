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
pub(crate) use session::{Session, TIME_ZONE_HEADER, TIMEOUT_HEADER};
mod sql_info;
#[cfg(test)]
mod tests;
mod types;

use barograph_engine::ErrorKind;
use barograph_query::{Sql, Statement};
use bytes::Bytes;

use crate::call::{Caller, State};
use crate::{Error, FlightSettings, Result};
use handle::Handle;

/// Bytes that a ticket takes around its handle.
const TICKET_FRAME_BYTES: usize = 256;

/// Plans what a handle carries, over what its caller may see. A handle gives its text and values, and no rights.
async fn prepare(sql: &Sql, handle: &Handle, caller: Caller<'_>) -> Result<Statement> {
    let session = caller.session(handle.session.for_sql());
    let prepared = sql.prepare(&session, &handle.text).await;
    prepared.map_err(|error| failed(sql, &handle.text, error))
}

/// A statement that could not be prepared, with what its caller is not shown of it.
pub(crate) fn failed(sql: &Sql, text: &str, error: barograph_engine::Error) -> Error {
    let hidden = match error.kind() {
        ErrorKind::Request | ErrorKind::NotFound | ErrorKind::Denied => sql.hidden_names(text),
        _ => Vec::new(),
    };
    Error::from(error).about_hidden(hidden)
}

/// A new name for what a caller makes.
fn name_for(state: &State, caller: Caller<'_>) -> String {
    let name = state.executions.name();
    let mark = state.access.mark(&caller.owner(), &name);
    format!("{name}.{mark}")
}

/// The name in a handle, if this process gave it to the caller.
fn own_name<'a>(state: &State, caller: Caller<'_>, marked: &'a str) -> Option<&'a str> {
    let (name, mark) = marked.split_once('.')?;
    state.access.is_marked(&caller.owner(), name, mark).then_some(name)
}

/// The name under which values of a caller's prepared statement are kept, which no other caller has.
fn bound_name(caller: Caller<'_>, name: &str) -> String {
    format!("{}\n{name}", caller.owner())
}

/// Bytes that a handle may have, so that it fits into a ticket.
fn handle_bytes_max(settings: &FlightSettings) -> usize {
    settings.ticket_bytes_max.get().saturating_sub(TICKET_FRAME_BYTES).max(1)
}

fn encode(state: &State, handle: &Handle) -> Result<Bytes> {
    handle.encode(handle_bytes_max(&state.settings))
}

/// The handle of a prepared statement, with the values that were bound to it.
fn prepared(state: &State, bytes: &Bytes, caller: Caller<'_>) -> Result<Handle> {
    let handle = Handle::decode(bytes)?;
    let kept = match handle.parameters.is_empty() {
        true => state.bound_parameters.get(&bound_name(caller, &handle.name)),
        false => None,
    };
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
