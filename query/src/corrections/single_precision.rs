//! Numbers beside values of single precision: a number means the value of single precision nearest to it, as in a
//! ticket. `temperature = 21.3` asks for the rows in which 21.3 was written.
//!
//! DataFusion 55.2 widens the column in its place, and no single-precision number is 21.3. A number beyond single precision
//! stays what it is. A number is one that is written in the statement or bound to it; what is computed is compared as it
//! is.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, Operator, lit,
};
use datafusion::optimizer::AnalyzerRule;

use crate::tree;

/// Takes numbers in the precision of what they are compared with.
#[derive(Debug)]
pub(crate) struct SinglePrecision;

impl AnalyzerRule for SinglePrecision {
    fn name(&self) -> &str {
        "single_precision"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            if !has_numbers(&plan)? {
                return Ok(Transformed::no(plan));
            }
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                schema.merge(&scan.projected_schema);
            }
            if !schema.fields().iter().any(|field| *field.data_type() == DataType::Float32) {
                return Ok(Transformed::no(plan));
            }
            tree::transform_named_expressions(plan, &mut |expr| single(expr, &schema))
        })
        .data()
    }
}

/// Whether a node has a number that is written.
fn has_numbers(plan: &LogicalPlan) -> Result<bool> {
    tree::exists_in_expressions(
        plan,
        &mut |expr| matches!(expr, Expr::Literal(value, _) if value.data_type().is_numeric()),
    )
}

/// The comparison with its numbers in single precision, if something of it is.
pub(crate) fn single(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_single = |expr: &Expr| {
        !matches!(expr, Expr::Literal(..))
            && expr.get_type(schema).is_ok_and(|of| of == DataType::Float32)
    };
    Ok(Transformed::yes(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) && is_single(&left) => {
            Expr::BinaryExpr(BinaryExpr::new(left, op, Box::new(nearest(*right))))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) && is_single(&right) => {
            Expr::BinaryExpr(BinaryExpr::new(Box::new(nearest(*left)), op, right))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_single(&expr) => {
            let (low, high) = (Box::new(nearest(*low)), Box::new(nearest(*high)));
            Expr::Between(Between { expr, negated, low, high })
        }
        Expr::InList(InList { expr, list, negated }) if is_single(&expr) => {
            expr.in_list(list.into_iter().map(nearest).collect(), negated)
        }
        Expr::Case(Case { expr: Some(of), when_then_expr, else_expr }) if is_single(&of) => {
            let whens = when_then_expr.into_iter();
            Expr::Case(Case {
                expr: Some(of),
                when_then_expr: whens
                    .map(|(when, then)| (Box::new(nearest(*when)), then))
                    .collect(),
                else_expr,
            })
        }
        other => return Ok(Transformed::no(other)),
    }))
}

/// Whether an operator compares two values.
pub(crate) fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The number of single precision nearest to the decimal that is written.
fn nearest(expr: Expr) -> Expr {
    let Expr::Literal(value, _) = &expr else { return expr };
    if value.is_null() || !value.data_type().is_numeric() {
        return expr;
    }
    match value.to_string().parse::<f32>() {
        Ok(number) if number.is_finite() => lit(ScalarValue::Float32(Some(number))),
        _ => expr,
    }
}
