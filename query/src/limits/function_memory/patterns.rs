//! Length bounds of text patterns (LIKE, SIMILAR TO, `~` and the functions of regular expressions): a compiled pattern
//! takes some five hundred times as much memory as its text, and none of that is counted.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use barograph_engine::Error;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use crate::errors::external;

/// Longest pattern in bytes.
const PATTERN_BYTES_MAX: usize = 32 << 10;

/// The expression with its pattern bounded; `None` if it has none, or a short literal.
pub(super) fn bounded(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Like(like) => Some(Expr::Like(of_like(like)?)),
        Expr::SimilarTo(like) => Some(Expr::SimilarTo(of_like(like)?)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_match(*op) => {
            let (left, right) = (left.clone(), Box::new(of(right)?));
            Some(Expr::BinaryExpr(BinaryExpr { left, op: *op, right }))
        }
        Expr::ScalarFunction(call) if call.name().starts_with("regexp_") => {
            let pattern = of(call.args.get(1)?)?;
            let mut args = call.args.clone();
            *args.get_mut(1)? = pattern;
            Some(Expr::ScalarFunction(ScalarFunction { func: call.func.clone(), args }))
        }
        _ => None,
    }
}

fn of_like(like: &Like) -> Option<Like> {
    Some(Like { pattern: Box::new(of(&like.pattern)?), ..like.clone() })
}

fn is_match(op: Operator) -> bool {
    matches!(
        op,
        Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
            | Operator::LikeMatch
            | Operator::ILikeMatch
            | Operator::NotLikeMatch
            | Operator::NotILikeMatch
    )
}

/// The pattern with its bound; `None` if it is short or bounded already.
fn of(pattern: &Expr) -> Option<Expr> {
    static BOUND: LazyLock<ScalarUDF> = LazyLock::new(|| ScalarUDF::from(Pattern::new()));
    match pattern {
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(Some(text)) if text.len() > PATTERN_BYTES_MAX => {}
            _ => return None,
        },
        Expr::ScalarFunction(call) if call.func.inner().is::<Pattern>() => return None,
        _ => {}
    }
    Some(BOUND.call(vec![pattern.clone()]))
}

/// Returns its argument; an argument that is too long is an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pattern {
    signature: Signature,
}

impl Pattern {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Pattern {
    fn name(&self) -> &'static str {
        "bounded_pattern"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [of] => Ok(of.clone()),
            _ => plan_err!("a pattern is one text"),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut args = args.args;
        let Some(pattern) = args.pop() else { return plan_err!("a pattern is one text") };
        let longest = match &pattern {
            ColumnarValue::Scalar(value) => length(value),
            ColumnarValue::Array(column) => longest(column),
        };
        if longest > PATTERN_BYTES_MAX {
            return Err(external(Error::request(format!(
                "a pattern of {longest} bytes: at most {PATTERN_BYTES_MAX} are read; look for shorter texts, or join \
                 with a table of them"
            ))));
        }
        Ok(pattern)
    }
}

fn length(value: &ScalarValue) -> usize {
    value.try_as_str().flatten().map_or(0, str::len)
}

fn longest(column: &ArrayRef) -> usize {
    let longest = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().map(str::len).max(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().flatten().map(str::len).max(),
        DataType::Utf8View => column.as_string_view().iter().flatten().map(str::len).max(),
        _ => None,
    };
    longest.unwrap_or(0)
}
