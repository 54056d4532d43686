//! Null markers, which stand for a missing value: the empty text, and what a mapping says, as text or as a number.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use crate::Result;

/// The null markers of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Nulls<'a> {
    texts: &'a [String],
    numbers: Vec<Number>,
}

/// A number that stands for a missing value, however it is written.
#[derive(Debug, Clone, Copy)]
struct Number {
    value: f64,
    /// Its sign and first digit. A text of another beginning is not looked at further.
    begins: (bool, Option<u8>),
}

impl<'a> Nulls<'a> {
    pub(super) fn new(texts: &'a [String]) -> Self {
        let number = |text: &String| {
            let value = text.trim().parse::<f64>().ok()?;
            Some(Number { value, begins: begins(text.trim()) })
        };
        Self { texts, numbers: texts.iter().filter_map(number).collect() }
    }

    /// Whether a text, without blanks around it, stands for a missing value.
    pub(super) fn is(&self, text: &str) -> bool {
        text.is_empty()
            || self.texts.iter().any(|null| null == text)
            || (!self.numbers.is_empty() && self.is_number(text))
    }

    fn is_number(&self, text: &str) -> bool {
        let begins = begins(text);
        let alike = self.numbers.iter().filter(|number| number.begins == begins);
        let mut value = None;
        alike.into_iter().any(|number| {
            let value = value.get_or_insert_with(|| text.parse::<f64>().ok());
            value.is_some_and(|value| same(value, number.value))
        })
    }

    /// Cells that are no text, without those that stand for a missing value.
    pub(super) fn removed(&self, cells: &ArrayRef) -> Result<ArrayRef> {
        let cells = match cells.data_type() {
            DataType::Dictionary(_, values) => cast(cells, values)?,
            _ => Arc::clone(cells),
        };
        if self.numbers.is_empty() || !cells.data_type().is_numeric() {
            return Ok(cells);
        }
        let is = |value: f64| self.numbers.iter().any(|number| same(value, number.value));
        // A decimal number has a nearest one of single precision, which is what such cells hold.
        let is_single =
            |value: f32| self.numbers.iter().any(|n| same(value.into(), (n.value as f32).into()));
        let missing: BooleanArray = match cells.data_type() {
            DataType::Float32 | DataType::Float16 => {
                let singles = cast(&cells, &DataType::Float32)?;
                let singles = singles.as_primitive::<Float32Type>();
                BooleanArray::from_unary(singles, is_single)
            }
            _ => {
                let doubles = cast(&cells, &DataType::Float64)?;
                BooleanArray::from_unary(doubles.as_primitive::<Float64Type>(), is)
            }
        };
        Ok(if missing.true_count() > 0 { nullif(&cells, &missing)? } else { cells })
    }
}

fn same(value: f64, null: f64) -> bool {
    value == null || (value.is_nan() && null.is_nan())
}

fn begins(text: &str) -> (bool, Option<u8>) {
    let unsigned = text.trim_start_matches(['-', '+']);
    let first = unsigned.bytes().find(|byte| *byte != b'0' && *byte != b'.');
    (text.starts_with('-'), first.map(|byte| byte.to_ascii_lowercase()))
}
