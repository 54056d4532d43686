//! Checked arithmetic of whole numbers: `+`, `-`, `*` and the sign give the number, or an error where its type cannot
//! hold it.
//!
//! DataFusion's operators wrap around, also where they compute constants, so that the rule works before anything is
//! computed. It concerns whole numbers only: floats have infinities, and DataFusion checks times and decimals.

use std::sync::Arc;

use arrow::array::{ArrayRef, Datum};
use arrow::compute::kernels::numeric::{
    add, add_wrapping, mul, mul_wrapping, neg, neg_wrapping, sub, sub_wrapping,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, DFSchemaRef, Result, exec_err, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::size::fits;
use crate::tree;

/// Replaces operators that wrap around by checked ones.
#[derive(Debug)]
pub(in crate::functions) struct ArithmeticRule([Arc<ScalarUDF>; 4]);

impl Default for ArithmeticRule {
    fn default() -> Self {
        let of = |operation| Arc::new(ScalarUDF::new_from_impl(Checked::new(operation)));
        Self([Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Negate].map(of))
    }
}

impl AnalyzerRule for ArithmeticRule {
    fn name(&self) -> &str {
        "arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            if !tree::exists_in_expressions(&plan, &mut wraps)? {
                return Ok(Transformed::no(plan));
            }
            let schema: DFSchemaRef = match plan.inputs().as_slice() {
                [input] => Arc::clone(input.schema()),
                inputs => Arc::new(merge_schema(inputs)),
            };
            tree::transform_named_expressions(plan, &mut |expr| Ok(self.checked(expr, &schema)))
        })
        .data()
    }
}

/// Whether an operator may wrap around.
fn wraps(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
        }
        Expr::Negative(_) => true,
        _ => false,
    }
}

impl ArithmeticRule {
    fn checked(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let [plus, minus, times, sign] = &self.0;
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
                    && is_whole(&right, schema)
                    && is_whole(&left, schema) =>
            {
                let of = match op {
                    Operator::Plus => plus,
                    Operator::Minus => minus,
                    _ => times,
                };
                Transformed::yes(call(of, vec![*left, *right]))
            }
            Expr::Negative(of) if is_whole(&of, schema) => Transformed::yes(call(sign, vec![*of])),
            other => Transformed::no(other),
        }
    }
}

fn call(of: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(of), args))
}

/// Whether an expression is a whole number. In a chain of operators, which may be long, the last operand tells.
fn is_whole(mut expr: &Expr, schema: &DFSchema) -> bool {
    while let Expr::ScalarFunction(function) = expr
        && function.func.inner().is::<Checked>()
        && let Some(last) = function.args.last()
    {
        expr = last;
    }
    expr.get_type(schema).is_ok_and(|of| of.is_integer())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

/// An operator that gives the number or an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        Self { operation, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
        }
    }

    /// The column name of the operator that it replaces.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let sign = match self.operation {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Negate => "-",
        };
        Ok(match args {
            [of] => format!("({sign} {})", of.schema_name()),
            [left, right] => format!("{} {sign} {}", left.schema_name(), right.schema_name()),
            _ => return internal_err!("{} has {} operands", self.name(), args.len()),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.last() {
            Some(of) => Ok(of.clone()),
            None => internal_err!("{} has no operand", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Some(of) = args.arg_fields.last() else {
            return internal_err!("{} has no operand", self.name());
        };
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), of.data_type().clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = args.args.iter().all(|of| matches!(of, ColumnarValue::Scalar(_)));
        let of = args.return_field.data_type().clone();
        let array = match args.args.as_slice() {
            [of] => {
                let of = operand(of)?;
                let (values, _) = of.get();
                match fits(self.operation, &[of.as_ref()]) {
                    true => neg_wrapping(values),
                    false => neg(values),
                }
            }
            [left, right] => {
                let (left, right) = (operand(left)?, operand(right)?);
                let (left, right) = (left.as_ref(), right.as_ref());
                match (self.operation, fits(self.operation, &[left, right])) {
                    (Operation::Add, true) => add_wrapping(left, right),
                    (Operation::Add, false) => add(left, right),
                    (Operation::Subtract, true) => sub_wrapping(left, right),
                    (Operation::Subtract, false) => sub(left, right),
                    (_, true) => mul_wrapping(left, right),
                    (_, false) => mul(left, right),
                }
            }
            other => return internal_err!("{} has {} operands", self.name(), other.len()),
        };
        let array: ArrayRef = match array {
            Ok(array) => array,
            Err(ArrowError::ArithmeticOverflow(what)) => return overflow(&what, &of),
            Err(other) => return Err(other.into()),
        };
        Ok(match one {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

fn operand(of: &ColumnarValue) -> Result<Arc<dyn Datum>> {
    Ok(match of {
        ColumnarValue::Array(array) => Arc::new(Arc::clone(array)),
        ColumnarValue::Scalar(value) => Arc::new(value.to_scalar()?),
    })
}

fn overflow<T>(what: &str, of: &DataType) -> Result<T> {
    let what = what.strip_prefix("Overflow happened on: ").unwrap_or(what);
    exec_err!(
        "{what} leaves the range of {}: cast a side to decimal(38, 0) or double",
        match of {
            DataType::Int8 => "tinyint",
            DataType::Int16 => "smallint",
            DataType::Int32 => "integer",
            DataType::Int64 => "bigint",
            _ => "unsigned integers",
        }
    )
}
