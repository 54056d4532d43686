//! Cron expressions of five fields, in UTC, which say when a job is due.
//!
//! ```text
//! minute  hour  day of month  month    day of week
//! 0-59    0-23  1-31          1-12     0-7 (0 and 7 are Sunday)
//! *       */6   1,15          jan-mar  mon-fri
//! ```
//!
//! Where day of month and day of week are both restricted, a day that fits either is due, as in every
//! cron since Vixie's.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use barograph_lake::{Span, Timestamp};
use chrono::{DateTime, Datelike, Days, NaiveDate, Timelike, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Within eight years every day that a calendar has comes round, the 29th of February included.
const DAYS_MAX: u64 = 8 * 366;
const ALL_HOURS: u64 = 0xff_ffff;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The times that an expression names. `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day that fits either of its two fields is due, rather than one that fits both.
    either: bool,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    min: u64,
    max: u64,
    /// What else its values are called, from `min` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: &MONTHS },
    Field { name: "day of week", min: 0, max: 7, names: &WEEKDAYS },
];

impl Cron {
    /// The first time after `instant`; `None` beyond the years that a date can name.
    pub fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        let from = instant.floor_to(Span::MINUTE).checked_add(Span::MINUTE)?;
        let from = DateTime::<Utc>::from_timestamp_micros(from.as_micros())?;
        let (first, minute) = (from.date_naive(), minute_of_day(&from));
        (0..=DAYS_MAX).find_map(|ahead| {
            let day = first.checked_add_days(Days::new(ahead))?;
            let from = if ahead == 0 { minute } else { 0 };
            let due = self.fits(day).then(|| self.minutes_of_day().find(|m| *m >= from))?;
            at(day, due?)
        })
    }

    /// The last time at or before `instant`; `None` before the years that a date can name.
    pub fn until(&self, instant: Timestamp) -> Option<Timestamp> {
        let to = DateTime::<Utc>::from_timestamp_micros(instant.as_micros())?;
        let (last, minute) = (to.date_naive(), minute_of_day(&to));
        (0..=DAYS_MAX).find_map(|back| {
            let day = last.checked_sub_days(Days::new(back))?;
            let to = if back == 0 { minute } else { u64::MAX };
            let due =
                self.fits(day).then(|| self.minutes_of_day().take_while(|m| *m <= to).last())?;
            at(day, due?)
        })
    }

    /// At one minute of every hour.
    pub(super) fn hourly(minute: u64) -> Self {
        let text = format!("{minute} * * * *");
        Self { text, minutes: 1 << minute, hours: ALL_HOURS, ..Self::every_day() }
    }

    /// At one minute of every day.
    pub(super) fn daily(hour: u64, minute: u64) -> Self {
        let text = format!("{minute} {hour} * * *");
        Self { text, minutes: 1 << minute, hours: 1 << hour, ..Self::every_day() }
    }

    fn every_day() -> Self {
        Self {
            text: String::new(),
            minutes: 0,
            hours: 0,
            days: 0xffff_fffe,
            months: 0x1ffe,
            weekdays: 0x7f,
            either: false,
        }
    }

    fn fits(&self, day: NaiveDate) -> bool {
        let of_month = has(self.days, u64::from(day.day()));
        let of_week = has(self.weekdays, u64::from(day.weekday().num_days_from_sunday()));
        let fits = if self.either { of_month || of_week } else { of_month && of_week };
        fits && has(self.months, u64::from(day.month()))
    }

    /// The minutes of a day that are due, ascending.
    fn minutes_of_day(&self) -> impl Iterator<Item = u64> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(|hour| {
            (0..60).filter(|minute| has(self.minutes, *minute)).map(move |m| hour * 60 + m)
        })
    }
}

fn has(set: u64, value: u64) -> bool {
    (set >> value) & 1 == 1
}

fn minute_of_day(time: &DateTime<Utc>) -> u64 {
    u64::from(time.hour() * 60 + time.minute())
}

fn at(day: NaiveDate, minute: u64) -> Option<Timestamp> {
    let minute = u32::try_from(minute).ok()?;
    let time = day.and_hms_opt(minute / 60, minute % 60, 0)?.and_utc();
    Some(Timestamp::from_micros(time.timestamp_micros()))
}

impl Field {
    /// The values that `text` names, as a set of bits.
    fn parse(&self, text: &str) -> Option<u64> {
        text.split(',').try_fold(0, |set, part| Some(set | self.part(part)?))
    }

    /// `*`, `7`, `mon-fri`, `*/5`, `10-40/10` or `10/10`, which goes up to the largest value.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None => {
                let from = self.value(range)?;
                (from, if step.is_some() { self.max } else { from })
            }
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        (from <= to).then(|| (from..=to).step_by(step).fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u64> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(place) => self.min + place as u64,
            None => number(text)?,
        };
        (self.min..=self.max).contains(&value).then_some(value)
    }
}

/// Digits alone: no sign and no space.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

impl FromStr for Cron {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: String| {
            Error::request(format!(
                "cron expression {text:?}: {why}; write minute, hour, day of month, month and day of week, \
                 like \"30 2 * * *\" for half past two every night (UTC)"
            ))
        };
        let words: Vec<_> = text.split_whitespace().collect();
        if words.len() != FIELDS.len() {
            return Err(wrong(format!("it has {} fields instead of five", words.len())));
        }
        let mut sets = [0; FIELDS.len()];
        for ((set, field), word) in sets.iter_mut().zip(&FIELDS).zip(&words) {
            *set = field.parse(word).ok_or_else(|| {
                wrong(format!("{} {word:?} is not from {} to {}", field.name, field.min, field.max))
            })?;
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let restricted = |place: usize| words.get(place).is_some_and(|word| !word.starts_with('*'));
        let cron = Self {
            text: words.join(" "),
            minutes,
            hours,
            days,
            months,
            // Sunday is 0 and 7.
            weekdays: (weekdays | (weekdays >> 7)) & 0x7f,
            either: restricted(2) && restricted(4),
        };
        match cron.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err(wrong("no month has such a day".to_owned())),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Cron {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl JsonSchema for Cron {
    fn schema_name() -> Cow<'static, str> {
        "Cron".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["30 2 * * *"] })
    }
}

#[cfg(test)]
#[path = "cron/tests.rs"]
mod tests;
