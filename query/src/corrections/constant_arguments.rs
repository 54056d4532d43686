//! Constant arguments that say what type a function gives, as `2` in `round(price, 2)` does.
//!
//! DataFusion 55.2 wraps such a number in a cast to the type of its place while types are found, and gives the answer the type
//! that it would have without it; folded later, it gives another: `round(x, 2)` of decimals ends as an internal error. Casts of
//! whole numbers that are arguments are folded here before types are asked for.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::tree;

/// Folds casts of whole numbers that are arguments.
#[derive(Debug)]
pub(crate) struct FoldedConstants;

impl AnalyzerRule for FoldedConstants {
    fn name(&self) -> &str {
        "folded_constants"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            let changed = tree::transform_named_expressions(plan, &mut |expr| Ok(folded(expr)))?;
            // Columns above have the types of those below.
            changed.map_data(LogicalPlan::recompute_schema)
        })
        .data()
    }
}

fn folded(expr: Expr) -> Transformed<Expr> {
    let Expr::ScalarFunction(mut function) = expr else { return Transformed::no(expr) };
    let mut changed = false;
    for arg in &mut function.args {
        if let Expr::Cast(Cast { expr: of, field }) = arg
            && let Expr::Literal(value, metadata) = of.as_ref()
            && value.data_type().is_integer()
            && field.data_type().is_integer()
            && let Ok(value) = value.cast_to(field.data_type())
        {
            *arg = Expr::Literal(value, metadata.clone());
            changed = true;
        }
    }
    let expr = Expr::ScalarFunction(function);
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}
