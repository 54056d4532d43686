//! Times of a file as instants, by what the mapping states of them. A time that is not as stated is refused, never
//! guessed.
//!
//! ```text
//! text ──form──► local time ──zone──► instant
//!                  └── with an offset ──►┘
//! number ──unit, since──► instant             does it look like another unit?
//! ```

mod format;
pub(super) mod number;
mod zone;

use arrow::array::timezone::Tz;
use barograph_lake::{Span, Timestamp};

use self::format::{Format, Stamp, usual};
use self::number::{Decimal, Likeness};
use self::zone::{Local, Steady, Zone, shown};
use super::mapping::time::{Time, Unit};
use crate::{Error, Result};

/// ns in a µs.
const NS: i128 = 1_000;
/// Times that cannot be read at the beginning of a file, all of them, from which on the file is refused.
const SYSTEMATIC: u64 = 100;

/// The form of the times of a column of the table.
#[derive(Debug, Clone)]
pub(crate) struct TimeForm {
    column: String,
    format: Option<(String, Format)>,
    unit: Option<Unit>,
    since: Option<i64>,
    zone: Zone,
    round: bool,
}

/// Ambiguous or nonexistent local times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalTimes {
    /// Number of rows that have one.
    pub rows: u64,
    /// The first of them, as clocks show it.
    pub first: Option<String>,
    /// The last of them.
    pub last: Option<String>,
}

/// The findings while times were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Ambiguous local times, which come twice.
    pub ambiguous: LocalTimes,
    /// Nonexistent local times, which clocks skip.
    pub nonexistent: LocalTimes,
}

/// A reader of the times of a column.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    form: &'a TimeForm,
    /// How the file's column is called in a reason.
    called: String,
    steady: Steady,
    found: Found,
    seen: Seen,
}

/// How many times were seen, and how many of them were refused for what may be wrong with all of them.
#[derive(Debug, Default)]
struct Seen {
    times: u64,
    /// Look like another unit than stated.
    unlike: u64,
    /// Cannot be read.
    unread: u64,
    /// May be a time in the stated unit, and are dates as digits.
    dated: u64,
    first: Option<String>,
    dated_as: Option<String>,
}

/// Why a time is refused.
enum Fault {
    Unread,
    Finer,
    Unlike(Likeness),
    Unstated,
    Ambiguous,
    Nonexistent,
    Never,
}

impl TimeForm {
    /// The form that a mapping states for the times of `column`.
    ///
    /// # Errors
    /// `Request` that names what is impossible.
    pub(crate) fn new(column: &str, time: &Time) -> Result<Self> {
        let wrong = |what: String| Error::request(format!("times of {column}: {what}"));
        let format = match &time.format {
            None => None,
            Some(text) => {
                let format = Format::new(text.trim())
                    .map_err(|reason| wrong(format!("format {text:?}: {reason}")))?;
                Some((text.clone(), format))
            }
        };
        if format.is_some() && time.unit.is_some() {
            return Err(wrong(
                "a format is for text, a unit for numbers: state one of them".into(),
            ));
        }
        if time.unit.is_some() && time.columns.len() > 1 {
            return Err(wrong("a unit is for one column of numbers".into()));
        }
        let since = match &time.since {
            None => None,
            Some(_) if time.unit.is_none() => {
                return Err(wrong("since needs a unit, such as unit = \"d\"".into()));
            }
            Some(text) => {
                let stamp = usual(text.trim()).filter(|stamp| stamp.offset.is_none());
                let local = stamp.and_then(|stamp| i64::try_from(stamp.local_ns / NS).ok());
                Some(local.ok_or_else(|| {
                    wrong(format!("since {text:?}: write a date or time like 1899-12-30"))
                })?)
            }
        };
        let zone =
            Zone::new(time.zone.as_deref(), time.ambiguous, time.nonexistent).map_err(wrong)?;
        let (unit, round) = (time.unit, time.round);
        Ok(Self { column: column.to_owned(), format, unit, since, zone, round })
    }

    /// A reader of the times of the file's column `source`.
    pub(crate) fn begin(&self, source: &str) -> Reading<'_> {
        let called = if source == self.column { String::new() } else { format!(" {source}") };
        let (steady, found, seen) = (Steady::default(), Found::default(), Seen::default());
        Reading { form: self, called, steady, found, seen }
    }
}

