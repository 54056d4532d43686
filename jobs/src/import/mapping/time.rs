//! Times of a file, as a mapping states them: the columns they stand in, and their form, unit and zone.

use serde::Deserialize;

use crate::{Error, Result};

/// How the times of one column of the table stand in the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// Columns of the file, joined by a blank; if none, the one that `[columns]` or the name says.
    pub columns: Vec<String>,
    /// Form of texts, such as `%d/%m/%Y %H:%M`; the usual forms if absent.
    pub format: Option<String>,
    /// Unit of numbers.
    pub unit: Option<Unit>,
    /// From when numbers count; 1970-01-01 UTC if absent.
    pub since: Option<String>,
    /// Zone of times without an offset: an IANA name, or an offset such as `+01:00`. UTC if absent.
    pub zone: Option<String>,
    /// What a local time means that comes twice, as clocks are set back.
    pub ambiguous: Ambiguous,
    /// What a local time means that does not come, as clocks are set forward.
    pub nonexistent: Nonexistent,
    /// Whether times finer than a µs are rounded rather than refused.
    pub round: bool,
}

/// Unit of times that are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanosecond,
    /// Microseconds.
    #[serde(rename = "us", alias = "µs")]
    Microsecond,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millisecond,
    /// Seconds.
    #[serde(rename = "s")]
    Second,
    /// Minutes.
    #[serde(rename = "min")]
    Minute,
    /// Hours.
    #[serde(rename = "h")]
    Hour,
    /// Days of 24 hours.
    #[serde(rename = "d")]
    Day,
}

/// What a local time means that comes twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ambiguous {
    /// The first of the two, in summer time.
    #[default]
    First,
    /// The second of the two, in standard time.
    Second,
    /// Its row goes to the dead letters.
    Refuse,
}

/// What a local time means that does not come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonexistent {
    /// The instant it would be, had clocks not been set forward.
    #[default]
    Shift,
    /// Its row goes to the dead letters.
    Refuse,
}

impl Unit {
    /// As it is written in a mapping.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanosecond => "ns",
            Self::Microsecond => "us",
            Self::Millisecond => "ms",
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    /// Its length in ns.
    pub fn nanoseconds(self) -> i128 {
        match self {
            Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Hour => 3_600_000_000_000,
            Self::Day => 86_400_000_000_000,
        }
    }
}

impl std::str::FromStr for Unit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [
            Self::Nanosecond,
            Self::Microsecond,
            Self::Millisecond,
            Self::Second,
            Self::Minute,
            Self::Hour,
            Self::Day,
        ];
        all.into_iter().find(|unit| unit.name() == text).ok_or_else(|| {
            Error::request(format!("unit {text:?}: write ns, us, ms, s, min, h or d"))
        })
    }
}
