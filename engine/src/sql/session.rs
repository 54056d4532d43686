//! How is a statement answered? Prepared once, bound and planned over one pinned instant, run on
//! threads of its own, and given batch by batch.
//!
//! ```text
//! prepare: text ─parse─► only reading? ─► names ─► Statement, kept for who asks it again
//! execute: Statement ─place in the queue─► views pinned ─► plan ─price─► run ─► Answer
//!                                                          dropped, timed out, cancelled: it stops
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use futures::Stream;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};

use super::asked::Asked;
use super::catalog::{Catalog, TableEntry, zoned};
use super::divide::{AnswerPart, Division, divided};
use super::errors::told;
use super::guard::{self, Gate};
use super::prepare;
use super::provider::Pinned;
use super::queries::{Queries, QueryId, QueryState};
use super::run::{Begun, Job, cancelled, timed_out, watch};
use super::settings::SqlSettings;
use super::stack::{self, Deep};
use super::system::SystemRows;
use crate::recent::Recent;
use crate::threads::Threads;
use crate::{Engine, Error, Result};

/// Batches that wait for the client, so that the query is not far ahead of it.
const AHEAD: usize = 2;
/// Statements that are kept for who asks them again.
const KEPT: usize = 64;
/// Longest text of a statement that is kept, in bytes.
const KEPT_BYTES: usize = 16 << 10;

/// Who asks, and under which conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlSession {
    /// Name shown in `system.queries`.
    pub user: String,
    /// Longest time a query may take; the server's own bound holds beside it.
    pub timeout: Option<Duration>,
    /// Zone in which `now()` and other times with a zone are given, such as `Europe/Zurich`; UTC if
    /// absent. Columns are UTC whatever it is, and so is a time without an offset beside one.
    pub time_zone: Option<String>,
}

/// SQL over the tables of an engine.
pub struct Sql {
    engine: Arc<Engine>,
    settings: SqlSettings,
    catalog: Arc<Catalog>,
    shared: Arc<RuntimeEnv>,
    gate: Arc<Gate>,
    queries: Arc<Queries>,
    /// Made for the first question: a server that nobody asks in SQL does without.
    planner: Mutex<Option<Arc<Planner>>>,
    /// Statements by time zone and text.
    kept: Recent<(Option<String>, Arc<str>), Statement>,
}

/// What plans and runs statements.
struct Planner {
    state: Arc<SessionState>,
    threads: Threads,
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A statement that was parsed and whose names were found. Cheap to clone; it can be executed any
/// number of times, each time over what is true then.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) text: Arc<str>,
    pub(super) plan: Arc<Deep>,
    pub(super) schema: SchemaRef,
    pub(super) parameters: SchemaRef,
    /// The part of the answer that is asked for, if not all.
    pub(super) part: Option<Arc<AnswerPart>>,
    /// The optimized plan, if it is the same in every execution; made by the first.
    pub(super) optimized: Option<Arc<OnceLock<Arc<Deep>>>>,
}

impl Statement {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Columns of the answer.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The parameters `$1`, `$2` … in their order; one whose type does not follow from its place is text.
    pub fn parameters(&self) -> SchemaRef {
        Arc::clone(&self.parameters)
    }

    /// The same statement, for one part of its answer.
    pub fn of_part(&self, part: AnswerPart) -> Self {
        Self { part: Some(Arc::new(part)), ..self.clone() }
    }

    /// Whether it gives rows, as every statement does that is not refused.
    pub fn is_query(&self) -> bool {
        !matches!(**self.plan, LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_))
    }
}

