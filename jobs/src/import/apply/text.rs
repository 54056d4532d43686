//! How is a cell of text read as a value of the table?

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Builder, PrimitiveBuilder, StringArray, StringBuilder};
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use barograph_lake::Micros;
use barograph_lake::time::parse_instant;
use chrono::Utc;

use super::super::mapping::{Plan, Scalar, Step};
use super::{Faults, from_floats};
use crate::{Error, Result};

/// How the cells of one column are read.
pub(super) struct Reader<'a> {
    pub(super) plan: &'a Plan,
    pub(super) field: &'a Field,
    pub(super) steps: &'a [Step],
    pub(super) values: Option<&'a BTreeMap<String, Scalar>>,
    /// Name of the column in the file.
    pub(super) source: &'a str,
}

impl Reader<'_> {
    pub(super) fn read(&self, texts: &StringArray, faults: &mut Faults) -> Result<ArrayRef> {
        if !self.steps.is_empty() {
            let mut numbers = Float64Builder::with_capacity(texts.len());
            self.each(texts, faults, |text| match text {
                None => {
                    numbers.append_null();
                    true
                }
                Some(text) => {
                    let number = number(text);
                    let result = number.map(|x| self.steps.iter().fold(x, |x, s| s.apply(x)));
                    numbers.append_option(result);
                    result.is_some()
                }
            });
            return from_floats(numbers.finish(), self.field, faults);
        }
        Ok(match self.field.data_type() {
            DataType::Int16 => self.parsed::<Int16Type>(texts, faults, whole),
            DataType::Int32 => self.parsed::<Int32Type>(texts, faults, whole),
            DataType::Int64 => self.parsed::<Int64Type>(texts, faults, whole),
            DataType::Float32 => self.parsed::<Float32Type>(texts, faults, |text| {
                // Not what is only zero because it is too small.
                let vanishes = |number: f32| number == 0.0 && text.parse() != Ok(0.0_f64);
                let fits = |number: &f32| number.is_finite() && !vanishes(*number);
                text.parse().ok().filter(fits)
            }),
            DataType::Float64 => self.parsed::<Float64Type>(texts, faults, number),
            DataType::Timestamp(..) => {
                let instants = self.builder::<TimestampMicrosecondType>(texts, faults, instant);
                Arc::new(instants.with_timezone("UTC").finish())
            }
            DataType::Utf8 => {
                let mut builder = StringBuilder::with_capacity(texts.len(), texts.len() * 8);
                self.each(texts, faults, |text| {
                    builder.append_option(text);
                    true
                });
                Arc::new(builder.finish())
            }
            other => {
                return Err(Error::internal(format!("no reading of text as {other}")));
            }
        })
    }

    fn parsed<T: ArrowPrimitiveType>(
        &self,
        texts: &StringArray,
        faults: &mut Faults,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> ArrayRef {
        Arc::new(self.builder::<T>(texts, faults, parse).finish())
    }

    fn builder<T: ArrowPrimitiveType>(
        &self,
        texts: &StringArray,
        faults: &mut Faults,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> PrimitiveBuilder<T> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(texts.len());
        self.each(texts, faults, |text| {
            let value = text.map(&parse);
            builder.append_option(value.flatten());
            value.is_none_or(|value| value.is_some())
        });
        builder
    }

    /// Hands each cell over, `None` where its value is missing; a cell that is refused is a fault.
    fn each(
        &self,
        texts: &StringArray,
        faults: &mut Faults,
        mut take: impl FnMut(Option<&str>) -> bool,
    ) {
        for row in 0..texts.len() {
            let cell = if texts.is_valid(row) { texts.value(row).trim() } else { "" };
            if cell.is_empty() || self.plan.null.iter().any(|null| null == cell) {
                take(None);
                continue;
            }
            let meaning = match self.values {
                None => cell,
                Some(values) => match values.get(cell) {
                    Some(Scalar(meaning)) => meaning,
                    None => {
                        faults.add(row, || {
                            format!(
                                "{}: no value is given for {} {cell:?}",
                                self.field.name(),
                                self.source
                            )
                        });
                        take(None);
                        continue;
                    }
                },
            };
            if !take(Some(meaning)) {
                faults.add(row, || {
                    let name = self.field.name();
                    let what = describe(self.field.data_type());
                    if name == self.source {
                        format!("{name}: {cell:?} is not {what}")
                    } else {
                        format!("{name}: {} {cell:?} is not {what}", self.source)
                    }
                });
            }
        }
    }
}

fn describe(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(..) => "a time like 2026-11-22T10:00:00Z".to_owned(),
        DataType::Float32 | DataType::Float64 => "a number".to_owned(),
        DataType::Int16 => "a whole number from -32768 to 32767".to_owned(),
        DataType::Int32 => "a whole number of 32 bits".to_owned(),
        _ => "a whole number".to_owned(),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `270`, and `270.0` as programs write it that know only one kind of number.
fn whole<T: TryFrom<i64>>(text: &str) -> Option<T> {
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    text.parse::<i64>().ok().and_then(|number| T::try_from(number).ok())
}

/// Text in any of the usual forms, or µs since the Unix epoch.
fn instant(text: &str) -> Option<Micros> {
    if let Ok(micros) = text.parse::<i64>() {
        return Some(micros);
    }
    match string_to_datetime(&Utc, text) {
        Ok(time) => Some(time.timestamp_micros()),
        Err(_) => parse_instant(text).ok(),
    }
}
