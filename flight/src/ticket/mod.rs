//! The ticket: what a client asks for by DoGet, and by the command of a FlightDescriptor. JSON, version 1.
//!
//! ```json
//! {"v":1,"table":"readings","latest":{"keys":[2988507]},"columns":["temperature","humidity"]}
//! {"v":1,"table":"readings","at":{"keys":[2988507],"time":"2026-11-22T10:00:00Z"}}
//! {"v":1,"table":"readings","range":{"keys":[2988507],"from":"2026-11-21T00:00:00Z","to":"2026-11-22T00:00:00Z"},
//!  "columns":["temperature"],"filter":"temperature > 30 and humidity is not null","limit":1000}
//! {"v":1,"table":"readings","range":{"from":"2026-11-21","to":"2026-11-22"},"every":"1h",
//!  "aggregates":{"temperature":["mean","max"],"humidity":["count"]}}
//! {"v":1,"table":"readings","range":{"keys":[2988507]},"as_of":42}
//! {"v":1,"table":"readings","latest":{"keys":[2988507]},"after":"00000000000000417792"}
//! ```
//!
//! ```text
//! JSON ─parse─► Ticket ─bind to a table─► BoundTicket: PointQuery or Scan, and the schema of the answer
//!      ◄format─
//! ```

mod bind;
mod format;
mod parse;
mod request;
#[cfg(test)]
mod tests;
mod value;

use barograph_engine::{Aggregate, Point};
use barograph_lake::{AsOf, Key, LogPosition, Span, Timestamp};

pub(crate) use bind::{BoundTicket, Query, TicketBounds, bind_columns, check_keys};
pub use request::RequestId;
pub(crate) use request::{PointRequest, Refused};

/// The version of the ticket format that this crate reads and writes.
pub const VERSION: i64 = 1;

/// A ticket, checked as far as that is possible without knowing the table.
///
/// Invariant: `to_json` and `parse` are inverse.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// Name of the table.
    pub table: String,
    /// A point read or a range read.
    pub read: Read,
    /// The value columns to give after key and time; `None` is all.
    pub columns: Option<Vec<String>>,
    /// The answer shows what was acknowledged at this position of the log, by whichever server.
    pub after: Option<LogPosition>,
    /// Internal, made by GetFlightInfo: the view that the endpoints of one answer share.
    pub view: Option<String>,
}

/// The read of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// One reading of each key: the newest, or the newest at or before an instant.
    Point {
        /// Which keys; `None` is all.
        keys: Option<Vec<Key>>,
        /// Which reading.
        point: Point,
    },
    /// The readings, or windows of them, of some keys and times.
    Range(RangeRead),
}

/// A range read as a ticket says it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RangeRead {
    /// The keys; `None` is all.
    pub keys: Option<Vec<Key>>,
    /// Internal, made by GetFlightInfo: smallest key, inclusive.
    pub key_from: Option<Key>,
    /// Internal, made by GetFlightInfo: largest key, inclusive.
    pub key_to: Option<Key>,
    /// First instant inside; `None` is from the beginning.
    pub from: Option<Timestamp>,
    /// First instant after; `None` is to the end.
    pub to: Option<Timestamp>,
    /// SQL condition on the columns.
    pub filter: Option<String>,
    /// Windows in place of rows.
    pub windows: Option<Windows>,
    /// At most this many rows (or windows).
    pub limit: Option<usize>,
    /// Time travel: the rows of the lake at a version or time, without those of the tail; `None` is the current rows.
    pub as_of: Option<AsOf>,
}

/// Windows of time and what to compute in each.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    /// Length of a window.
    pub every: Span,
    /// Columns with the aggregates of each, in the order of the answer.
    pub aggregates: Vec<(String, Vec<Aggregate>)>,
}

impl Ticket {
    /// The newest reading of each of `keys` (`None`: of every key).
    pub fn latest(table: impl Into<String>, keys: Option<Vec<Key>>) -> Self {
        Self::new(table, Read::Point { keys, point: Point::Latest })
    }

    /// The newest reading at or before `time` of each of `keys` (`None`: of every key).
    pub fn at(table: impl Into<String>, keys: Option<Vec<Key>>, time: Timestamp) -> Self {
        Self::new(table, Read::Point { keys, point: Point::At(time) })
    }

    /// The readings that `range` selects.
    pub fn range(table: impl Into<String>, range: RangeRead) -> Self {
        Self::new(table, Read::Range(range))
    }

    /// Only these value columns.
    pub fn columns(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Shows what was acknowledged at `position`, even at another server.
    pub fn after(self, position: LogPosition) -> Self {
        Self { after: Some(position), ..self }
    }

    fn new(table: impl Into<String>, read: Read) -> Self {
        Self { table: table.into(), read, columns: None, after: None, view: None }
    }
}

/// The aggregates by the names that tickets use.
const AGGREGATES: [(&str, Aggregate); 7] = [
    ("count", Aggregate::Count),
    ("sum", Aggregate::Sum),
    ("mean", Aggregate::Mean),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
    ("first", Aggregate::First),
    ("last", Aggregate::Last),
];
