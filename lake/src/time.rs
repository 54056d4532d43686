//! Instants, hours and ranges of time. Instants are µs since the Unix epoch, UTC.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Span};

/// An instant in µs since the Unix epoch, UTC. Never rounded.
///
/// Invariants: any 64-bit number is an instant, and they are ordered as their numbers; `Display` and `FromStr` are
/// inverse for the years that a date can name. Sums and differences stop at the ends. In JSON it is the number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Timestamp(i64);

/// µs in a second.
pub const MICROS_PER_SECOND: i64 = Span::SECOND.micros();
/// µs in an hour.
pub const MICROS_PER_HOUR: i64 = Span::HOUR.micros();

impl Timestamp {
    /// The earliest instant.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant.
    pub const MAX: Self = Self(i64::MAX);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The instant `micros` µs after the Unix epoch.
    #[inline]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant `millis` ms after the Unix epoch, or the end of all instants before it.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// µs since the Unix epoch.
    #[inline]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole ms since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The instant `span` later; `None` past the latest.
    #[inline]
    pub const fn checked_add(self, span: Span) -> Option<Self> {
        match self.0.checked_add(span.micros()) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// The instant `span` later, or the latest.
    #[inline]
    pub const fn saturating_add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.micros()))
    }

    /// The instant `span` earlier, or the earliest.
    #[inline]
    pub const fn saturating_sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.micros()))
    }

    /// How long after `earlier` it is, negative if it is before; the longest such span if that is longer.
    #[inline]
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The last instant at or before this one that is a multiple of `step` after the Unix epoch, or the earliest.
    /// `step` is more than zero.
    #[inline]
    pub const fn floor_to(self, step: Span) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(step.micros())))
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;

    #[inline]
    fn add(self, span: Span) -> Self {
        self.saturating_add(span)
    }
}

impl AddAssign<Span> for Timestamp {
    #[inline]
    fn add_assign(&mut self, span: Span) {
        *self = self.saturating_add(span);
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;

    #[inline]
    fn sub(self, span: Span) -> Self {
        self.saturating_sub(span)
    }
}

impl Sub for Timestamp {
    type Output = Span;

    #[inline]
    fn sub(self, earlier: Self) -> Span {
        self.since(earlier)
    }
}

/// RFC 3339 in UTC, with as many digits of the second as are needed: `2026-11-22T10:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(time) => f.pad(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} µs", self.0),
        }
    }
}

/// Reads RFC 3339 (`2026-11-22T10:00:00Z`, any offset), a UTC date and time without an offset
/// (`2026-11-22 10:00`), or a date (`2026-11-22`, its midnight in UTC).
impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const FORMATS: [&str; 4] =
            ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
        let text = text.trim();
        let in_full = DateTime::parse_from_rfc3339(text).map(|time| time.naive_utc());
        let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        let usual = || FORMATS.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok());
        in_full
            .ok()
            .or_else(usual)
            .or_else(date)
            // Those that can be written, too.
            .filter(|time| (0..=9_999).contains(&time.year()))
            .map(|time| Self(time.and_utc().timestamp_micros()))
            .ok_or_else(|| {
                Error::request(format!("time {text:?}: write it like 2026-11-22T10:00:00Z"))
            })
    }
}

/// A clock hour, counted from the Unix epoch: the unit of landing.
///
/// Invariant: the hour `h` holds the instants `h.start() <= t < h.end()`. `Display` and `FromStr`
/// (`2026-11-22T10`) are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(i32);

impl Hour {
    /// The hour that holds `instant`; `None` outside the years that a date can name.
    pub fn of(instant: Timestamp) -> Option<Self> {
        DateTime::<Utc>::from_timestamp_micros(instant.0)?;
        i32::try_from(instant.0.div_euclid(MICROS_PER_HOUR)).ok().map(Self)
    }

    /// The hour of a number, as of [`Self::number`].
    pub(crate) fn of_number(number: i64) -> Option<Self> {
        Self::of(Timestamp(number.checked_mul(MICROS_PER_HOUR)?))
    }

    /// Hours from the Unix epoch to this one.
    pub(crate) fn number(self) -> i64 {
        i64::from(self.0)
    }

    /// First instant of the hour.
    #[inline]
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0) * MICROS_PER_HOUR)
    }

    /// First instant after the hour.
    #[inline]
    pub fn end(self) -> Timestamp {
        Timestamp(self.start().0 + MICROS_PER_HOUR)
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
        match DateTime::<Utc>::from_timestamp_micros(self.start().0) {
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
            .and_then(|start| Self::of(Timestamp(start.and_utc().timestamp_micros())))
            .ok_or_else(|| Error::request(format!("hour {text:?}: write it like 2026-11-22T10")))
    }
}

/// Instants from `from` (inclusive) to `to` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First instant inside.
    pub from: Timestamp,
    /// First instant after.
    pub to: Timestamp,
}

impl TimeRange {
    /// Every instant but the very last one.
    pub const ALL: Self = Self { from: Timestamp::MIN, to: Timestamp::MAX };

    /// Whether `instant` lies inside.
    #[inline]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.from <= instant && instant < self.to
    }

    /// Whether the closed interval `[min, max]` has an instant inside.
    #[inline]
    pub fn touches(&self, min: Timestamp, max: Timestamp) -> bool {
        min < self.to && max >= self.from && !self.is_empty()
    }

    /// Whether the closed interval `[min, max]` lies wholly inside.
    #[inline]
    pub fn covers(&self, min: Timestamp, max: Timestamp) -> bool {
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
