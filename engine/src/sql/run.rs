//! What happens between a statement's plan and its last batch?
//!
//! One task drives the query, another watches for what should end it: its time is up, somebody cancelled
//! it, its client left. Then the plan is told to stop and dropped, and with it all that works for it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::asked::Asked;
use super::errors::told;
use super::price::Price;
use super::queries::{Queries, Query, QueryId, QueryState};
use super::session::Statement;
use super::settings::SqlSettings;
use super::stack::Deep;
use super::stop::Stop;
use crate::scan::execute::with_schema;
use crate::{Engine, Error, ErrorKind, Result};

/// What comes to the client.
#[derive(Debug)]
pub(super) enum Message {
    Rows(RecordBatch),
    /// The answer is whole.
    End,
    Failed(Error),
}

/// A query that is in the list of running ones until this is dropped.
#[derive(Debug)]
pub(super) struct Begun {
    query: Arc<Query>,
    queries: Arc<Queries>,
    engine: Arc<Engine>,
}

impl Begun {
    pub(super) fn new(query: Arc<Query>, queries: Arc<Queries>, engine: &Arc<Engine>) -> Self {
        Self { query, queries, engine: Arc::clone(engine) }
    }

    /// Says how it ended; the first word counts.
    pub(super) fn end(&self, state: QueryState, error: Option<String>) {
        self.queries.end(&self.query, state, error, self.engine.now());
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end(QueryState::Failed, Some("a defect in the server".to_owned()));
        } else {
            self.end(QueryState::Cancelled, None);
        }
    }
}

impl From<ErrorKind> for QueryState {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Timeout => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

pub(super) fn cancelled(id: QueryId) -> Error {
    Error::new(ErrorKind::Cancelled, format!("query {id} was cancelled: its answer is not whole"))
}

pub(super) fn timed_out(allowed: Duration) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "the query took longer than the {} ms it may: ask for less, or allow more (session option timeout, up to sql.timeout)",
            allowed.as_millis()
        ),
    )
}

/// Everything a query needs to run.
pub(super) struct Job {
    pub(super) begun: Begun,
    pub(super) statement: Statement,
    /// A value for each parameter.
    pub(super) values: Vec<ScalarValue>,
    pub(super) asked: Asked,
    pub(super) budget: SqlSettings,
    pub(super) watched: Watched,
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) place: OwnedSemaphorePermit,
}

/// What a watcher tells the query that it watches.
pub(super) struct Watched {
    stop: Stop,
    reason: oneshot::Receiver<Error>,
    /// Dropped with the query, which ends the watch.
    _running: oneshot::Sender<()>,
}

/// Watches a query from the threads of whoever asks, since its own may be busy.
pub(super) fn watch(
    query: &Arc<Query>,
    sender: &mpsc::Sender<Message>,
    deadline: BoxFuture<'static, ()>,
    allowed: Duration,
) -> Watched {
    let (query, sender, stop) = (Arc::clone(query), sender.clone(), Stop::default());
    let (tell, reason) = oneshot::channel();
    let (running, ended) = oneshot::channel::<()>();
    let told = stop.clone();
    tokio::spawn(async move {
        let error = tokio::select! {
            _ = ended => return,
            () = query.cancelled.notified() => cancelled(query.id),
            () = sender.closed() => cancelled(query.id),
            () = deadline => timed_out(allowed),
        };
        told.now();
        let _ = tell.send(error);
    });
    Watched { stop, reason, _running: running }
}

impl Job {
    /// Runs it; says through `planned` when it is planned.
    pub(super) async fn run(self, planned: oneshot::Sender<Result<SchemaRef>>) {
        let Self { begun, statement, values, asked, budget, watched, sender, place } = self;
        let Watched { stop, mut reason, _running } = watched;
        let query = Arc::clone(&begun.query);
        let mut planned = Some(planned);
        let work = async {
            let Statement { plan, schema, optimized, .. } = statement.bind(&values)?;
            let mut batches = {
                let depth = plan.depth();
                let optimized = match &optimized {
                    Some(lasting) => asked.optimized(&plan, lasting, depth),
                    None => asked.optimize(&plan).map(|plan| Arc::new(Deep::new(plan, depth))),
                };
                let optimized = optimized.map_err(told)?;
                let planner = asked.query_planner();
                let physical =
                    planner.create_physical_plan(&optimized, &asked).await.map_err(told)?;
                let price = asked.pinned().map(|pinned| pinned.price()).unwrap_or_default();
                query.priced(price);
                if !matches!(**plan, LogicalPlan::Explain(_)) {
                    check(&budget, price)?;
                }
                let physical = stop.stoppable(physical).map_err(told)?;
                execute_stream(physical, asked.task_ctx()).map_err(told)?
            };
            query.advance(QueryState::Running, begun.engine.now());
            if let Some(planned) = planned.take() {
                let _ = planned.send(Ok(Arc::clone(&schema)));
            }
            while let Some(batch) = batches.next().await {
                let rows = with_schema(&schema, batch.map_err(told)?)?;
                if rows.num_rows() == 0 {
                    continue;
                }
                query.meter.given(rows.num_rows(), rows.get_array_memory_size());
                if sender.send(Message::Rows(rows)).await.is_err() {
                    return Err(cancelled(query.id));
                }
            }
            Ok(())
        };
        let outcome = tokio::select! {
            biased;
            Ok(reason) = &mut reason => Err(reason),
            outcome = work => outcome,
        };
        drop(place);
        // A plan that was told to stop may have said so before the reason came.
        let outcome = match outcome {
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                Err(reason.try_recv().unwrap_or(error))
            }
            outcome => outcome,
        };
        match outcome {
            Ok(()) => {
                begun.end(QueryState::Done, None);
                let _ = sender.send(Message::End).await;
            }
            Err(error) => {
                begun.end(error.kind().into(), Some(error.to_string()));
                match planned.take() {
                    Some(planned) => drop(planned.send(Err(error))),
                    None => drop(sender.send(Message::Failed(error)).await),
                }
            }
        }
    }
}

/// Refuses a price over the budget.
fn check(budget: &SqlSettings, price: Price) -> Result<()> {
    let over = |what: &str, setting: &str, price: u64, most: u64| {
        Err(Error::request(format!(
            "the query would read up to {price} {what}, and {setting} allows {most}: ask for fewer \
             columns, name the keys, bound the time (WHERE … >= … AND … < …), or raise {setting}; \
             EXPLAIN shows what each scan costs"
        )))
    };
    match (budget.price_bytes_max, budget.price_files_max) {
        (Some(most), _) if price.bytes > most.get() as u64 => {
            over("bytes", "sql.price_bytes_max", price.bytes, most.get() as u64)
        }
        (_, Some(most)) if price.files > most => {
            over("files", "sql.price_files_max", price.files, most)
        }
        _ => Ok(()),
    }
}

/// What the client sees of the messages. An answer that breaks off without a last word is an error.
pub(super) fn batches(
    receiver: mpsc::Receiver<Message>,
    id: QueryId,
) -> Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>> {
    Box::pin(futures::stream::unfold(Some(receiver), move |receiver| async move {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Message::Rows(rows)) => Some((Ok(rows), Some(receiver))),
            Some(Message::End) => None,
            Some(Message::Failed(error)) => Some((Err(error), None)),
            None => {
                let error =
                    Error::internal(format!("query {id} broke off: its answer is not whole"));
                Some((Err(error), None))
            }
        }
    }))
}
