//! `||` of texts as a function, so that its result is bounded like that of any function.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};

/// `||` of texts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ConcatFunction {
    signature: Signature,
}

impl ConcatFunction {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ConcatFunction {
    fn name(&self) -> &str {
        "||"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<_> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(names.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [left, right] => {
                BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
            }
            _ => plan_err!("|| stands between two texts"),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        let mut sides: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for (value, field) in args.args.into_iter().zip(args.arg_fields) {
            sides.push(match value {
                ColumnarValue::Array(column) => {
                    let side = Arc::new(Column::new("", columns.len()));
                    columns.push(column);
                    fields.push(field.as_ref().clone().with_nullable(true));
                    side
                }
                ColumnarValue::Scalar(value) => Arc::new(Literal::new(value)),
            });
        }
        let (Some(right), Some(left)) = (sides.pop(), sides.pop()) else {
            return internal_err!("|| has two sides");
        };
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let rows =
            RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        BinaryExpr::new(left, Operator::StringConcat, right).evaluate(&rows)
    }
}
