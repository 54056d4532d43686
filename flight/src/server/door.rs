//! The door: how protocols of other crates ask and write on the same port. What they ask comes down to the scans,
//! statements and puts of Flight, under the same rights and limits, and is counted and recorded like them.
//!
//! ```text
//! request ─ask─► Asked: who, since when, how long ─► open(ticket) ─► rows
//!                                                  ├► sql(text)   ─► rows
//!                                                  └► put(batches) ─► Stored
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use barograph_access::{Decision, Proof, Verb};
use barograph_engine::dead_letters::DEAD_LETTERS;
use barograph_engine::validate::{Rejected, Rejections};
use barograph_engine::{Ack, Clock};
use barograph_lake::{LogPosition, Span, TableSchema, Timestamp};
use barograph_query::{ScalarValue, Sql, SqlSession, Statement};
use futures::{StreamExt, stream};
use http::request::Parts;
use http::{Extensions, HeaderMap};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::get;
use super::opened::{OpenedTicket, Rows};
use crate::call::{
    Caller, Deadline, Part, Peer, Phase, PutRequest, RequestKind, Running, Sent, Serving,
    SharedCall, Shown, State, Writing, restriction, shown,
};
use crate::message::{BatchIds, after, durability};
use crate::sql::{Session, failed};
use crate::ticket::Ticket;
use crate::wire::{plain_batch, plain_schema};
use crate::{Error, Result};

/// What protocols of other crates on the port ask and write by.
#[derive(Debug, Clone)]
pub struct Door(Arc<Serving>);

/// A request that was let in: who asks, and for how long it may take. What it reads and puts is recorded together, when
/// the last of it ends.
pub struct Asked {
    serving: Arc<Serving>,
    state: Arc<State>,
    headers: HeaderMap,
    /// The other end of the connection.
    extensions: Extensions,
    call: Arc<SharedCall>,
    /// Where rows that it appends come from.
    source: String,
    deadline: Deadline,
    /// When it came, by elapsed time.
    begun: Span,
    /// The ids of batches that are still to be put; none before the first.
    ids: Option<BatchIds>,
}

/// A table as it is shown to who asks.
#[derive(Debug, Clone)]
pub struct ShownTable {
    /// The columns that are shown.
    pub schema: Arc<TableSchema>,
    /// Rows in lake and tail; not told of a table of which not all is shown.
    pub rows: Option<u64>,
    /// Bytes of its lake files; likewise.
    pub bytes: Option<u64>,
}

/// The place of an answer that goes on without end among the streams that may run.
#[derive(Debug)]
pub struct Held(
    #[expect(dead_code, reason = "it is let go when it is dropped")] OwnedSemaphorePermit,
);

