//! The queries that refer to the outer row and that the planner knows a join for. It takes conditions out of WHERE;
//! through an aggregate it takes those that compare a column with the outer row by `=`, since they say which groups
//! there are.

use datafusion::common::{JoinType, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Cast, Distinct, Expr, LogicalPlan, Operator};

/// Whether the planner joins a query rightly, which only has to `exist` or is a value or a list.
pub(in crate::corrections) fn is_simple(plan: &LogicalPlan, exist: bool) -> Result<bool> {
    simple(plan, exist, false)
}

fn simple(plan: &LogicalPlan, exist: bool, grouped: bool) -> Result<bool> {
    if plan.all_out_ref_exprs().is_empty() {
        return Ok(true);
    }
    let grouped = match plan {
        LogicalPlan::Filter(of) => {
            let mut conditions = split_conjunction(&of.predicate).into_iter();
            let joins = |of: &Expr| !of.contains_outer() || !grouped || is_of_groups(of);
            if !conditions.all(joins) {
                return Ok(false);
            }
            grouped
        }
        _ if plan.contains_outer_reference() => return Ok(false),
        LogicalPlan::Aggregate(of) => {
            // Groups of groups are of what is compared in both.
            if grouped || of.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
                return Ok(false);
            }
            !of.aggr_expr.is_empty()
        }
        LogicalPlan::Limit(of) if exist && of.skip.is_none() => grouped,
        LogicalPlan::Join(of) if of.join_type == JoinType::Inner => grouped,
        // What is compared is among what is distinct there.
        LogicalPlan::Distinct(Distinct::All(_)) if grouped => return Ok(false),
        LogicalPlan::Distinct(Distinct::All(_)) => !exist,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Subquery(_) => {
            grouped
        }
        _ => return Ok(false),
    };
    for input in plan.inputs() {
        if !simple(input, exist, grouped)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a condition says which groups there are: a column of the query equals something of the outer row.
fn is_of_groups(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return false;
    };
    let is_column = |expr: &Expr| match expr {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, .. }) => matches!(**expr, Expr::Column(_)),
        _ => false,
    };
    (is_column(left) && !right.any_column_refs()) || (is_column(right) && !left.any_column_refs())
}
