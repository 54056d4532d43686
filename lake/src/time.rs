//! Instants, hours and ranges of time. Instants are µs since the Unix epoch, UTC.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An instant: µs since the Unix epoch, UTC. Never rounded.
pub type Micros = i64;

/// µs in a second.
pub const MICROS_PER_SECOND: Micros = 1_000_000;
/// µs in an hour.
pub const MICROS_PER_HOUR: Micros = 3_600 * MICROS_PER_SECOND;

/// A clock hour, counted from the Unix epoch: the unit of landing.
///
/// Invariant: the hour `h` holds the instants `h.start() <= t < h.end()`. `Display` and `FromStr`
/// (`2026-11-22T10`) are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(i32);

impl Hour {
    /// The hour that holds `instant`; `None` outside the years that a date can name.
    pub fn of(instant: Micros) -> Option<Self> {
        DateTime::<Utc>::from_timestamp_micros(instant)?;
        i32::try_from(instant.div_euclid(MICROS_PER_HOUR)).ok().map(Self)
    }

    /// The hour of a number, as of [`Self::number`].
    pub(crate) fn of_number(number: i64) -> Option<Self> {
        Self::of(number.checked_mul(MICROS_PER_HOUR)?)
    }

    /// Hours from the Unix epoch to this one.
    pub(crate) fn number(self) -> i64 {
        i64::from(self.0)
    }

    /// First instant of the hour.
    #[inline]
    pub fn start(self) -> Micros {
        i64::from(self.0) * MICROS_PER_HOUR
    }

    /// First instant after the hour.
    #[inline]
    pub fn end(self) -> Micros {
        self.start() + MICROS_PER_HOUR
    }

    /// The instants of the hour.
    #[inline]
    pub fn range(self) -> TimeRange {
        TimeRange { from: self.start(), to: self.end() }
    }

    /// The hour after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.start()) {
            Some(start) => write!(f, "{}", start.format("%Y-%m-%dT%H")),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Hour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M")
            .ok()
            .and_then(|start| Self::of(start.and_utc().timestamp_micros()))
            .ok_or_else(|| Error::request(format!("hour {text:?}: write it like 2026-11-22T10")))
    }
}

/// Instants from `from` (inclusive) to `to` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First instant inside.
    pub from: Micros,
    /// First instant after.
    pub to: Micros,
}

impl TimeRange {
    /// Every instant but the very last one.
    pub const ALL: Self = Self { from: Micros::MIN, to: Micros::MAX };

    /// Whether `instant` lies inside.
    #[inline]
    pub fn contains(&self, instant: Micros) -> bool {
        self.from <= instant && instant < self.to
    }

    /// Whether the closed interval `[min, max]` has an instant inside.
    #[inline]
    pub fn touches(&self, min: Micros, max: Micros) -> bool {
        min < self.to && max >= self.from && !self.is_empty()
    }

    /// Whether the closed interval `[min, max]` lies wholly inside.
    #[inline]
    pub fn covers(&self, min: Micros, max: Micros) -> bool {
        self.from <= min && max < self.to
    }

    /// The instants that lie in both.
    #[inline]
    pub fn within(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    /// Whether no instant lies inside.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// RFC 3339 in UTC, with as many digits of the second as are needed: `2026-11-22T10:00:00Z`.
pub fn format_instant(instant: Micros) -> String {
    match DateTime::<Utc>::from_timestamp_micros(instant) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{instant} µs"),
    }
}

/// Reads RFC 3339 (`2026-11-22T10:00:00Z`, any offset), a UTC date and time without an offset
/// (`2026-11-22 10:00`), or a date (`2026-11-22`, its midnight in UTC).
pub fn parse_instant(text: &str) -> Result<Micros> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    for format in
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
    {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Ok(time.and_utc().timestamp_micros());
        }
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        && let Some(time) = date.and_hms_opt(0, 0, 0)
    {
        return Ok(time.and_utc().timestamp_micros());
    }
    Err(Error::request(format!("time {text:?}: write it like 2026-11-22T10:00:00Z")))
}

/// Reads a length of time such as `5m`, `1h`, `90s`, `250ms` or `1d` as µs, more than zero.
pub fn parse_duration(text: &str) -> Result<Micros> {
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
        .filter(|&micros| micros > 0 && TimeDelta::microseconds(micros).num_days() < 366_000)
        .ok_or_else(|| {
            Error::request(format!(
                "duration {text:?}: write a number above 0 and a unit (us, ms, s, m, h, d, w), like 5m"
            ))
        })
}
