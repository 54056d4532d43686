//! The step from one window to the next. Windows are of equal length, or of whole months, or of whole days or months of
//! a time zone, whose days may have 23 or 25 hours.

use chrono::{DateTime, Datelike, Months, Utc};
use datafusion::arrow::array::types::IntervalMonthDayNano;
use datafusion::arrow::datatypes::TimeUnit;
use datafusion::common::{Result, exec_err, plan_err};

use super::local::{Local, instant as instant_of, per_second};

/// The way from one window to the next, in the unit of the time column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A number of time units.
    Equal(i64),
    /// A number of months, counted from an origin on whose day and time each window begins.
    Months { months: i64, origin: DateTime<Utc>, unit: TimeUnit },
    /// Days or months of a time zone.
    Local(Local),
}

fn instant(date: DateTime<Utc>, unit: TimeUnit) -> Option<i64> {
    let scale = per_second(unit);
    let part = i64::from(date.timestamp_subsec_nanos()) / (1_000_000_000 / scale);
    date.timestamp().checked_mul(scale)?.checked_add(part)
}

impl Step {
    /// The step of windows `stride` long that begin at `origin`, for times in `unit`.
    pub(super) fn new(
        stride: IntervalMonthDayNano,
        origin: Option<i64>,
        unit: TimeUnit,
        zone: Option<&str>,
    ) -> Result<Self> {
        const DAY: i64 = 86_400_000_000_000;
        if let Some(local) = Local::new(stride, origin, unit, zone)? {
            return Ok(Self::Local(local));
        }
        let origin = origin.unwrap_or(0);
        if stride.months != 0 {
            let Some(origin) = instant_of(origin, unit) else {
                return plan_err!("date_bin_gapfill: origin {origin} is not a date");
            };
            if stride.months < 0 || stride.days != 0 || stride.nanoseconds != 0 {
                return plan_err!(
                    "date_bin_gapfill: a stride is a positive interval, of months alone or of days \
                     and less"
                );
            }
            return Ok(Self::Months { months: stride.months.into(), origin, unit });
        }
        let nanos = i64::from(stride.days)
            .checked_mul(DAY)
            .and_then(|days| days.checked_add(stride.nanoseconds));
        let tick = 1_000_000_000 / per_second(unit);
        match nanos {
            Some(nanos) if nanos > 0 && nanos % tick == 0 => Ok(Self::Equal(nanos / tick)),
            Some(nanos) if nanos > 0 => plan_err!(
                "date_bin_gapfill: a stride of {nanos} ns is no whole number of {unit:?}s, the unit \
                 of the time: take a longer stride"
            ),
            _ => plan_err!("date_bin_gapfill: a stride is more than zero and less than 292 years"),
        }
    }

    /// The start of the window after the one that starts at `time`.
    pub(super) fn next(&self, time: i64) -> Result<i64> {
        let next = match self {
            Self::Equal(length) => time.checked_add(*length),
            Self::Local(local) => local.after(time),
            Self::Months { months, origin, unit } => {
                let whole =
                    |date: &DateTime<Utc>| i64::from(date.year()) * 12 + i64::from(date.month0());
                instant_of(time, *unit)
                    .and_then(|date| {
                        let ahead = whole(&date) - whole(origin) + months;
                        let count = Months::new(u32::try_from(ahead.unsigned_abs()).ok()?);
                        if ahead < 0 {
                            origin.checked_sub_months(count)
                        } else {
                            origin.checked_add_months(count)
                        }
                    })
                    .and_then(|date| instant(date, *unit))
            }
        };
        match next {
            Some(next) => Ok(next),
            None => exec_err!("date_bin_gapfill: the window after {time} is beyond time"),
        }
    }
}
