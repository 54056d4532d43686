//! The rule of the analyzer that finds gap filling in a plan, after types are settled:
//!
//! ```text
//! Projection locf(avg(x))                    Projection "locf(avg(x))"
//!   Filter (HAVING)                            Filter (HAVING)
//!     Aggregate                      ──►         GapFill time, series, range, locf(avg(x))
//!       group by date_bin_gapfill(…)               Aggregate
//!         Filter t >= … and t < …                    group by date_bin(…)
//!                                                      Filter t >= … and t < …
//! ```

use std::cell::Cell;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::node::GapFill;
use super::{Ask, Fill, asked, bounds, date_bin};
use crate::tree;

/// Puts a [`GapFill`] over an aggregation that groups by `date_bin_gapfill`.
#[derive(Debug)]
pub(in crate::functions) struct GapFillRule;

impl AnalyzerRule for GapFillRule {
    fn name(&self) -> &str {
        "gap_fill"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        // What is above a new node has another schema than it was planned with.
        let changed = Cell::new(false);
        let plan = tree::transform_up_with_subqueries(plan, &mut |plan| {
            let plan = if changed.get() { plan.recompute_schema()? } else { plan };
            if let LogicalPlan::Aggregate(aggregate) = plan {
                let (plan, filled) = over_aggregate(aggregate)?;
                changed.set(changed.get() | filled);
                return Ok(if filled { Transformed::yes(plan) } else { Transformed::no(plan) });
            }
            if changed.get() && plan.expressions().iter().any(asks_for_fill) {
                return Ok(Transformed::yes(fill(plan)?));
            }
            Ok(Transformed::no(plan))
        })?;
        Ok(plan.data)
    }
}

fn asks(expr: &Expr, wanted: impl Fn(Ask) -> bool) -> bool {
    let mut found = false;
    let _ = tree::apply(expr, &mut |e| {
        if let Expr::ScalarFunction(f) = e {
            found |= asked(&f.func).is_some_and(&wanted);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

fn asks_for_fill(expr: &Expr) -> bool {
    asks(expr, |ask| matches!(ask, Ask::Fill(_)))
}

fn asks_for_windows(expr: &Expr) -> bool {
    asks(expr, |ask| ask == Ask::Windows)
}

/// The call of `date_bin_gapfill` that `expr` is.
fn window_call(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(f) if asked(&f.func) == Some(Ask::Windows) => Some(f),
        Expr::Alias(alias) => window_call(&alias.expr),
        _ => None,
    }
}

fn over_aggregate(aggregate: Aggregate) -> Result<(LogicalPlan, bool)> {
    let asking: Vec<usize> = aggregate
        .group_expr
        .iter()
        .enumerate()
        .filter_map(|(i, expr)| asks_for_windows(expr).then_some(i))
        .collect();
    let place = match asking.as_slice() {
        [] => return Ok((LogicalPlan::Aggregate(aggregate), false)),
        [place] => *place,
        _ => return plan_err!("GROUP BY may name one date_bin_gapfill, not {}", asking.len()),
    };
    let Some(call) = aggregate.group_expr.get(place).and_then(window_call) else {
        return plan_err!(
            "date_bin_gapfill stands alone in GROUP BY, not inside another expression or grouping set"
        );
    };
    let mut args = call.args.clone().into_iter();
    let (Some(stride), Some(time), origin) = (args.next(), args.next(), args.next()) else {
        return plan_err!(
            "date_bin_gapfill is called as date_bin_gapfill(stride, time [, origin])"
        );
    };
    let range = bounds::range(&aggregate.input, &time)?;
    let names: Vec<Expr> = aggregate.schema.columns().into_iter().map(Expr::Column).collect();
    let mut series: Vec<Expr> = names.iter().take(aggregate.group_expr.len()).cloned().collect();
    let window = series.remove(place);

    // The plain function under the name that the rest of the query knows.
    let mut group = aggregate.group_expr;
    if let Some(expr) = group.get_mut(place) {
        let (relation, name) = expr.qualified_name();
        let plain = Expr::ScalarFunction(ScalarFunction::new_udf(date_bin(), call_args(expr)));
        *expr = plain.alias_qualified(relation, name);
    }
    let plain = Aggregate::try_new(aggregate.input, group, aggregate.aggr_expr)?;
    let node = GapFill::new(LogicalPlan::Aggregate(plain), series, window, stride, origin, range)?;
    Ok((extension(node), true))
}

fn call_args(expr: &Expr) -> Vec<Expr> {
    window_call(expr).map(|call| call.args.clone()).unwrap_or_default()
}

fn extension(node: GapFill) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

/// `plan` with every `locf` and `interpolate` replaced by a column of the node below it.
fn fill(plan: LogicalPlan) -> Result<LogicalPlan> {
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(plan) };
    let mut input = (*input).clone();
    let mut reached = false;
    let names = NamePreserver::new(&plan);
    let exprs = plan
        .expressions()
        .into_iter()
        .map(|expr| {
            let name = names.save(&expr);
            let expr = tree::transform_up(expr, &mut |expr| {
                let Some((fill, value)) = fill_call(&expr) else {
                    return Ok(Transformed::no(expr));
                };
                match add(&input, fill, value)? {
                    Some((below, column)) => {
                        input = below;
                        reached = true;
                        Ok(Transformed::yes(column))
                    }
                    None => Ok(Transformed::no(expr)),
                }
            })?;
            Ok(name.restore(expr.data))
        })
        .collect::<Result<Vec<_>>>()?;
    if !reached {
        return Ok(plan);
    }
    plan.with_new_exprs(exprs, vec![input])?.recompute_schema()
}

fn fill_call(expr: &Expr) -> Option<(Fill, &Expr)> {
    match expr {
        Expr::ScalarFunction(f) => match (asked(&f.func), f.args.as_slice()) {
            (Some(Ask::Fill(fill)), [value]) => Some((fill, value)),
            _ => None,
        },
        _ => None,
    }
}

/// `plan` whose gap filling has a column for `value`, and that column; none if there is no gap filling
/// below, or if something between gives the columns other names.
fn add(plan: &LogicalPlan, fill: Fill, value: &Expr) -> Result<Option<(LogicalPlan, Expr)>> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => {
            let Some(node) = node.as_any().downcast_ref::<GapFill>() else { return Ok(None) };
            if !node.has(value) {
                return plan_err!(
                    "locf and interpolate take aggregates of the query that groups by \
                     date_bin_gapfill, not {value}"
                );
            }
            let (node, column) = node.clone().with_fill(fill, value)?;
            Ok(Some((extension(node), Expr::Column(column))))
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Window(_) => {
            let Some(input) = plan.inputs().first().copied() else { return Ok(None) };
            let Some((input, column)) = add(input, fill, value)? else { return Ok(None) };
            let plan = plan.with_new_exprs(plan.expressions(), vec![input])?.recompute_schema()?;
            Ok(Some((plan, column)))
        }
        _ => Ok(None),
    }
}
