//! Totals: aggregates over all rows, which give a row of no rows, too.
//!
//! `SELECT n FROM (SELECT count(*) AS n FROM t) WHERE n <> 12 AND null` gives no row. DataFusion (55.2, `push_down_filter`) moves
//! conditions on keys of groups below an aggregate, and takes one without columns for such: below it, `null` takes all rows
//! away, of which there is a count, 0. No condition can move below a total.

use datafusion::common::Result;
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan};

/// Whether a plan gives a row whatever it reads: a total, with nothing that takes it away.
pub(super) fn gives_total(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(of) => gives_total(&of.input),
        LogicalPlan::SubqueryAlias(of) => gives_total(&of.input),
        LogicalPlan::Sort(of) => of.fetch.is_none() && gives_total(&of.input),
        LogicalPlan::Distinct(of) => gives_total(of.input()),
        LogicalPlan::Aggregate(of) => has_total(of),
        LogicalPlan::EmptyRelation(of) => of.produce_one_row,
        _ => false,
    }
}

/// Whether a plan is a condition above a total.
pub(super) fn filters_total(plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(false) };
    let mut below = filter.input.as_ref();
    while let LogicalPlan::Filter(filter) = below {
        below = filter.input.as_ref();
    }
    Ok(matches!(below, LogicalPlan::Aggregate(of) if has_total(of)))
}

fn has_total(aggregate: &Aggregate) -> bool {
    match aggregate.group_expr.as_slice() {
        [] => true,
        [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        _ => false,
    }
}
