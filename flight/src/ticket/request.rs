//! A request of an exchange: a point read in short form, which leaves out what the stream's first ticket said.
//!
//! ```json
//! {"v":1,"table":"readings","latest":{"keys":[2988507]},"columns":["temperature"],"id":1}
//! {"keys":[1850147],"id":2}
//! {"at":{"keys":[1850147],"time":"2026-11-22T10:00:00Z"},"id":"any text"}
//! {"keys":[1850147],"after":"00000000000000417792"}
//! ```

use barograph_engine::Point;
use barograph_lake::{Key, LogPosition};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::parse::{RawAt, RawPoint, check_size, check_version, unreadable};
use super::value::{Keys, Object, Position, Text, Version};
use super::{Read, Ticket};
use crate::{Error, Result};

/// The client's name for a request, given back with the answer: a number or text.
pub type RequestId = serde_json::Value;

/// One request of an exchange. Fields that are `None` are as the stream's first ticket says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PointRequest {
    /// Given back with the answer.
    pub id: Option<RequestId>,
    /// The keys.
    pub keys: Option<Vec<Key>>,
    /// The reading: the newest, or that at an instant.
    pub point: Option<Point>,
    /// Name of the table; must be that of the stream.
    pub table: Option<String>,
    /// Columns; must be those of the stream.
    pub columns: Option<Vec<String>>,
    /// The answer shows what was acknowledged at this position of the log.
    pub after: Option<LogPosition>,
    /// Whether the request says the version of its format.
    pub versioned: bool,
}

/// A request that was not understood.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its id, where that could be read.
    pub id: Option<RequestId>,
    /// The error.
    pub error: Error,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    id: Option<RequestId>,
    keys: Option<Keys>,
    v: Option<Version>,
    table: Option<Text>,
    latest: Option<Object<RawPoint>>,
    at: Option<Object<RawAt>>,
    columns: Option<Vec<Text>>,
    after: Option<Position>,
    range: Option<IgnoredAny>,
}

impl PointRequest {
    /// Reads a request. `bytes_max` bounds its size.
    pub(crate) fn parse(json: &[u8], bytes_max: usize) -> Result<Self, Box<Refused>> {
        let refused = |id, error| Box::new(Refused { id, error });
        check_size(json, bytes_max).map_err(|error| refused(None, error))?;
        let Object(mut raw): Object<RawRequest> = serde_json::from_slice(json)
            .map_err(|error| refused(id_of(json), unreadable(json, &error)))?;
        let id = raw.id.take();
        match Self::checked(raw) {
            Ok(request) => Ok(Self { id, ..request }),
            Err(error) => Err(refused(id, error)),
        }
    }

    fn checked(raw: RawRequest) -> Result<Self> {
        if raw.range.is_some() {
            return Err(Error::request(
                "an exchange answers \"latest\" and \"at\": ask for a range with DoGet",
            ));
        }
        let versioned = raw.v.is_some();
        if versioned {
            check_version("request", raw.v)?;
        }
        let (inner, point) = match (raw.latest, raw.at) {
            (Some(_), Some(_)) => {
                return Err(Error::request("request has \"latest\" and \"at\": give one of them"));
            }
            (Some(Object(latest)), None) => (latest.keys, Some(Point::Latest)),
            (None, Some(Object(at))) => {
                let time = at.time()?;
                (at.keys, Some(Point::At(time)))
            }
            (None, None) => (None, None),
        };
        let keys = match (raw.keys, inner) {
            (Some(_), Some(_)) => {
                return Err(Error::request("request has \"keys\" twice: give them once"));
            }
            (outer, inner) => outer.or(inner).map(|keys| keys.0),
        };
        Ok(Self {
            id: None,
            keys,
            point,
            table: raw.table.map(|text| text.0),
            columns: raw.columns.map(|columns| columns.into_iter().map(|text| text.0).collect()),
            after: raw.after.map(|position| position.0),
            versioned,
        })
    }

    /// The request as a whole ticket, which the first of a stream must be.
    pub(crate) fn ticket(&self) -> Result<Ticket> {
        let (true, Some(table), Some(point)) = (self.versioned, &self.table, self.point) else {
            return Err(Error::request(
                "the first request of an exchange must be a whole ticket, like \
                 {\"v\":1,\"table\":\"readings\",\"latest\":{\"keys\":[2988507]}}, or come with one as the \
                 command of its descriptor",
            ));
        };
        let read = Read::Point { keys: self.keys.clone(), point };
        let columns = self.columns.clone();
        // Each request waits for its own position.
        Ok(Ticket { table: table.clone(), read, columns, after: None, view: None })
    }
}

/// The id of a request that is wrong in some other field.
fn id_of(json: &[u8]) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: Option<RequestId>,
    }
    serde_json::from_slice::<OnlyId>(json).ok()?.id
}
