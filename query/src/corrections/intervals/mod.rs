//! Spans of time, and what comes of a day and a span.
//!
//! A day with a span added is a moment, whatever the span is; a span can be taken several times; and two spans
//! compare by their length, a month as 30 days and a day as 24 hours, as in PostgreSQL. DataFusion 55.2 keeps days
//! days, which drops hours, and compares months before days before hours:
//!
//! ```text
//! DATE '2026-09-21' + INTERVAL '15 hours'   ──►  CAST(DATE '2026-09-21' AS TIMESTAMP) + INTERVAL '15 hours'
//! INTERVAL '1 hour' * 3                     ──►  interval_times(INTERVAL '1 hour', 3)
//! a.at - b.at > INTERVAL '1 day'            ──►  interval_length(a.at - b.at) > interval_length(INTERVAL '1 day')
//! ```
//!
//! Where rows are told apart by a span, nothing can be put in its place, and the statement is refused.

mod functions;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, ExprSchema, Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{InList, Placeholder, Sort};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, Operator, cast,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use functions::{length, times};

use crate::corrections::single_precision::compares;
use crate::tree;

const SPAN: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const MOMENT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Computes with spans, where the planner would not or would get it wrong.
#[derive(Debug)]
pub(crate) struct IntervalArithmetic;

impl ExprPlanner for IntervalArithmetic {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let (Some(left), Some(right)) = (kind(&expr.left, schema), kind(&expr.right, schema))
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let RawBinaryExpr { op, left: a, right: b } = expr;
        Ok(PlannerResult::Planned(match (left, op, right) {
            (Kind::Day, BinaryOperator::Plus, Kind::Span) => cast(a, MOMENT) + b,
            (Kind::Day, BinaryOperator::Minus, Kind::Span) => cast(a, MOMENT) - b,
            (Kind::Span, BinaryOperator::Plus, Kind::Day) => a + cast(b, MOMENT),
            (Kind::Span, BinaryOperator::Multiply, Kind::Number) => times(a, number(b), false),
            (Kind::Number, BinaryOperator::Multiply, Kind::Span) => times(number(a), b, false),
            (Kind::Span, BinaryOperator::Divide, Kind::Number) => times(a, number(b), true),
            (Kind::Text, op, Kind::Span) if is_comparison(&op) => {
                let left = cast(a, SPAN);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right: b }));
            }
            (Kind::Span, op, Kind::Text) if is_comparison(&op) => {
                let right = cast(b, SPAN);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: a, right }));
            }
            (_, op, _) => {
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: a, right: b }));
            }
        }))
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

enum Kind {
    Day,
    Span,
    Number,
    /// A text that is written.
    Text,
}

fn kind(expr: &Expr, schema: &dyn ExprSchema) -> Option<Kind> {
    if let Expr::Placeholder(Placeholder { field: None, .. }) = expr {
        return Some(Kind::Number);
    }
    match expr.get_type(schema).ok()? {
        DataType::Date32 | DataType::Date64 => Some(Kind::Day),
        DataType::Interval(_) | DataType::Duration(_) => Some(Kind::Span),
        of if of.is_numeric() => Some(Kind::Number),
        of if of.is_string() && matches!(expr, Expr::Literal(..)) => Some(Kind::Text),
        _ => None,
    }
}

/// A number, also if it is a parameter of which nothing else is known.
fn number(expr: Expr) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            let field = Arc::new(Field::new(&id, DataType::Float64, true));
            Expr::Placeholder(Placeholder::new_with_field(id, Some(field)))
        }
        other => other,
    }
}

/// Compares spans by their length.
#[derive(Debug)]
pub(crate) struct IntervalOrder;

impl AnalyzerRule for IntervalOrder {
    fn name(&self) -> &str {
        "span_order"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut ordered).data()
    }
}

fn ordered(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_spans(&plan)? {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    refuse(&plan, &schema)?;
    let names = NamePreserver::new(&plan);
    let sorts = matches!(plan, LogicalPlan::Sort(_));
    tree::map_expressions(plan, &mut |expr| {
        let name = names.save(&expr);
        let compared = tree::transform_up(expr, &mut |expr| compared(expr, &schema))?;
        Ok(compared.update_data(|expr| match is_span(&expr, &schema) && sorts {
            true => length(expr),
            false => name.restore(expr),
        }))
    })
}

/// Whether spans may meet in a plan's node: nearly all statements have none.
fn has_spans(plan: &LogicalPlan) -> Result<bool> {
    let is =
        |schema: &DFSchema| schema.fields().iter().any(|field| is_span_type(field.data_type()));
    if is(plan.schema()) || plan.inputs().iter().any(|input| is(input.schema())) {
        return Ok(true);
    }
    tree::exists_in_expressions(plan, &mut |expr| match expr {
        Expr::Literal(value, _) => is_span_type(&value.data_type()),
        Expr::Cast(cast) => is_span_type(cast.field.data_type()),
        Expr::BinaryExpr(BinaryExpr { op: Operator::Minus, .. }) => true,
        _ => false,
    })
}

fn is_span_type(of: &DataType) -> bool {
    matches!(of, DataType::Interval(_))
}

fn is_span(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| is_span_type(&of))
}

