//! The planner of narrow batches: makes physical plans whose batches are as small as their values require.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;

use super::pieces::cut;
use super::width::Width;
use crate::opaque::{Planned, Value};
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

impl QueryPlanner for Narrowing {
    fn create_physical_plan<'s, 'p, 'n, 'a>(
        &'s self,
        plan: &'p LogicalPlan,
        session: &'n dyn Session,
    ) -> Planned<'a>
    where
        Self: 'a,
        's: 'a,
        'p: 'a,
        'n: 'a,
    {
        let usual = session.config().batch_size();
        let plan: &dyn Value<_> = plan;
        Box::pin(async move {
            let width = Width::of(plan.value(), usual, self.memory_bytes / PART)?;
            let session_of = || session.as_any().downcast_ref::<QuerySession>();
            let narrow = (width.rows < usual).then(session_of).flatten();
            let narrow = narrow.map(|session| session.with_batches(width.rows));
            let session = narrow.as_ref().map_or(session, |session| session as &dyn Session);
            let physical = self.planner.create_physical_plan(plan.value(), session).await?;
            cut(physical, width, usual, self.memory_bytes)
        })
    }
}
