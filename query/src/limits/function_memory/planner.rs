//! The planner of narrow batches: makes physical plans whose batches are as small as their values require.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::pieces::cut;
use super::width::Width;
use crate::statement::query_session::QuerySession;

/// A planner whose plans keep the rows made from one row within `memory_bytes`.
pub(crate) struct Narrowing {
    pub(crate) planner: Arc<dyn QueryPlanner + Send + Sync>,
    pub(crate) memory_bytes: usize,
}

/// Share of the memory that a batch of the largest values may take.
const PART: usize = 8;

impl fmt::Debug for Narrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Narrowing")
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl QueryPlanner for Narrowing {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let usual = session.config().batch_size();
        let width = Width::of(plan, usual, self.memory_bytes / PART)?;
        let narrow = (width.rows < usual).then(|| session.as_any().downcast_ref::<QuerySession>());
        let narrow = narrow.flatten().map(|session| session.with_batches(width.rows));
        let session = narrow.as_ref().map_or(session, |session| session as &dyn Session);
        let physical = self.planner.create_physical_plan(plan, session).await?;
        cut(physical, width, usual, self.memory_bytes)
    }
}