impl Reading<'_> {
    /// Reads a time as text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn text(&mut self, text: &str) -> std::result::Result<Timestamp, String> {
        self.seen.times += 1;
        let form = self.form;
        let read = match (&form.format, form.unit) {
            (Some((_, format)), _) => {
                format.read(text).ok_or(Fault::Unread).and_then(|stamp| self.stamp(stamp, text))
            }
            (None, Some(_)) => {
                Decimal::read(text).ok_or(Fault::Unread).and_then(|number| self.number(number))
            }
            (None, None) => match usual(text) {
                Some(stamp) => self.stamp(stamp, text),
                None => match Decimal::read(text) {
                    Some(number) => self.number(number),
                    None => named_zone(text)
                        .ok_or(Fault::Unread)
                        .and_then(|ns| self.rounded(ns).map(Timestamp::from_micros)),
                },
            },
        };
        read.map_err(|fault| self.reason(&fault, &format!("{text:?}")))
    }

    /// Reads a time that is a number.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn count(&mut self, number: Decimal, text: impl Fn() -> String) -> Read {
        if self.form.format.is_some() {
            return self.text(&text());
        }
        self.seen.times += 1;
        self.number(number).map_err(|fault| self.reason(&fault, &text()))
    }

    /// Whether times without an offset are in UTC.
    pub(crate) fn is_utc(&self) -> bool {
        self.form.zone.is_utc()
    }

    /// Reads ns since 1970, by a clock in UTC, or in the stated zone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn clock(&mut self, ns: i128, is_utc: bool) -> Read {
        self.seen.times += 1;
        let stamp = Stamp { local_ns: ns, offset: is_utc.then_some(0) };
        self.stamp(stamp, "").map_err(|fault| {
            let shown = i64::try_from(ns.div_euclid(NS)).ok().and_then(shown);
            let text = shown.map_or_else(|| format!("{ns} ns"), |time| format!("{time}"));
            self.reason(&fault, &text)
        })
    }

    /// The findings, for the piece that was read.
    ///
    /// # Errors
    /// `Input` if the piece is the first of its file and what is wrong with its times is wrong with all.
    pub(crate) fn end(self, first: bool) -> Result<Found> {
        let Seen { times, unlike, unread, dated, first: reason, dated_as } = self.seen;
        let all = |count: u64, least: u64| first && count == times && count >= least;
        if all(unlike, 1) || all(unlike + unread, SYSTEMATIC) {
            return Err(Error::input(reason.unwrap_or_default()));
        }
        if all(dated, SYSTEMATIC) {
            return Err(Error::input(dated_as.unwrap_or_default()));
        }
        Ok(self.found)
    }

    fn stamp(&mut self, stamp: Stamp, text: &str) -> std::result::Result<Timestamp, Fault> {
        let local = self.rounded(stamp.local_ns)?;
        if let Some(offset) = stamp.offset {
            return Ok(Timestamp::from_micros(local) - Span::seconds(offset.into()));
        }
        let note = |times: &mut LocalTimes, by_rule: Option<Timestamp>, fault| {
            times.rows += 1;
            let shown = || match text {
                "" => shown(local).map(|time| time.to_string()).unwrap_or_default(),
                text => text.to_owned(),
            };
            times.first.get_or_insert_with(shown);
            times.last = Some(shown());
            by_rule.ok_or(fault)
        };
        match self.form.zone.instant(local, &mut self.steady) {
            Local::Instant(instant) => Ok(instant),
            Local::Ambiguous(by_rule) => note(&mut self.found.ambiguous, by_rule, Fault::Ambiguous),
            Local::Nonexistent(by_rule) => {
                note(&mut self.found.nonexistent, by_rule, Fault::Nonexistent)
            }
            Local::Never => Err(Fault::Never),
        }
    }

    fn number(&mut self, number: Decimal) -> std::result::Result<Timestamp, Fault> {
        let unit = self.form.unit.unwrap_or(Unit::Microsecond);
        if let Some(since) = self.form.since {
            let ns = number.nanoseconds(unit).ok_or(Fault::Never)?;
            let local_ns = ns.checked_add(i128::from(since) * NS).ok_or(Fault::Never)?;
            return self.stamp(Stamp { local_ns, offset: None }, "");
        }
        if let Some(likeness) = number.likeness(unit) {
            return Err(Fault::Unlike(likeness));
        }
        if self.form.unit.is_none() && !number.is_time_in(unit) {
            return Err(Fault::Unstated);
        }
        if let Some(format) = number.date() {
            self.seen.dated += 1;
            let form = self.form;
            let reason = || form.unlike(&number.to_string(), Likeness::Digits(format));
            self.seen.dated_as.get_or_insert_with(reason);
        }
        self.rounded(number.nanoseconds(unit).ok_or(Fault::Never)?).map(Timestamp::from_micros)
    }

    /// ns as µs; half a µs to the even one where that is asked.
    fn rounded(&self, ns: i128) -> std::result::Result<i64, Fault> {
        let (whole, left) = (ns.div_euclid(NS), ns.rem_euclid(NS));
        if left != 0 && !self.form.round {
            return Err(Fault::Finer);
        }
        let up = left * 2 > NS || (left * 2 == NS && whole % 2 != 0);
        i64::try_from(whole + i128::from(up)).map_err(|_| Fault::Never)
    }

    fn reason(&mut self, fault: &Fault, text: &str) -> String {
        let form = self.form;
        let called = format!("{}:{} {text}", form.column, self.called);
        let reason = match fault {
            Fault::Unread => match (&form.format, form.unit) {
                (Some((format, _)), _) => {
                    format!("{called} is not a time of the form {format:?}")
                }
                (None, Some(unit)) => {
                    format!("{called} is not a number of {}", unit.name())
                }
                (None, None) => format!("{called} is not a time like 2026-11-22T10:00:00Z"),
            },
            Fault::Finer => {
                format!("{called} is finer than a µs, which `round = true` would round")
            }
            Fault::Unlike(likeness) => form.unlike(&format!("{} {text}", self.called), *likeness),
            Fault::Unstated => format!(
                "{called} is a number, and nothing says what it counts: state `unit` (--time-unit), or `format` (--time-format)"
            ),
            Fault::Ambiguous => {
                format!(
                    "{called} occurs twice in {}: `ambiguous` decides which is meant",
                    form.zone
                )
            }
            Fault::Nonexistent => {
                format!("{called} does not exist in {}, where clocks are set forward", form.zone)
            }
            Fault::Never => format!("{called} is outside the years 1 to 9999"),
        };
        match fault {
            Fault::Unlike(_) | Fault::Unstated => self.seen.unlike += 1,
            Fault::Unread => self.seen.unread += 1,
            _ => return reason,
        }
        self.seen.first.get_or_insert_with(|| reason.clone());
        reason
    }
}

