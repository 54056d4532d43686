//! Rules that find as-of joins in a plan and move conditions below them.
//!
//! [`AsOfRule`] belongs to the analyzer, after types are settled and before the optimizer moves conditions: a condition
//! on right columns must see the chosen row, not choose another. [`AsOfPushdown`] belongs to the optimizer and moves
//! down what is safe:
//!
//! ```text
//! WHERE r.city_id = 5 AND r.t < X AND f.temp > 3        left: city_id = 5, t < X
//!   AsOf r.city_id = f.city_id, r.t >= f.t         ──►  right: city_id = 5, t < X
//!                                                       above: f.temp > 3
//! ```

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, Extension, Filter, Join, LogicalPlan, Operator,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};

use super::{AsOf, is_asof};
use crate::functions::float_equality::unsigned;
use crate::functions::printed::printed;
use crate::tree;

/// Replaces a join whose ON calls `asof` by an [`AsOf`].
#[derive(Debug)]
pub(in crate::functions) struct AsOfRule;

impl AnalyzerRule for AsOfRule {
    fn name(&self) -> &str {
        "asof"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = tree::transform_up_with_subqueries(plan, &mut |plan| match plan {
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(asks) => {
                Ok(Transformed::yes(as_of(join)?))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(plan.data)
    }
}

fn asks(expr: &Expr) -> bool {
    let mut found = false;
    let _ = tree::apply(expr, &mut |e| {
        found |= matches!(e, Expr::ScalarFunction(f) if is_asof(&f.func));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

fn call(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(f) if is_asof(&f.func) => Some(f),
        _ => None,
    }
}

fn of(schema: &DFSchema, expr: &Expr) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.iter().all(|column| schema.has_column(column))
}

fn as_of(join: Join) -> Result<LogicalPlan> {
    let outer = match join.join_type {
        JoinType::Left => true,
        JoinType::Inner => false,
        other => return plan_err!("asof belongs in JOIN or LEFT JOIN, not in {other} JOIN"),
    };
    let (left, right) = (join.left.schema(), join.right.schema());
    let mut on = join.on.clone();
    let mut time = None;
    for condition in join.filter.iter().flat_map(split_conjunction) {
        if let Some(call) = call(condition) {
            let (Some(l), Some(r)) = (call.args.first(), call.args.get(1)) else {
                return plan_err!("asof is called as {}", super::ASOF.syntax);
            };
            if !of(left, l) || !of(right, r) {
                return plan_err!(
                    "asof takes a time of the left side first and one of the right side second: {l} \
                     and {r} are not that"
                );
            }
            if time.replace((l.clone(), r.clone(), call.args.get(2).cloned())).is_some() {
                return plan_err!("ON may call asof once");
            }
            continue;
        }
        if let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = condition {
            if of(left, a) && of(right, b) {
                on.push((a.as_ref().clone(), b.as_ref().clone()));
                continue;
            }
            if of(left, b) && of(right, a) {
                on.push((b.as_ref().clone(), a.as_ref().clone()));
                continue;
            }
        }
        return plan_err!(
            "beside asof, ON takes equalities of a left and a right key: move {condition} to WHERE or \
             into a subquery"
        );
    }
    let Some((left_time, right_time, tolerance)) = time else {
        return plan_err!("asof stands alone in ON, joined to other conditions by AND");
    };
    for (mine, other) in &mut on {
        for (key, schema) in [(mine, left), (other, right)] {
            if key.get_type(schema)?.is_floating() {
                *key = unsigned(std::mem::take(key));
            }
        }
    }
    let (left, right) = (Arc::unwrap_or_clone(join.left), Arc::unwrap_or_clone(join.right));
    let node = AsOf::new(left, right, on, (left_time, right_time), tolerance, outer)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// Moves conditions above an [`AsOf`] to its sides.
#[derive(Debug)]
pub(in crate::functions) struct AsOfPushdown;

impl OptimizerRule for AsOfPushdown {
    fn name(&self) -> &str {
        "asof_pushdown"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Extension(Extension { node }) = filter.input.as_ref() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let Some(node) = node.as_any().downcast_ref::<AsOf>() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let schema = node.left.schema();
        let safe = |condition: &Expr| of(schema, condition) && !condition.is_volatile();
        let (left, above): (Vec<Expr>, Vec<Expr>) =
            split_conjunction_owned(filter.predicate.clone()).into_iter().partition(safe);
        if left.is_empty() {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let right: Vec<Expr> = left.iter().filter_map(|c| for_right(node, c)).collect();
        let pushed = node.over(with_filter(&node.left, left)?, with_filter(&node.right, right)?)?;
        let pushed = LogicalPlan::Extension(Extension { node: Arc::new(pushed) });
        Ok(Transformed::yes(with_filter(&pushed, above)?))
    }
}

fn with_filter(plan: &LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    Ok(match conjunction(conditions) {
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan.clone()))?),
        None => plan.clone(),
    })
}

/// What a condition on the left implies for the right rows that can match: the same of equal keys, and that they are
/// not after the latest left row.
fn for_right(node: &AsOf, condition: &Expr) -> Option<Expr> {
    let columns = condition.column_refs();
    let is_key = |column| node.on.iter().any(|(l, _)| matches!(l, Expr::Column(c) if c == column));
    if columns.into_iter().all(is_key) {
        let swapped = tree::transform_up(condition.clone(), &mut |expr| {
            let is_it =
                |left: &Expr| left.try_as_col().is_some_and(|c| Some(c) == expr.try_as_col());
            let right = node.on.iter().find(|(left, _)| is_it(left));
            Ok(match right {
                // What stands in for the key may hold columns of the same name: do not look inside.
                Some((_, right)) => Transformed::new(right.clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(expr),
            })
        });
        return swapped.ok().map(|t| t.data);
    }
    let is_time = |expr: &Expr| printed(expr) == printed(&node.time.0);
    let at_most =
        |at: &Expr| at.column_refs().is_empty().then(|| node.time.1.clone().lt_eq(at.clone()));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Lt | Operator::LtEq | Operator::Eq if is_time(left) => at_most(right),
            Operator::Gt | Operator::GtEq | Operator::Eq if is_time(right) => at_most(left),
            _ => None,
        },
        Expr::Between(Between { expr, negated: false, high, .. }) if is_time(expr) => at_most(high),
        _ => None,
    }
}
