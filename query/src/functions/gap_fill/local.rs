//! Days, weeks and months of a time zone. They begin at its own midnight, or at the time of day of an origin, whether
//! clocks changed since or not:
//!
//! ```text
//! Europe/Zurich   2026-03-28T00:00+01:00   2026-03-29T00:00+01:00   2026-03-30T00:00+02:00
//!                 └──── 24 hours ─────────┴──── 23 hours ──────────┘
//! ```
//!
//! A day whose midnight is skipped begins when its clocks go forward; one that has two midnights begins with the first.

use std::fmt;

use chrono::{DateTime, Datelike, Days, LocalResult, Months, NaiveDateTime, TimeDelta, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::types::IntervalMonthDayNano;
use datafusion::arrow::datatypes::TimeUnit;
use datafusion::common::{DataFusionError, Result, plan_err};

/// The windows of a time zone.
#[derive(Clone)]
pub(super) struct Local {
    zone: Tz,
    unit: TimeUnit,
    length: Length,
    /// A local time at which a window begins.
    origin: NaiveDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    Days(i64),
    Months(i64),
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of local time from {}", self.length, self.origin)
    }
}

impl PartialEq for Local {
    fn eq(&self, other: &Self) -> bool {
        (self.unit, self.length, self.origin) == (other.unit, other.length, other.origin)
            && format!("{:?}", self.zone) == format!("{:?}", other.zone)
    }
}

/// Most windows between the origin and a time.
const WINDOWS_MAX: i64 = 10_000_000;
/// Longest time that clocks skip.
const HOURS_LEFT_OUT: i64 = 25;

impl Local {
    /// The windows of `stride` in `zone`; `None` where windows are of equal length, or of UTC.
    pub(super) fn new(
        stride: IntervalMonthDayNano,
        origin: Option<i64>,
        unit: TimeUnit,
        zone: Option<&str>,
    ) -> Result<Option<Self>> {
        let zone = match zone {
            Some(zone) if !matches!(zone, "UTC" | "+00:00" | "Z") => {
                zone.parse::<Tz>().map_err(DataFusionError::from)?
            }
            _ => return Ok(None),
        };
        let length = match (stride.months, stride.days, stride.nanoseconds) {
            (months, 0, 0) if months > 0 => Length::Months(months.into()),
            (0, days, 0) if days > 0 => Length::Days(days.into()),
            _ => return Ok(None),
        };
        let origin = match origin {
            Some(at) => instant(at, unit).map(|at| at.with_timezone(&zone).naive_local()),
            None => DateTime::from_timestamp(0, 0).map(|epoch| epoch.naive_utc()),
        };
        match origin {
            Some(origin) => Ok(Some(Self { zone, unit, length, origin })),
            None => plan_err!("date_bin: the origin is no date"),
        }
    }

    /// The start of the window that a time lies in.
    pub(super) fn floor(&self, time: i64) -> Option<i64> {
        let number = self.number(time)?;
        let start = self.start(number)?;
        // Clocks that go on at the start of a window put times after it that are read as before.
        if start > time { self.start(number.checked_sub(1)?) } else { Some(start) }
    }

    /// The start of the window after the one that a time lies in.
    pub(super) fn after(&self, time: i64) -> Option<i64> {
        let number = self.number(time)?;
        (1..=2)
            .find_map(|ahead| self.start(number.checked_add(ahead)?).filter(|start| *start > time))
    }

    /// Number of windows from the origin to that of a time, by the local clock.
    fn number(&self, time: i64) -> Option<i64> {
        let local = instant(time, self.unit)?.with_timezone(&self.zone).naive_local();
        let number = match self.length {
            Length::Days(days) => {
                let whole = local.signed_duration_since(self.origin);
                whole.num_seconds().div_euclid(86_400).div_euclid(days)
            }
            Length::Months(months) => {
                let of = |at: &NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
                let number = (of(&local) - of(&self.origin)).div_euclid(months);
                match self.local_start(number) {
                    Some(start) if start > local => number - 1,
                    _ => number,
                }
            }
        };
        (number.abs() <= WINDOWS_MAX).then_some(number)
    }

    fn local_start(&self, number: i64) -> Option<NaiveDateTime> {
        match self.length {
            Length::Days(days) => {
                let ahead = number.checked_mul(days)?;
                let days = Days::new(ahead.unsigned_abs());
                if ahead < 0 {
                    self.origin.checked_sub_days(days)
                } else {
                    self.origin.checked_add_days(days)
                }
            }
            Length::Months(months) => {
                let ahead = number.checked_mul(months)?;
                let months = Months::new(u32::try_from(ahead.unsigned_abs()).ok()?);
                if ahead < 0 {
                    self.origin.checked_sub_months(months)
                } else {
                    self.origin.checked_add_months(months)
                }
            }
        }
    }

