//! The run of a query, from its plan to its last batch: one task drives it on its executor. The
//! [watcher](crate::statement::watch) decides what ends it early.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use barograph_engine::scan::Cost;
use barograph_engine::scan::files::with_schema;
use barograph_engine::{Error, Result};
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};

use crate::errors::told;
use crate::limits::guard::Place;
use crate::limits::planning::{Turns, memory};
use crate::limits::queries::QueryState;
use crate::limits::stack::Deep;
use crate::limits::stop::Stop;
use crate::settings::SqlSettings;
use crate::statement::asked::Asked;
use crate::statement::rows::{Giver, Rows};
use crate::statement::session::Statement;
use crate::statement::watch::{Begun, Watched};

/// Everything a query needs to run.
pub(crate) struct Job {
    pub(crate) begun: Begun,
    pub(crate) statement: Statement,
    /// A value for each parameter.
    pub(crate) values: Vec<ScalarValue>,
    pub(crate) asked: Asked,
    pub(crate) budget: SqlSettings,
    pub(crate) turns: Arc<Turns>,
    pub(crate) stop: Stop,
    pub(crate) watched: Watched,
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
        let Self { begun, statement, values, asked, budget, turns, stop, watched, sender, place } =
            self;
        let Watched { mut ended, running } = watched;
        asked.obey(&stop);
        let mut planned = Some(planned);
        let work = async {
            let plan = plan(&begun, statement, &values, &asked, &budget, &turns, &stop);
            let (schema, mut batches) =
                memory::accounted(&asked.runtime_env().memory_pool, plan).await?;
            begun.query.advance(QueryState::Running, begun.engine.now());
            if let Some(planned) = planned.take() {
                let _ = planned.send(Ok(Arc::clone(&schema)));
            }
            let giver = Giver::new(
                &begun.query,
                &begun.engine,
                &place,
                &sender,
                budget.reader_timeout.duration(),
                &asked.runtime_env().memory_pool,
            );
            while let Some(batch) = batches.next().await {
                let rows = with_schema(&schema, batch.map_err(told)?)?;
                if rows.num_rows() > 0 {
                    giver.give(rows).await?;
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
                begun.end(QueryState::Done, None);
                Ok(())
            }
            Err(error) => Err(begun.failed(error)),
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
    begun: &Begun,
    statement: Statement,
    values: &[ScalarValue],
    asked: &Asked,
    budget: &SqlSettings,
    turns: &Turns,
    stop: &Stop,
) -> Result<(SchemaRef, SendableRecordBatchStream)> {
    let _turn = turns.take(statement.extent).await?;
    let Statement { plan, schema, optimized, .. } = statement.bind(values).await?;
    let depth = plan.depth();
    let optimized = match &optimized {
        Some(lasting) => asked.optimized(&plan, lasting, depth),
        None => asked.optimize(&plan).map(|plan| Arc::new(Deep::new(plan, depth))),
    };
    let optimized = optimized.map_err(told)?;
    let planner = asked.query_planner();
    let physical = planner.create_physical_plan(&optimized, asked).await.map_err(told)?;
    let cost = asked.pinned().map(|pinned| pinned.cost()).unwrap_or_default();
    begun.query.costs(cost);
    if !matches!(**plan, LogicalPlan::Explain(_)) {
        check(budget, cost)?;
    }
    let physical = stop.stoppable(physical).map_err(told)?;
    Ok((schema, execute_stream(physical, asked.task_ctx()).map_err(told)?))
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
    match (budget.price_bytes_max, budget.price_files_max) {
        (Some(most), _) if cost.bytes > most.get() as u64 => {
            over("bytes", "sql.price_bytes_max", cost.bytes, most.get() as u64)
        }
        (_, Some(most)) if cost.files > most => {
            over("files", "sql.price_files_max", cost.files, most)
        }
        _ => Ok(()),
    }
}
