//! The rule that replaces the window operators of a plan that can be run by folding columns.
//!
//! Those are operators whose frames end at the current row and begin at the partition's start, at the current row or at
//! a fixed distance before it, over rows sorted by partition and ascending order, with plain aggregates of numbers.
//! Everything else stays with DataFusion's operator.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use barograph_engine::scan::rank::is_comparable;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::windows::BoundedWindowAggExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::column::{Aggregate, Function};
use super::execute::{RollingExec, Task};
use super::partition::Frame;
use crate::tree;

/// Replaces window operators by rolling ones where they give the same answer.
#[derive(Debug)]
pub(in crate::functions) struct RollingRule;

impl PhysicalOptimizerRule for RollingRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        tree::transform_up(plan, &mut |node| match rolling(&node)? {
            Some(rolling) => Ok(Transformed::yes(rolling)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "rolling"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The operator that replaces the window operator `node`, if there is one.
pub(super) fn rolling(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() else { return Ok(None) };
    let sorted = matches!(window.input_order_mode, InputOrderMode::Sorted);
    if !sorted || window.state_observer().is_some() {
        return Ok(None);
    }
    let input = window.input();
    Ok(task(window.window_expr(), &input.schema())?
        .map(|task| Arc::new(RollingExec::new(Arc::clone(node), Arc::clone(input), task)) as _))
}

fn task(windows: &[Arc<dyn WindowExpr>], input: &Schema) -> Result<Option<Task>> {
    let Some(first) = windows.first() else { return Ok(None) };
    let mut task = Task {
        partition_by: first.partition_by().to_vec(),
        order: None,
        frames: Vec::new(),
        aggregates: Vec::new(),
    };
    for window in windows {
        let by_order = window.get_window_frame().units == WindowFrameUnits::Range;
        let order = if by_order { order(window.as_ref(), input)? } else { None };
        let frame = match &order {
            Some((_, of)) => range(window.get_window_frame(), of),
            None if by_order => None,
            None => rows(window.get_window_frame()),
        };
        let (Some(frame), Some(of)) = (frame, plain(window)) else { return Ok(None) };
        if window.partition_by() != task.partition_by.as_slice() {
            return Ok(None);
        }
        let Some((function, argument)) = function(of, input)? else { return Ok(None) };
        task.order = task.order.or(order.map(|(order, _)| order));
        let known = task.frames.iter().position(|known| *known == frame);
        task.aggregates.push(Aggregate {
            function,
            argument,
            frame: known.unwrap_or(task.frames.len()),
            from_start: frame.is_from_start(),
            output: window.field()?.data_type().clone(),
        });
        if known.is_none() {
            task.frames.push(frame);
        }
    }
    Ok(Some(task))
}

/// The aggregate of a window without FILTER.
fn plain(window: &Arc<dyn WindowExpr>) -> Option<&AggregateFunctionExpr> {
    // The filter of a window expression can be read in what it prints, and nowhere else.
    if !format!("{window:?}").ends_with("filter: None }") {
        return None;
    }
    let window = window.as_any();
    let sliding = window.downcast_ref().map(SlidingAggregateWindowExpr::get_aggregate_expr);
    sliding.or_else(|| window.downcast_ref().map(PlainAggregateWindowExpr::get_aggregate_expr))
}

/// The order of the rows and its type, if frames can be found by it.
fn order(
    window: &dyn WindowExpr,
    input: &Schema,
) -> Result<Option<(Arc<dyn PhysicalExpr>, DataType)>> {
    let [order] = window.order_by() else { return Ok(None) };
    let of = order.expr.data_type(input)?;
    let whole =
        matches!(of, DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Timestamp(..));
    let fits = whole && !order.options.descending && !order.expr.nullable(input)?;
    Ok(fits.then(|| (Arc::clone(&order.expr), of)))
}

/// A RANGE frame over an order of the type `of`.
fn range(frame: &WindowFrame, of: &DataType) -> Option<Frame> {
    if frame.end_bound != WindowFrameBound::CurrentRow {
        return None;
    }
    Some(Frame::Range(match &frame.start_bound {
        WindowFrameBound::CurrentRow => Some(0),
        bound if bound.is_unbounded() => None,
        WindowFrameBound::Preceding(back) => Some(distance(back, of)?),
        WindowFrameBound::Following(_) => return None,
    }))
}

/// The distance `back` in units of the order's type.
fn distance(back: &ScalarValue, of: &DataType) -> Option<i64> {
    let back = match (back, of) {
        (ScalarValue::Int16(Some(back)), DataType::Int16) => i64::from(*back),
        (ScalarValue::Int32(Some(back)), DataType::Int32) => i64::from(*back),
        (ScalarValue::Int64(Some(back)), DataType::Int64) => *back,
        (ScalarValue::IntervalMonthDayNano(Some(back)), DataType::Timestamp(unit, zone)) => {
            // Days of zones with summer time have no fixed length.
            let fixed = zone.as_deref().is_none_or(|zone| zone == "UTC") || back.days == 0;
            let unit = match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            };
            let nanos = i128::from(back.days) * 86_400_000_000_000 + i128::from(back.nanoseconds);
            if back.months != 0 || !fixed || nanos % unit != 0 {
                return None;
            }
            i64::try_from(nanos / unit).ok()?
        }
        _ => return None,
    };
    (back >= 0).then_some(back)
}

/// A ROWS frame.
fn rows(frame: &WindowFrame) -> Option<Frame> {
    if frame.units != WindowFrameUnits::Rows || frame.end_bound != WindowFrameBound::CurrentRow {
        return None;
    }
    Some(Frame::Rows(match &frame.start_bound {
        WindowFrameBound::CurrentRow => Some(0),
        bound if bound.is_unbounded() => None,
        WindowFrameBound::Preceding(ScalarValue::UInt64(Some(back))) => {
            Some(usize::try_from(*back).ok()?)
        }
        _ => return None,
    }))
}

/// The function of an aggregate, and its argument.
fn function(
    of: &AggregateFunctionExpr,
    input: &Schema,
) -> Result<Option<(Function, Arc<dyn PhysicalExpr>)>> {
    let simple = !of.is_distinct() && !of.ignore_nulls() && of.order_bys().is_empty();
    let Ok([argument]) = <[_; 1]>::try_from(of.expressions()) else { return Ok(None) };
    if !simple {
        return Ok(None);
    }
    let known = |literal: &Literal| !literal.value().is_null();
    let is_value = argument.downcast_ref::<Literal>().is_none_or(known);
    let (given, made) = (argument.data_type(input)?, of.field().data_type().clone());
    let function = match (of.fun().name(), &given, &made) {
        ("count", _, DataType::Int64) if is_value => Function::Count,
        ("avg", DataType::Float64, DataType::Float64) => Function::Mean,
        ("sum", DataType::Float64, DataType::Float64) => Function::FloatSum,
        ("sum", DataType::Int64, DataType::Int64) => Function::WholeSum,
        ("min", given, made) if given == made && is_comparable(given) => Function::Min,
        ("max", given, made) if given == made && is_comparable(given) => Function::Max,
        _ => return Ok(None),
    };
    Ok(Some((function, argument)))
}
