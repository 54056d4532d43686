//! The meaning of a literal beside a column of a certain type.
//!
//! A comparison becomes one of three tests of the column's own type, or the opposite of one:
//!
//! ```text
//! int16   x > 10.5      not (x <= 10)         float32  x < 1e300    x <= the largest float32
//! int16   x = 10.5      never                 float32  x > 'NaN'    never
//! int16   x < 99999     always                float32  x = 0.1      x = 0.1 rounded to float32
//! ```
//!
//! "always" and "never" hold for values; a null is unknown in every test.

use std::fmt;
use std::sync::Arc;

use barograph_lake::{Timestamp, ValueType};

use super::Op;

/// A literal as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A decimal number, with its sign.
    Number(String),
    /// Text without its quotes.
    Text(String),
    /// A point in time.
    Instant(Timestamp),
}

/// The three comparisons that kernels can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cmp {
    Lt,
    Le,
    Eq,
}

/// A test of a value of the column's type. In the float tests a NaN in the column answers false.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The test before it is turned round.
    pub(crate) base: Base,
    /// Whether the answer is the opposite.
    pub(crate) negated: bool,
}

/// See [`Test`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Base {
    Always,
    Int16(Cmp, i16),
    Int32(Cmp, i32),
    Int64(Cmp, i64),
    Float32(Cmp, f32),
    Float64(Cmp, f64),
    Text(Cmp, Arc<str>),
}

/// A list of values of the column's type, ascending and distinct.
#[derive(Debug, Clone, PartialEq)]
pub enum Set {
    /// Integers and timestamps that the column's type can hold.
    Integers(Vec<i64>),
    /// Numbers without NaN, and whether NaN is in the list. Single precision is widened.
    Floats(Vec<f64>, bool),
    Texts(Vec<Arc<str>>),
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Instant(instant) => write!(f, "TIMESTAMP '{instant}'"),
        }
    }
}

impl Test {
    fn always(answer: bool) -> Self {
        Self { base: Base::Always, negated: !answer }
    }

    /// What `column op literal` means for a column of type `of`; an error says what would fit.
    pub(super) fn new(of: ValueType, op: Op, literal: &Literal) -> Result<Self, String> {
        let (cmp, negated) = match op {
            Op::Lt => (Cmp::Lt, false),
            Op::Le => (Cmp::Le, false),
            Op::Eq => (Cmp::Eq, false),
            Op::Gt => (Cmp::Le, true),
            Op::Ge => (Cmp::Lt, true),
            Op::Ne => (Cmp::Eq, true),
        };
        let mut test = Self::positive(of, cmp, literal)?;
        test.negated ^= negated;
        Ok(test)
    }

    fn positive(of: ValueType, cmp: Cmp, literal: &Literal) -> Result<Self, String> {
        let base = match of {
            ValueType::Int16 | ValueType::Int32 | ValueType::Int64 => {
                return Ok(Self::integer(of, cmp, integer(literal)?));
            }
            ValueType::Float32 => {
                let value = single(literal)?;
                return Ok(Self::float(cmp, value, f64::from(f32::MAX), |cmp, value| {
                    Base::Float32(cmp, value as f32)
                }));
            }
            ValueType::Float64 => {
                return Ok(Self::float(cmp, double(literal)?, f64::MAX, Base::Float64));
            }
            ValueType::Timestamp => Base::Int64(cmp, instant(literal)?.as_micros()),
            ValueType::Utf8 => Base::Text(cmp, text(literal)?.into()),
        };
        Ok(Self { base, negated: false })
    }

