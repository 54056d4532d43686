//! Which window does a time lie in? DataFusion's `date_bin`, which would cast a timestamp with a time zone to
//! nanoseconds before it looks at it; here the time keeps its unit and its zone.

use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
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

    /// Null only where an argument is, so that an order by windows does not depend on where nulls stand.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let nullable = args.return_field.is_nullable();
        // The place from which windows are counted is taken in nanoseconds alone.
        if let Some(origin) = args.args.get_mut(2)
            && let DataType::Timestamp(_, zone) = origin.data_type()
        {
            *origin = origin.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, zone), None)?;
        }
        let windows = self.inner.invoke_with_args(args)?;
        let nulls = match &windows {
            ColumnarValue::Array(array) => array.null_count() > 0,
            ColumnarValue::Scalar(value) => value.is_null(),
        };
        // The function counts in nanoseconds, whatever the unit of its time.
        if nulls && !nullable {
            return exec_err!("date_bin: a time lies outside the years 1677 to 2262");
        }
        Ok(windows)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
