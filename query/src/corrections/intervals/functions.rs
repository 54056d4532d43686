//! The length of a span and a multiple of it, as functions of SQL's plans. They have no name of their own in SQL.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, IntervalMonthDayNanoArray,
};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

use super::SPAN;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_MONTH: i128 = 30;
/// Holds the length of every span in ns.
const LENGTH: DataType = DataType::Decimal128(38, 0);

/// The length of a span in ns.
pub(super) fn length(span: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Length { signature }))
    });
    FUNCTION.call(vec![span])
}

/// A span so many times, or its part; one of the two is the number.
pub(super) fn times(left: Expr, right: Expr, divide: bool) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Times { signature }))
    });
    FUNCTION.call(vec![left, right, lit(divide)])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Duration(unit)] => Ok(vec![DataType::Duration(*unit)]),
            [of] => taken_for_span(of),
            _ => plan_err!("an interval has one length"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(LENGTH)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        of_arrays(args, |arrays| {
            let [spans] = arrays else { return plan_err!("an interval has one length") };
            let lengths: Decimal128Array = match spans.data_type() {
                DataType::Duration(unit) => durations(spans, *unit)?,
                _ => spans
                    .as_primitive::<IntervalMonthDayNanoType>()
                    .iter()
                    .map(|span| span.map(nanos))
                    .collect(),
            };
            Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
        })
    }
}

fn durations(spans: &ArrayRef, unit: TimeUnit) -> Result<Decimal128Array> {
    let of = |nanos: i128| move |value: Option<i64>| value.map(|value| i128::from(value) * nanos);
    Ok(match unit {
        TimeUnit::Second => {
            spans.as_primitive::<DurationSecondType>().iter().map(of(1_000_000_000)).collect()
        }
        TimeUnit::Millisecond => {
            spans.as_primitive::<DurationMillisecondType>().iter().map(of(1_000_000)).collect()
        }
        TimeUnit::Microsecond => {
            spans.as_primitive::<DurationMicrosecondType>().iter().map(of(1_000)).collect()
        }
        TimeUnit::Nanosecond => {
            spans.as_primitive::<DurationNanosecondType>().iter().map(of(1)).collect()
        }
    })
}

fn nanos(span: IntervalMonthDayNano) -> i128 {
    let days = i128::from(span.months) * DAYS_PER_MONTH + i128::from(span.days);
    days * NANOS_PER_DAY + i128::from(span.nanoseconds)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Times {
    signature: Signature,
}

impl ScalarUDFImpl for Times {
    fn name(&self) -> &str {
        "interval_times"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The span stands before the number or after it.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right, _] = types else {
            return plan_err!("an interval is taken a number of times");
        };
        let is_span = |of: &DataType| matches!(of, DataType::Interval(_) | DataType::Duration(_));
        let (left, right) = if is_span(left) || !is_span(right) {
            (SPAN, DataType::Float64)
        } else {
            (DataType::Float64, SPAN)
        };
        Ok(vec![left, right, DataType::Boolean])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(SPAN)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let divide = matches!(
            args.args.get(2),
            Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
        );
        of_arrays(args, |arrays| {
            let [spans, factors, ..] = arrays else {
                return plan_err!("an interval is taken a number of times");
            };
            let (spans, factors) = match spans.data_type() {
                DataType::Float64 => (factors, spans),
                _ => (spans, factors),
            };
            let (spans, factors): (&IntervalMonthDayNanoArray, &Float64Array) =
                (spans.as_primitive(), factors.as_primitive::<Float64Type>());
            let multiples = spans.iter().zip(factors).map(|pair| match pair {
                (Some(span), Some(factor)) => multiple(span, factor, divide).map(Some),
                _ => Ok(None),
            });
            Ok(Arc::new(multiples.collect::<Result<IntervalMonthDayNanoArray>>()?))
        })
    }
}

/// A whole number of times keeps months, days and hours apart; what is left of a month by a fraction is days of
/// it, and what is left of a day is hours, as in PostgreSQL.
fn multiple(span: IntervalMonthDayNano, factor: f64, divide: bool) -> Result<IntervalMonthDayNano> {
    let by = |value: f64| if divide { value / factor } else { value * factor };
    let too_long = || {
        exec_datafusion_err!(
            "INTERVAL {} {factor}: the result is not an interval",
            if divide { "/" } else { "*" }
        )
    };
    if divide && factor == 0.0 {
        return Err(ArrowError::DivideByZero.into());
    }
    if !divide && factor.fract() == 0.0 && factor.abs() <= 2f64.powi(53) {
        let whole = factor as i64;
        let months =
            i64::from(span.months).checked_mul(whole).and_then(|of| i32::try_from(of).ok());
        let days = i64::from(span.days).checked_mul(whole).and_then(|of| i32::try_from(of).ok());
        let nanos = span.nanoseconds.checked_mul(whole);
        return match (months, days, nanos) {
            (Some(months), Some(days), Some(nanos)) => {
                Ok(IntervalMonthDayNano::new(months, days, nanos))
            }
            _ => Err(too_long()),
        };
    }
    let months = by(f64::from(span.months));
    let days = by(f64::from(span.days)) + months.fract() * DAYS_PER_MONTH as f64;
    let micros =
        by(span.nanoseconds as f64 / 1_000.0) + days.fract() * (NANOS_PER_DAY / 1_000) as f64;
    let nanos = micros.round() * 1_000.0;
    let fits = |value: f64, most: f64| value.is_finite() && value.abs() < most;
    if !fits(months, 2f64.powi(31)) || !fits(days, 2f64.powi(31)) || !fits(nanos, 2f64.powi(63)) {
        return Err(too_long());
    }
    Ok(IntervalMonthDayNano::new(months.trunc() as i32, days.trunc() as i32, nanos as i64))
}

/// Text beside an interval is one.
fn taken_for_span(of: &DataType) -> Result<Vec<DataType>> {
    match of {
        DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => Ok(vec![SPAN]),
        other => plan_err!(
            "an interval cannot be compared with a value of type {other}: both must be intervals"
        ),
    }
}

fn of_arrays(
    args: ScalarFunctionArgs,
    of: impl Fn(&[ArrayRef]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let result = of(&ColumnarValue::values_to_arrays(&args.args)?)?;
    Ok(match constant && result.len() == 1 {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
        false => ColumnarValue::Array(result),
    })
}
