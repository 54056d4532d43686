//! Planning of statements, on an executor as their runs: planning a short text can take seconds, and a step that has
//! begun goes on after the client has left. Only a few large plans are made at a time.

pub(crate) mod fence;
pub(crate) mod memory;
pub(crate) mod sizes;

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use barograph_engine::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};

use crate::limits::bounds::Extent;
use crate::limits::executors::{self, Lease};
use crate::limits::queries::QueryState;
use crate::statement::session::SqlSession;
use crate::statement::sql::Sql;
use crate::statement::watch::{ListedQuery, abandon, cancelled, timed_out};

/// Statements with more nodes, or deeper ones, are large.
const LARGE_NODES: u64 = 5_000;
const LARGE_DEPTH: usize = 100;
/// Large statements that are planned at a time.
const LARGE_AT_A_TIME: usize = 2;

impl Extent {
    /// Whether the plan of such a statement takes much memory.
    pub(crate) fn takes_much(self) -> bool {
        self.nodes > LARGE_NODES
    }

    /// Whether planning such a statement takes much time, stack or memory.
    pub(crate) fn is_large(self) -> bool {
        self.takes_much() || self.depth > LARGE_DEPTH
    }
}

/// Slots for planning large statements.
#[derive(Debug)]
pub(crate) struct PlanningSlots(Arc<Semaphore>);

impl Default for PlanningSlots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_AT_A_TIME)))
    }
}

impl PlanningSlots {
    /// Waits for the turn of a large statement; others do not wait.
    pub(crate) async fn take(&self, extent: Extent) -> Result<Option<OwnedSemaphorePermit>> {
        if !extent.is_large() {
            return Ok(None);
        }
        executors::is_large();
        let closed = |e| Error::internal("the planner has shut down").with_source(e);
        Arc::clone(&self.0).acquire_owned().await.map(Some).map_err(closed)
    }
}

impl Sql {
    /// Runs work that recurses into a statement on a stack that is large enough, within the timeout of the session.
    ///
    /// # Errors
    /// Those of the work; `Resources` if too many are planned, `Timeout`, `Cancelled`.
    pub(crate) async fn planned<T: Send + 'static>(
        &self,
        session: &SqlSession,
        text: &str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let allowed = self.allowed(session);
        let clock = self.engine.clock();
        let deadline = clock.sleep(allowed);
        let query = self.queries.begin(&session.user, text, self.engine.now());
        let listed = ListedQuery::new(Arc::clone(&query), Arc::clone(&self.queries), &self.engine);
        let work = async {
            let _place = self.plans.enter(session.asker()).await?;
            let lease = self.executors.lease(&**clock).await?;
            query.works_on(&lease);
            query.advance(QueryState::Planning, self.engine.now());
            let weak = Arc::downgrade(&lease);
            let pool = Arc::clone(&self.shared.memory_pool);
            let work = async move { memory::accounted(&pool, work).await };
            AbandonOnDrop { work: lease.spawn(work)?, lease: weak }
                .await
                .map_err(|e| Error::internal("a statement was not planned").with_source(e))?
        };
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            () = query.cancelled.notified() => Err(cancelled(query.id)),
            () = deadline => Err(timed_out(allowed)),
        };
        match outcome {
            Err(error) if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Cancelled) => {
                Err(listed.failed(error))
            }
            outcome => {
                listed.forget();
                outcome
            }
        }
    }
}

/// Work that is abandoned when its waiter is dropped.
struct AbandonOnDrop<T> {
    work: JoinHandle<T>,
    lease: Weak<Lease>,
}

impl<T> Future for AbandonOnDrop<T> {
    type Output = std::result::Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.work).poll(cx)
    }
}

impl<T> Drop for AbandonOnDrop<T> {
    fn drop(&mut self) {
        abandon(&self.lease);
        self.work.abort();
    }
}
