//! How is a ticket read from JSON? Strictly: what is not understood is an error that names it.

use std::fmt;

use barograph_engine::{Aggregate, Point};
use barograph_lake::time::parse_instant;
use barograph_lake::{Key, Micros};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{AGGREGATES, RangeRead, Read, Ticket, VERSION, Windows};
use crate::{Error, Result};

const FORM: &str = r#"{"v":1,"table":"readings","latest":{"keys":[2988507]}}"#;

/// A ticket as the JSON says it, before the parts are held against each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTicket {
    v: Option<Version>,
    table: Option<Text>,
    latest: Option<RawPoint>,
    at: Option<RawAt>,
    range: Option<RawRange>,
    columns: Option<Vec<Text>>,
    filter: Option<Text>,
    every: Option<Text>,
    aggregates: Option<RawAggregates>,
    limit: Option<Limit>,
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
        let raw: RawTicket = serde_json::from_slice(json).map_err(|e| unreadable(json, &e))?;
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
            (Some(latest), None, None) => {
                Read::Point { keys: latest.keys.map(|keys| keys.0), point: Point::Latest }
            }
            (None, Some(at), None) => {
                let time = at.time()?;
                Read::Point { keys: at.keys.map(|keys| keys.0), point: Point::At(time) }
            }
            (None, None, Some(range)) => Read::Range(RangeRead {
                filter: raw.filter.map(|text| text.0),
                windows,
                limit: raw.limit.map(|limit| limit.0),
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
        Ok(Self { table, read, columns, view: raw.view.map(|text| text.0) })
    }
}

impl RawAt {
    pub(super) fn time(&self) -> Result<Micros> {
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
                "\"range\" has from {} and to {}: \"to\" is exclusive and must be later than \"from\"",
                barograph_lake::time::format_instant(from),
                barograph_lake::time::format_instant(to)
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

/// A value that knows how to say what it should have been.
macro_rules! value {
    ($name:ident($inner:ty), $expecting:literal, $($visit:tt)*) => {
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl<'de> Visitor<'de> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    $($visit)*
                }

                deserializer.deserialize_any(Reader)
            }
        }
    };
}

value!(
    Version(i64),
    "the version as a number, \"v\":1",
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Version(value))
    },
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Version(i64::try_from(value).unwrap_or(i64::MAX)))
    }
);

value!(
    Text(String),
    "text in quotes",
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Text(value.to_owned()))
    }
);

value!(
    Limit(usize),
    "\"limit\" as a whole number of rows, at least 1",
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        match usize::try_from(value) {
            Ok(0) | Err(_) => Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self)),
            Ok(limit) => Ok(Limit(limit)),
        }
    }
);

value!(
    Instant(Micros),
    "a time in quotes, like \"2026-11-22T10:00:00Z\"",
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        parse_instant(value).map(Instant).map_err(E::custom)
    }
);

value!(
    OneKey(Key),
    "a key as a whole number, like 2988507",
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(OneKey(value))
    },
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value)
            .map(OneKey)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
    }
);

value!(
    Keys(Vec<Key>),
    "\"keys\" as a list of whole numbers, like [2988507]",
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(OneKey(key)) = list.next_element()? {
            keys.push(key);
        }
        Ok(Keys(keys))
    }
);

value!(
    RawAggregates(Vec<(String, Vec<Aggregate>)>),
    "\"aggregates\" as lists by column, like {\"temperature\":[\"mean\",\"max\"]}",
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut aggregates: Vec<(String, Vec<Aggregate>)> = Vec::new();
        while let Some((column, functions)) = map.next_entry::<String, Vec<Function>>()? {
            if aggregates.iter().any(|(earlier, _)| *earlier == column) {
                return Err(A::Error::custom(format_args!(
                    "\"aggregates\" names the column {column:?} twice: put its functions in one list"
                )));
            }
            if functions.is_empty() {
                return Err(A::Error::custom(format_args!(
                    "\"aggregates\" of {column:?} is empty: name a function, like [\"mean\"]"
                )));
            }
            let functions: Vec<_> = functions.into_iter().map(|function| function.0).collect();
            if let Some((i, _)) =
                functions.iter().enumerate().find(|(i, f)| functions[..*i].contains(f))
            {
                return Err(A::Error::custom(format_args!(
                    "\"aggregates\" of {column:?} names function {} twice: name it once",
                    i + 1
                )));
            }
            aggregates.push((column, functions));
        }
        Ok(RawAggregates(aggregates))
    }
);

value!(
    Function(Aggregate),
    "a function in quotes, like \"mean\"",
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        AGGREGATES
            .iter()
            .find(|(name, _)| *name == value)
            .map(|&(_, function)| Function(function))
            .ok_or_else(|| {
                let names: Vec<_> = AGGREGATES.iter().map(|(name, _)| *name).collect();
                E::custom(format_args!(
                    "unknown aggregate {value:?}: use one of {}",
                    names.join(", ")
                ))
            })
    }
);