/// The answer to a statement.
pub struct Answer {
    /// The query's number, for [`Queries::cancel`].
    pub id: QueryId,
    /// Columns of every batch.
    pub schema: SchemaRef,
    /// The batches. Dropping them stops the query. An answer cut short ends with an error; one that
    /// ends without is whole.
    pub batches: Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Sql {
    /// SQL over the tables of `engine`.
    pub fn new(engine: Arc<Engine>, settings: SqlSettings) -> Result<Arc<Self>> {
        Self::with_dimensions(engine, settings, BTreeMap::new())
    }

    /// The same with tables of few rows that do not change, such as `cities`; sorted by their first
    /// column, which is their key.
    ///
    /// # Errors
    /// `Request` if a dimension has the name of a table or no column, or a setting cannot be.
    pub fn with_dimensions(
        engine: Arc<Engine>,
        settings: SqlSettings,
        dimensions: BTreeMap<String, RecordBatch>,
    ) -> Result<Arc<Self>> {
        Self::with_system(engine, settings, dimensions, Vec::new())
    }

    /// The same with more tables of the schema `system`.
    ///
    /// # Errors
    /// The same, also if a table of `system` is there already.
    pub fn with_system(
        engine: Arc<Engine>,
        settings: SqlSettings,
        dimensions: BTreeMap<String, RecordBatch>,
        system: Vec<Arc<dyn SystemRows>>,
    ) -> Result<Arc<Self>> {
        let queries = Queries::new(settings.recent_max);
        let shared = guard::runtime(&settings)?;
        let catalog = Arc::new(Catalog::new(&engine, &queries, &settings, dimensions, system)?);
        let gate = Arc::new(Gate::new(&settings));
        let (planner, kept) = (Mutex::default(), Recent::new(KEPT));
        Ok(Arc::new(Self { engine, settings, catalog, shared, gate, queries, planner, kept }))
    }

    /// SQL over the tables of another engine, with the bounds of this one and its list of queries.
    ///
    /// # Errors
    /// As of [`Sql::with_system`].
    pub fn reopened(
        &self,
        engine: Arc<Engine>,
        dimensions: BTreeMap<String, RecordBatch>,
        system: Vec<Arc<dyn SystemRows>>,
    ) -> Result<Arc<Self>> {
        let (settings, queries) = (self.settings.clone(), Arc::clone(&self.queries));
        let catalog = Arc::new(Catalog::new(&engine, &queries, &settings, dimensions, system)?);
        let (shared, gate) = (Arc::clone(&self.shared), Arc::clone(&self.gate));
        let (planner, kept) = (Mutex::default(), Recent::new(KEPT));
        Ok(Arc::new(Self { engine, settings, catalog, shared, gate, queries, planner, kept }))
    }

    fn planner(&self) -> Result<Arc<Planner>> {
        let mut planner = self.planner.lock();
        if let Some(planner) = &*planner {
            return Ok(Arc::clone(planner));
        }
        let threads = match self.settings.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let state = self.catalog.state(&self.engine, threads, &self.shared)?;
        let stack = stack::bytes_for(&self.settings.bounds());
        let threads = Threads::with_stack("barograph-sql", threads, stack)?;
        let made = Arc::new(Planner { state: Arc::new(state), threads });
        *planner = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Parses and plans; runs nothing.
    ///
    /// # Errors
    /// `Request` with the place of the fault and, for a name that does not exist, the name that was
    /// probably meant; statements that write are refused.
    pub fn prepare<'a>(
        &'a self,
        session: &'a SqlSession,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Statement>> {
        Box::pin(async move {
            let zone = &session.time_zone;
            if let Some(kept) = self.kept.get(|of| of.0 == *zone && *of.1 == *text) {
                return Ok(kept);
            }
            let state = self.planner()?.state(session)?;
            let (catalog, bounds) = (Arc::clone(&self.catalog), self.settings.bounds());
            let owned = text.to_owned();
            let statement = self
                .planned(async move {
                    prepare::statement(&state, &bounds, catalog.entries(), &owned).await
                })
                .await?;
            if statement.optimized.is_some() && text.len() <= KEPT_BYTES {
                self.kept.keep((zone.clone(), Arc::clone(&statement.text)), statement.clone());
            }
            Ok(statement)
        })
    }

    /// The statement with a value for each parameter, in their order: it has no parameters any more, and
    /// its columns have the types that the values give them.
    ///
    /// # Errors
    /// `Request` if there are more or fewer values than parameters, or one does not fit its place.
    pub fn bind<'a>(
        &'a self,
        statement: &'a Statement,
        values: &'a [ScalarValue],
    ) -> BoxFuture<'a, Result<Statement>> {
        Box::pin(async move {
            if values.is_empty() {
                return statement.bind(values);
            }
            let (statement, values) = (statement.clone(), values.to_vec());
            self.planned(async move { statement.bind(&values) }).await
        })
    }

    /// Does what goes down a statement where the stack carries it.
    async fn planned<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let planner = self.planner()?;
        let work = Held(planner.threads.handle()?.spawn(work));
        work.await.map_err(|e| Error::internal("a statement was not planned").with_source(e))?
    }

    /// Runs a statement with its parameters, a value each, in their order. Waits for a place if too
    /// many queries run.
    ///
    /// # Errors
    /// `Request` if the parameters do not fit or the price is over the budget, `Resources` if the queue
    /// or the memory is full, `Timeout`, `Cancelled`. Later ones are in the answer's stream.
    pub fn execute<'a>(
        &'a self,
        session: &'a SqlSession,
        statement: &'a Statement,
        parameters: &'a [ScalarValue],
    ) -> BoxFuture<'a, Result<Answer>> {
        Box::pin(async move {
            let planner = self.planner()?;
            let shared = planner.state(session)?;
            let allowed = self.settings.timeout.duration();
            let allowed = session.timeout.map_or(allowed, |timeout| timeout.min(allowed));
            let mut deadline = self.engine.clock().sleep(allowed);
            let query = self.queries.begin(&session.user, &statement.text, self.engine.now());
            let begun = Begun::new(Arc::clone(&query), Arc::clone(&self.queries), &self.engine);
            let place = tokio::select! {
                biased;
                () = query.cancelled.notified() => Err(cancelled(query.id)),
                place = self.gate.enter() => place,
                () = &mut deadline => Err(timed_out(allowed)),
            };
            let place = match place {
                Ok(place) => place,
                Err(error) => {
                    begun.end(error.kind().into(), Some(error.to_string()));
                    return Err(error);
                }
            };
            query.advance(QueryState::Planning, self.engine.now());
            let meter = Arc::clone(&query.meter);
            let runtime = guard::metered(&self.shared, &meter);
            let explain = matches!(**statement.plan, LogicalPlan::Explain(_));
            let now = statement.part.as_ref().map_or_else(|| self.engine.now(), |part| part.now);
            let pinned = Pinned::new(&self.engine, explain).with_part(statement.part.clone());
            let asked = Asked::new(shared, pinned, now, &meter, runtime);
            let (sender, receiver) = mpsc::channel(AHEAD);
            let (planned, answer) = oneshot::channel();
            let job = Job {
                begun,
                statement: statement.clone(),
                values: parameters.to_vec(),
                asked,
                budget: self.settings.clone(),
                watched: watch(&query, &sender, deadline, allowed),
                sender,
                place,
            };
            planner.threads.handle()?.spawn(job.run(planned));
            let ended = || Error::internal(format!("query {} ended without a word", query.id));
            let schema = answer.await.map_err(|_| ended())??;
            Ok(Answer { id: query.id, schema, batches: super::run::batches(receiver, query.id) })
        })
    }

    /// Divides the answer into at most `parts`; `None` if it cannot be, or is too small to be worth it.
    ///
    /// # Errors
    /// As [`Sql::execute`] before anything runs.
    pub fn divide<'a>(
        &'a self,
        session: &'a SqlSession,
        statement: &'a Statement,
        parameters: &'a [ScalarValue],
        parts: usize,
    ) -> BoxFuture<'a, Result<Option<Division>>> {
        Box::pin(async move {
            let (statement, values) = (statement.clone(), parameters.to_vec());
            let shared = self.planner()?.state(session)?;
            let (pinned, now) = (Pinned::new(&self.engine, false), self.engine.now());
            let runtime = Arc::clone(&self.shared);
            let asked = Asked::new(shared, pinned, now, &Arc::default(), runtime)
                .with_partitions(parts.max(1));
            self.planned(async move {
                let plan = statement.bind(&values)?.plan;
                let physical = asked.create_physical_plan(&plan).await.map_err(told)?;
                Ok(divided(&physical).map(|scan| Division {
                    table: scan.read.table().name().to_owned(),
                    view: Arc::clone(&scan.read.view),
                    now,
                    cuts: scan.cuts.to_vec(),
                }))
            })
            .await
        })
    }

    /// The running queries and the last finished ones.
    pub fn queries(&self) -> &Arc<Queries> {
        &self.queries
    }

    /// All tables but those of `information_schema`.
    pub fn tables(&self) -> Vec<TableEntry> {
        self.catalog.entries().to_vec()
    }

    /// The settings.
    pub fn settings(&self) -> &SqlSettings {
        &self.settings
    }

    /// The engine whose tables are asked.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Time that the threads of queries have worked so far, all together.
    pub fn busy(&self) -> Duration {
        let planner = self.planner.lock();
        let threads = planner.as_ref().and_then(|planner| planner.threads.handle().ok());
        let Some(threads) = threads else { return Duration::ZERO };
        let metrics = threads.metrics();
        (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
    }
}

/// Work that ends with whoever waits for it.
struct Held<T>(JoinHandle<T>);

impl<T> Future for Held<T> {
    type Output = std::result::Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Planner {
    /// What a statement of the session is planned with.
    fn state(&self, session: &SqlSession) -> Result<Arc<SessionState>> {
        let Some(zone) = &session.time_zone else { return Ok(Arc::clone(&self.state)) };
        let mut state = SessionState::clone(&self.state);
        zoned(&mut state, zone)?;
        Ok(Arc::new(state))
    }
}

/// Key of the metadata of a parameter whose type does not follow from its place.
pub(super) const UNTYPED: &str = "untyped";

/// The columns `fields`.
pub(super) fn columns(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}
