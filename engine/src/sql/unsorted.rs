//! What must the planner not conclude from a window?
//!
//! DataFusion takes the maximum of a growing frame for sorted upwards with nulls last, that of a shrinking one
//! for sorted downwards with nulls first, and so on, and leaves out a sort by it. Frames begin and end empty,
//! or hold nothing but nulls, so that nulls stand elsewhere. Aggregates over windows therefore tell nothing of
//! their order.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, LogicalPlan, ReversedUDAF, SetMonotonicity,
    Signature, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;

/// The aggregates that tell of their order.
const TELLING: [&str; 4] = ["count", "max", "min", "sum"];

/// Puts aggregates that tell nothing of their order into windows.
#[derive(Debug)]
pub(super) struct UnsortedWindows;

impl AnalyzerRule for UnsortedWindows {
    fn name(&self) -> &str {
        "unsorted_windows"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Window(_) => plan.map_expressions(|expr| expr.transform_up(unsorted)),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

fn unsorted(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut window) = expr else { return Ok(Transformed::no(expr)) };
    let changed = match &mut window.fun {
        WindowFunctionDefinition::AggregateUDF(of)
            if TELLING.contains(&of.name()) && !of.inner().is::<Unsorted>() =>
        {
            *of = Arc::new(AggregateUDF::new_from_impl(Unsorted(Arc::clone(of))));
            true
        }
        _ => false,
    };
    let expr = Expr::WindowFunction(window);
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// An aggregate of which all is known but the order of what it gives.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Unsorted(Arc<AggregateUDF>);

impl AggregateUDFImpl for Unsorted {
    fn set_monotonicity(&self, _: &DataType) -> SetMonotonicity {
        SetMonotonicity::NotMonotonic
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, of: &[DataType]) -> Result<DataType> {
        self.0.return_type(of)
    }

    fn return_field(&self, of: &[FieldRef]) -> Result<FieldRef> {
        self.0.return_field(of)
    }

    fn coerce_types(&self, of: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(of)
    }

    fn is_nullable(&self) -> bool {
        self.0.is_nullable()
    }

    fn default_value(&self, of: &DataType) -> Result<ScalarValue> {
        self.0.default_value(of)
    }

    fn state_fields(&self, of: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.0.state_fields(of)
    }

    fn accumulator(&self, of: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.0.accumulator(of)
    }

    fn create_sliding_accumulator(&self, of: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.0.create_sliding_accumulator(of)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        // The four are the same from the other side.
        ReversedUDAF::Identical
    }
}
