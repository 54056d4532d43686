//! The internal function `"(value)"(n)`, which returns the nth of the values that a statement is planned with.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
    Signature, Volatility,
};

use crate::tree;

/// Its name, which no statement contains.
pub(super) const FUNCTION: &str = "(value)";

/// Values by place.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Values {
    values: Vec<ScalarValue>,
    /// Names of columns that show a value.
    names: Vec<String>,
    signature: Signature,
}

impl Values {
    pub(super) fn new(values: Vec<ScalarValue>, names: Vec<String>) -> Self {
        let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
        Self { values, names, signature }
    }

    fn at(&self, place: Option<&ScalarValue>) -> Result<&ScalarValue> {
        match place.and_then(|place| self.values.get(index(place)?)) {
            Some(value) => Ok(value),
            None => internal_err!("there is no value for the place {place:?}"),
        }
    }

    fn name_of(&self, args: &[Expr]) -> Result<String> {
        let place = match args {
            [Expr::Literal(place, _)] => index(place),
            _ => None,
        };
        Ok(place.and_then(|place| self.names.get(place)).map_or(FUNCTION, String::as_str).into())
    }
}

fn index(place: &ScalarValue) -> Option<usize> {
    match place {
        ScalarValue::Int64(Some(place)) => usize::try_from(*place).ok(),
        _ => None,
    }
}

impl ScalarUDFImpl for Values {
    fn name(&self) -> &str {
        FUNCTION
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.name_of(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.name_of(args)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of a value depends on its place")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let place = args.scalar_arguments.first().copied().flatten();
        Ok(Arc::new(Field::new(FUNCTION, self.at(place)?.data_type(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first() {
            Some(ColumnarValue::Scalar(place)) => {
                self.at(Some(place)).cloned().map(ColumnarValue::Scalar)
            }
            _ => internal_err!("the place of a value is not a constant"),
        }
    }
}

/// The plan with the values in place of the calls.
pub(super) fn settled(plan: LogicalPlan) -> Result<LogicalPlan> {
    tree::transform_up_with_subqueries(plan, &mut |plan| {
        tree::transform_named_expressions(plan, &mut |expr| match literal(&expr)? {
            Some(value) => Ok(Transformed::yes(Expr::Literal(value, None))),
            None => Ok(Transformed::no(expr)),
        })
    })
    .data()
}

fn literal(expr: &Expr) -> Result<Option<ScalarValue>> {
    let Expr::ScalarFunction(call) = expr else { return Ok(None) };
    let (Some(values), [Expr::Literal(place, _)]) =
        (call.func.inner().downcast_ref::<Values>(), call.args.as_slice())
    else {
        return Ok(None);
    };
    values.at(Some(place)).cloned().map(Some)
}
