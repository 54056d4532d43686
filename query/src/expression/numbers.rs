//! Text columns read as numbers. In a text file every column is text, and `a + b` or `a > 5` means numbers:
//!
//! ```text
//! a + b, -a                     both, in double precision, whatever their types are
//! a > 5, a IN (1, 2), CASE …    text beside a number
//! a > b                         columns of text that are compared for their order
//! sqrt(a), greatest(a, b)       text that the function does not take
//! a = 'x', a || b, upper(a)     stays text
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Between, Case, InList, ScalarFunction};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF, cast};

use crate::tree;

/// Functions that take values of any one type.
const OF_ANY_TYPE: [&str; 4] = ["coalesce", "nullif", "nvl", "nvl2"];
/// Functions that compare their arguments by order.
const OF_AN_ORDER: [&str; 2] = ["greatest", "least"];

/// Suffix of the name of a text column that is read as numbers; no name in a file has it.
const MARK: char = '\0';

/// The name of a column as numbers.
pub(super) fn of(name: &str) -> String {
    format!("{name}{MARK}")
}

/// The column's own name.
pub(super) fn name(called: &str) -> &str {
    called.strip_suffix(MARK).unwrap_or(called)
}

/// The expression with numbers in place of text where numbers are wanted.
pub(super) fn wanted(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    tree::transform_up(expr, &mut |expr| place(expr, schema).map(Transformed::yes)).data()
}

fn place(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let of = |expr: &Expr| expr.get_type(schema);
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (l, r) = (of(left.as_ref())?, of(right.as_ref())?);
            let (left, right) = if is_arithmetic(op) && is_countable(&l) && is_countable(&r) {
                (number(*left, &l)?, number(*right, &r)?)
            } else if is_comparison(op) {
                let columns = matches!((&*left, &*right), (Expr::Column(_), Expr::Column(_)));
                let mut both = beside(vec![*left, *right], columns && is_of_order(op), schema)?;
                match (both.pop(), both.pop()) {
                    (Some(right), Some(left)) => (left, right),
                    _ => return plan_err!("a comparison has two sides"),
                }
            } else {
                (*left, *right)
            };
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let mut all = beside(vec![*expr, *low, *high], false, schema)?.into_iter();
            match (all.next(), all.next(), all.next()) {
                (Some(expr), Some(low), Some(high)) => Expr::Between(Between::new(
                    Box::new(expr),
                    negated,
                    Box::new(low),
                    Box::new(high),
                )),
                _ => return plan_err!("BETWEEN has two bounds"),
            }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let all = [vec![*expr], list].concat();
            let mut all = beside(all, false, schema)?.into_iter();
            match all.next() {
                Some(expr) => Expr::InList(InList::new(Box::new(expr), all.collect(), negated)),
                None => return plan_err!("IN has a left side"),
            }
        }
        Expr::Case(case) => Expr::Case(branches(case, schema)?),
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let name = func.name();
            let args = if OF_AN_ORDER.contains(&name) || OF_ANY_TYPE.contains(&name) {
                beside(args, OF_AN_ORDER.contains(&name), schema)?
            } else {
                taken(&func, args, schema)?
            };
            Expr::ScalarFunction(ScalarFunction::new_udf(func, args))
        }
        Expr::AggregateFunction(_) | Expr::WindowFunction(_) => {
            return plan_err!("it reads one row, and an aggregate or window reads many");
        }
        Expr::Placeholder(_) => return plan_err!("it has no parameters"),
        other => other,
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_countable(data_type: &DataType) -> bool {
    data_type.is_numeric() || is_text(data_type) || data_type.is_null()
}

fn is_arithmetic(op: Operator) -> bool {
    use Operator::{Divide, Minus, Modulo, Multiply, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo)
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, IsDistinctFrom, IsNotDistinctFrom, NotEq};
    is_of_order(op) || matches!(op, Eq | NotEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_of_order(op: Operator) -> bool {
    use Operator::{Gt, GtEq, Lt, LtEq};
    matches!(op, Lt | LtEq | Gt | GtEq)
}

/// The expression as a number in double precision.
fn number(expr: Expr, data_type: &DataType) -> Result<Expr> {
    Ok(match expr {
        expr if *data_type == DataType::Float64 => expr,
        Expr::Column(column) if is_text(data_type) => {
            Expr::Column(Column::new_unqualified(of(&column.name)))
        }
        Expr::Literal(value, metadata) => {
            Expr::Literal(value.cast_to(&DataType::Float64)?, metadata)
        }
        expr => cast(expr, DataType::Float64),
    })
}

/// Expressions that are compared: text among them becomes a number if another one is a number, or if `ordered` and all
/// of them are text.
fn beside(all: Vec<Expr>, ordered: bool, schema: &DFSchema) -> Result<Vec<Expr>> {
    let types: Vec<_> = all.iter().map(|expr| expr.get_type(schema)).collect::<Result<_>>()?;
    let numbers = types.iter().any(DataType::is_numeric) || (ordered && types.iter().all(is_text));
    if !numbers {
        return Ok(all);
    }
    let of = |(expr, data_type): (Expr, &DataType)| match is_text(data_type) {
        true => number(expr, data_type),
        false => Ok(expr),
    };
    all.into_iter().zip(&types).map(of).collect()
}

/// The values of a CASE beside each other, and what is compared.
fn branches(case: Case, schema: &DFSchema) -> Result<Case> {
    let Case { expr, when_then_expr, else_expr } = case;
    let (when, then): (Vec<_>, Vec<_>) = when_then_expr.into_iter().map(|(w, t)| (*w, *t)).unzip();
    let count = then.len();
    let (expr, when) = match expr {
        Some(expr) => {
            let mut all = beside([vec![*expr], when].concat(), false, schema)?.into_iter();
            (all.next(), all.collect())
        }
        None => (None, when),
    };
    let all = then.into_iter().chain(else_expr.map(|expr| *expr)).collect();
    let mut values = beside(all, false, schema)?.into_iter();
    let then: Vec<_> = values.by_ref().take(count).collect();
    Ok(Case {
        expr: expr.map(Box::new),
        when_then_expr: when
            .into_iter()
            .map(Box::new)
            .zip(then.into_iter().map(Box::new))
            .collect(),
        else_expr: values.next().map(Box::new),
    })
}

/// The arguments of a function, as numbers if it does not take them as text.
fn taken(func: &Arc<ScalarUDF>, args: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    let types: Vec<_> = args.iter().map(|expr| expr.get_type(schema)).collect::<Result<_>>()?;
    let fields = |types: &[DataType]| -> Vec<_> {
        types.iter().map(|of| Arc::new(Field::new("argument", of.clone(), true))).collect()
    };
    if !types.iter().any(is_text) || fields_with_udf(&fields(&types), func.as_ref()).is_ok() {
        return Ok(args);
    }
    let of = |(expr, data_type): (Expr, &DataType)| match is_text(data_type) {
        true => number(expr, data_type),
        false => Ok(expr),
    };
    args.into_iter().zip(&types).map(of).collect()
}
