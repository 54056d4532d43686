//! A request in the words of Open-Meteo: places, variables, times, units.

use barograph_flight::{Error, Result};
use barograph_lake::{Key, Span, TableSchema, Timestamp};
use chrono::{Offset, TimeZone};
use chrono_tz::Tz;

use super::units::{Units, choice};
use super::variables::{Step, Variable};
use crate::places::Place;
use crate::request::Query;
use crate::serve::Shared;

/// Places that a request may ask for.
const PLACES_MAX: usize = 1_000;
/// Values of one place that a request may ask for: they are held while they are written, some 100 bytes each. Five years of
/// hours of ten variables are fewer.
const VALUES_MAX: i64 = 500_000;
/// Days before today that a request may ask for by `past_days`.
const PAST_DAYS_MAX: i64 = 36_600;

/// A request that was understood.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) places: Vec<Location>,
    /// Those that were asked for, in the order of the answer.
    pub(super) sections: Vec<(Step, Vec<Variable>)>,
    pub(super) is_unix: bool,
    pub(super) is_csv: bool,
    times: Times,
}

/// A place with the time zone of its answer.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) place: Place,
    pub(super) zone: Zone,
}

/// A time zone at this moment: as Open-Meteo does, one offset holds for the whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) name: &'static str,
    /// Seconds east of Greenwich.
    pub(super) offset: i64,
    zone: Option<(Tz, i64)>,
}

/// Which times are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    /// First and last local day, counted from the Unix epoch.
    Days(i64, i64),
    /// Days before today, and windows before this one.
    Past { days: i64, hours: Option<i64>, quarters: Option<i64> },
}

impl Zone {
    const GMT: Self = Self { name: "GMT", offset: 0, zone: None };

    fn named(name: &str, now: Timestamp) -> Result<Self> {
        if name.eq_ignore_ascii_case("gmt") || name.eq_ignore_ascii_case("utc") {
            return Ok(Self::GMT);
        }
        let zone: Tz = name.parse().map_err(|_| {
            Error::request(format!(
                "Invalid timezone '{name}': write one like Europe/Berlin, or auto"
            ))
        })?;
        let seconds = now.as_micros().div_euclid(1_000_000);
        let offset = match zone.timestamp_opt(seconds, 0) {
            chrono::LocalResult::Single(time) => i64::from(time.offset().fix().local_minus_utc()),
            _ => 0,
        };
        Ok(Self { name: zone.name(), offset, zone: Some((zone, seconds)) })
    }

    /// Its short name, such as `CET`.
    pub(super) fn abbreviation(self) -> String {
        let Some((zone, seconds)) = self.zone else { return "GMT".to_owned() };
        match zone.timestamp_opt(seconds, 0) {
            chrono::LocalResult::Single(time) => time.format("%Z").to_string(),
            _ => self.name.to_owned(),
        }
    }
}

impl Request {
    /// Understands the parameters; `archive` has to have days.
    pub(super) fn read(
        shared: &Shared,
        query: &Query,
        table: &TableSchema,
        now: Timestamp,
        archive: bool,
    ) -> Result<Self> {
        let format = query.one("format")?.unwrap_or("json");
        if !["json", "csv"].contains(&format) {
            return Err(Error::request(format!(
                "format '{format}' is not answered here: there are json and csv"
            )));
        }
        let units = Units::read(query)?;
        let settings = &shared.settings.open_meteo;
        let mut sections = Vec::new();
        for step in [Step::Current, Step::Minutely15, Step::Hourly, Step::Daily] {
            let Some(names) = query.list(step.name()) else { continue };
            let variable = |name: &&str| Variable::named(name, step, table, settings, units);
            let variables = names.iter().map(variable).collect::<Result<Vec<_>>>()?;
            if !variables.is_empty() {
                sections.push((step, variables));
            }
        }
        let request = Self {
            places: places(shared, query, now)?,
            is_unix: choice(query, "timeformat", &["iso8601", "unixtime"])? == "unixtime",
            is_csv: format == "csv",
            times: Times::read(query, archive)?,
            sections,
        };
        for location in &request.places {
            let values = request.sections.iter().map(|(step, variables)| {
                let (from, to) = request.range(*step, location.zone.offset, now);
                (to - from).div_euclid(step.seconds()).saturating_mul(variables.len() as i64)
            });
            let values = values.fold(0, i64::saturating_add);
            // In CSV all places are held, as their sections are written one after another.
            let places = if request.is_csv { request.places.len() as i64 } else { 1 };
            if values.saturating_mul(places) > VALUES_MAX {
                return Err(Error::request(format!(
                    "{values} values of a place are asked for, {VALUES_MAX} at most are answered: ask for fewer days or variables"
                )));
            }
        }
        Ok(request)
    }

