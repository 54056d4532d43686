//! Conditions that are neither true nor false: comparisons with null, and what is made of such.
//!
//! DataFusion 55.2 simplifies conditions in ways that hold where unknown is as good as false, or where no value of a list
//! is null or computed. Elsewhere what it would get wrong is kept from it:
//!
//! | condition | taken by the planner for | here |
//! |---|---|---|
//! | `x NOT IN (2, NULL)` beside `x IN (1, 2)` | `x IN (1)` | `x NOT IN (2) AND NULL` |
//! | `NOT (x IN (1, 2) AND x IN (3, 4))` | true, also if `x` is null | both lists kept apart |
//! | `x IN (1, y) AND x IN (1, z)` | `x IN (1)` | both lists kept apart |
//! | `x ~ '.*'` | true or false | `x LIKE '%'` |
//! | `x ~ 'a\\b'` | `x LIKE '%a\b%'`, whose backslash is an escape | `x ~ '(a\\b)'` |
//! | `x & -x`, `-(x & y)`, `x ^ y ^ x` | as if − were ~, and as if no `x` were null | operands kept apart |

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    Between, BinaryExpr, ColumnarValue, Expr, Filter, Like, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

use crate::tree;

/// Keeps conditions from simplifications that forget the unknown.
#[derive(Debug)]
pub(crate) struct ThreeValuedLogic;

impl AnalyzerRule for ThreeValuedLogic {
    fn name(&self) -> &str {
        "unknown"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            if !concerns(&plan)? {
                return Ok(Transformed::no(plan));
            }
            let changed = tree::transform_named_expressions(plan, &mut meant)?;
            let kept = match changed.data {
                LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                    let predicate = below_joints(predicate)?;
                    let filter = Filter::try_new(predicate.data, input)?;
                    Transformed::new_transformed(LogicalPlan::Filter(filter), predicate.transformed)
                }
                plan => tree::map_named_expressions(plan, &mut lists_apart)?,
            };
            Ok(Transformed::new_transformed(kept.data, kept.transformed || changed.transformed))
        })
        .data()
    }
}

/// Whether a node has anything to keep: most have not.
fn concerns(plan: &LogicalPlan) -> Result<bool> {
    let (mut found, mut weight) = (false, 0);
    tree::apply_expressions(plan, &mut |expr| {
        tree::apply(expr, &mut |part| {
            found |= match part {
                Expr::InList(_) | Expr::Negative(_) => true,
                Expr::BinaryExpr(of) => is_regex(of.op) || is_bitwise(of.op),
                _ => false,
            };
            weight += condition(part).map_or(0, |(_, weight)| weight);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found || weight >= TWO_LISTS)
}

/// What an operator means, written so that no simplification takes it for something else.
fn meant(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(Transformed::yes(match expr {
        Expr::InList(InList { expr, mut list, negated }) => {
            let nulls = list.iter().any(is_null);
            if nulls {
                list.retain(|item| !is_null(item));
            }
            let computed = !list.iter().all(is_plain);
            if !nulls && !computed {
                return Ok(Transformed::no(expr.in_list(list, negated)));
            }
            let known = if list.is_empty() { lit(negated) } else { expr.in_list(list, negated) };
            let known = if computed { kept(known) } else { known };
            match (nulls, negated) {
                (false, _) => known,
                (true, false) => known.or(null()),
                (true, true) => known.and(null()),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_regex(op) => {
            return Ok(regex(left, op, right));
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_bitwise(op) && (is_negative(&left) || is_negative(&right)) =>
        {
            let keep = |side: Box<Expr>| match is_negative(&side) {
                true => Box::new(kept(*side)),
                false => side,
            };
            Expr::BinaryExpr(BinaryExpr::new(keep(left), op, keep(right)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::BitwiseXor, right })
            if !matches!(*right, Expr::Literal(..)) =>
        {
            let (left, right) = (Box::new(kept(*left)), Box::new(kept(*right)));
            Expr::BinaryExpr(BinaryExpr::new(left, Operator::BitwiseXor, right))
        }
        Expr::Negative(inner) if matches!(&*inner, Expr::BinaryExpr(of) if is_bitwise(of.op)) => {
            Expr::Negative(Box::new(kept(*inner)))
        }
        other => return Ok(Transformed::no(other)),
    }))
}

/// A pattern that matches everything is nothing but a question whether there is a text; one in which a backslash
/// stands for itself is put in brackets, which no simplification looks into.
fn regex(left: Box<Expr>, op: Operator, right: Box<Expr>) -> Transformed<Expr> {
    let pattern = match &*right {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    };
    let text = |text: &str| Box::new(cast(lit(text), text_type(&right)));
    let likes = |negated| {
        Transformed::yes(Expr::Like(Like::new(negated, left.clone(), text("%"), None, false)))
    };
    match (pattern, op) {
        (Some(".*"), Operator::RegexMatch | Operator::RegexIMatch) => likes(false),
        (Some(".*"), _) => likes(true),
        (Some(given), _) if given.contains('\\') => {
            let pattern = text(&format!("({given})"));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(left, op, pattern)))
        }
        _ => Transformed::no(Expr::BinaryExpr(BinaryExpr::new(left, op, right))),
    }
}

fn text_type(pattern: &Expr) -> DataType {
    match pattern {
        Expr::Literal(value, _) => value.data_type(),
        _ => DataType::Utf8,
    }
}

fn is_regex(op: Operator) -> bool {
    use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
    matches!(op, RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch)
}

fn is_bitwise(op: Operator) -> bool {
    matches!(op, Operator::BitwiseAnd | Operator::BitwiseOr | Operator::BitwiseXor)
}

fn is_negative(expr: &Expr) -> bool {
    matches!(expr, Expr::Negative(_))
}

/// A value that is written in the statement, in whatever type it is taken.
fn written(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Cast(cast) => written(&cast.expr),
        _ => None,
    }
}

fn is_null(expr: &Expr) -> bool {
    written(expr).is_some_and(ScalarValue::is_null)
}

/// Whether two values are equal only if they are written alike.
fn is_plain(expr: &Expr) -> bool {
    let of = match expr {
        Expr::Cast(cast) => cast.field.data_type().clone(),
        Expr::Literal(value, _) => value.data_type(),
        _ => return false,
    };
    if !of.is_floating() {
        return written(expr).is_some();
    }
    let number = written(expr).and_then(|value| value.cast_to(&DataType::Float64).ok());
    matches!(number, Some(ScalarValue::Float64(Some(number))) if number != 0.0 && !number.is_nan())
}

fn null() -> Expr {
    lit(ScalarValue::Boolean(None))
}

/// A plain condition that WHERE joins by AND and OR is as good as false where it is unknown; what is turned round is
/// not, and neither is anything outside WHERE.
fn below_joints(predicate: Expr) -> Result<Transformed<Expr>> {
    let mut weights = Weights::default();
    for leaf in leaves(&predicate) {
        if !is_plain_condition(leaf)? {
            weights.add(leaf)?;
        }
    }
    if weights.is_light() {
        return Ok(Transformed::no(predicate));
    }
    joined(predicate, &weights)
}

/// What AND and OR join in a condition.
fn leaves(predicate: &Expr) -> Vec<&Expr> {
    let (mut open, mut found) = (vec![predicate], Vec::new());
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr(of) if matches!(of.op, Operator::And | Operator::Or) => {
                open.extend([of.left.as_ref(), of.right.as_ref()]);
            }
            other => found.push(other),
        }
    }
    found
}

fn joined(expr: Expr, weights: &Weights) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (joined(*left, weights)?.data, joined(*right, weights)?.data);
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                op,
                Box::new(right),
            ))))
        }
        plain if is_plain_condition(&plain)? => Ok(Transformed::no(plain)),
        other => weights.keep(other),
    }
}

