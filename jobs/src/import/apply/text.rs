//! The reading of text cells as values of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, PrimitiveBuilder, StringArray,
    StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};

use super::super::mapping::{Scalar, Step};
use super::Faults;
use super::nulls::Nulls;
use super::numbers::from_floats;
use crate::{Error, Result};

/// How the cells of one column are read.
pub(super) struct Reader<'a> {
    pub(super) nulls: &'a Nulls<'a>,
    pub(super) field: &'a Field,
    pub(super) steps: &'a [Step],
    pub(super) values: Option<&'a BTreeMap<String, Scalar>>,
    /// Name of the column in the file.
    pub(super) source: &'a str,
}

impl Reader<'_> {
    pub(super) fn read(&self, texts: &StringArray, faults: &mut Faults) -> Result<ArrayRef> {
        if !self.steps.is_empty() {
            return from_floats(self.numbers(texts, faults), self.field, faults);
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
            DataType::Utf8 => {
                let offsets = texts.offsets();
                let ends = offsets.first().zip(offsets.last());
                let bytes = ends.map_or(0, |(start, end)| end.abs_diff(*start) as usize);
                let mut builder = StringBuilder::with_capacity(texts.len(), bytes);
                self.each(texts, faults, |_, text, _| {
                    builder.append_option(text);
                    true
                });
                Arc::new(builder.finish())
            }
            other => {
                return Err(Error::internal(format!("text cannot be read as {other}")));
            }
        })
    }

    fn parsed<T: ArrowPrimitiveType>(
        &self,
        texts: &StringArray,
        faults: &mut Faults,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> ArrayRef {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(texts.len());
        self.each(texts, faults, |_, text, _| {
            let value = text.map(&parse);
            builder.append_option(value.flatten());
            value.is_none_or(|value| value.is_some())
        });
        Arc::new(builder.finish())
    }

    /// The cells as numbers that went through the steps.
    pub(super) fn calculated(&self, texts: &StringArray, faults: &mut Faults) -> ArrayRef {
        Arc::new(self.numbers(texts, faults))
    }

    fn numbers(&self, texts: &StringArray, faults: &mut Faults) -> Float64Array {
        let mut numbers = Float64Builder::with_capacity(texts.len());
        self.each(texts, faults, |_, text, _| {
            let number = text.map(number);
            let result = number.flatten().map(|x| self.steps.iter().fold(x, |x, s| s.apply(x)));
            numbers.append_option(result);
            number.is_none_or(|number| number.is_some())
        });
        numbers.finish()
    }

    /// Hands each cell over, `None` where its value is missing; a cell that is refused is a fault.
    pub(super) fn each(
        &self,
        texts: &StringArray,
        faults: &mut Faults,
        mut take: impl FnMut(usize, Option<&str>, &mut Faults) -> bool,
    ) {
        for row in 0..texts.len() {
            let cell = if texts.is_valid(row) { texts.value(row).trim() } else { "" };
            if self.nulls.is(cell) {
                take(row, None, faults);
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
                        take(row, None, faults);
                        continue;
                    }
                },
            };
            if !take(row, Some(meaning), faults) {
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
        DataType::Timestamp(..) | DataType::Float32 | DataType::Float64 => "a number".to_owned(),
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

/// The cells as text, if they are text or are to be looked up as such.
pub(super) fn as_text(cells: &ArrayRef, mapped: bool) -> Result<Option<StringArray>> {
    let text = match cells.data_type() {
        DataType::Dictionary(_, values) => is_text(values),
        other => is_text(other),
    };
    if !mapped && !text {
        return Ok(None);
    }
    Ok(Some(cast(cells, &DataType::Utf8)?.as_string::<i32>().clone()))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
