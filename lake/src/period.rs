//! The period of a data file: an hour, a day or a month.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};

use crate::time::MICROS_PER_HOUR;
use crate::{Error, Hour, Result, TimeRange, Timestamp};

/// The length of time that a file holds. Hours are compacted into days, days into months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// An hour, UTC, as landing writes it.
    Hour,
    /// A day, UTC.
    Day,
    /// A calendar month, UTC.
    Month,
}

/// An hour, a day or a month, UTC.
///
/// Invariant: the period holds the instants `start() <= t < end()`, whole hours of them; two periods are
/// apart, or one lies in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    tier: Tier,
    start: Timestamp,
    end: Timestamp,
}

impl Tier {
    /// Every tier, shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];
}

impl Period {
    /// The period of `tier` that holds `instant`; `None` outside the years that a date can name.
    pub fn of(tier: Tier, instant: Timestamp) -> Option<Self> {
        if tier == Tier::Hour {
            return Hour::of(instant).map(Self::from);
        }
        let date = DateTime::<Utc>::from_timestamp_micros(instant.as_micros())?.date_naive();
        let (first, next) = match tier {
            Tier::Hour | Tier::Day => (date, date.succ_opt()?),
            Tier::Month => {
                let first = date.with_day(1)?;
                (first, first.checked_add_months(Months::new(1))?)
            }
        };
        Some(Self { tier, start: midnight(first), end: midnight(next) })
    }

    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// `Request` if the text names no such period.
    pub fn parse(tier: Tier, text: &str) -> Result<Self> {
        let date = |text: &str| {
            let start = midnight(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?);
            Self::of(tier, start)
        };
        let (period, like) = match tier {
            Tier::Hour => return text.parse::<Hour>().map(Self::from),
            Tier::Day => (date(text), "2026-11-22"),
            Tier::Month => (date(&format!("{text}-01")), "2026-11"),
        };
        period.ok_or_else(|| Error::request(format!("{tier} {text:?}: write it like {like}")))
    }

    /// Its tier.
    #[inline]
    pub fn tier(self) -> Tier {
        self.tier
    }

    /// First instant inside.
    #[inline]
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// First instant after.
    #[inline]
    pub fn end(self) -> Timestamp {
        self.end
    }

    /// The instants inside.
    #[inline]
    pub fn range(self) -> TimeRange {
        TimeRange { from: self.start, to: self.end }
    }

    /// Whether `hour` lies inside.
    #[inline]
    pub fn holds(self, hour: Hour) -> bool {
        self.range().contains(hour.start())
    }

    /// Whether `other` lies inside, or is the same.
    #[inline]
    pub fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The number of its hours.
    pub fn hours_count(self) -> u64 {
        (self.end.since(self.start).micros() / MICROS_PER_HOUR).unsigned_abs()
    }

    /// Its hours, ascending.
    pub fn hours(self) -> impl Iterator<Item = Hour> {
        let first = Hour::of(self.start);
        std::iter::successors(first, |hour| Some(hour.next()))
            .take_while(move |hour| hour.start() < self.end)
    }
}

fn midnight(date: NaiveDate) -> Timestamp {
    Timestamp::from_micros(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

impl From<Hour> for Period {
    fn from(hour: Hour) -> Self {
        Self { tier: Tier::Hour, start: hour.start(), end: hour.end() }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.tier {
            Tier::Hour => "%Y-%m-%dT%H",
            Tier::Day => "%Y-%m-%d",
            Tier::Month => "%Y-%m",
        };
        match DateTime::<Utc>::from_timestamp_micros(self.start.as_micros()) {
            Some(start) => write!(f, "{}", start.format(format)),
            None => write!(f, "{} µs", self.start.as_micros()),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        })
    }
}

impl FromStr for Tier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.to_string() == text)
            .ok_or_else(|| Error::request(format!("tier {text:?}: write hour, day or month")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn periods_hold_their_instants_and_read_as_they_are_written(
            instant in -2_000_000_000_000_000i64..4_000_000_000_000_000,
        ) {
            let instant = Timestamp::from_micros(instant);
            let mut inside = None::<Period>;
            for tier in Tier::ALL {
                let period = Period::of(tier, instant).unwrap();
                prop_assert!(period.range().contains(instant));
                prop_assert_eq!(Period::parse(tier, &period.to_string()).unwrap(), period);
                prop_assert_eq!(Period::of(tier, period.start()).unwrap(), period);
                prop_assert_ne!(Period::of(tier, period.end()).unwrap(), period);
                prop_assert_eq!(period.hours().count() as u64, period.hours_count());
                prop_assert!(inside.is_none_or(|inside| period.covers(inside)));
                inside = Some(period);
            }
        }
    }

    #[test]
    fn a_leap_year_has_its_day() {
        let february = Period::parse(Tier::Month, "2028-02").unwrap();
        assert_eq!(february.hours_count(), 29 * 24);
        assert!(Period::parse(Tier::Month, "2028-13").is_err());
        assert!(Period::parse(Tier::Day, "2027-02-29").is_err());
    }
}
