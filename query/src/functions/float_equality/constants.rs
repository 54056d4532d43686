//! Constants for which signs do not matter, and lists of constants that hold each zero and NaN with both signs, which
//! scans understand.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::InList;

use super::sign::unsigned;

/// The value of a constant, also under a cast or a sign.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => constant(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        Expr::Negative(of) => constant(of)?.arithmetic_negate().ok(),
        _ => None,
    }
}

/// The zero or NaN with the other sign.
fn other(value: &ScalarValue) -> Option<ScalarValue> {
    match value {
        ScalarValue::Float64(Some(of)) if *of == 0.0 || of.is_nan() => {
            Some(ScalarValue::Float64(Some(-of)))
        }
        ScalarValue::Float32(Some(of)) if *of == 0.0 || of.is_nan() => {
            Some(ScalarValue::Float32(Some(-of)))
        }
        _ => None,
    }
}

/// Whether an expression is a constant that equals the same values with and without signs.
pub(super) fn is_settled(expr: &Expr) -> bool {
    constant(expr).is_some_and(|value| !value.data_type().is_nested() && other(&value).is_none())
}

/// A list of constants with both signs of each zero and NaN; otherwise a list of values without signs.
pub(super) fn among(list: InList) -> Transformed<Expr> {
    let known: Option<Vec<_>> = list.list.iter().map(constant).collect();
    match known.filter(|values| !values.iter().any(|value| value.data_type().is_nested())) {
        Some(values) => {
            let more = values.iter().filter_map(other);
            let more: Vec<_> = more.map(|value| Expr::Literal(value, None)).collect();
            let changed = !more.is_empty();
            let InList { expr, mut list, negated } = list;
            list.extend(more);
            Transformed::new_transformed(Expr::InList(InList::new(expr, list, negated)), changed)
        }
        None => {
            let InList { expr, list, negated } = list;
            let list = list.into_iter().map(unsigned).collect();
            let expr = Box::new(unsigned(*expr));
            Transformed::yes(Expr::InList(InList::new(expr, list, negated)))
        }
    }
}
