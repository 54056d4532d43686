//! The zone of local times: it turns them into instants, also where clocks are set forward in spring and back in
//! autumn.

use std::fmt;

use arrow::array::timezone::Tz;
use barograph_lake::Timestamp;
use barograph_lake::time::{MICROS_PER_HOUR, MICROS_PER_SECOND};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};

use super::super::mapping::time::{Ambiguous, Nonexistent};

/// Since 1973, clocks are set at the beginning of a quarter of an hour.
const STEADY: i64 = MICROS_PER_HOUR / 4;
const SINCE: i64 = 3 * 366 * DAY;
/// Longer than any clock was ever set forward, and than any zone is from UTC.
const DAY: i64 = 24 * MICROS_PER_HOUR;

/// A zone, and what its doubtful local times mean.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    name: String,
    zone: Option<Tz>,
    ambiguous: Ambiguous,
    nonexistent: Nonexistent,
}

/// The instant of a local time, as far as it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// One instant.
    Instant(Timestamp),
    /// One of two instants, this by the rule; none if it is refused.
    Ambiguous(Option<Timestamp>),
    /// No instant, but this by the rule; none if it is refused.
    Nonexistent(Option<Timestamp>),
    /// Out of all bounds.
    Never,
}

/// The zone's distance from UTC where it was looked up last.
#[derive(Debug, Default)]
pub(crate) struct Steady(Option<(i64, i64)>);

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Zone {
    /// The zone of a name or an offset, UTC for none.
    pub(crate) fn new(
        name: Option<&str>,
        ambiguous: Ambiguous,
        nonexistent: Nonexistent,
    ) -> Result<Self, String> {
        let zone = match name {
            None | Some("UTC" | "Z") => None,
            Some(name) => Some(name.parse::<Tz>().map_err(|_| {
                format!("zone {name:?}: write an IANA name such as Europe/Brussels, or an offset such as +01:00")
            })?),
        };
        let name = name.unwrap_or("UTC").to_owned();
        Ok(Self { name, zone, ambiguous, nonexistent })
    }

    /// Whether it is UTC.
    pub(crate) fn is_utc(&self) -> bool {
        self.zone.is_none()
    }

    /// A zone whose doubtful times are refused.
    pub(crate) fn of(zone: Tz) -> Self {
        let (ambiguous, nonexistent) = (Ambiguous::Refuse, Nonexistent::Refuse);
        Self { name: zone.to_string(), zone: Some(zone), ambiguous, nonexistent }
    }

    /// The instant at which clocks show `local`, in µs since they showed 1970-01-01T00:00.
    pub(crate) fn instant(&self, local: i64, steady: &mut Steady) -> Local {
        let instant = Timestamp::from_micros;
        let Some(zone) = &self.zone else { return Local::Instant(instant(local)) };
        let quarter = local.div_euclid(STEADY);
        if let Some((known, offset)) = steady.0
            && known == quarter
        {
            return Local::Instant(instant(local - offset));
        }
        let Some(shown) = shown(local) else { return Local::Never };
        let of = |offset: i32| i64::from(offset) * MICROS_PER_SECOND;
        match zone.offset_from_local_datetime(&shown) {
            LocalResult::Single(offset) => {
                let offset = of(offset.fix().local_minus_utc());
                steady.0 = (local >= SINCE).then_some((quarter, offset));
                Local::Instant(instant(local - offset))
            }
            LocalResult::Ambiguous(a, b) => {
                let offsets = [a, b].map(|offset| of(offset.fix().local_minus_utc()));
                let instants = offsets.map(|offset| instant(local - offset));
                Local::Ambiguous(match self.ambiguous {
                    Ambiguous::First => instants.into_iter().min(),
                    Ambiguous::Second => instants.into_iter().max(),
                    Ambiguous::Refuse => None,
                })
            }
            LocalResult::None => Local::Nonexistent(match self.nonexistent {
                Nonexistent::Shift => {
                    let before = local.checked_sub(DAY).and_then(self::shown);
                    before.map(|before| {
                        let offset = zone.offset_from_utc_datetime(&before).fix();
                        instant(local - of(offset.local_minus_utc()))
                    })
                }
                Nonexistent::Refuse => None,
            }),
        }
    }
}

/// The date and time that a clock shows.
pub(crate) fn shown(local: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(local).map(|time| time.naive_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn at(zone: &str, ambiguous: Ambiguous, local: &str) -> Local {
        let zone = Zone::new(Some(zone), ambiguous, Nonexistent::Shift).unwrap();
        zone.instant(local.parse::<Timestamp>().unwrap().as_micros(), &mut Steady::default())
    }

    fn instant(text: &str) -> Timestamp {
        text.parse::<Timestamp>().unwrap()
    }

    #[test]
    fn local_times_are_read_with_summer_time() {
        let single = |zone, local, utc| {
            assert_eq!(at(zone, Ambiguous::First, local), Local::Instant(instant(utc)), "{local}");
        };
        single("Europe/Brussels", "2022-07-01 12:00", "2022-07-01T10:00:00Z");
        single("Europe/Brussels", "2022-12-01 12:00", "2022-12-01T11:00:00Z");
        single("America/New_York", "2022-07-01 12:00", "2022-07-01T16:00:00Z");
        single("+05:30", "2022-07-01 12:00", "2022-07-01T06:30:00Z");
        single("UTC", "2022-10-30 02:30", "2022-10-30T02:30:00Z");
        assert!(Zone::new(Some("Mars"), Ambiguous::First, Nonexistent::Shift).is_err());
    }

    #[test]
    fn an_hour_that_repeats_or_is_left_out_follows_the_rule() {
        let autumn = "2022-10-30 02:30";
        for (rule, utc) in [
            (Ambiguous::First, Some("2022-10-30T00:30:00Z")),
            (Ambiguous::Second, Some("2022-10-30T01:30:00Z")),
            (Ambiguous::Refuse, None),
        ] {
            let meant = Local::Ambiguous(utc.map(instant));
            assert_eq!(at("Europe/Brussels", rule, autumn), meant, "{rule:?}");
        }
        let spring = |zone, local, utc| {
            let meant = Local::Nonexistent(Some(instant(utc)));
            assert_eq!(at(zone, Ambiguous::First, local), meant, "{local}");
        };
        spring("Europe/Brussels", "2022-03-27 02:30", "2022-03-27T01:30:00Z");
        spring("Australia/Lord_Howe", "2022-10-02 02:15", "2022-10-01T15:45:00Z");
        spring("Pacific/Apia", "2011-12-30 12:00", "2011-12-30T22:00:00Z");
    }

    #[test]
    fn what_was_looked_up_last_holds_for_its_quarter_of_an_hour() {
        let zone = Zone::new(Some("Europe/Brussels"), Ambiguous::First, Nonexistent::Shift);
        let (zone, mut steady) = (zone.unwrap(), Steady::default());
        let mut at = |text| zone.instant(instant(text).as_micros(), &mut steady);
        let (before, after) = (at("2022-03-27 01:59"), at("2022-03-27 03:01"));
        assert_eq!(before, Local::Instant(instant("2022-03-27T00:59:00Z")));
        assert_eq!(after, Local::Instant(instant("2022-03-27T01:01:00Z")));
        assert_eq!(at("2022-10-30 02:59"), Local::Ambiguous(Some(instant("2022-10-30T00:59:00Z"))));
        assert_eq!(at("2022-10-30 03:00"), Local::Instant(instant("2022-10-30T02:00:00Z")));
    }
}
