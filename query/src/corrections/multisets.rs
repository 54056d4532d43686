//! Multisets: EXCEPT ALL and INTERSECT ALL count. Of three equal rows less two, one stays.
//!
//! DataFusion 55.2 makes a join of them that asks only whether a row is on the other side: none stays. Here equal rows are
//! numbered on both sides, and the number is compared, too:
//!
//! ```text
//! left  fog fog fog        fog 1, fog 2, fog 3
//! right fog fog calm  ──►  fog 1, fog 2, calm 1      EXCEPT ALL: fog 3    INTERSECT ALL: fog 1, fog 2
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::config::ConfigOptions;
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

use crate::tree;

/// Name of the column that numbers equal rows.
const NUMBER: &str = "__number_of_equal_row";

/// Makes set operations count.
#[derive(Debug)]
pub(crate) struct Multisets;

impl AnalyzerRule for Multisets {
    fn name(&self) -> &str {
        "multisets"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| match plan {
            LogicalPlan::Join(join) if counts(&join) => counted(join).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

/// Whether a join is a set operation over rows that may be there several times: nothing else that is
/// written takes nulls for equal, and without ALL equal rows have become one before.
fn counts(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(*join.left, LogicalPlan::Distinct(_))
}

fn counted(join: Join) -> Result<LogicalPlan> {
    let columns: Vec<_> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let mut on = join.on;
    let (mine, others): (Vec<_>, Vec<_>) = on.iter().cloned().unzip();
    on.push((number(), number()));
    let join = Join::try_new(
        numbered(join.left, mine)?,
        numbered(join.right, others)?,
        on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(join)).project(columns)?.build()
}

fn number() -> Expr {
    Expr::Column(Column::from_name(NUMBER))
}

/// The plan with the number of each row among its equals.
fn numbered(plan: Arc<LogicalPlan>, keys: Vec<Expr>) -> Result<Arc<LogicalPlan>> {
    let mut columns: Vec<_> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let rows = row_number().partition_by(keys).build()?;
    let plan = LogicalPlanBuilder::from(plan).window([rows])?;
    let last = plan.schema().columns().pop().map(Expr::Column);
    columns.extend(last.map(|last| last.alias(NUMBER)));
    plan.project(columns)?.build().map(Arc::new)
}