/// A time, or what is wrong with it.
pub(crate) type Read = std::result::Result<Timestamp, String>;

impl TimeForm {
    fn unlike(&self, text: &str, likeness: Likeness) -> String {
        let stated = match self.unit {
            Some(unit) => format!("{}, as stated", unit.name()),
            None => "µs since 1970, as numbers are if nothing is stated".to_owned(),
        };
        let (like, state) = match likeness {
            Likeness::Digits(format) => {
                (format.to_owned(), format!("format = {format:?} (--time-format {format:?})"))
            }
            Likeness::Unit(unit) => (
                format!("{} since 1970", unit.name()),
                format!("unit = \"{0}\" (--time-unit {0})", unit.name()),
            ),
        };
        let text = text.trim_start();
        format!("{}: {text} looks like {like}, not like {stated}: state {state}", self.column)
    }
}

impl LocalTimes {
    /// Adds those of rows that were read later.
    pub(crate) fn add(&mut self, later: Self) {
        self.rows += later.rows;
        self.first = self.first.take().or(later.first);
        self.last = later.last.or(self.last.take());
    }
}

impl Found {
    /// Adds what was found later.
    pub(crate) fn add(&mut self, later: Self) {
        self.ambiguous.add(later.ambiguous);
        self.nonexistent.add(later.nonexistent);
    }
}

/// A usual time with the name of a zone behind it, in ns since 1970.
fn named_zone(text: &str) -> Option<i128> {
    let (time, zone) = text.rsplit_once(' ')?;
    let (stamp, zone) = (usual(time.trim_end())?, zone.parse::<Tz>().ok()?);
    let zone = Zone::of(zone);
    let local = i64::try_from(stamp.local_ns.div_euclid(NS)).ok()?;
    match (stamp.offset, zone.instant(local, &mut Steady::default())) {
        (None, Local::Instant(instant)) => {
            Some(i128::from(instant.as_micros()) * NS + stamp.local_ns.rem_euclid(NS))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
