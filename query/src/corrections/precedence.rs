//! Precedence of `IS [NOT] DISTINCT FROM`, which binds stronger than NOT, AND and OR.
//!
//! sqlparser 0.62 (DataFusion 55.2) takes all that follows it for its right side: `true IS DISTINCT FROM true OR true` is
//! false. Brackets are kept in the tree, so what stands there without them is known to be meant otherwise.
//!
//! ```text
//! a OR b IS DISTINCT FROM c AND d     read:   a OR (b IS DISTINCT FROM (c AND d))
//!                                     meant:  a OR ((b IS DISTINCT FROM c) AND d)
//! ```

use std::mem;

use barograph_engine::Result;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use crate::tree::Tree;

/// Puts everything into the place where it is meant. Inner expressions are visited before outer ones.
pub(crate) fn restore(ast: &mut dyn Tree) -> Result<()> {
    ast.each_expr(&mut |expr| {
        give_back(expr);
        Ok(())
    })
}

/// Takes what binds weaker than `expr` out of its last operand, and puts `expr` in its first place.
fn give_back(expr: &mut Expr) {
    let (last, weaker) = match expr {
        Expr::IsDistinctFrom(_, last) | Expr::IsNotDistinctFrom(_, last) => (last, BOTH),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => (expr, BOTH),
        Expr::BinaryOp { op: BinaryOperator::And, right, .. } => (right, OR),
        _ => return,
    };
    if !joins(last, weaker) {
        return;
    }
    let mut whole = mem::replace(last.as_mut(), nothing());
    mem::swap(first(&mut whole, weaker), last.as_mut());
    mem::swap(expr, &mut whole);
    mem::swap(first(expr, weaker), &mut whole);
}

const BOTH: &[BinaryOperator] = &[BinaryOperator::And, BinaryOperator::Or];
const OR: &[BinaryOperator] = &[BinaryOperator::Or];

/// Whether `expr` joins two conditions by one of `operators`.
fn joins(expr: &Expr, operators: &[BinaryOperator]) -> bool {
    matches!(expr, Expr::BinaryOp { op, .. } if operators.contains(op))
}

/// The first of all conditions that `operators` join.
fn first<'e>(mut expr: &'e mut Expr, operators: &[BinaryOperator]) -> &'e mut Expr {
    while joins(expr, operators) {
        match expr {
            Expr::BinaryOp { left, .. } => expr = left,
            other => return other,
        }
    }
    expr
}

fn nothing() -> Expr {
    Expr::Value(Value::Null.into())
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    /// A condition with brackets around everything that is joined.
    fn read(condition: &str) -> String {
        let mut parsed =
            Parser::parse_sql(&GenericDialect {}, &format!("SELECT {condition}")).unwrap();
        restore(&mut parsed[0]).unwrap();
        let bracketed = parsed[0].each_expr(&mut |expr| {
            if joins(expr, BOTH) || matches!(expr, Expr::UnaryOp { .. } | Expr::IsDistinctFrom(..))
            {
                *expr = Expr::Nested(Box::new(mem::replace(expr, nothing())));
            }
            Ok(())
        });
        bracketed.unwrap();
        parsed[0].to_string().trim_start_matches("SELECT ").to_owned()
    }

    #[test]
    fn weaker_operators_stay_outside() {
        for (condition, meant) in [
            ("a IS DISTINCT FROM b AND c", "((a IS DISTINCT FROM b) AND c)"),
            ("a IS DISTINCT FROM b = c", "(a IS DISTINCT FROM b = c)"),
            ("a IS DISTINCT FROM b OR c AND d", "((a IS DISTINCT FROM b) OR (c AND d))"),
            ("a AND b IS DISTINCT FROM c OR d", "((a AND (b IS DISTINCT FROM c)) OR d)"),
            ("a OR b IS DISTINCT FROM c AND d", "(a OR ((b IS DISTINCT FROM c) AND d))"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a IS DISTINCT FROM b)) AND c)"),
            (
                "a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e",
                "(((a IS DISTINCT FROM b) AND (c IS DISTINCT FROM d)) OR e)",
            ),
            ("a IS DISTINCT FROM (b AND c)", "(a IS DISTINCT FROM ((b AND c)))"),
            ("NOT (a OR b) AND c", "((NOT ((a OR b))) AND c)"),
            ("a AND (b OR c)", "(a AND ((b OR c)))"),
        ] {
            assert_eq!(read(condition), meant, "{condition}");
        }
    }
}