/// Whether a condition says something of a value without NOT, and of nothing that is a condition itself.
fn is_plain_condition(expr: &Expr) -> Result<bool> {
    use Operator::{RegexNotIMatch, RegexNotMatch};
    let turned = match expr {
        Expr::InList(of) => of.negated,
        Expr::Between(of) => of.negated,
        Expr::BinaryExpr(of) => matches!(of.op, RegexNotMatch | RegexNotIMatch | Operator::NotEq),
        _ => true,
    };
    match condition(expr) {
        Some((of, _)) if !turned => {
            Ok(!tree::exists(of, &mut |part| Ok(condition(part).is_some()))?)
        }
        _ => Ok(false),
    }
}

/// Keeps conditions on one value apart, where the planner could make an empty list of two.
fn lists_apart(expr: Expr) -> Result<Transformed<Expr>> {
    let mut weights = Weights::default();
    weights.add(&expr)?;
    if weights.is_light() { Ok(Transformed::no(expr)) } else { weights.keep(expr) }
}

/// How much of two lists a condition on a value is; two of the planner's lists make it conclude from both.
const ONE_VALUE: usize = 1;
const ONE_LIST: usize = 2;
const TWO_LISTS: usize = 4;

/// How much there is on each value.
#[derive(Default)]
struct Weights(HashMap<u64, usize>);

impl Weights {
    fn add(&mut self, expr: &Expr) -> Result<()> {
        tree::apply(expr, &mut |part| {
            if let Some((of, weight)) = condition(part) {
                *self.0.entry(print(of)).or_default() += weight;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    /// Whether nothing can be concluded from any two.
    fn is_light(&self) -> bool {
        self.0.values().all(|weight| *weight < TWO_LISTS)
    }

    fn keep(&self, expr: Expr) -> Result<Transformed<Expr>> {
        let heavy = |of: &Expr| self.0.get(&print(of)).is_some_and(|weight| *weight >= TWO_LISTS);
        tree::transform_up(expr, &mut |part| {
            Ok(match condition(&part) {
                Some((of, _)) if heavy(of) => Transformed::yes(kept(part)),
                _ => Transformed::no(part),
            })
        })
    }
}

/// What an expression is known by. Two that have one by chance are kept apart for nothing.
fn print(expr: &Expr) -> u64 {
    let mut hasher = DefaultHasher::new();
    expr.hash(&mut hasher);
    hasher.finish()
}

/// The value that a condition is on, if the planner may take it for a list or a part of one.
fn condition(expr: &Expr) -> Option<(&Expr, usize)> {
    let is_literal = |expr: &Expr| written(expr).is_some();
    match expr {
        Expr::InList(of) => Some((&of.expr, ONE_LIST)),
        Expr::Between(Between { expr, .. }) => Some((expr, ONE_VALUE)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_literal(right) => match op {
            op if is_regex(*op) => Some((left, ONE_LIST)),
            Operator::Eq | Operator::NotEq | Operator::GtEq | Operator::LtEq => {
                Some((left, ONE_VALUE))
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq | Operator::NotEq | Operator::GtEq | Operator::LtEq,
            right,
        }) if is_literal(left) => Some((right, ONE_VALUE)),
        _ => None,
    }
}

/// The value of an expression, which no simplification looks into.
fn kept(expr: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Kept { signature }))
    });
    FUNCTION.call(vec![expr])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Kept {
    signature: Signature,
}

impl ScalarUDFImpl for Kept {
    fn name(&self) -> &str {
        "kept"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::clone(field)),
            _ => exec_err!("one value is kept"),
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.pop() {
            Some(value) => Ok(value),
            None => exec_err!("one value is kept"),
        }
    }
}
