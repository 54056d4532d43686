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
//! session ([`handle`]), a session is a cookie ([`session`]). What is kept in memory ([`executions`], [`bound`])
//! is bounded and only saves work or lets a running statement be cancelled.
//!
//! Protocol: `FlightSql.proto` and `Flight.proto` of Apache Arrow.

pub(crate) mod action;
mod bound;
mod caller;
mod catalog;
pub(crate) mod command;
mod executions;
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
mod types;

use std::sync::Arc;

use barograph_query::{Sql, Statement};
use bytes::Bytes;

pub(crate) use caller::Caller;

use crate::{Error, FlightSettings, Result};
use bound::Bound;
use executions::Executions;
use handle::Handle;

/// What every call of SQL needs.
#[derive(Debug)]
pub(crate) struct Desk {
    sql: Arc<Sql>,
    executions: Arc<Executions<Arc<Statement>>>,
    bound: Arc<Bound>,
    /// Bytes that a handle may have, so that it fits into a ticket.
    handle_bytes_max: usize,
}

/// Bytes that a ticket takes around its handle.
const TICKET_FRAME_BYTES: usize = 256;

impl Desk {
    pub(crate) fn new(sql: Arc<Sql>, settings: &FlightSettings) -> Self {
        let handle_bytes_max =
            settings.ticket_bytes_max.get().saturating_sub(TICKET_FRAME_BYTES).max(1);
        let executions = Arc::new(Executions::new(Arc::clone(sql.engine().clock())));
        Self { sql, executions, bound: Arc::default(), handle_bytes_max }
    }

    /// The same over other tables.
    pub(crate) fn with(&self, sql: Arc<Sql>) -> Self {
        self.executions.forget_plans();
        let (executions, bound) = (Arc::clone(&self.executions), Arc::clone(&self.bound));
        Self { sql, executions, bound, handle_bytes_max: self.handle_bytes_max }
    }

    pub(crate) fn sql(&self) -> &Arc<Sql> {
        &self.sql
    }

    /// Plans what a handle carries.
    async fn prepare(&self, handle: &Handle, user: &str) -> Result<Statement> {
        let session = handle.session.for_user(user);
        let statement = self.sql.prepare(&session, &handle.text).await?;
        Ok(statement)
    }

    /// Lets go what was kept in vain.
    pub(crate) fn forget_old_plans(&self) {
        self.executions.forget_old_plans();
    }

    fn encode(&self, handle: &Handle) -> Result<Bytes> {
        handle.encode(self.handle_bytes_max)
    }
}

/// The handle of a prepared statement, with the values that were bound to it.
fn prepared(desk: &Desk, bytes: &Bytes) -> Result<Handle> {
    let handle = Handle::decode(bytes)?;
    let kept = if handle.parameters.is_empty() { desk.bound.get(&handle.name) } else { None };
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
