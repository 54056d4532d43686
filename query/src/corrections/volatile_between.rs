//! Values that are drawn, once for both ends of BETWEEN.
//!
//! DataFusion 55.2 writes `random() BETWEEN a AND b` as two comparisons, each with a value of its own. Here it is an argument
//! of a function, which is worked out once.

use std::sync::Arc;

use arrow::compute::kernels::boolean::and_kleene;
use arrow::compute::kernels::cmp::{gt_eq, lt_eq};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::binary::comparison_coercion;
use datafusion::logical_expr::{
    Between, ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use crate::tree;

/// Draws what BETWEEN asks once.
#[derive(Debug)]
pub(crate) struct VolatileBetween;

impl AnalyzerRule for VolatileBetween {
    fn name(&self) -> &str {
        "drawn_once"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            tree::transform_named_expressions(plan, &mut |expr| Ok(once(expr)))
        })
        .data()
    }
}

fn once(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Between(Between { expr, negated, low, high }) if expr.is_volatile() => {
            let function = ScalarUDF::from(Within::default());
            let within = function.call(vec![*expr, *low, *high]);
            Transformed::yes(if negated { Expr::Not(Box::new(within)) } else { within })
        }
        other => Transformed::no(other),
    }
}

/// Whether a value lies between two others, or is one of them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Within {
    signature: Signature,
}

impl Default for Within {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Within {
    fn name(&self) -> &str {
        "between"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [value, low, high] = given else {
            return internal_err!("BETWEEN takes three values, not {}", given.len());
        };
        let both = comparison_coercion(value, low);
        match both.and_then(|both| comparison_coercion(&both, high)) {
            Some(common) => Ok(vec![common; given.len()]),
            None => plan_err!("{value} BETWEEN {low} AND {high}: the three cannot be compared"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [value, low, high] = arrays.as_slice() else {
            return internal_err!("BETWEEN takes three values, not {}", arrays.len());
        };
        let within = and_kleene(&gt_eq(value, low)?, &lt_eq(value, high)?)?;
        Ok(ColumnarValue::Array(Arc::new(within)))
    }
}
