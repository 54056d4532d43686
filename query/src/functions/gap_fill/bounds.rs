//! The time range of gap filling, read from the conditions on the time column below the aggregation.
//!
//! ```text
//! reading_at >= '2026-11-21' AND reading_at < now() AND temperature > 0
//! └─ from: at or after ────┘     └─ to: before ──┘      └─ says nothing of time
//! ```

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, LogicalPlan, Operator};

use crate::tree;

/// One end of a range: a constant, and whether it belongs to the range.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) at: Expr,
    pub(super) inclusive: bool,
}

/// The range that conditions leave for a column.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    pub(super) from: Vec<Bound>,
    pub(super) to: Vec<Bound>,
}

/// The range of `time` that the filters of `plan`, an aggregation's input, leave.
pub(super) fn range(plan: &LogicalPlan, time: &Expr) -> Result<Range> {
    let mut range = Range::default();
    if let Some(column) = column(time) {
        walk(plan, column.clone(), &mut range)?;
    }
    Ok(range)
}

/// Descends as long as every row of a node is a row of its input, the column perhaps under another name.
fn walk(plan: &LogicalPlan, mut time: Column, range: &mut Range) -> Result<()> {
    let mut plan = plan;
    loop {
        plan = match plan {
            LogicalPlan::Filter(filter) => {
                for condition in split_conjunction(&filter.predicate) {
                    read(condition, &time, range)?;
                }
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let index = alias.schema.index_of_column(&time)?;
                time = Column::from(alias.input.schema().qualified_field(index));
                &alias.input
            }
            LogicalPlan::Projection(projection) => {
                let index = projection.schema.index_of_column(&time)?;
                let Some(Expr::Column(below)) =
                    projection.expr.get(index).map(|e| e.clone().unalias())
                else {
                    return Ok(());
                };
                time = below;
                &projection.input
            }
            LogicalPlan::Sort(sort) => &sort.input,
            LogicalPlan::TableScan(scan) => {
                let unqualified = Column::new_unqualified(time.name.clone());
                for condition in scan.filters.iter().flat_map(split_conjunction) {
                    read(condition, &time, range)?;
                    read(condition, &unqualified, range)?;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
    }
}

/// The column under casts, which a comparison with another type of timestamp puts around it.
fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column_of_time(&cast.expr, cast.field.data_type()),
        Expr::TryCast(cast) => column_of_time(&cast.expr, cast.field.data_type()),
        _ => None,
    }
}

fn column_of_time<'a>(
    expr: &'a Expr,
    target: &datafusion::arrow::datatypes::DataType,
) -> Option<&'a Column> {
    let timestamp = matches!(target, datafusion::arrow::datatypes::DataType::Timestamp(_, _));
    if timestamp { column(expr) } else { None }
}

fn read(condition: &Expr, time: &Column, range: &mut Range) -> Result<()> {
    let is_time = |expr: &Expr| column(expr) == Some(time);
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (at, op) = if is_time(left) {
                (right, Some(*op))
            } else if is_time(right) {
                (left, op.swap())
            } else {
                return Ok(());
            };
            if !constant(at)? {
                return Ok(());
            }
            let bound = |inclusive| Bound { at: at.as_ref().clone(), inclusive };
            match op {
                Some(Operator::Gt) => range.from.push(bound(false)),
                Some(Operator::GtEq) => range.from.push(bound(true)),
                Some(Operator::Lt) => range.to.push(bound(false)),
                Some(Operator::LtEq) => range.to.push(bound(true)),
                Some(Operator::Eq) => {
                    range.from.push(bound(true));
                    range.to.push(bound(true));
                }
                _ => {}
            }
        }
        Expr::Between(Between { expr, negated: false, low, high }) if is_time(expr) => {
            if constant(low)? {
                range.from.push(Bound { at: low.as_ref().clone(), inclusive: true });
            }
            if constant(high)? {
                range.to.push(Bound { at: high.as_ref().clone(), inclusive: true });
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether `expr` has one value for the whole query, known when it is planned.
fn constant(expr: &Expr) -> Result<bool> {
    let mut constant = !expr.is_volatile();
    tree::apply(expr, &mut |e| {
        constant &= !matches!(
            e,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(_, _)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::AggregateFunction(_)
        );
        Ok(if constant { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(constant)
}
