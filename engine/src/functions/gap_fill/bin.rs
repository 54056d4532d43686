//! Which window does a time lie in? DataFusion's `date_bin`, which would cast a timestamp with a time zone to
//! nanoseconds before it looks at it; here the time keeps its unit and its zone.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion::common::Result;
use datafusion::functions::datetime;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// `date_bin` that keeps the type of a timestamp.
pub(in crate::functions) fn date_bin() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(DateBin {
        inner: datetime::date_bin(),
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

/// The types of the arguments over a time of type `time`.
pub(super) fn of_timestamp(types: &[DataType], time: &DataType) -> Vec<DataType> {
    let stride = DataType::Interval(IntervalUnit::MonthDayNano);
    let wanted = std::iter::once(stride).chain(std::iter::repeat(time.clone()));
    wanted.take(types.len()).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateBin {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let ([_, time, ..], 2..=3) = (types, types.len())
            && matches!(time, DataType::Timestamp(_, _))
        {
            return Ok(of_timestamp(types, time));
        }
        let fields: Vec<FieldRef> =
            types.iter().map(|t| Arc::new(Field::new("", t.clone(), true))).collect();
        let fields = fields_with_udf(&fields, self.inner.as_ref())?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
