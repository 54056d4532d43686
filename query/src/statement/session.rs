//! The life of a statement: prepared once, bound and planned over one pinned instant, run on its own threads, and
//! answered batch by batch.
//!
//! ```text
//! prepare: text ─parse─► only reading? ─► names ─► Statement, kept for the next request
//! execute: Statement ─slot in the queue─► views pinned ─► plan ─cost─► run ─► Answer
//!                                                          dropped, timed out, cancelled: it stops
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use barograph_access::SPANS;
use barograph_engine::Result;
use barograph_lake::Size;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::errors::engine_error;
use crate::limits::gate::{Asker, share};
use crate::limits::guard::{self, UserShare};
use crate::limits::queries::{QueryId, QueryState};
use crate::opaque::Opaque;
use crate::settings::SqlSettings;
use crate::statement::divide::{Division, divided};
use crate::statement::prepare;
use crate::statement::prepared::Statement;
use crate::statement::query_session::QuerySession;
use crate::statement::rows;
use crate::statement::run::Job;
use crate::statement::sql::Sql;
use crate::statement::watch::{ListedQuery, cancelled, planned, timed_out, watch};
use crate::table::catalog::zoned;
use crate::table::provider::Pinned;

/// Longest text of a statement that is kept, in bytes.
const KEPT_BYTES: usize = 16 << 10;

/// The user of a statement, and the conditions of its execution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlSession {
    /// Name shown in `system.queries`. One who is not shown the queries of all is shown those of this name.
    pub user: String,
    /// Longest time that a query may take; the server's own limit applies, too.
    pub timeout: Option<Duration>,
    /// Time zone of `now()` and other times with a zone, such as `Europe/Zurich`; UTC if absent. Columns are always
    /// UTC, and so is a time without an offset that is compared with one.
    pub time_zone: Option<String>,
    /// Most bytes of lake files that a query may have to read; the server's own limit applies, too.
    pub cost_bytes_max: Option<u64>,
    /// Most bytes of memory that the queries of the user may hold together; the server's own limit applies, too.
    pub memory_bytes_max: Option<u64>,
    /// Whether the user is one of several that are known by name: then it gets three quarters of slots, queue and memory
    /// at most, so that the others find room.
    pub is_one_of_several: bool,
}

impl SqlSession {
    pub(crate) fn asker(&self) -> Asker {
        let is_one_of_several = self.is_one_of_several;
        Asker { user: self.user.as_str().into(), is_one_of_several }
    }
}