    /// For a whole `x`: `x < 10.5` is `x <= 10`, `x = 10.5` is never.
    fn integer(of: ValueType, cmp: Cmp, (floor, exact): (i128, bool)) -> Self {
        let cmp = match (cmp, exact) {
            (Cmp::Eq, false) => return Self::always(false),
            (Cmp::Lt, false) => Cmp::Le,
            (cmp, _) => cmp,
        };
        let narrowed = match of {
            ValueType::Int16 => i16::try_from(floor).map(|value| Base::Int16(cmp, value)),
            ValueType::Int32 => i32::try_from(floor).map(|value| Base::Int32(cmp, value)),
            _ => i64::try_from(floor).map(|value| Base::Int64(cmp, value)),
        };
        match narrowed {
            Ok(base) => Self { base, negated: false },
            Err(_) => Self::always(cmp != Cmp::Eq && floor > 0),
        }
    }

    /// `largest` is the largest finite value of the column's type.
    fn float(cmp: Cmp, value: Float, largest: f64, base: impl Fn(Cmp, f64) -> Base) -> Self {
        let positive = |cmp, value| Self { base: base(cmp, value), negated: false };
        match (value, cmp) {
            (Float::Value(value), cmp) => positive(cmp, value),
            // Whatever is not NaN is at or below infinity.
            (Float::NaN, Cmp::Lt) => positive(Cmp::Le, f64::INFINITY),
            (Float::NaN, Cmp::Le) => Self::always(true),
            (Float::NaN, Cmp::Eq) => Self { base: base(Cmp::Le, f64::INFINITY), negated: true },
            (Float::TooLarge { .. }, Cmp::Eq) => Self::always(false),
            (Float::TooLarge { negative: false }, _) => positive(Cmp::Le, largest),
            (Float::TooLarge { negative: true }, _) => positive(Cmp::Lt, -largest),
        }
    }
}

impl Set {
    /// What a list means for a column of type `of`. Values that the type cannot hold fall out.
    pub(super) fn new(of: ValueType, literals: &[Literal]) -> Result<Self, String> {
        let set = match of {
            ValueType::Utf8 => {
                let mut texts: Vec<Arc<str>> = Vec::with_capacity(literals.len());
                for literal in literals {
                    texts.push(text(literal)?.into());
                }
                texts.sort_unstable();
                texts.dedup();
                Self::Texts(texts)
            }
            ValueType::Float32 | ValueType::Float64 => {
                let (mut values, mut nan) = (Vec::with_capacity(literals.len()), false);
                for literal in literals {
                    match if of == ValueType::Float32 { single(literal) } else { double(literal) }?
                    {
                        Float::Value(value) => values.push(value),
                        Float::NaN => nan = true,
                        Float::TooLarge { .. } => {}
                    }
                }
                values.sort_unstable_by(f64::total_cmp);
                values.dedup();
                Self::Floats(values, nan)
            }
            ValueType::Int16 | ValueType::Int32 | ValueType::Int64 | ValueType::Timestamp => {
                let mut values = Vec::with_capacity(literals.len());
                for literal in literals {
                    values.extend(whole(of, literal)?);
                }
                values.sort_unstable();
                values.dedup();
                Self::Integers(values)
            }
        };
        Ok(set)
    }
}

/// The literal as a value of a whole type, if the type can hold it.
fn whole(of: ValueType, literal: &Literal) -> Result<Option<i64>, String> {
    if of == ValueType::Timestamp {
        return instant(literal).map(|at| Some(at.as_micros()));
    }
    let (floor, exact) = integer(literal)?;
    let fits = match of {
        ValueType::Int16 => i16::try_from(floor).ok().map(i64::from),
        ValueType::Int32 => i32::try_from(floor).ok().map(i64::from),
        _ => i64::try_from(floor).ok(),
    };
    Ok(fits.filter(|_| exact))
}

/// A literal beside a float column.
#[derive(Debug, Clone, Copy)]
enum Float {
    /// A number or an infinity; single precision is widened.
    Value(f64),
    NaN,
    /// A finite number beyond the type's range.
    TooLarge {
        negative: bool,
    },
}

fn single(literal: &Literal) -> Result<Float, String> {
    float(literal, |text| text.parse::<f32>().ok().map(f64::from))
}