    /// The local times of a section as seconds since the Unix epoch, as if local time were UTC: the first, and the first after
    /// the last. Nothing is still to come.
    pub(super) fn range(&self, step: Step, offset: i64, now: Timestamp) -> (i64, i64) {
        const DAY: i64 = 86_400;
        let length = step.seconds();
        let now = now.as_micros().div_euclid(1_000_000).saturating_add(offset);
        let today = now.div_euclid(DAY).saturating_mul(DAY);
        let next = now.div_euclid(length).saturating_add(1).saturating_mul(length);
        let (from, to) = match self.times {
            Times::Days(first, last) => {
                (first.saturating_mul(DAY), last.saturating_add(1).saturating_mul(DAY))
            }
            Times::Past { days, hours, quarters } => {
                let windows = match step {
                    Step::Hourly => hours,
                    Step::Minutely15 => quarters,
                    Step::Current | Step::Daily => None,
                };
                let from = match windows {
                    Some(count) => {
                        next.saturating_sub(count.saturating_add(1).saturating_mul(length))
                    }
                    None => today.saturating_sub(days.saturating_mul(DAY)),
                };
                (from, next)
            }
        };
        (from, to.min(next).max(from))
    }
}

impl Times {
    fn read(query: &Query, archive: bool) -> Result<Self> {
        let day = |name: &str| -> Result<Option<i64>> {
            let Some(text) = query.one(name)? else { return Ok(None) };
            let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
            let day = day.and_then(|day| day.and_hms_opt(0, 0, 0));
            let day = day.map(|day| day.and_utc().timestamp().div_euclid(86_400));
            let within = day.filter(|day| (-719_162..=2_932_896).contains(day));
            within.map(Some).ok_or_else(|| {
                Error::request(format!(
                    "parameter '{name}' is '{text}': write a day like 2026-11-22"
                ))
            })
        };
        let count = |name: &str, most: i64| -> Result<Option<i64>> {
            match query.number(name)? {
                Some(count) if !(0..=most).contains(&count) => Err(Error::request(format!(
                    "parameter '{name}' is {count}: write a number from 0 to {most}"
                ))),
                count => Ok(count),
            }
        };
        match (day("start_date")?, day("end_date")?) {
            (Some(first), Some(last)) if first > last => Err(Error::request(
                "parameter 'end_date' is before 'start_date': write the earlier day first",
            )),
            (Some(first), Some(last)) => Ok(Self::Days(first, last)),
            (None, None) if !archive => Ok(Self::Past {
                days: count("past_days", PAST_DAYS_MAX)?.unwrap_or(0),
                hours: count("past_hours", PAST_DAYS_MAX * 24)?,
                quarters: count("past_minutely_15", PAST_DAYS_MAX * 96)?,
            }),
            (first, _) => {
                let missing = if first.is_some() { "end_date" } else { "start_date" };
                Err(Error::request(format!(
                    "parameter '{missing}' is missing: give both days, like start_date=2026-11-21&end_date=2026-11-22"
                )))
            }
        }
    }
}

