//! The reader of tickets from JSON. It is strict: what is not understood is an error that names it.

use barograph_engine::Point;
use barograph_lake::Timestamp;
use serde::Deserialize;

use super::value::{
    Instant, Keys, Limit, Moment, Object, OneKey, Position, RawAggregates, Text, Version,
};
use super::{RangeRead, Read, Ticket, VERSION, Windows};
use crate::{Error, Result};

const FORM: &str = r#"{"v":1,"table":"readings","latest":{"keys":[2988507]}}"#;

/// A ticket as the JSON says it, before the parts are held against each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTicket {
    v: Option<Version>,
    table: Option<Text>,
    latest: Option<Object<RawPoint>>,
    at: Option<Object<RawAt>>,
    range: Option<Object<RawRange>>,
    columns: Option<Vec<Text>>,
    filter: Option<Text>,
    every: Option<Text>,
    aggregates: Option<RawAggregates>,
    limit: Option<Limit>,
    as_of: Option<Moment>,
    after: Option<Position>,
    view: Option<Text>,
}

/// The keys of a point read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPoint {
    pub(super) keys: Option<Keys>,
}

/// The keys and the instant of a point read in the past.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAt {
    pub(super) keys: Option<Keys>,
    pub(super) time: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    keys: Option<Keys>,
    key_from: Option<OneKey>,
    key_to: Option<OneKey>,
    from: Option<Instant>,
    to: Option<Instant>,
}

impl Ticket {
    /// Reads a ticket. `bytes_max` bounds its size.
    pub fn parse(json: &[u8], bytes_max: usize) -> Result<Self> {
        check_size(json, bytes_max)?;
        let Object(raw): Object<RawTicket> =
            serde_json::from_slice(json).map_err(|e| unreadable(json, &e))?;
        check_version("ticket", raw.v)?;
        let table = raw.table.map(|text| text.0).ok_or_else(|| {
            Error::request("ticket has no \"table\": name one, like \"table\":\"readings\"")
        })?;
        let is_range = raw.range.is_some();
        let windows = windows(raw.every, raw.aggregates)?;
        let only_range = [
            ("filter", raw.filter.is_some()),
            ("every", windows.is_some()),
            ("limit", raw.limit.is_some()),
            ("as_of", raw.as_of.is_some()),
        ];
        if !is_range && let Some((name, _)) = only_range.into_iter().find(|(_, given)| *given) {
            return Err(Error::request(format!(
                "ticket has {name:?} without \"range\": it belongs to a range, leave it out"
            )));
        }
        if windows.is_some() && raw.columns.is_some() {
            return Err(Error::request(
                "ticket has \"columns\" and \"aggregates\": the columns of windows are those of \
                 \"aggregates\", leave \"columns\" out",
            ));
        }
        let read = match (raw.latest, raw.at, raw.range) {
            (Some(Object(latest)), None, None) => {
                Read::Point { keys: latest.keys.map(|keys| keys.0), point: Point::Latest }
            }
            (None, Some(Object(at)), None) => {
                let time = at.time()?;
                Read::Point { keys: at.keys.map(|keys| keys.0), point: Point::At(time) }
            }
            (None, None, Some(Object(range))) => Read::Range(RangeRead {
                filter: raw.filter.map(|text| text.0),
                windows,
                limit: raw.limit.map(|limit| limit.0),
                as_of: raw.as_of.map(|as_of| as_of.0),
                ..range.checked()?
            }),
            (None, None, None) => {
                return Err(Error::request(
                    "ticket asks for nothing: give one of \"latest\", \"at\" and \"range\"",
                ));
            }
            (latest, at, _) => {
                let first = if latest.is_some() { "latest" } else { "at" };
                let second = if latest.is_some() && at.is_some() { "at" } else { "range" };
                return Err(Error::request(format!(
                    "ticket has {first:?} and {second:?}: give one of \"latest\", \"at\" and \"range\""
                )));
            }
        };
        let columns = raw.columns.map(|columns| columns.into_iter().map(|text| text.0).collect());
        let after = raw.after.map(|position| position.0);
        Ok(Self { table, read, columns, after, view: raw.view.map(|text| text.0) })
    }
}

impl RawAt {
    pub(super) fn time(&self) -> Result<Timestamp> {
        self.time.as_ref().map(|time| time.0).ok_or_else(|| {
            Error::request(
                "\"at\" has no \"time\": give one, like \"time\":\"2026-11-22T10:00:00Z\"",
            )
        })
    }
}

impl RawRange {
    fn checked(self) -> Result<RangeRead> {
        let (from, to) = (self.from.map(|from| from.0), self.to.map(|to| to.0));
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(Error::request(format!(
                "\"range\" has from {from} and to {to}: \"to\" is exclusive and must be later than \"from\""
            )));
        }
        Ok(RangeRead {
            keys: self.keys.map(|keys| keys.0),
            key_from: self.key_from.map(|key| key.0),
            key_to: self.key_to.map(|key| key.0),
            from,
            to,
            ..RangeRead::default()
        })
    }
}

pub(super) fn check_size(json: &[u8], bytes_max: usize) -> Result<()> {
    if json.len() > bytes_max {
        return Err(Error::request(format!(
            "ticket of {} bytes: flight.ticket_bytes_max allows {bytes_max}; ask for fewer keys at a time",
            json.len()
        )));
    }
    Ok(())
}

pub(super) fn check_version(what: &str, version: Option<Version>) -> Result<()> {
    match version {
        Some(Version(VERSION)) => Ok(()),
        Some(Version(other)) => Err(Error::request(format!(
            "{what} has version {other}: this server reads version {VERSION}, write \"v\":{VERSION}"
        ))),
        None => Err(Error::request(format!("{what} has no version: write \"v\":{VERSION}"))),
    }
}

/// The error for a ticket that cannot be read at all, or has a wrong field.
pub(super) fn unreadable(json: &[u8], error: &serde_json::Error) -> Error {
    if json.is_empty() {
        return Error::request(format!("ticket is empty: write JSON, like {FORM}"));
    }
    if error.is_data() {
        return Error::request(format!("ticket: {error}"));
    }
    Error::request(format!("ticket is not JSON ({error}): write it like {FORM}"))
}

fn windows(every: Option<Text>, aggregates: Option<RawAggregates>) -> Result<Option<Windows>> {
    match (every, aggregates) {
        (None, None) => Ok(None),
        (Some(every), Some(RawAggregates(aggregates))) => {
            if aggregates.is_empty() {
                return Err(Error::request(
                    "\"aggregates\" is empty: name a column, like {\"temperature\":[\"mean\"]}",
                ));
            }
            let every = every
                .0
                .parse()
                .map_err(|e: barograph_lake::Error| Error::request("\"every\"").with_source(e))?;
            Ok(Some(Windows { every, aggregates }))
        }
        (Some(_), None) => Err(Error::request(
            "ticket has \"every\" without \"aggregates\": say what to compute in each window, like \
             \"aggregates\":{\"temperature\":[\"mean\",\"max\"]}",
        )),
        (None, Some(_)) => Err(Error::request(
            "ticket has \"aggregates\" without \"every\": give the length of a window, like \"every\":\"1h\"",
        )),
    }
}
