//! The stop flag of a running plan, and joins that obey it. Most operators yield at every batch that they read, but a
//! join whose output is far larger than its input may go on for hours over one batch of each side.
//!
//! Joins are therefore made to yield at every batch that they *return*, and their conditions to fail once the query was
//! stopped.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use barograph_engine::{Error, ErrorKind};
use barograph_lake::internal::yield_if_background;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;

use crate::errors::external;
use crate::tree;

/// The flag that tells a running plan to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Makes work fail at its next check.
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Fails once the query was stopped.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(external(Error::new(ErrorKind::Cancelled, "the query was stopped")));
        }
        Ok(())
    }

    /// The plan with joins that can be stopped.
    pub(crate) fn stoppable(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        tree::transform_up(plan, &mut |node| {
            let node = match (
                node.downcast_ref::<NestedLoopJoinExec>(),
                node.downcast_ref::<HashJoinExec>(),
            ) {
                (Some(join), _) if join.filter().is_some() => self.nested_loop(join)?,
                (_, Some(join)) if join.filter().is_some() => {
                    let filter = join.filter().map(|filter| self.filter(filter));
                    join.builder().with_filter(filter).build_exec()?
                }
                _ => node,
            };
            let multiplies = node.is::<CrossJoinExec>()
                || node.is::<NestedLoopJoinExec>()
                || node.is::<HashJoinExec>()
                || node.is::<SortMergeJoinExec>()
                || node.is::<UnnestExec>();
            Ok(Transformed::yes(if multiplies {
                Arc::new(CooperativeExec::new(node))
            } else {
                node
            }))
        })
        .data()
    }

    fn nested_loop(&self, join: &NestedLoopJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
        let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
        let filter = join.filter().map(|filter| self.filter(filter));
        let join = NestedLoopJoinExecBuilder::new(left, right, *join.join_type())
            .with_projection_ref(join.projection().clone())
            .with_filter(filter)
            .build()?;
        Ok(Arc::new(join))
    }

    fn filter(&self, filter: &JoinFilter) -> JoinFilter {
        let condition =
            Unstopped { condition: Arc::clone(filter.expression()), stop: self.clone() };
        let columns = filter.column_indices().to_vec();
        JoinFilter::new(Arc::new(condition), columns, Arc::clone(filter.schema()))
    }
}

/// A condition that fails once the query was stopped.
#[derive(Debug)]
struct Unstopped {
    condition: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PartialEq for Unstopped {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Unstopped {}

impl Hash for Unstopped {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Unstopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Unstopped {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.condition.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.condition.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        yield_if_background();
        self.stop.check()?;
        self.condition.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let condition = children.pop().unwrap_or_else(|| Arc::clone(&self.condition));
        Ok(Arc::new(Self { condition, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}
