//! A cell as it was sent, and what it is in the type of its column.

use barograph_lake::{Span, Timestamp, ValueType};

/// Longest text that a cell may have, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A cell as it was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
    /// Text that was sent as such.
    Text(&'a str),
    /// Text that may stand for a number or a time: forms without types have no other.
    Word(&'a str),
}

/// A value in the type of its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    /// In µs.
    Time(i64),
}

/// How numbers that stand for times are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Precision(pub(crate) Option<Span>);

impl Cell<'_> {
    /// As a value of a type; an error says what does not fit.
    pub(super) fn as_type(self, of: ValueType, precision: Precision) -> Result<Value, String> {
        match (self, of) {
            (Self::Null, _) => Ok(Value::Null),
            (Self::Text(text) | Self::Word(text), ValueType::Utf8) => match text.len() {
                ..=TEXT_BYTES_MAX => Ok(Value::Text(text.to_owned())),
                bytes => Err(format!("a text of {bytes} bytes: {TEXT_BYTES_MAX} are kept at most")),
            },
            (Self::Word(""), _) => Ok(Value::Null),
            (cell, ValueType::Timestamp) => cell.as_time(precision).map(Value::Time),
            (cell, ValueType::Float32 | ValueType::Float64) => cell.as_float().map(Value::Float),
            (cell, ValueType::Utf8) => Err(format!("{} where text is declared", cell.said())),
            (cell, _) => cell.as_int().map(Value::Int),
        }
    }

    /// As a whole number.
    pub(crate) fn as_int(self) -> Result<i64, String> {
        let number = match self {
            Self::Int(number) => Some(number),
            Self::Uint(number) => i64::try_from(number).ok(),
            Self::Float(number) => whole(number),
            Self::Word(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| whole(float(text)?))
            }
            Self::Null | Self::Bool(_) | Self::Text(_) => None,
        };
        number.ok_or_else(|| format!("{} where a whole number is declared", self.said()))
    }

    /// As a number.
    pub(crate) fn as_float(self) -> Result<f64, String> {
        let number = match self {
            Self::Int(number) => Some(number as f64),
            Self::Uint(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Word(text) => float(text.trim()),
            Self::Null | Self::Bool(_) | Self::Text(_) => None,
        };
        number.ok_or_else(|| format!("{} where a number is declared", self.said()))
    }

    /// As an instant in µs.
    pub(crate) fn as_time(self, precision: Precision) -> Result<i64, String> {
        let number = match self {
            Self::Int(number) => Some(number),
            Self::Uint(number) => i64::try_from(number).ok(),
            Self::Word(text) => text.trim().parse().ok(),
            _ => None,
        };
        match (self, number, precision.0) {
            (_, Some(number), Some(unit)) => number
                .checked_mul(unit.micros())
                .ok_or_else(|| format!("the time {number} is out of range")),
            (Self::Text(text) | Self::Word(text), ..) if !text.is_empty() => text
                .parse::<Timestamp>()
                .map(Timestamp::as_micros)
                .map_err(|error| error.to_string()),
            (_, Some(number), None) => Err(format!(
                "the time is the number {number}: write it like 2026-11-22T10:00:00Z, or say precision=s, ms or us"
            )),
            _ => Err(format!("{} where a time is declared", self.said())),
        }
    }

    fn said(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Int(number) => format!("the number {number}"),
            Self::Uint(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Text(text) | Self::Word(text) => {
                format!("{:?}", text.get(..text.floor_char_boundary(64)).unwrap_or_default())
            }
        }
    }
}

/// A number, written in digits.
fn float(text: &str) -> Option<f64> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    text.parse::<f64>().ok().filter(|number| is_number && number.is_finite())
}

fn whole(number: f64) -> Option<i64> {
    // The bounds of 64 bits; the upper one is no float.
    let fits = number.fract() == 0.0 && (-(2.0_f64.powi(63))..2.0_f64.powi(63)).contains(&number);
    fits.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NONE: Precision = Precision(None);

    #[test]
    fn numbers_fit_columns_that_hold_them_exactly() {
        let float = |cell: Cell<'_>| cell.as_type(ValueType::Float32, NONE);
        let int = |cell: Cell<'_>| cell.as_type(ValueType::Int16, NONE);
        assert_eq!(float(Cell::Int(7)), Ok(Value::Float(7.0)));
        assert_eq!(float(Cell::Word(" 2e1")), Ok(Value::Float(20.0)));
        assert_eq!(int(Cell::Float(-3.0)), Ok(Value::Int(-3)));
        assert_eq!(int(Cell::Word("12.0")), Ok(Value::Int(12)));
        assert_eq!(int(Cell::Word("")), Ok(Value::Null));
        for wrong in [Cell::Float(0.5), Cell::Text("7"), Cell::Bool(true), Cell::Uint(u64::MAX)] {
            assert!(int(wrong).is_err(), "{wrong:?}");
        }
        for wrong in [Cell::Word("nan"), Cell::Word("inf"), Cell::Word("1e999"), Cell::Text("1")] {
            assert!(float(wrong).is_err(), "{wrong:?}");
        }
        assert!(Cell::Float(9.3e18).as_int().is_err());
    }

    #[test]
    fn times_are_texts_or_numbers_of_a_unit() {
        let seconds = Precision(Some(Span::SECOND));
        assert_eq!(Cell::Text("1970-01-01T00:00:01Z").as_time(NONE), Ok(1_000_000));
        assert_eq!(Cell::Word("3").as_time(seconds), Ok(3_000_000));
        assert!(Cell::Int(3).as_time(NONE).unwrap_err().contains("precision="));
        assert!(Cell::Int(i64::MAX).as_time(seconds).unwrap_err().contains("out of range"));
        assert!(Cell::Bool(true).as_time(seconds).is_err());
    }

    #[test]
    fn text_is_taken_as_it_is() {
        let text = |cell: Cell<'_>| cell.as_type(ValueType::Utf8, NONE);
        assert_eq!(text(Cell::Word("")), Ok(Value::Text(String::new())));
        assert!(text(Cell::Int(1)).is_err());
        assert!(text(Cell::Text(&"a".repeat(TEXT_BYTES_MAX + 1))).unwrap_err().contains("bytes"));
    }
}
