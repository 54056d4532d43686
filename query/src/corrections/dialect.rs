//! Spellings of the standard and of other databases, put into words that the planner takes.
//!
//! DataFusion 55.2 drops ESCAPE (`'50%' LIKE '50!%' ESCAPE '!'` is false), and refuses the others:
//!
//! ```text
//! note LIKE '50!%' ESCAPE '!'                      ──►  note LIKE '50\%'
//! ROWS BETWEEN CAST(1 + 1 AS INT) PRECEDING AND …  ──►  ROWS BETWEEN 2 PRECEDING AND …
//! mod(a, b), current_schema                        ──►  (a) % (b), current_schema()
//! GROUP BY ()                                      ──►  GROUP BY GROUPING SETS (())
//! ```

use std::mem;

use barograph_engine::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, NamedWindowExpr, ObjectName, Select, Statement as Ast,
    UnaryOperator, Value, ValueWithSpan, WindowFrame, WindowFrameBound, WindowType,
};

use crate::tree::{Tree, Visitor};

/// The character that takes the meaning from the next one in a pattern of LIKE.
const ESCAPE: char = '\\';
/// Names that the standard writes without brackets.
const BARE: [&str; 1] = ["current_schema"];

/// Puts everything into words that the planner takes.
///
/// # Errors
/// `Request` with what cannot be, and what to write in its place.
pub(crate) fn translate(ast: &mut Ast) -> Result<()> {
    ast.walk(&mut Dialect)
}

struct Dialect;

impl Visitor for Dialect {
    fn pre_visit_select(&mut self, select: &mut Select) -> Result<()> {
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                spec.window_frame.as_mut().map_or(Ok(()), frame)?;
            }
        }
        if let GroupByExpr::Expressions(groups, _) = &mut select.group_by {
            for group in groups {
                if matches!(group, Expr::Tuple(of) if of.is_empty()) {
                    *group = Expr::GroupingSets(vec![Vec::new()]);
                }
            }
        }
        Ok(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                escaped(pattern, escape_char)
            }
            Expr::Identifier(name) if is_bare(name) => {
                let name = ObjectName::from(vec![name.clone()]);
                *expr = Expr::Function(call(name));
                Ok(())
            }
            Expr::Function(function) => {
                if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                    spec.window_frame.as_mut().map_or(Ok(()), frame)?;
                }
                if let Some((left, right)) = modulo(function) {
                    let operands = (Box::new(nested(left)), Box::new(nested(right)));
                    let (left, right) = operands;
                    let op = BinaryOperator::Modulo;
                    *expr = nested(Expr::BinaryOp { left, op, right });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn is_bare(name: &Ident) -> bool {
    name.quote_style.is_none() && BARE.iter().any(|bare| name.value.eq_ignore_ascii_case(bare))
}

/// A call without arguments.
fn call(name: ObjectName) -> Function {
    let (duplicate_treatment, args, clauses) = (None, Vec::new(), Vec::new());
    Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// The operands of `mod(a, b)`.
fn modulo(function: &mut Function) -> Option<(Expr, Expr)> {
    let is_mod =
        function.name.0.len() == 1 && function.name.to_string().eq_ignore_ascii_case("mod");
    if !is_mod || function.over.is_some() || function.filter.is_some() {
        return None;
    }
    let FunctionArguments::List(list) = &mut function.args else { return None };
    match list.args.as_mut_slice() {
        [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(left)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(right)),
        ] => Some((mem::replace(left, null()), mem::replace(right, null()))),
        _ => None,
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// Writes a pattern with the planner's own escape character.
fn escaped(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) -> Result<()> {
    let Some(character) = escape.take() else { return Ok(()) };
    let character = match &character.value {
        Value::SingleQuotedString(text) => text.clone(),
        other => return refused(format!("ESCAPE {other}: write a character in single quotes")),
    };
    let mut characters = character.chars();
    let (first, more) = (characters.next(), characters.next());
    if more.is_some() {
        return refused(format!("ESCAPE '{character}': write a single character, or none"));
    }
    if first == Some(ESCAPE) {
        return Ok(());
    }
    let text = match pattern {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text,
        other => {
            return refused(format!(
                "LIKE {other} ESCAPE '{character}': ESCAPE is for a pattern that is written as text; \
                 in others, the character that escapes is \\"
            ));
        }
    };
    let mut written = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        let literal = match next {
            of if Some(of) == first => match rest.next() {
                Some(of) => Some(of),
                None => {
                    return refused(format!(
                        "LIKE '{text}' ESCAPE '{character}': nothing stands after the last {character}"
                    ));
                }
            },
            ESCAPE => Some(ESCAPE),
            _ => None,
        };
        match literal {
            // A character that means nothing else needs no escape.
            Some(of) if matches!(of, '%' | '_' | ESCAPE) => written.extend([ESCAPE, of]),
            Some(of) => written.push(of),
            None => written.push(next),
        }
    }
    *text = written;
    Ok(())
}

fn refused(why: String) -> Result<()> {
    Err(Error::request(why))
}

/// Computes the bounds of a frame.
fn frame(frame: &mut WindowFrame) -> Result<()> {
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        if let WindowFrameBound::Preceding(Some(of)) | WindowFrameBound::Following(Some(of)) = bound
        {
            match computed(of) {
                Some(Ok(value)) => **of = value,
                Some(Err(why)) => return refused(format!("{of} as the bound of a window: {why}")),
                None => {}
            }
        }
    }
    Ok(())
}

/// The value of a constant expression over numbers, or over nothing but an interval in casts and brackets.
fn computed(expr: &Expr) -> Option<Result<Expr, &'static str>> {
    let Some(number) = number(expr) else {
        return match expr {
            Expr::Interval(_) => Some(Ok(expr.clone())),
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => computed(inner),
            _ => None,
        };
    };
    if number < 0.0 {
        return Some(Err("it is less than 0; swap PRECEDING and FOLLOWING"));
    }
    if !number.is_finite() {
        return Some(Err("it is not a number"));
    }
    Some(Ok(Expr::Value(Value::Number(number.to_string(), false).into())))
}

/// The value of an arithmetic expression without columns. Frames are of a size at which floats are exact.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => text.parse().ok(),
        Expr::Nested(inner) => number(inner),
        Expr::Cast { expr: inner, data_type, .. } => {
            let value = match inner.as_ref() {
                Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
                    text.trim().parse().ok()
                }
                inner => number(inner),
            }?;
            let name = data_type.to_string().to_uppercase();
            let whole = name.contains("INT") && !name.contains("INTERVAL");
            let fraction = ["FLOAT", "DOUBLE", "REAL", "DECIMAL", "NUMERIC"];
            let fits = whole || fraction.iter().any(|of| name.contains(of));
            fits.then_some(if whole { value.trunc() } else { value })
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|of| -of),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => number(expr),
        Expr::BinaryOp { left, op, right } => {
            let (left, right) = (number(left)?, number(right)?);
            match op {
                BinaryOperator::Plus => Some(left + right),
                BinaryOperator::Minus => Some(left - right),
                BinaryOperator::Multiply => Some(left * right),
                _ => None,
            }
        }
        _ => None,
    }
}