/// The answer to a statement.
pub struct Answer {
    /// Number of the query, for [`Queries::cancel`](crate::Queries::cancel).
    pub id: QueryId,
    /// Columns of every batch.
    pub schema: SchemaRef,
    /// The batches. Dropping them stops the query. An answer that is cut short ends with an error; one that ends
    /// without is complete.
    pub batches: Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Sql {
    /// The session that a statement is planned with.
    fn state(&self, session: &SqlSession) -> Result<Opaque<SessionState>> {
        let planner = self.planner()?;
        let Some(zone) = &session.time_zone else { return Ok(planner) };
        let mut state = SessionState::clone(&planner);
        zoned(&mut state, zone)?;
        Ok(Opaque::new(state))
    }

    fn planner(&self) -> Result<Opaque<SessionState>> {
        let mut planner = self.planner.lock();
        if let Some(planner) = &*planner {
            return Ok(planner.clone());
        }
        let threads = self.executors.threads();
        let made = Opaque::new(self.catalog.state(&self.engine, threads, &self.shared)?);
        *planner = Some(made.clone());
        Ok(made)
    }

    /// What a query of the session may cost.
    fn budget(&self, session: &SqlSession) -> SqlSettings {
        let mut budget = self.settings.clone();
        if let Some(most) = session.cost_bytes_max.map(Size::bytes) {
            budget.cost_bytes_max = Some(budget.cost_bytes_max.map_or(most, |of| of.min(most)));
        }
        budget
    }

    /// What of the memory the user of the session may have, if that is limited.
    fn share(&self, session: &SqlSession) -> Option<UserShare> {
        let all = self.settings.memory_bytes_max.get();
        let of_several = session.is_one_of_several.then(|| share(all));
        let own = session.memory_bytes_max.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        let most = of_several.into_iter().chain(own).min()?;
        Some(UserShare { memory: self.users.memory(&session.user), most })
    }

    /// Longest time that a query of the session may take.
    pub(crate) fn allowed(&self, session: &SqlSession) -> Duration {
        let allowed = self.settings.timeout.duration();
        session.timeout.map_or(allowed, |timeout| timeout.min(allowed))
    }

    /// Parses and plans a statement; runs nothing.
    ///
    /// # Errors
    /// `Request` with the place of the fault and, for a name that does not exist, the name that was
    /// probably meant; statements that write are refused. `Timeout`, `Cancelled`, and `Resources` if too many are planned.
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
            let state = self.state(session)?;
            let (catalog, bounds) = (Arc::clone(&self.catalog), self.settings.bounds());
            let (owned, planning_slots) = (text.to_owned(), Arc::clone(&self.planning_slots));
            let work = async move {
                prepare::statement(&state, &bounds, &planning_slots, &catalog, &owned).await
            };
            let statement = self.planned(session, text, work).await?;
            let is_small = text.len() <= KEPT_BYTES && !statement.is_large();
            if statement.optimized.is_some() && is_small {
                self.kept.keep((zone.clone(), Arc::clone(&statement.text)), statement.clone());
            }
            Ok(statement)
        })
    }

    /// The statement with a value for each parameter, in order. It has no parameters left, and its columns have the
    /// types that the values give them.
    ///
    /// # Errors
    /// `Request` if there are more or fewer values than parameters, or one does not fit its position.
    pub fn bind<'a>(
        &'a self,
        session: &'a SqlSession,
        statement: &'a Statement,
        values: &'a [ScalarValue],
    ) -> BoxFuture<'a, Result<Statement>> {
        Box::pin(async move {
            if values.is_empty() {
                return statement.bind(values).await;
            }
            let (text, statement) = (Arc::clone(&statement.text), statement.clone());
            let (values, planning_slots) = (values.to_vec(), Arc::clone(&self.planning_slots));
            let work = async move {
                let _turn = planning_slots.take(statement.extent).await?;
                statement.bind(&values).await
            };
            self.planned(session, &text, work).await
        })
    }

    /// Runs a statement with a value for each parameter, in order. Waits for a slot if too many queries run.
    ///
    /// # Errors
    /// `Request` if the parameters do not fit or the cost is over the budget, `Resources` if the queue or the memory is
    /// full, `Timeout`, `Cancelled`. Later errors are in the answer's stream.
    pub fn execute<'a>(
        &'a self,
        session: &'a SqlSession,
        statement: &'a Statement,
        parameters: &'a [ScalarValue],
    ) -> BoxFuture<'a, Result<Answer>> {
        Box::pin(async move {
            self.process_limit.check(0)?;
            let shared = self.state(session)?;
            let allowed = self.allowed(session);
            let clock = self.engine.clock();
            let mut deadline = clock.sleep(allowed);
            let query = self.queries.begin(&session.user, &statement.text, self.engine.now());
            let listed =
                ListedQuery::new(Arc::clone(&query), Arc::clone(&self.queries), &self.engine);
            let place = async {
                let place = Arc::new(self.gate.enter(session.asker()).await?);
                Ok((place, self.executors.lease(&**clock).await?))
            };
            let place = tokio::select! {
                biased;
                () = query.cancelled.notified() => Err(cancelled(query.id)),
                place = place => place,
                () = &mut deadline => Err(timed_out(allowed)),
            };
            let (place, lease) = place.map_err(|error| listed.failed(error))?;
            query.works_on(&lease);
            query.advance(QueryState::Planning, self.engine.now());
            let meter = Arc::clone(&query.meter);
            let runtime = guard::metered(&self.shared, &meter, self.share(session));
            let explain = matches!(**statement.plan, LogicalPlan::Explain(_));
            let partition = statement.partition.clone();
            let now = partition.as_ref().map_or_else(|| self.engine.now(), |of| of.now);
            let viewer = (!self.shown.observes()).then(|| session.user.clone());
            let pinned = Pinned::new(&self.engine, explain).with_partition(partition);
            let pinned = pinned.seen_by(viewer);
            let query_session = QuerySession::new(shared, pinned, now, &meter, runtime);
            let (sender, rows) = rows::way();
            let ((planned_to, schema), (end_to, end)) = (oneshot::channel(), oneshot::channel());
            let (watched, mut reason) = watch(&listed, &place, &lease, &sender, deadline, allowed);
            let job = Job {
                listed,
                statement: statement.clone(),
                values: parameters.to_vec(),
                session: query_session,
                budget: self.budget(session),
                planning_slots: Arc::clone(&self.planning_slots),
                stop: lease.stop().clone(),
                watched,
                sender,
                place,
            };
            let span = tracing::trace_span!(target: SPANS, "query", kind = statement.kind());
            drop(lease.spawn(job.run(planned_to, end_to).instrument(span))?);
            let schema = planned(schema, &mut reason, query.id).await?;
            let batches = rows::batches(rows, end, reason, query.id);
            Ok(Answer { id: query.id, schema, batches })
        })
    }

    /// Divides the answer into at most `count` partitions; `None` if it cannot be divided, or is too small for that.
    ///
    /// # Errors
    /// Those of [`Sql::execute`] before anything runs.
    pub fn divide<'a>(
        &'a self,
        session: &'a SqlSession,
        statement: &'a Statement,
        parameters: &'a [ScalarValue],
        count: usize,
    ) -> BoxFuture<'a, Result<Option<Division>>> {
        Box::pin(async move {
            let (text, statement) = (Arc::clone(&statement.text), statement.clone());
            let (values, planning_slots) = (parameters.to_vec(), Arc::clone(&self.planning_slots));
            let shared = self.state(session)?;
            let (pinned, now) = (Pinned::new(&self.engine, false), self.engine.now());
            let runtime = Arc::clone(&self.shared);
            let query_session = QuerySession::new(shared, pinned, now, &Arc::default(), runtime)
                .with_partitions(count.max(1));
            let work = async move {
                let _turn = planning_slots.take(statement.extent).await?;
                let plan = statement.bind(&values).await?.plan;
                let physical =
                    query_session.create_physical_plan(&plan).await.map_err(engine_error)?;
                Ok(divided(&physical).map(|scan| Division {
                    table: scan.read.table().name().to_owned(),
                    view: Arc::clone(&scan.read.view),
                    now,
                    starts: scan.plan.partition_starts(),
                }))
            };
            self.planned(session, &text, work).await
        })
    }
}

#[cfg(test)]
impl Sql {
    /// Registers a function.
    pub(crate) fn register(&self, function: datafusion::logical_expr::ScalarUDF) {
        use datafusion::execution::FunctionRegistry;
        let mut state = SessionState::clone(&self.planner().unwrap());
        state.register_udf(Arc::new(function)).unwrap();
        *self.planner.lock() = Some(Opaque::new(state));
    }
}

/// Metadata key of a parameter whose type does not follow from its position.
pub(crate) const UNTYPED: &str = "untyped";

/// The columns `fields`.
pub(crate) fn columns(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}
