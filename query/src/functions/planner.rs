//! The query planner of gap filling and as-of joins: it turns their nodes into physical plans, and leaves everything
//! else to DataFusion's own.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use futures::future::{BoxFuture, ready};

use super::{asof, gap_fill};
use crate::opaque::{Planned, Value};

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

impl QueryPlanner for Planner {
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
        let plan: &dyn Value<_> = plan;
        Box::pin(async move {
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(NodePlanner)])
                .create_physical_plan(plan.value(), session)
                .await
        })
    }
}

/// Plans the nodes of gap filling and of as-of joins.
#[derive(Debug, Default)]
pub(crate) struct NodePlanner;

impl ExtensionPlanner for NodePlanner {
    fn plan_extension<'s, 'r, 'u, 'i, 'l, 'e, 'n, 'c, 'a>(
        &'s self,
        planner: &'r dyn PhysicalPlanner,
        node: &'u dyn UserDefinedLogicalNode,
        _: &'i [&'l LogicalPlan],
        physical_inputs: &'e [Arc<dyn ExecutionPlan>],
        session: &'n dyn Session,
        context: &'c PhysicalPlanningContext,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn ExecutionPlan>>>>
    where
        Self: 'a,
        's: 'a,
        'r: 'a,
        'u: 'a,
        'i: 'a,
        'l: 'a,
        'e: 'a,
        'n: 'a,
        'c: 'a,
    {
        let physical = |expr: &Expr, schema: &DFSchema| {
            planner.create_physical_expr(expr, schema, session, context)
        };
        let options = session.config().options();
        Box::pin(ready(planned(node, physical_inputs, options, &physical)))
    }
}

/// The physical plan of a node that is one of ours.
fn planned(
    node: &dyn UserDefinedLogicalNode,
    inputs: &[Arc<dyn ExecutionPlan>],
    options: &Arc<ConfigOptions>,
    physical: Physical<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(node) = node.as_any().downcast_ref::<gap_fill::GapFill>() {
        let [input] = inputs else { return internal_err!("GapFill has one input") };
        return Ok(Some(gap_fill::plan(node, Arc::clone(input), options, physical)?));
    }
    if let Some(node) = node.as_any().downcast_ref::<asof::AsOf>() {
        let [left, right] = inputs else {
            return internal_err!("AsOf has two inputs");
        };
        return Ok(Some(asof::plan(node, Arc::clone(left), Arc::clone(right), physical)?));
    }
    Ok(None)
}
