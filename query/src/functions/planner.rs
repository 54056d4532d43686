//! The query planner of gap filling and as-of joins: it turns their nodes into physical plans, and leaves everything
//! else to DataFusion's own.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::{asof, gap_fill};

/// Makes a physical expression over a schema.
pub(super) type Physical<'a> = &'a dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>;

/// A row without columns, over which constants are evaluated.
pub(super) fn row() -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?)
}

/// The value of an expression without columns.
pub(super) fn constant(expr: &Expr, physical: Physical<'_>) -> Result<ScalarValue> {
    match physical(expr, &DFSchema::empty())?.evaluate(&row()?)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
    }
}

/// Plans queries with gap filling and as-of joins. A session that has a planner of its own takes [`NodePlanner`] among
/// its extension planners instead.
#[derive(Debug, Default)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(NodePlanner)])
            .create_physical_plan(logical_plan, session)
            .await
    }
}

/// Plans the nodes of gap filling and of as-of joins.
#[derive(Debug, Default)]
pub(crate) struct NodePlanner;

#[async_trait]
impl ExtensionPlanner for NodePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let physical = |expr: &Expr, schema: &DFSchema| {
            planner.create_physical_expr(expr, schema, session, context)
        };
        if let Some(node) = node.as_any().downcast_ref::<gap_fill::GapFill>() {
            let [input] = physical_inputs else { return internal_err!("GapFill has one input") };
            let config = session.config().options();
            return Ok(Some(gap_fill::plan(node, Arc::clone(input), config, &physical)?));
        }
        if let Some(node) = node.as_any().downcast_ref::<asof::AsOf>() {
            let [left, right] = physical_inputs else {
                return internal_err!("AsOf has two inputs");
            };
            return Ok(Some(asof::plan(node, Arc::clone(left), Arc::clone(right), &physical)?));
        }
        Ok(None)
    }
}