/// The answer to a request: it is recorded as failed unless it begins.
#[derive(Debug)]
pub struct Answering(Part);

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

    /// Lets a request in that came by `protocol`, such as `http`, and that records call `action`. Here a caller becomes
    /// known, for all that it asks.
    ///
    /// # Errors
    /// `Unauthenticated`, `Resources` at a limit of the caller, `Unavailable` if the server is shutting down.
    pub fn ask(&self, protocol: &str, action: &'static str, parts: &Parts) -> Result<Asked> {
        self.ask_by(barograph_access::Door::Http, protocol, action, parts)
    }

    /// The same for a request that came by the protocol of PostgreSQL.
    ///
    /// # Errors
    /// As of [`Self::ask`].
    pub fn ask_of_postgres(&self, action: &'static str, parts: &Parts) -> Result<Asked> {
        self.ask_by(barograph_access::Door::Postgres, "postgres", action, parts)
    }

    fn ask_by(
        &self,
        door: barograph_access::Door,
        protocol: &str,
        action: &'static str,
        parts: &Parts,
    ) -> Result<Asked> {
        let state = self.0.current();
        state.shutdown.check()?;
        let of = (door, action);
        let call = state.enter(&parts.headers, &parts.extensions, of)?;
        let mut extensions = Extensions::new();
        if let Some(peer) = parts.extensions.get::<Peer>() {
            extensions.insert(peer.clone());
        }
        let call = SharedCall::new(call);
        let caller = Caller::new(&parts.headers, &extensions, call.identity());
        Ok(Asked {
            serving: Arc::clone(&self.0),
            source: caller.source_by(protocol),
            deadline: state.deadline(&parts.headers),
            begun: state.engine.clock().elapsed(),
            headers: parts.headers.clone(),
            ids: None,
            extensions,
            call,
            state,
        })
    }

    /// How it is known who shows this, if it is: without a call, and without a record.
    pub fn proof(&self, parts: &Parts) -> Option<Proof> {
        self.0.current().proof(&parts.headers, &parts.extensions)
    }

    /// The clock of the engine that is served.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.0.current().engine.clock())
    }

    /// The end of the log, as far as views show it at least.
    pub fn log_end(&self) -> LogPosition {
        LogPosition::new(self.0.current().engine.log_gauge().end.load(Ordering::Acquire))
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
        f.debug_struct("Asked").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Answering {
    /// The answer begins. What fails later is told by its rows.
    pub fn begins(self) {
        self.0.done();
    }
}

impl Asked {
    /// Begins to answer.
    pub fn answering(&self) -> Answering {
        Answering(self.call.part())
    }

    fn caller(&self) -> Caller<'_> {
        Caller::new(&self.headers, &self.extensions, self.call.identity())
    }

    /// Goes on with a request that asks anew and again: its time begins anew, if who asks is still known.
    ///
    /// # Errors
    /// `Unauthenticated`, `Unavailable` if the server is shutting down.
    pub fn again(&mut self) -> Result<()> {
        self.state = self.serving.current();
        self.state.shutdown.check()?;
        self.call.with(|call| call.recheck()).unwrap_or(Ok(()))?;
        self.deadline = self.state.deadline(&self.headers);
        self.begun = self.state.engine.clock().elapsed();
        Ok(())
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

    /// All tables that who asks may read, as they are shown.
    pub fn tables(&self) -> Vec<ShownTable> {
        let tables = self.state.engine.tables().into_iter();
        let seen = tables.filter_map(|table| {
            let Shown(restriction) = shown(self.call.identity(), &table.schema)?;
            let is_whole = restriction.is_none();
            let schema = restriction.map_or(table.schema, |of| Arc::clone(of.visible()));
            let told = |count: u64| is_whole.then_some(count);
            Some(ShownTable { schema, rows: told(table.rows), bytes: told(table.bytes) })
        });
        seen.collect()
    }

    /// A table to read, with the columns that are shown.
    ///
    /// # Errors
    /// `Denied`, the same whether there is such a table or not; `NotFound` if there is none.
    pub fn readable(&self, name: &str) -> Result<Arc<TableSchema>> {
        let allowed = self.call.allow(Verb::Read, name)?;
        let schema = self.state.table(self.call.identity(), name)?;
        let restriction = restriction(&schema, &allowed)?;
        Ok(restriction.map_or(schema, |of| Arc::clone(of.visible())))
    }

    /// A table to put rows into.
    ///
    /// # Errors
    /// As of [`Self::readable`].
    pub fn writable(&self, name: &str) -> Result<Arc<TableSchema>> {
        self.call.allow(Verb::Write, name)?;
        self.state.table(self.call.identity(), name)
    }

    /// All tables that who asks may put rows into.
    ///
    /// # Errors
    /// `Denied` if there is none.
    pub fn writable_tables(&self) -> Result<Vec<Arc<TableSchema>>> {
        let identity = self.call.identity();
        let tables = self.state.engine.tables().into_iter().map(|table| table.schema);
        let may = |table: &Arc<TableSchema>| {
            matches!(identity.decide(Verb::Write, table.name()), Decision::Allow(_))
        };
        let tables: Vec<_> = tables.filter(may).collect();
        if tables.is_empty() {
            self.call.allow(Verb::Write, DEAD_LETTERS)?;
        }
        Ok(tables)
    }

    /// The newest instant of a table; none where not all of it is shown.
    ///
    /// # Errors
    /// As of [`Self::readable`].
    pub fn newest(&self, name: &str) -> Result<Option<Timestamp>> {
        let allowed = self.call.allow(Verb::Read, name)?;
        match allowed.is_everything() {
            true => Ok(self.state.engine.view(name)?.newest()),
            false => Ok(None),
        }
    }

    /// Reads a ticket in JSON, holds it against its table, and takes the view that it asks for.
    ///
    /// # Errors
    /// Those that a DoGet of the ticket has.
    pub async fn open(&self, ticket: &str) -> Result<OpenedTicket> {
        let part = self.call.part();
        let permit = self.state.limits.stream()?;
        self.open_in(ticket, part, Some(permit)).await
    }

    /// The same for an answer that holds its place.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub async fn open_held(&self, ticket: &str, _held: &Held) -> Result<OpenedTicket> {
        self.open_in(ticket, self.call.part(), None).await
    }

    async fn open_in(
        &self,
        ticket: &str,
        part: Part,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<OpenedTicket> {
        let ticket = Ticket::parse(ticket.as_bytes(), self.state.settings.ticket_bytes_max.get())?;
        let allowed = self.call.allow(Verb::Read, &ticket.table)?;
        let after = after(&self.headers)?;
        let given = (self.call.identity().as_ref(), &allowed);
        let opened = get::open(&self.state, ticket, after, given, &self.deadline);
        let opened = opened.instrument(self.call.span().clone()).await?;
        let deadline = self.deadline.clone();
        Ok(OpenedTicket::new(opened, deadline, self.begun, part, permit))
    }

    /// The name of who asks; none where nobody says who they are.
    pub fn name(&self) -> Option<&str> {
        let identity = self.call.identity();
        let is_named = !matches!(identity.proof(), Proof::Open | Proof::Anonymous);
        is_named.then(|| identity.name())
    }

    /// Ends it without an answer of its own: it is recorded as done.
    pub fn done(self) {
        self.call.part().done();
    }

    /// The session of a statement, and SQL over what who asks is shown.
    async fn session(&self) -> Result<(SqlSession, Arc<Sql>)> {
        let (state, caller) = (&self.state, self.caller());
        let session = Session::of(caller)?;
        self.deadline.bound(state.reach(session.after)).await?;
        Ok((caller.session(session.for_sql()), caller.sql(state)?))
    }

    /// Plans a statement, without running it.
    ///
    /// # Errors
    /// Those that a statement of Flight SQL has.
    pub async fn prepare(&self, text: &str) -> Result<Statement> {
        let part = self.call.part();
        let (session, sql) = self.session().await?;
        let preparing = async {
            let statement = sql.prepare(&session, text).await;
            statement.map_err(|error| failed(&sql, text, error))
        };
        let statement = self.deadline.bound(preparing).await;
        let statement = statement.inspect_err(|error| {
            self.call.with(|call| error.record(call));
        })?;
        part.done();
        Ok(statement)
    }

    /// The answer to a statement with a value for each of its parameters.
    ///
    /// # Errors
    /// Those that a statement of Flight SQL has.
    pub async fn sql(&self, text: &str, parameters: &[ScalarValue]) -> Result<Rows> {
        let (state, part) = (&self.state, self.call.part());
        let permit = state.limits.stream()?;
        let (session, sql) = self.session().await?;
        let mut observed = state.observe(self.begun, RequestKind::Sql, "query");
        let answering = async {
            let statement = sql.prepare(&session, text).await;
            let statement = statement.map_err(|error| failed(&sql, text, error))?;
            observed.is_about(statement.kind());
            self.call.with(|call| {
                statement.tables().iter().for_each(|table| call.is_about(table));
            });
            Ok::<_, Error>(sql.execute(&session, &statement, parameters).await?)
        };
        let answering = answering.instrument(self.call.span().clone());
        let answer = self.deadline.bound(answering).await;
        let answer = answer.inspect_err(|error| {
            self.call.with(|call| error.record(call));
        })?;
        let (schema, id) = (plain_schema(&answer.schema), answer.id);
        let observed = observed.with_cost(move || sql.queries().get(id)?.cost);
        let promised = Arc::clone(&schema);
        let batches = answer.batches.map(move |batch| plain_batch(batch?, &promised)).boxed();
        let running = Running::new(state, batches, self.deadline.clone(), permit, part);
        Ok(Rows::new(schema, running.observed(observed)))
    }

    /// Puts batches into a table, in their order, as durable as the headers ask for (on the disk, if they say nothing).
    ///
    /// # Errors
    /// Those of a DoPut. What was stored before is told by the error's note; sending it again changes nothing.
    pub async fn put(&mut self, table: &str, batches: Vec<RecordBatch>) -> Result<Stored> {
        let part = self.call.part();
        let allowed = self.call.allow(Verb::Write, table)?;
        self.state.table(self.call.identity(), table)?;
        let durability = durability(&self.headers)?;
        let ids = match &mut self.ids {
            Some(ids) => ids,
            None => self.ids.insert(BatchIds::of(&self.headers)?),
        };
        let ids: Vec<_> = ids.take(batches.len()).collect();
        let sent = batches.into_iter().zip(ids).map(|(rows, id)| Ok(Sent { id, rows }));
        let sent = stream::iter(sent).boxed();
        let (table, source) = (table.to_owned(), self.source.clone());
        let put = PutRequest { table, source, durability, patient: false, allowed };
        let mut writing = Writing::new(&self.serving, put, sent, part)?;
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
    /// `Denied`, and `Request` if the batch as a whole cannot be read.
    pub fn rejections(&self, table: &str, batch: &RecordBatch) -> Result<Rejections> {
        self.call.allow(Verb::Write, table)?;
        Ok(self.state.engine.rejections(table, batch)?)
    }

    /// Keeps what could not be read as rows of `table`, or of any, in `dead_letters`.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn reject(&self, table: Option<&str>, rejected: &[Rejected]) -> Result<Ack> {
        let part = self.call.part();
        match table {
            Some(table) => drop(self.call.allow(Verb::Write, table)?),
            None => drop(self.writable_tables()?),
        }
        let bytes: usize = rejected.iter().map(|of| of.row.len() + of.reason.len()).sum();
        self.call.with(|call| {
            call.changes();
            call.received(rejected.len() as u64, bytes as u64);
        });
        let durability = durability(&self.headers)?;
        let (state, _kept) = self.serving.to_put().await;
        let table = table.unwrap_or(DEAD_LETTERS);
        let putting = state.engine.put_rejected(table, rejected, &self.source, durability);
        let ack = self.deadline.bound(putting).await?;
        part.done();
        Ok(ack)
    }
}

impl Stored {
    fn add(&mut self, ack: &Ack) {
        self.accepted += ack.accepted;
        self.rejected += ack.rejected;
        self.position = self.position.max(ack.position);
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
