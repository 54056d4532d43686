//! The door: how protocols of other crates ask and write on the same port. What they ask comes down to the scans,
//! statements and puts of Flight, under the same limits, and is counted like them.
//!
//! ```text
//! request ─ask─► Asked: who, since when, how long ─► open(ticket) ─► rows
//!                                                  ├► sql(text)   ─► rows
//!                                                  └► put(batches) ─► Stored
//! ```

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use barograph_engine::validate::{Rejected, Rejections};
use barograph_engine::{Ack, Clock, Engine, TableInfo, View};
use barograph_lake::{KeySelection, LogPosition, Span, TableSchema, TimeRange};
use barograph_query::{ScalarValue, Sql};
use futures::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;

use super::get::{self, kind_of, observed};
use crate::call::{Caller, Deadline, Phase, RequestKind, Running, Sent, Serving, State, Writing};
use crate::message::{BatchIds, after, durability};
use crate::sql::Session;
use crate::ticket::{Query, Ticket};
use crate::wire::{plain_batch, plain_schema};
use crate::{Error, FlightSettings, Result};

/// What protocols of other crates on the port ask and write by.
#[derive(Debug, Clone)]
pub struct Door(Arc<Serving>);

/// A request that came in: who asks, and for how long it may take.
pub struct Asked {
    serving: Arc<Serving>,
    state: Arc<State>,
    headers: HeaderMap,
    /// How the caller is named in the list of queries.
    user: String,
    /// Where rows that it appends come from.
    source: String,
    deadline: Deadline,
    /// When it came, by elapsed time.
    begun: Span,
    /// The ids of batches that are still to be put; none before the first.
    ids: Option<BatchIds>,
}

/// A ticket that was understood, and the view that it is answered from.
pub struct OpenedTicket {
    opened: get::Opened,
    deadline: Deadline,
    begun: Span,
    permit: OwnedSemaphorePermit,
}

/// The rows of an answer, batch by batch. Dropped, with all its work, when the client goes away.
pub struct Rows {
    schema: SchemaRef,
    running: Running,
}

/// The place of an answer that goes on without end among the streams that may run.
#[derive(Debug)]
pub struct Held(
    #[expect(dead_code, reason = "it is let go when it is dropped")] OwnedSemaphorePermit,
);

/// What became of rows that were put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Rows that went into the table.
    pub accepted: u64,
    /// Rows that went to `dead_letters`.
    pub rejected: u64,
    /// Where the last batch stands in the log.
    pub position: LogPosition,
}

impl Door {
    pub(super) fn new(serving: &Arc<Serving>) -> Self {
        Self(Arc::clone(serving))
    }

    /// Takes a request in by `protocol`, such as `http`. Here a caller becomes known, for all that it asks.
    ///
    /// # Errors
    /// `Unavailable` if the server is shutting down.
    pub fn ask(&self, protocol: &str, parts: &Parts) -> Result<Asked> {
        let state = self.0.current();
        state.shutdown.check()?;
        let caller = Caller::of(parts);
        Ok(Asked {
            serving: Arc::clone(&self.0),
            user: caller.user(),
            source: caller.source_by(protocol),
            deadline: state.deadline(&parts.headers),
            begun: state.engine.clock().elapsed(),
            headers: parts.headers.clone(),
            ids: None,
            state,
        })
    }

