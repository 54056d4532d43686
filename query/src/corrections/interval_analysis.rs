//! Conditions that the planner must conclude nothing from.
//!
//! DataFusion 55.2 bounds columns by interval arithmetic: from `CAST(temperature AS INT) = 3` it concludes that
//! `temperature` is 3 in every row, and drops a sort by it. The conclusion holds only for functions that
//! lose nothing. Casts and arithmetic in conditions are therefore made opaque before it can be drawn; what
//! a scan can tell of them it has been told before.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, NegativeExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use crate::tree;

/// Makes casts and arithmetic in conditions opaque.
#[derive(Debug)]
pub(crate) struct NoIntervalAnalysis;

impl PhysicalOptimizerRule for NoIntervalAnalysis {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        tree::transform_up(plan, &mut |node| {
            let Some(filter) = node.downcast_ref::<FilterExec>() else {
                return Ok(Transformed::no(node));
            };
            let covered = cover(filter.predicate())?;
            if !covered.transformed {
                return Ok(Transformed::no(node));
            }
            let filter = FilterExecBuilder::from(filter).with_predicate(covered.data).build()?;
            Ok(Transformed::yes(Arc::new(filter)))
        })
        .data()
    }

    fn name(&self) -> &str {
        "opaque_conditions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn cover(predicate: &Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    tree::transform_down(Arc::clone(predicate), &mut |expr| {
        let computes = expr.is::<CastExpr>()
            || expr.is::<NegativeExpr>()
            || expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| {
                let op = *binary.op();
                !matches!(op, Operator::And | Operator::Or) && !op.supports_propagation()
            });
        Ok(if computes {
            Transformed::new(Arc::new(Opaque(expr)), true, TreeNodeRecursion::Jump)
        } else {
            Transformed::no(expr)
        })
    })
}

/// An expression of which nothing is known but its value.
#[derive(Debug)]
struct Opaque(Arc<dyn PhysicalExpr>);

impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq(&other.0)
    }
}

impl Eq for Opaque {}

impl Hash for Opaque {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PhysicalExpr for Opaque {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.0.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.0.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.0.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.0]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self(children.pop().unwrap_or_else(|| Arc::clone(&self.0)))))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}
