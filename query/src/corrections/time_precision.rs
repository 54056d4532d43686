//! Instants beside times of a coarser unit: `reading_at = to_timestamp('2026-01-01T00:00:00.0000005Z')` is true of no row,
//! as no µs is that instant. DataFusion (55.2, `try_cast_literal_to_type`) cuts the instant to µs and finds the µs before
//! it. Such comparisons are written in the coarser unit before its rules see them:
//!
//! ```text
//! at <  00:00:00.0000005, at <= …   ──►   at <= 00:00:00.000000
//! at >  00:00:00.0000005, at >= …   ──►   at >  00:00:00.000000
//! at =  00:00:00.0000005            ──►   false, null of null
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, LogicalPlan, Operator, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::tree;

/// Writes comparisons with instants that a coarser unit cannot hold in that unit.
#[derive(Debug)]
pub(crate) struct TimePrecision;

impl OptimizerRule for TimePrecision {
    fn name(&self) -> &'static str {
        "finer_instants"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if !tree::exists_in_expressions(&plan, &mut |expr| Widened::of(expr).is_some())? {
            return Ok(Transformed::no(plan));
        }
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            let of = scan.source.schema();
            schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &of)?;
        }
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema))
            .with_config_options(config.options())
            .with_query_execution_start_time(config.query_execution_start_time())
            .build();
        let constants = Constants { simplifier: ExprSimplifier::new(context.clone()), context };
        tree::transform_named_expressions(plan, &mut |expr| coarse(expr, &constants))
    }
}

/// A time that is compared in a finer unit than its own.
struct Widened<'a> {
    time: &'a Expr,
    finer: &'a DataType,
}

impl<'a> Widened<'a> {
    fn of(expr: &'a Expr) -> Option<Self> {
        let Expr::Cast(cast) = expr else { return None };
        let finer = cast.field.data_type();
        let is_time = matches!(finer, DataType::Timestamp(..));
        (is_time && !matches!(*cast.expr, Expr::Literal(..)))
            .then_some(Self { time: &cast.expr, finer })
    }

    /// The last instant of the coarser unit before `expr`, if that is an instant between two of them.
    fn floor(&self, expr: &Expr, constants: &Constants) -> Result<Option<ScalarValue>> {
        let Some(value) = constants.value(expr) else { return Ok(None) };
        if value.data_type() != *self.finer {
            return Ok(None);
        }
        Ok(floor(&value, &constants.context.get_data_type(self.time)?))
    }
}

/// What is known before a plan runs.
struct Constants {
    simplifier: ExprSimplifier,
    context: SimplifyContext,
}

impl Constants {
    /// The value of an expression without columns. One that cannot be worked out says so as a part of its plan.
    fn value(&self, expr: &Expr) -> Option<ScalarValue> {
        let known = match expr {
            Expr::Literal(..) => expr.clone(),
            _ if expr.any_column_refs() || expr.is_volatile() => return None,
            _ => self.simplifier.simplify(expr.clone()).ok()?,
        };
        match known {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        }
    }
}

/// The last instant of the coarser unit before `value`; `None` if the unit can hold it.
fn floor(value: &ScalarValue, coarser: &DataType) -> Option<ScalarValue> {
    let DataType::Timestamp(unit, zone) = coarser else { return None };
    let (instant, of) = match value {
        ScalarValue::TimestampMillisecond(instant, _) => ((*instant)?, TimeUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(instant, _) => ((*instant)?, TimeUnit::Microsecond),
        ScalarValue::TimestampNanosecond(instant, _) => ((*instant)?, TimeUnit::Nanosecond),
        _ => return None,
    };
    let ratio = per_second(of) / per_second(*unit);
    if ratio <= 1 || instant.rem_euclid(ratio) == 0 {
        return None;
    }
    let (instant, zone) = (Some(instant.div_euclid(ratio)), zone.clone());
    Some(match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(instant, zone),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(instant, zone),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(instant, zone),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(instant, zone),
    })
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The condition in the coarser unit, if one of its instants lies between two of that.
fn coarse(expr: Expr, constants: &Constants) -> Result<Transformed<Expr>> {
    let written = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            match (Widened::of(left), Widened::of(right), op.swap()) {
                (Some(time), _, _) => compared(&time, *op, right, constants)?,
                (_, Some(time), Some(op)) => compared(&time, op, left, constants)?,
                _ => None,
            }
        }
        Expr::Between(asked) => match Widened::of(&asked.expr) {
            Some(widened) => between(&widened, asked, constants)?,
            None => None,
        },
        Expr::InList(InList { expr: time, list, negated }) => match Widened::of(time) {
            Some(widened) => among(&widened, time, list, *negated, constants)?,
            None => None,
        },
        _ => None,
    };
    Ok(written.map_or_else(|| Transformed::no(expr), Transformed::yes))
}

fn compared(
    time: &Widened<'_>,
    op: Operator,
    with: &Expr,
    constants: &Constants,
) -> Result<Option<Expr>> {
    let Some(floor) = time.floor(with, constants)? else { return Ok(None) };
    let of = time.time.clone();
    Ok(match op {
        Operator::Lt | Operator::LtEq => Some(of.lt_eq(lit(floor))),
        Operator::Gt | Operator::GtEq => Some(of.gt(lit(floor))),
        Operator::Eq => Some(never(of)),
        Operator::NotEq => Some(!never(of)),
        Operator::IsDistinctFrom => Some(lit(true)),
        Operator::IsNotDistinctFrom => Some(lit(false)),
        _ => None,
    })
}

/// False; null of null.
fn never(time: Expr) -> Expr {
    time.is_null().and(lit(ScalarValue::Boolean(None)))
}

fn between(widened: &Widened<'_>, asked: &Between, constants: &Constants) -> Result<Option<Expr>> {
    let Between { expr: time, negated, low, high } = asked;
    let from = compared(widened, Operator::GtEq, low, constants)?;
    let to = compared(widened, Operator::LtEq, high, constants)?;
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    let from = from.unwrap_or_else(|| Expr::clone(time).gt_eq(Expr::clone(low)));
    let to = to.unwrap_or_else(|| Expr::clone(time).lt_eq(Expr::clone(high)));
    let within = from.and(to);
    Ok(Some(if *negated { !within } else { within }))
}

/// The condition without the items that no time is.
fn among(
    widened: &Widened<'_>,
    time: &Expr,
    list: &[Expr],
    negated: bool,
    constants: &Constants,
) -> Result<Option<Expr>> {
    let mut possible = Vec::with_capacity(list.len());
    for item in list {
        if widened.floor(item, constants)?.is_none() {
            possible.push(item.clone());
        }
    }
    Ok(if possible.len() == list.len() {
        None
    } else if possible.is_empty() {
        let never = never(widened.time.clone());
        Some(if negated { !never } else { never })
    } else {
        Some(time.clone().in_list(possible, negated))
    })
}
