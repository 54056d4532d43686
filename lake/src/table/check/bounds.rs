//! The statistics of a column, computed from its values and compared with those in the entry of the file.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use serde_json::Value;

use crate::Timestamp;
use crate::snapshot::ColumnStats;

/// Exact minimum, maximum and null count of a column.
#[derive(Default)]
pub(super) struct Bounds {
    nulls: u64,
    range: Option<(Number, Number)>,
    /// Whether there is a value that has no place in an order: such a column needs no range.
    unordered: bool,
}

impl Bounds {
    /// Takes in more values of the column.
    pub(super) fn add(&mut self, column: &ArrayRef) {
        self.nulls += column.null_count() as u64;
        match column.data_type() {
            DataType::Int16 => self.add_all::<Int16Type>(column, |v| Number::Integer(v.into())),
            DataType::Int32 => self.add_all::<Int32Type>(column, |v| Number::Integer(v.into())),
            DataType::Int64 => self.add_all::<Int64Type>(column, Number::Integer),
            DataType::Float32 => self.add_all::<Float32Type>(column, |v| Number::Float(v.into())),
            DataType::Float64 => self.add_all::<Float64Type>(column, Number::Float),
            DataType::Timestamp(..) => {
                self.add_all::<TimestampMicrosecondType>(column, |at| {
                    Number::Instant(Timestamp::from_micros(at))
                });
            }
            _ => {}
        }
    }

    fn add_all<T: ArrowPrimitiveType>(
        &mut self,
        column: &ArrayRef,
        number: impl Fn(T::Native) -> Number,
    ) {
        for value in column.as_primitive::<T>().iter().flatten().map(number) {
            if value.is_nan() {
                self.unordered = true;
                continue;
            }
            let (min, max) = self.range.get_or_insert((value, value));
            if value < *min {
                *min = value;
            } else if value > *max {
                *max = value;
            }
        }
    }

    /// What `stats` say otherwise, in words.
    pub(super) fn differences(&self, stats: &ColumnStats) -> Vec<String> {
        let mut differences = Vec::new();
        if stats.nulls != self.nulls {
            differences.push(format!("{} nulls expected, {} found", stats.nulls, self.nulls));
        }
        let (min, max) = self.range.unzip();
        for (name, expected, found) in [("minimum", &stats.min, min), ("maximum", &stats.max, max)]
        {
            let same = match (expected, found) {
                (None, None) => true,
                (None, Some(found)) => self.unordered || found.is_infinite(),
                (Some(expected), Some(found)) => found.is(expected),
                (Some(_), None) => false,
            };
            if !same {
                let expected = expected.as_ref().map_or("none".to_owned(), Value::to_string);
                let found = found.map_or("none".to_owned(), |number| number.to_string());
                differences.push(format!("{name} {expected} expected, {found} found"));
            }
        }
        differences
    }
}

/// A value as statistics have it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Number {
    Integer(i64),
    Float(f64),
    Instant(Timestamp),
}

impl Number {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Integer(number) => value.as_i64() == Some(number),
            Self::Float(number) => value.as_f64() == Some(number),
            Self::Instant(instant) => value
                .as_str()
                .is_some_and(|text| text.parse::<Timestamp>().is_ok_and(|t| t == instant)),
        }
    }

    fn is_nan(self) -> bool {
        matches!(self, Self::Float(number) if number.is_nan())
    }

    /// JSON has no infinities, so statistics leave them out.
    fn is_infinite(self) -> bool {
        matches!(self, Self::Float(number) if number.is_infinite())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Instant(instant) => instant.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Int64Array, StringArray};

    use super::*;

    fn differences(column: ArrayRef, min: Option<Value>, max: Option<Value>) -> Vec<String> {
        let mut bounds = Bounds::default();
        bounds.add(&column.slice(0, 1));
        bounds.add(&column.slice(1, column.len() - 1));
        bounds.differences(&ColumnStats { min, max, nulls: column.null_count() as u64 })
    }

    #[test]
    fn true_statistics_do_not_differ() {
        let extremes = Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MIN)]));
        assert!(differences(extremes, Some(i64::MIN.into()), Some(i64::MAX.into())).is_empty());
        let zero = Arc::new(Float32Array::from(vec![-0.0, 0.0]));
        assert!(differences(zero, Some((-0.0).into()), Some(0.0.into())).is_empty());
        let nothing = Arc::new(Float32Array::from(vec![None::<f32>, None]));
        assert!(differences(nothing, None, None).is_empty());
        let text = Arc::new(StringArray::from(vec!["a", "b"]));
        assert!(differences(text, None, None).is_empty());
    }

    #[test]
    fn what_json_cannot_say_is_left_out() {
        let infinite = Arc::new(Float32Array::from(vec![1.0, f32::INFINITY]));
        assert!(differences(infinite, Some(1.0.into()), None).is_empty());
        let nan = Arc::new(Float32Array::from(vec![1.0, f32::NAN]));
        assert!(differences(nan.clone(), None, None).is_empty());
        assert!(differences(nan, Some(1.0.into()), Some(1.0.into())).is_empty());
    }

    #[test]
    fn the_nearest_other_number_differs() {
        let column = Arc::new(Float32Array::from(vec![0.1, 0.2]));
        let near = f64::from(f32::from_bits(0.1f32.to_bits() + 1));
        let differences = differences(column, Some(near.into()), Some(f64::from(0.2f32).into()));
        assert_eq!(differences.len(), 1, "{differences:?}");
    }
}