    fn start(&self, number: i64) -> Option<i64> {
        let local = self.local_start(number)?;
        let at = match self.zone.from_local_datetime(&local) {
            LocalResult::Single(at) => at.to_utc(),
            LocalResult::Ambiguous(first, second) => first.to_utc().min(second.to_utc()),
            LocalResult::None => self.gap_end(local)?,
        };
        let (scale, nanos) = (per_second(self.unit), i64::from(at.timestamp_subsec_nanos()));
        at.timestamp().checked_mul(scale)?.checked_add(nanos / (1_000_000_000 / scale))
    }

    /// The instant at which clocks go forward over a local time that they skip.
    fn gap_end(&self, local: NaiveDateTime) -> Option<DateTime<chrono::Utc>> {
        let utc = |hours: i64| local.and_utc().checked_add_signed(TimeDelta::hours(hours));
        let (mut before, mut after) = (utc(-HOURS_LEFT_OUT)?, utc(HOURS_LEFT_OUT)?);
        // The first instant whose local time is after the one that is left out.
        while (after - before).num_nanoseconds()? > 1 {
            let middle = before + (after - before) / 2;
            if middle.with_timezone(&self.zone).naive_local() > local {
                after = middle
            } else {
                before = middle
            }
        }
        Some(after)
    }
}

/// Units of `unit` in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The instant that `time` is.
pub(super) fn instant(time: i64, unit: TimeUnit) -> Option<DateTime<chrono::Utc>> {
    let scale = per_second(unit);
    let nanos = time.rem_euclid(scale) * (1_000_000_000 / scale);
    DateTime::from_timestamp(time.div_euclid(scale), u32::try_from(nanos).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(
        zone: &str,
        stride: IntervalMonthDayNano,
        origin: Option<i64>,
        times: &[&str],
    ) -> Vec<String> {
        let local = Local::new(stride, origin, TimeUnit::Second, Some(zone)).unwrap().unwrap();
        let shown = |at: i64| {
            DateTime::from_timestamp(at, 0)
                .unwrap()
                .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        };
        let of = |text: &&str| {
            let at = DateTime::parse_from_rfc3339(text).unwrap().timestamp();
            let (start, next) = (local.floor(at).unwrap(), local.after(at).unwrap());
            assert!(start <= at && at < next, "{zone} {text}");
            assert_eq!(local.floor(next), Some(next));
            assert_eq!(local.after(start), Some(next));
            shown(start)
        };
        times.iter().map(of).collect()
    }

    #[test]
    fn windows_begin_at_the_midnight_of_the_zone() {
        let (day, week, month) = (
            IntervalMonthDayNano::new(0, 1, 0),
            IntervalMonthDayNano::new(0, 7, 0),
            IntervalMonthDayNano::new(1, 0, 0),
        );
        let zurich = [
            "2026-03-28T22:59:59Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T21:59:59Z",
            "2026-03-29T22:00:00Z",
            "2026-10-25T22:59:59Z",
            "2026-10-25T23:00:00Z",
        ];
        assert_eq!(
            starts("Europe/Zurich", day, None, &zurich),
            [
                "2026-03-27T23:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z"
            ]
        );
        assert_eq!(
            starts(
                "Europe/Zurich",
                month,
                None,
                &[
                    "2026-03-31T21:59:59Z",
                    "2026-03-31T22:00:00Z",
                    "1969-12-31T23:30:00Z",
                    "1969-12-31T22:30:00Z"
                ]
            ),
            [
                "2026-02-28T23:00:00Z",
                "2026-03-31T22:00:00Z",
                "1969-12-31T23:00:00Z",
                "1969-11-30T23:00:00Z"
            ]
        );
        let monday = DateTime::parse_from_rfc3339("2026-01-05T00:00:00+01:00").unwrap().timestamp();
        assert_eq!(
            starts(
                "Europe/Zurich",
                week,
                Some(monday),
                &["2026-03-29T22:00:00Z", "2026-01-01T00:00:00Z"]
            ),
            ["2026-03-29T22:00:00Z", "2025-12-28T23:00:00Z"]
        );
        // Clocks go on at midnight in Beirut, and back at one to midnight in Havana.
        assert_eq!(
            starts("Asia/Beirut", day, None, &["2026-03-28T21:59:59Z", "2026-03-28T22:00:00Z"]),
            ["2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z"]
        );
        assert_eq!(
            starts(
                "America/Havana",
                day,
                None,
                &["2026-11-01T03:59:59Z", "2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z"]
            ),
            ["2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z", "2026-11-01T04:00:00Z"]
        );
        assert_eq!(
            starts("+05:30", day, None, &["2026-03-28T18:29:59Z", "2026-03-28T18:30:00Z"]),
            ["2026-03-27T18:30:00Z", "2026-03-28T18:30:00Z"]
        );
    }

    #[test]
    fn hours_and_days_of_utc_are_of_equal_length() {
        let of = |stride, zone| Local::new(stride, None, TimeUnit::Second, zone).unwrap().is_none();
        assert!(of(IntervalMonthDayNano::new(0, 1, 0), Some("UTC")));
        assert!(of(IntervalMonthDayNano::new(0, 1, 0), None));
        assert!(of(IntervalMonthDayNano::new(0, 0, 3_600_000_000_000), Some("Europe/Zurich")));
    }
}