fn places(shared: &Shared, query: &Query, now: Timestamp) -> Result<Vec<Location>> {
    let degrees = |name: &str, most: f64| -> Result<Vec<f64>> {
        let texts = query.list(name).unwrap_or_default();
        let degrees = texts.into_iter().map(|text| {
            let number = text.parse::<f64>().ok().filter(|number| number.abs() <= most);
            number.ok_or_else(|| {
                Error::request(format!(
                    "parameter '{name}' has '{text}': write degrees from -{most} to {most}"
                ))
            })
        });
        degrees.collect()
    };
    let (latitudes, longitudes) = (degrees("latitude", 90.0)?, degrees("longitude", 180.0)?);
    if latitudes.len() != longitudes.len() {
        return Err(Error::request(format!(
            "parameters 'latitude' and 'longitude' have {} and {} values: give as many of both",
            latitudes.len(),
            longitudes.len()
        )));
    }
    let of_key = |key: Key| {
        let place = shared.places.get(key);
        place.ok_or_else(|| Error::request(format!("there is no place with the id {key}")))
    };
    let mut places = Vec::new();
    for (latitude, longitude) in latitudes.into_iter().zip(longitudes) {
        let nearest = shared.places.nearest(latitude, longitude);
        places.push(nearest.ok_or_else(|| {
            Error::request("there are no places: name a file by http.open_meteo.places")
        })?);
    }
    for id in query.list("id").unwrap_or_default() {
        let key = id.parse().map_err(|_| {
            Error::request(format!("parameter 'id' has '{id}': write a whole number"))
        })?;
        places.push(of_key(key)?);
    }
    for name in query.all("name") {
        places.push(of_key(shared.places.key(name).map_err(Error::request)?)?);
    }
    if places.is_empty() {
        return Err(Error::request(
            "parameters 'latitude' and 'longitude' are missing: say where, like latitude=48.85&longitude=2.35, or by id or name",
        ));
    }
    if places.len() > PLACES_MAX {
        return Err(Error::request(format!(
            "{} places are asked for, {PLACES_MAX} at most are answered: ask in several requests",
            places.len()
        )));
    }
    let zones = query.list("timezone").unwrap_or_default();
    if zones.len() > 1 && zones.len() != places.len() {
        return Err(Error::request(format!(
            "parameter 'timezone' has {} values for {} places: give one, or as many",
            zones.len(),
            places.len()
        )));
    }
    let located = places.into_iter().enumerate().map(|(at, place)| {
        let zone = match zones.get(at).or(zones.first()).copied() {
            None => Zone::GMT,
            Some("auto") => Zone::named(&place.timezone, now)?,
            Some(name) => Zone::named(name, now)?,
        };
        Ok(Location { place: place.clone(), zone })
    });
    located.collect()
}

/// The instant of a local time.
pub(super) fn instant(local: i64, offset: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Span::SECOND.saturating_mul(local.saturating_sub(offset))
}

#[cfg(test)]
mod tests {
    use super::super::parameters::PARAMETERS;
    use super::*;

    fn times(query: &str, archive: bool) -> Result<Times> {
        Times::read(&Query::read(Some(query), PARAMETERS)?, archive)
    }

    #[test]
    fn times_are_days_or_what_has_passed() {
        assert_eq!(
            times("start_date=1970-01-02&end_date=1970-01-03", true).unwrap(),
            Times::Days(1, 2)
        );
        let past = Times::Past { days: 3, hours: Some(2), quarters: None };
        assert_eq!(times("past_days=3&past_hours=2", false).unwrap(), past);
        for (query, why) in [
            ("", "'start_date' is missing"),
            ("start_date=2026-01-01", "'end_date' is missing"),
            ("start_date=2026-01-02&end_date=2026-01-01", "before"),
            ("start_date=yesterday&end_date=2026-01-01", "'yesterday'"),
        ] {
            let error = times(query, true).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(
            times("past_days=-1", false).unwrap_err().to_string().contains("'past_days' is -1")
        );
    }

    #[test]
    fn a_section_ends_with_the_window_of_now() {
        let request = |times| Request {
            places: Vec::new(),
            sections: Vec::new(),
            is_unix: false,
            is_csv: false,
            times,
        };
        let now = Timestamp::from_millis(1_000 * (10 * 86_400 + 5 * 3_600 + 1_800));
        let past = |days, hours| Times::Past { days, hours, quarters: None };
        let hour = 3_600;
        let day = 86_400;
        let of = request(past(1, None));
        assert_eq!(of.range(Step::Hourly, 0, now), (9 * day, 10 * day + 6 * hour));
        assert_eq!(of.range(Step::Daily, 0, now), (9 * day, 11 * day));
        // In India it is eleven.
        assert_eq!(of.range(Step::Hourly, 19_800, now), (9 * day, 10 * day + 12 * hour));
        let of = request(past(0, Some(2)));
        assert_eq!(of.range(Step::Hourly, 0, now), (10 * day + 3 * hour, 10 * day + 6 * hour));
        let of = request(Times::Days(9, 30));
        assert_eq!(of.range(Step::Daily, 0, now), (9 * day, 11 * day));
        let of = request(Times::Days(20, 30));
        assert_eq!(of.range(Step::Daily, 0, now), (20 * day, 20 * day));
    }

    #[test]
    fn a_zone_has_the_offset_of_now() {
        let winter = "2026-01-15".parse().unwrap();
        let zone = Zone::named("Europe/Berlin", winter).unwrap();
        assert_eq!((zone.offset, zone.abbreviation()), (3_600, "CET".to_owned()));
        let summer = "2026-07-15".parse().unwrap();
        assert_eq!(Zone::named("Europe/Berlin", summer).unwrap().offset, 7_200);
        assert_eq!(Zone::named("GMT", summer).unwrap().abbreviation(), "GMT");
        assert!(Zone::named("Mars", summer).unwrap_err().to_string().contains("'Mars'"));
    }
}
