//! Groupings that a scan computes hour by hour, without ever putting its rows in the order of keys.
//!
//! Rows of different hours have nothing in common but their key. A grouping by time alone, or of everything, is
//! therefore folded hour by hour, each window of an hour in a place of its own: nothing is merged, nothing hashed.
//!
//! ```text
//! SELECT date_bin('1 minute', reading_at), max(temperature) … GROUP BY 1 ORDER BY 1 DESC LIMIT 5
//!
//! Sort limit=5                            Limit 5
//!   Aggregate final                ──►      HoursExec: every 60 s, descending
//!     Aggregate partial
//!       ScanExec
//! ```
//!
//! Windows that lie within an hour are complete with it, and come in order of time, so that a limit ends the reading.
//! For longer windows, and for everything, the states of hours go to the final step.

mod execute;
mod fold;

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use barograph_engine::scan::Aggregate;
use barograph_lake::Span;
use barograph_lake::schema::FIRST_VALUE_COLUMN;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ChildrenPropertiesMode::Recompute;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ReplaceChildrenOptions};

use crate::pushdown::windows::Input;
use crate::tree;
use execute::{HoursExec, Order};
use fold::Out;

const HOUR: Span = Span::HOUR;
/// Shortest window: an hour has no more than 3,600 places.
const EVERY_MIN: Span = Span::SECOND;

/// Replaces groupings by time alone, or of everything, by scans hour by hour.
#[derive(Debug)]
pub(crate) struct AggregateHours;

impl PhysicalOptimizerRule for AggregateHours {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        tree::transform_down(plan, &mut |node| {
            let found = match node.downcast_ref::<SortExec>() {
                Some(sort) => sorted(&node, sort)?,
                None => grouped(&node, SortOptions::new(false, false), None)?,
            };
            Ok(match found {
                Some(found) => Transformed::yes(found),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "aggregate_hours"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A sort by the window of a grouping below it, when the windows already come in that order.
fn sorted(
    node: &Arc<dyn ExecutionPlan>,
    sort: &SortExec,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let first = sort.expr().first();
    let Some(mut column) = first.expr.downcast_ref::<Column>().map(Column::index) else {
        return Ok(None);
    };
    let (mut path, mut below) = (vec![Arc::clone(node)], Arc::clone(sort.input()));
    while let Some(projection) = below.downcast_ref::<ProjectionExec>() {
        let under = projection.expr().get(column);
        let Some(under) = under.and_then(|under| under.expr.downcast_ref::<Column>()) else {
            return Ok(None);
        };
        column = under.index();
        let next = Arc::clone(projection.input());
        path.push(std::mem::replace(&mut below, next));
    }
    if column != 0 {
        return Ok(None);
    }
    let Some(mut plan) = grouped(&below, first.options, sort.fetch())? else { return Ok(None) };
    for above in path.into_iter().rev() {
        plan = above.replace_children(vec![plan], ReplaceChildrenOptions::new(Recompute))?;
    }
    Ok(Some(plan))
}

/// The node that computes the grouping `node` hour by hour, with its windows in the order of `options`, of which only
/// `fetch` may be wanted.
fn grouped(
    node: &Arc<dyn ExecutionPlan>,
    options: SortOptions,
    fetch: Option<usize>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = node.downcast_ref::<AggregateExec>() else { return Ok(None) };
    if !matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned) {
        return Ok(None);
    }
    let Some(first) = last.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
    let limited = last.limit_options().is_some() || first.limit_options().is_some();
    let filtered = first.filter_expr().iter().any(Option::is_some);
    if *first.mode() != AggregateMode::Partial || limited || filtered {
        return Ok(None);
    }
    let Some(input) = Input::of(first.input()) else { return Ok(None) };
    let by = first.group_expr();
    let every = match by.expr() {
        [] => None,
        [(expr, _)] if by.is_single() && !by.has_grouping_set() => match input.window(expr) {
            Some(every) if every >= EVERY_MIN => Some(every),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let whole = every.is_some_and(|every| HOUR.micros() % every.micros() == 0);
    let mut outs: Vec<_> = every.iter().map(|_| Out::Window).collect();
    for expr in first.aggr_expr() {
        let Some((column, aggregate)) = input.aggregate(expr) else { return Ok(None) };
        match (aggregate, whole) {
            (Aggregate::Count, _) => outs.push(Out::Count(column)),
            (Aggregate::Sum, _) => {
                let of = input.table().arrow().field(column).data_type();
                outs.push(if of.is_integer() { Out::WholeSum(column) } else { Out::Sum(column) });
            }
            (Aggregate::Min, _) => outs.push(Out::Min(column)),
            (Aggregate::Max, _) => outs.push(Out::Max(column)),
            (Aggregate::Mean, true) => outs.push(Out::Mean(column)),
            (Aggregate::Mean, false) => outs.extend([Out::Weight(column), Out::Sum(column)]),
            _ => return Ok(None),
        }
    }
    let schema = if whole { last.schema() } else { first.schema() };
    let table = input.table();
    let mut columns: Vec<_> = outs.iter().filter_map(|out| out.column()).collect();
    columns.retain(|&column| column >= FIRST_VALUE_COLUMN);
    columns.sort_unstable();
    columns.dedup();
    let made = |out: &Out, of: &DataType| out.makes(of, table.arrow());
    let fits = schema.fields().len() == outs.len()
        && outs.iter().zip(schema.fields()).all(|(out, field)| made(out, field.data_type()));
    if !fits || first.aggr_expr().is_empty() {
        return Ok(None);
    }
    let scan = input.scan;
    // What one hour has is read quickest by one thread.
    let an_hour = (HOUR.micros() / every.unwrap_or(HOUR).micros()) as usize;
    let partitions = match fetch.is_some_and(|fetch| fetch <= an_hour) {
        true => 1,
        false => scan.plan.partitions().len(),
    };
    let order = Order { options: whole.then_some(options), limited: fetch.is_some() };
    let hours = HoursExec::new(scan, columns, every, outs, schema, partitions, order);
    let hours: Arc<dyn ExecutionPlan> = Arc::new(hours);
    match whole {
        true => Ok(Some(hours)),
        false => {
            let options = ReplaceChildrenOptions::new(Recompute);
            Ok(Some(Arc::clone(node).replace_children(vec![hours], options)?))
        }
    }
}
