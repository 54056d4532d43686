//! Values of SQL as literals beside a column of a scan, and the lengths of windows of time.

use arrow::datatypes::{DataType, TimeUnit};
use barograph_lake::schema::FIRST_VALUE_COLUMN;
use barograph_lake::{Span, TableSchema, ValueType};
use datafusion::common::ScalarValue;

use barograph_engine::filter::{Literal, Op};

/// Whether a cast keeps every instant, and with it every UTC hour and day, as it is.
pub(crate) fn is_fine(cast: Option<&DataType>) -> bool {
    match cast {
        None => true,
        Some(DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, zone)) => {
            zone.as_deref().is_none_or(|zone| ["UTC", "+00:00"].contains(&zone))
        }
        Some(_) => false,
    }
}

/// Whether a column of the table holds floats that may be NaN: a plausible range excludes NaN.
pub(crate) fn may_be_nan(table: &TableSchema, column: usize) -> bool {
    let declared = column.checked_sub(FIRST_VALUE_COLUMN).and_then(|at| table.values().get(at));
    declared.is_some_and(|column| {
        matches!(column.value_type, ValueType::Float32 | ValueType::Float64)
            && column.range.is_none()
    })
}

/// An instant in ns.
pub(crate) fn nanos(value: &ScalarValue) -> Option<i128> {
    match value {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Some(i128::from(*micros) * 1_000),
        ScalarValue::TimestampNanosecond(Some(nanos), _) => Some(i128::from(*nanos)),
        _ => None,
    }
}

/// Length of the windows, aligned to the Unix epoch, that `date_bin(what, …)` or `date_trunc(what, …)`
/// divides UTC time into.
pub(crate) fn window_length(function: &str, what: &ScalarValue) -> Option<Span> {
    match function {
        "date_bin" => interval(what),
        "date_trunc" => match what {
            ScalarValue::Utf8(Some(unit))
            | ScalarValue::LargeUtf8(Some(unit))
            | ScalarValue::Utf8View(Some(unit)) => match unit.to_lowercase().as_str() {
                "second" => Some(Span::SECOND),
                "minute" => Some(Span::MINUTE),
                "hour" => Some(Span::HOUR),
                "day" => Some(Span::DAY),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Length of an interval of fixed length.
fn interval(value: &ScalarValue) -> Option<Span> {
    const DAY: i64 = 86_400_000_000;
    let micros = match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            let (days, nanos) = (i64::from(interval.days), interval.nanoseconds);
            (nanos % 1_000 == 0).then_some(days.checked_mul(DAY)?.checked_add(nanos / 1_000)?)?
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            let (days, millis) = (i64::from(interval.days), i64::from(interval.milliseconds));
            days.checked_mul(DAY)?.checked_add(millis.checked_mul(1_000)?)?
        }
        _ => return None,
    };
    (micros > 0).then(|| Span::from_micros(micros))
}

pub(crate) fn is_micros(cast: Option<&DataType>) -> bool {
    matches!(cast, None | Some(DataType::Timestamp(TimeUnit::Microsecond, _)))
}

/// A number beside an integer column, where the cast of the column loses nothing.
pub(crate) fn integer_literal(
    of: ValueType,
    cast: Option<&DataType>,
    value: &ScalarValue,
) -> Option<Literal> {
    let bits = |of: ValueType| match of {
        ValueType::Int16 => 16,
        ValueType::Int32 => 32,
        _ => 64,
    };
    let fits = match cast {
        None => true,
        Some(DataType::Int16) => bits(of) <= 16,
        Some(DataType::Int32) => bits(of) <= 32,
        Some(DataType::Int64) => true,
        Some(DataType::Float32) => bits(of) <= 16,
        Some(DataType::Float64) => bits(of) <= 32,
        Some(_) => false,
    };
    let number = match value {
        ScalarValue::Int8(Some(value)) => value.to_string(),
        ScalarValue::Int16(Some(value)) => value.to_string(),
        ScalarValue::Int32(Some(value)) => value.to_string(),
        ScalarValue::Int64(Some(value)) => value.to_string(),
        // The shortest decimal that names a float lies between the same whole numbers as the float.
        ScalarValue::Float32(Some(value)) if value.is_finite() => value.to_string(),
        ScalarValue::Float64(Some(value)) if value.is_finite() => value.to_string(),
        _ => return None,
    };
    fits.then_some(Literal::Number(number))
}

pub(crate) fn text_literal(cast: Option<&DataType>, value: &ScalarValue) -> Option<Literal> {
    let is_text =
        matches!(cast, None | Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View));
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
            if is_text =>
        {
            Some(Literal::Text(text.clone()))
        }
        _ => None,
    }
}

/// A number beside a float column. For a single-precision column that SQL widens, it is the equivalent literal for the
/// column's own type.
pub(crate) fn float_literal(
    of: ValueType,
    cast: Option<&DataType>,
    op: Op,
    value: &ScalarValue,
) -> Option<(Op, Literal)> {
    match (of, cast, value) {
        (ValueType::Float32, None | Some(DataType::Float32), ScalarValue::Float32(Some(value))) => {
            Some((op, number(*value)?))
        }
        (ValueType::Float64, None | Some(DataType::Float64), ScalarValue::Float64(Some(value))) => {
            Some((op, number(*value)?))
        }
        (ValueType::Float32, Some(DataType::Float64), ScalarValue::Float64(Some(value))) => {
            if !value.is_finite() {
                return Some((op, number(*value)?));
            }
            let mut below = *value as f32;
            if f64::from(below) > *value {
                below = below.next_down();
            }
            let op = match op {
                op if f64::from(below) == *value => op,
                Op::Lt | Op::Le => Op::Le,
                Op::Gt | Op::Ge => Op::Gt,
                // Nothing is greater than NaN, and everything is at or below it.
                Op::Eq => return Some((Op::Gt, not_a_number())),
                Op::Ne => return Some((Op::Le, not_a_number())),
            };
            Some((op, number(below)?))
        }
        _ => None,
    }
}

fn not_a_number() -> Literal {
    Literal::Text("NaN".to_owned())
}

fn number<F: std::fmt::Display + Into<f64> + Copy>(value: F) -> Option<Literal> {
    let wide: f64 = value.into();
    Some(match (wide.is_nan(), wide.is_infinite()) {
        (true, _) => return None,
        (_, true) if wide > 0.0 => Literal::Text("Infinity".to_owned()),
        (_, true) => Literal::Text("-Infinity".to_owned()),
        _ => Literal::Number(value.to_string()),
    })
}