fn double(literal: &Literal) -> Result<Float, String> {
    float(literal, |text| text.parse::<f64>().ok())
}

fn float(literal: &Literal, parse: impl Fn(&str) -> Option<f64>) -> Result<Float, String> {
    match literal {
        Literal::Number(text) => match parse(text) {
            Some(value) if value.is_infinite() => Ok(Float::TooLarge { negative: value < 0.0 }),
            Some(value) => Ok(Float::Value(value)),
            None => Err(format!("{text} is not a number")),
        },
        Literal::Text(text) => match text.to_ascii_lowercase().as_str() {
            "nan" => Ok(Float::NaN),
            "infinity" | "inf" | "+infinity" | "+inf" => Ok(Float::Value(f64::INFINITY)),
            "-infinity" | "-inf" => Ok(Float::Value(f64::NEG_INFINITY)),
            _ => Err(format!(
                "{literal} is text: write a number without quotes, or 'NaN', 'Infinity', '-Infinity'"
            )),
        },
        Literal::Instant(_) => Err(format!("{literal} is not a number: write one, like 10.5")),
    }
}

/// The largest integer at or below the literal, and whether it is the literal. What has more than 19
/// digits before the point is cut to ±10^19, which no 64-bit integer reaches.
fn integer(literal: &Literal) -> Result<(i128, bool), String> {
    let Literal::Number(number) = literal else {
        return Err(format!("{literal} is not a number: write one without quotes, like 10"));
    };
    floor(number).ok_or_else(|| format!("{number} is not a number"))
}

fn floor(number: &str) -> Option<(i128, bool)> {
    const DIGITS: i64 = 19;
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, scale(exponent)?),
        None => (unsigned, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(before) || !is_digits(after) || before.len() + after.len() == 0 {
        return None;
    }
    // The value is 0.DIGITS × 10^point, the first digit not being zero.
    let zeros = before.bytes().chain(after.bytes()).take_while(|&digit| digit == b'0').count();
    let mut digits = before.bytes().chain(after.bytes()).skip(zeros).peekable();
    if digits.peek().is_none() {
        return Some((0, true));
    }
    let point = i64::try_from(before.len()).ok()?.checked_sub(i64::try_from(zeros).ok()?)?;
    let point = point.saturating_add(exponent);
    if point > DIGITS {
        let bound = 10_i128.pow(19);
        return Some((if negative { -bound } else { bound }, true));
    }
    let mut integer = 0_i128;
    for _ in 0..point.max(0) {
        integer = integer * 10 + i128::from(digits.next().unwrap_or(b'0') - b'0');
    }
    let exact = digits.all(|digit| digit == b'0');
    Some(match (negative, exact) {
        (false, exact) => (integer, exact),
        (true, true) => (-integer, true),
        (true, false) => (-integer - 1, false),
    })
}

/// A decimal exponent; absurd ones saturate, which changes no comparison.
fn scale(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX / 2);
    Some(if text.starts_with('-') { -size } else { size })
}

fn text(literal: &Literal) -> Result<&str, String> {
    match literal {
        Literal::Text(text) => Ok(text),
        _ => Err(format!("{literal} is not text: write it in single quotes")),
    }
}

fn instant(literal: &Literal) -> Result<Timestamp, String> {
    match literal {
        Literal::Instant(instant) => Ok(*instant),
        Literal::Text(text) => read_instant(text),
        Literal::Number(number) => {
            Err(format!("{number} is not a time: write it like '2026-11-22T10:00:00Z'"))
        }
    }
}

/// Reads an instant; finer than a µs is an error, since cutting it would move the bound.
pub(super) fn read_instant(text: &str) -> Result<Timestamp, String> {
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let finer = fraction.bytes().take_while(u8::is_ascii_digit).skip(6).any(|digit| digit != b'0');
    if finer {
        return Err(format!("time {text:?} is finer than a µs: six digits of the second are kept"));
    }
    text.parse::<Timestamp>().map_err(|error| error.to_string())
}
