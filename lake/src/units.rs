//! Lengths of time and sizes as settings write them: `"5m"`, `"64MiB"`.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Mul, Sub};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Error;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;

/// A length of time in µs.
///
/// Invariants: texts, and so settings, are more than zero: for them `Display` (`5m`) and `FromStr` are inverse. A span
/// that was computed may be zero or negative. Sums and products stop at the ends.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[repr(transparent)]
pub struct Span(i64);

/// A size in bytes. `Display` (`64MiB`) and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

const SPANS: [(&str, i64); 6] = [
    ("d", 24 * MICROS_PER_HOUR),
    ("h", MICROS_PER_HOUR),
    ("m", 60 * MICROS_PER_SECOND),
    ("s", MICROS_PER_SECOND),
    ("ms", 1_000),
    ("us", 1),
];

/// Texts are of less: about a thousand years.
const DAYS_MAX: i64 = 366_000;

const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Span {
    /// The longest span.
    pub const MAX: Self = Self(i64::MAX);
    /// No time.
    pub const ZERO: Self = Self(0);
    /// 1 µs: from one instant to the next.
    pub const MICROSECOND: Self = Self(1);
    /// A second.
    pub const SECOND: Self = Self(MICROS_PER_SECOND);
    /// A minute.
    pub const MINUTE: Self = Self(60 * MICROS_PER_SECOND);
    /// An hour.
    pub const HOUR: Self = Self(MICROS_PER_HOUR);
    /// 24 hours.
    pub const DAY: Self = Self(24 * MICROS_PER_HOUR);

    /// `seconds` seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * MICROS_PER_SECOND)
    }

    /// `millis` milliseconds.
    pub const fn millis(millis: i64) -> Self {
        Self(millis * 1_000)
    }

    /// `micros` µs.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// In µs.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// A duration in whole µs, or the longest span.
    pub const fn from_duration(duration: Duration) -> Self {
        let micros = duration.as_micros();
        if micros > i64::MAX as u128 { Self::MAX } else { Self(micros as i64) }
    }

    /// As the standard library's duration; none at all if it is negative.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(if self.0 > 0 { self.0.unsigned_abs() } else { 0 })
    }

    /// Both together, or the longest span.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This without `other`, or the end of all spans; negative if `other` is longer.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The same length, not negative.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// `times` as long, or the longest span.
    pub const fn saturating_mul(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Sub for Span {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Mul<i64> for Span {
    type Output = Self;

    fn mul(self, times: i64) -> Self {
        self.saturating_mul(times)
    }
}

impl Mul<Span> for i64 {
    type Output = Span;

    fn mul(self, span: Span) -> Span {
        span.saturating_mul(self)
    }
}

impl Size {
    /// `bytes` bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `mebibytes` times 1,048,576 bytes.
    pub const fn mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// In bytes.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) =
            SPANS.into_iter().find(|(_, scale)| self.0 % scale == 0).unwrap_or(("us", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = SIZES
            .into_iter()
            .find(|(_, scale)| self.0.is_multiple_of(*scale) && self.0 > 0)
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let scale = match unit {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => MICROS_PER_SECOND,
            "m" | "min" => 60 * MICROS_PER_SECOND,
            "h" => MICROS_PER_HOUR,
            "d" => 24 * MICROS_PER_HOUR,
            "w" => 7 * 24 * MICROS_PER_HOUR,
            _ => 0,
        };
        number
            .parse::<i64>()
            .ok()
            .and_then(|count| count.checked_mul(scale))
            .map(Self)
            .filter(|span| *span > Self::ZERO && *span < Self::DAY * DAYS_MAX)
            .ok_or_else(|| {
                Error::request(format!(
                    "duration {text:?}: write a number above 0 and a unit (us, ms, s, m, h, d, w), like 5m"
                ))
            })
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        SIZES
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .and_then(|(_, scale)| number.parse::<u64>().ok()?.checked_mul(scale))
            .map(Self)
            .ok_or_else(|| {
                Error::request(format!(
                    "size {text:?}: write a number and a unit (B, KiB, MiB, GiB, TiB), like 64MiB"
                ))
            })
    }
}

macro_rules! as_text {
    ($name:ident, $pattern:literal, $example:literal) => {
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "examples": [$example] })
            }
        }
    };
}

as_text!(Span, "^[0-9]+(us|ms|s|m|h|d|w)$", "5m");
as_text!(Size, "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)$", "64MiB");