    /// The clock of the engine that is served.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.0.current().engine.clock())
    }

    /// Ready when the server takes no new calls any more.
    pub async fn drained(&self) {
        // The engine may be replaced meanwhile.
        let shutdown = self.0.current().shutdown.clone();
        shutdown.reached(Phase::Draining).await;
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenedTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedTicket").field("ticket", &self.opened.ticket).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Asked {
    /// The engine that is asked.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.state.engine
    }

    /// The settings of the server.
    pub fn settings(&self) -> &FlightSettings {
        &self.state.settings
    }

    /// Ready when the request has taken as long as it may.
    pub async fn timed_out(&self) -> Error {
        self.deadline.reached().await
    }

    /// Takes a place among the streams that may run, for an answer that asks anew again and again.
    ///
    /// # Errors
    /// `Resources` if all places are taken.
    pub fn hold(&self) -> Result<Held> {
        Ok(Held(self.state.limits.stream()?))
    }

    /// All tables that can be asked for.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.state.engine.tables()
    }

    /// A table that rows are asked of or put into, or an error that lists the tables.
    ///
    /// # Errors
    /// `NotFound` if there is no such table.
    pub fn table(&self, name: &str) -> Result<Arc<TableSchema>> {
        Ok(self.state.engine.schema(name)?)
    }

    /// Reads a ticket in JSON, holds it against its table, and takes the view that it asks for.
    ///
    /// # Errors
    /// Those that a DoGet of the ticket has.
    pub async fn open(&self, ticket: &str) -> Result<OpenedTicket> {
        let permit = self.state.limits.stream()?;
        let ticket = Ticket::parse(ticket.as_bytes(), self.state.settings.ticket_bytes_max.get())?;
        self.table(&ticket.table)?;
        let after = after(&self.headers)?;
        let opened = get::open(&self.state, ticket, after, &self.deadline).await?;
        Ok(OpenedTicket { opened, deadline: self.deadline.clone(), begun: self.begun, permit })
    }

    /// The answer to a statement with a value for each of its parameters.
    ///
    /// # Errors
    /// Those that a statement of Flight SQL has.
    pub async fn sql(&self, text: &str, parameters: &[ScalarValue]) -> Result<Rows> {
        let state = &self.state;
        let permit = state.limits.stream()?;
        let session = Session::of(Caller::new(&self.headers, None))?;
        self.deadline.bound(state.reach(session.after)).await?;
        let session = session.for_user(&self.user);
        let mut observed = state.observe(self.begun, RequestKind::Sql, "query");
        let answering = async {
            let statement = state.sql.prepare(&session, text).await?;
            observed.is_about(statement.kind());
            state.sql.execute(&session, &statement, parameters).await
        };
        let answer = self.deadline.bound(answering).await?;
        let (schema, id) = (plain_schema(&answer.schema), answer.id);
        let sql: Arc<Sql> = Arc::clone(&state.sql);
        let observed = observed.with_cost(move || sql.queries().get(id)?.cost);
        let promised = Arc::clone(&schema);
        let batches = answer.batches.map(move |batch| plain_batch(batch?, &promised)).boxed();
        let running = Running::new(state, batches, self.deadline.clone(), permit);
        Ok(Rows { schema, running: running.observed(observed) })
    }

    /// Puts batches into a table, in their order, as durable as the headers ask for (on the disk, if they say nothing).
    ///
    /// # Errors
    /// Those of a DoPut. What was stored before is told by the error's note; sending it again changes nothing.
    pub async fn put(&mut self, table: &str, batches: Vec<RecordBatch>) -> Result<Stored> {
        self.table(table)?;
        let durability = durability(&self.headers)?;
        let ids = match &mut self.ids {
            Some(ids) => ids,
            None => self.ids.insert(BatchIds::of(&self.headers)?),
        };
        let ids: Vec<_> = ids.take(batches.len()).collect();
        let sent = batches.into_iter().zip(ids).map(|(rows, id)| Ok(Sent { id, rows }));
        let sent = stream::iter(sent).boxed();
        let (table, source) = (table.to_owned(), self.source.clone());
        let mut writing = Writing::new(&self.serving, table, source, durability, sent, false)?;
        let mut stored = Stored::default();
        loop {
            match writing.next().await {
                Ok(Some(ack)) => stored.add(&ack),
                Ok(None) => return Ok(stored),
                Err(error) if stored.accepted == 0 => return Err(error),
                Err(error) => {
                    return Err(error.with_note(format_args!(
                        "{} rows were stored before this, and sending them again changes nothing",
                        stored.accepted
                    )));
                }
            }
        }
    }

    /// The rows of a batch that a put would reject, with their reasons.
    ///
    /// # Errors
    /// `Request` if the batch as a whole cannot be read.
    pub fn rejections(&self, table: &str, batch: &RecordBatch) -> Result<Rejections> {
        Ok(self.state.engine.rejections(table, batch)?)
    }

    /// Keeps what could not be read as rows of `table` in `dead_letters`.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn reject(&self, table: &str, rejected: &[Rejected]) -> Result<Ack> {
        let durability = durability(&self.headers)?;
        let (state, _kept) = self.serving.to_put().await;
        let putting = state.engine.put_rejected(table, rejected, &self.source, durability);
        self.deadline.bound(putting).await
    }
}

impl Stored {
    fn add(&mut self, ack: &Ack) {
        self.accepted += ack.accepted;
        self.rejected += ack.rejected;
        self.position = self.position.max(ack.position);
    }
}

impl OpenedTicket {
    /// The view that it is answered from.
    pub fn view(&self) -> &Arc<View> {
        &self.opened.view
    }

    /// The keys and times of a range; none of a point read.
    pub fn range(&self) -> Option<(&KeySelection, TimeRange)> {
        match &self.opened.bound.query {
            Query::Point(_) => None,
            Query::Scan(scan) => Some((&scan.keys, scan.time)),
        }
    }

    /// Columns of the answer.
    pub fn schema(&self) -> &SchemaRef {
        &self.opened.bound.schema
    }

    /// Runs it.
    ///
    /// # Errors
    /// Those that a DoGet of the ticket has. Later ones are among the rows.
    pub async fn rows(self) -> Result<Rows> {
        let Self { opened, deadline, begun, permit } = self;
        let get::Opened { state, ticket, bound, view, .. } = opened;
        let schema = bound.schema;
        let (batches, observed) = match bound.query {
            Query::Point(query) => {
                let observed = state.observe(begun, kind_of(query.point), &ticket.table);
                let rows = deadline.bound(state.engine.point(&view, &query)).await?;
                (stream::iter([Ok(rows)]).boxed(), observed)
            }
            Query::Scan(scan) => {
                let observed = observed(&state, begun, &ticket.table, &view, &scan);
                let answer = deadline.bound(state.engine.scan(view, scan)).await?;
                (answer.batches.map_err(Error::from).boxed(), observed)
            }
        };
        let running = Running::new(&state, batches, deadline, permit).observed(observed);
        Ok(Rows { schema, running })
    }
}

impl Rows {
    /// Columns of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch; none when the answer is complete. An answer that is cut short ends with an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.running.next().await
    }

    /// Counts rows and bytes that are sent.
    pub fn sends(&mut self, rows: usize, bytes: usize) {
        self.running.sends(rows, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_adds_up_to_the_last_position() {
        let durability = barograph_engine::Durability::Disk;
        let ack = |position, accepted, rejected| Ack {
            position: LogPosition::new(position),
            durability,
            accepted,
            rejected,
        };
        let mut stored = Stored::default();
        stored.add(&ack(7, 3, 1));
        stored.add(&ack(9, 2, 0));
        assert_eq!((stored.accepted, stored.rejected, stored.position.get()), (5, 1, 9));
    }
}
