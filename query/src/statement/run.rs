//! The run of a query, from its plan to its last batch: one task drives it on its executor. The
//! [watcher](crate::statement::watch) decides what ends it early.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use barograph_access::SPANS;
use barograph_engine::scan::Cost;
use barograph_engine::scan::with_schema;
use barograph_engine::{Error, Result};
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use crate::errors::engine_error;
use crate::limits::gate::Place;
use crate::limits::planning::{PlanningSlots, memory};
use crate::limits::queries::QueryState;
use crate::limits::stack::DeepPlan;
use crate::limits::stop::Stop;
use crate::opaque::Opaque;
use crate::settings::SqlSettings;
use crate::statement::prepared::Statement;
use crate::statement::query_session::QuerySession;
use crate::statement::rows::{RowSender, Rows};
use crate::statement::watch::{ListedQuery, WatchHandle};

/// Everything a query needs to run.
pub(crate) struct Job {
    pub(crate) listed: ListedQuery,
    pub(crate) statement: Statement,
    /// A value for each parameter.
    pub(crate) values: Vec<ScalarValue>,
    pub(crate) session: QuerySession,
    pub(crate) budget: SqlSettings,
    pub(crate) planning_slots: Arc<PlanningSlots>,
    pub(crate) stop: Stop,
    pub(crate) watched: WatchHandle,
    pub(crate) sender: mpsc::Sender<Rows>,
    pub(crate) place: Arc<Place>,
}

impl Job {
    /// Runs the query; reports through `planned` when it is planned, and through `end` whether the answer is complete.
    pub(crate) async fn run(
        self,
        planned: oneshot::Sender<Result<SchemaRef>>,
        end: oneshot::Sender<Result<()>>,
    ) {
        let Self {
            listed,
            statement,
            values,
            session,
            budget,
            planning_slots,
            stop,
            watched,
            sender,
            place,
        } = self;
        let WatchHandle { mut ended, running } = watched;
        session.obey(&stop);
        let mut planned = Some(planned);
        let work = async {
            let traced = tracing::trace_span!(target: SPANS, "plan");
            let plan = plan(&listed, statement, &values, &session, &budget, &planning_slots, &stop);
            let (schema, mut batches) = memory::accounted(&session.runtime_env().memory_pool, plan)
                .instrument(traced)
                .await?;
            listed.query.advance(QueryState::Running, listed.engine.now());
            if let Some(planned) = planned.take() {
                let _ = planned.send(Ok(Arc::clone(&schema)));
            }
            let sender = RowSender::new(
                &listed.query,
                &listed.engine,
                &place,
                &sender,
                budget.reader_timeout.duration(),
                &session.runtime_env().memory_pool,
            );
            while let Some(batch) = batches.next().await {
                let rows = with_schema(&schema, batch.map_err(engine_error)?)?;
                if rows.num_rows() > 0 {
                    sender.send(rows).await?;
                }
            }
            Ok(())
        };
        let outcome = tokio::select! {
            biased;
            // The watcher has said why.
            _ = &mut ended => return,
            outcome = work => outcome,
        };
        let outcome = match outcome {
            Ok(()) => {
                listed.end(QueryState::Done, None);
                Ok(())
            }
            Err(error) => Err(listed.failed(error)),
        };
        place.give_back();
        drop(running);
        match (planned.take(), outcome) {
            (Some(planned), Err(error)) => drop(planned.send(Err(error))),
            (_, outcome) => drop(end.send(outcome)),
        }
    }
}

/// The columns of the answer, and its rows.
async fn plan(
    listed: &ListedQuery,
    statement: Statement,
    values: &[ScalarValue],
    session: &QuerySession,
    budget: &SqlSettings,
    planning_slots: &PlanningSlots,
    stop: &Stop,
) -> Result<(SchemaRef, SendableRecordBatchStream)> {
    let _turn = planning_slots.take(statement.extent).await?;
    let Statement { plan, schema, optimized, .. } = statement.bind(values).await?;
    let depth = plan.depth();
    let optimized = match &optimized {
        Some(lasting) => session.optimized(&plan, lasting, depth),
        None => session.optimize(&plan).map(|plan| Opaque::new(DeepPlan::new(plan, depth))),
    };
    let optimized = optimized.map_err(engine_error)?;
    let planner = session.query_planner();
    let physical = planner.create_physical_plan(&optimized, session).await.map_err(engine_error)?;
    let cost = session.pinned().map(|pinned| pinned.cost()).unwrap_or_default();
    listed.query.costs(cost);
    if !matches!(**plan, LogicalPlan::Explain(_)) {
        check(budget, cost)?;
    }
    let physical = stop.stoppable(physical).map_err(engine_error)?;
    Ok((schema, execute_stream(physical, session.task_ctx()).map_err(engine_error)?))
}

/// Refuses a query whose cost exceeds the budget.
fn check(budget: &SqlSettings, cost: Cost) -> Result<()> {
    let over = |what: &str, setting: &str, cost: u64, most: u64| {
        Err(Error::request(format!(
            "the query would read up to {cost} {what}, and {setting} allows {most}: ask for fewer \
             columns, name the keys, bound the time (WHERE … >= … AND … < …), or raise {setting}; \
             EXPLAIN shows what each scan costs"
        )))
    };
    match (budget.cost_bytes_max, budget.cost_files_max) {
        (Some(most), _) if cost.bytes > most.get() as u64 => {
            over("bytes", "sql.cost_bytes_max", cost.bytes, most.get() as u64)
        }
        (_, Some(most)) if cost.files > most => {
            over("files", "sql.cost_files_max", cost.files, most)
        }
        _ => Ok(()),
    }
}
