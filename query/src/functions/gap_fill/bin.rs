//! `date_bin` for timestamps with a time zone. DataFusion's own casts them to nanoseconds first; here the time keeps
//! its unit and its zone, and days and months are those of the zone.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, IntervalUnit, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::local::Local;

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

/// Windows of days or months of a time zone; `None` if the stride or the time is of another kind.
fn of_zone(args: &ScalarFunctionArgs) -> Result<Option<ColumnarValue>> {
    let (Some(ColumnarValue::Scalar(stride)), Some(time)) = (args.args.first(), args.args.get(1))
    else {
        return Ok(None);
    };
    let DataType::Timestamp(unit, Some(zone)) = time.data_type() else { return Ok(None) };
    let of = DataType::Interval(IntervalUnit::MonthDayNano);
    let ScalarValue::IntervalMonthDayNano(Some(stride)) = stride.cast_to(&of)? else {
        return Ok(None);
    };
    let whole = |value: &ScalarValue| match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(at)) => at,
        _ => None,
    };
    let origin = match args.args.get(2) {
        Some(ColumnarValue::Scalar(origin)) => whole(&origin.cast_to(&time.data_type())?),
        _ => None,
    };
    let Some(local) = Local::new(stride, origin, unit, Some(&zone))? else { return Ok(None) };
    let constant = matches!(time, ColumnarValue::Scalar(_));
    let times = time.to_array(args.number_rows)?;
    let wholes = cast(&times, &DataType::Int64)?;
    let starts = wholes.as_primitive::<Int64Type>().iter().map(|at| match at {
        Some(at) => match local.floor(at) {
            Some(start) => Ok(Some(start)),
            None => exec_err!("date_bin: a time is too far from the origin of its windows"),
        },
        None => Ok(None),
    });
    let starts = starts.collect::<Result<Int64Array>>()?;
    let windows = cast(&starts, times.data_type())?;
    Ok(Some(match constant {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&windows, 0)?),
        false => ColumnarValue::Array(windows),
    }))
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

    /// Null only where an argument is null, so that an order by windows does not depend on where nulls stand.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let nullable = args.return_field.is_nullable();
        if let Some(windows) = of_zone(&args)? {
            return Ok(windows);
        }
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
