//! The requests of reads: a range of keys and times, or one reading of each of some keys.

use barograph_lake::{Key, KeySelection, TimeRange, Timestamp};

use super::aggregate::Aggregation;
use crate::filter::Predicate;

/// A range read: rows (or windows) of some keys and times, ordered by (key, time).
#[derive(Debug, Clone)]
pub struct Scan {
    /// The keys.
    pub keys: KeySelection,
    /// The range of time.
    pub time: TimeRange,
    /// Indexes into the table's Arrow schema of the columns to give after key and time, in the order
    /// asked for. Ignored where `aggregation` is set.
    pub columns: Vec<usize>,
    /// The condition on rows; `None` is every row.
    pub filter: Option<Predicate>,
    /// Windows in place of rows.
    pub aggregation: Option<Aggregation>,
    /// At most this many rows (or windows).
    pub limit: Option<usize>,
}

impl Scan {
    /// The keys and instants of all rows of some keys and times.
    pub fn of(keys: KeySelection, time: TimeRange) -> Self {
        Self { keys, time, columns: Vec::new(), filter: None, aggregation: None, limit: None }
    }
}

/// The reading of a key that a point read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The newest.
    Latest,
    /// The newest at or before the instant.
    At(Timestamp),
}

/// A point read: one reading of each of some keys, ordered by key. A key without one has no row.
#[derive(Debug, Clone)]
pub struct PointQuery {
    /// The keys; `None` is every key.
    pub keys: Option<Vec<Key>>,
    /// The reading.
    pub point: Point,
    /// Indexes into the table's Arrow schema of the columns to give after key and time.
    pub columns: Vec<usize>,
}