/// The expression with spans compared by their length.
pub(crate) fn compared(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let spans = |exprs: &[&Expr]| exprs.iter().any(|expr| is_span(expr, schema));
    Ok(Transformed::yes(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if compares(op) && spans(&[&left, &right]) =>
        {
            let sides = (Box::new(length(*left)), Box::new(length(*right)));
            Expr::BinaryExpr(BinaryExpr::new(sides.0, op, sides.1))
        }
        Expr::Between(Between { expr, negated, low, high }) if spans(&[&expr, &low, &high]) => {
            let all = [*expr, *low, *high].map(|of| Box::new(length(of)));
            let [expr, low, high] = all;
            Expr::Between(Between { expr, negated, low, high })
        }
        Expr::InList(InList { expr, list, negated })
            if spans(&[&expr]) || list.iter().any(|of| is_span(of, schema)) =>
        {
            length(*expr).in_list(list.into_iter().map(length).collect(), negated)
        }
        Expr::Case(Case { expr: Some(of), when_then_expr, else_expr }) if spans(&[&of]) => {
            let whens = when_then_expr.into_iter();
            Expr::Case(Case {
                expr: Some(Box::new(length(*of))),
                when_then_expr: whens.map(|(when, then)| (Box::new(length(*when)), then)).collect(),
                else_expr,
            })
        }
        Expr::WindowFunction(mut window) => {
            for Sort { expr, .. } in &mut window.params.order_by {
                if is_span(expr, schema) {
                    *expr = length(expr.clone());
                }
            }
            Expr::WindowFunction(window)
        }
        Expr::ScalarFunction(call)
            if ["nullif", "greatest", "least"].contains(&call.name())
                && call.args.iter().any(|of| is_span(of, schema)) =>
        {
            return refused(&format!("{}(…) of intervals", call.name()), "write CASE WHEN a > b …");
        }
        other => return Ok(Transformed::no(other)),
    }))
}

/// Refuses what tells rows apart by a span.
fn refuse(plan: &LogicalPlan, schema: &DFSchema) -> Result<()> {
    const MEND: &str = "use date_part('epoch', x), its length in seconds, instead";
    let has = |exprs: &[Expr]| exprs.iter().any(|expr| is_span(expr, schema));
    let fields = |schema: &DFSchema| schema.fields().iter().any(|f| is_span_type(f.data_type()));
    match plan {
        LogicalPlan::Aggregate(of) => {
            if has(&of.group_expr) {
                return refused("GROUP BY an interval", MEND);
            }
            for expr in &of.aggr_expr {
                let Expr::AggregateFunction(call) = expr.clone().unalias() else { continue };
                let compares = call.params.distinct || ["min", "max"].contains(&call.func.name());
                if compares && has(&call.params.args) {
                    return refused("min, max or DISTINCT of an interval", MEND);
                }
            }
            Ok(())
        }
        LogicalPlan::Distinct(of) if fields(of.input().schema()) => {
            refused("DISTINCT or UNION of intervals", MEND)
        }
        LogicalPlan::Window(of) => {
            for expr in &of.window_expr {
                let Expr::WindowFunction(window) = expr.clone().unalias() else { continue };
                let compares =
                    ["min", "max"].contains(&window.fun.name()) && has(&window.params.args);
                if compares || has(&window.params.partition_by) {
                    return refused("min, max or PARTITION BY of an interval", MEND);
                }
            }
            Ok(())
        }
        LogicalPlan::Join(of) if of.on.iter().any(|(left, _)| is_span(left, schema)) => {
            refused("joining by an interval that both sides have", MEND)
        }
        _ => {
            let member = tree::exists_in_expressions(plan, &mut |expr| match expr {
                Expr::InSubquery(of) => is_span(&of.expr, schema),
                Expr::SetComparison(of) => is_span(&of.expr, schema),
                _ => false,
            });
            if member? {
                refused("an interval beside IN, ANY or ALL of a query", MEND)
            } else {
                Ok(())
            }
        }
    }
}

fn refused<T>(what: &str, mend: &str) -> Result<T> {
    plan_err!(
        "{what} is not supported, since intervals of one length can be written in several ways: {mend}"
    )
}
