//! A batch as a shared log keeps it: records that go in together, with an id that makes sending it again harmless, and
//! the part of a source that it holds.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use barograph_lake::{LogId, LogPosition, TableVersion, Timestamp};

use super::Record;
use crate::{Error, Result};

/// Identity of a batch, made by whoever sends it: a batch that is sent again under its id counts once.
///
/// Invariant: `Display` (32 hexadecimal digits) and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId([u8; 16]);

/// The part of a source that a batch holds, such as a range of offsets of a Kafka partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the source; at most 65,535 bytes.
    pub source: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// Offset of the first row.
    pub first: u64,
    /// Offset after the last row.
    pub next: u64,
}

/// Records that go into the log together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its identity.
    pub id: BatchId,
    /// The part of a source that it holds, if it is of one whose offsets are counted.
    pub origin: Option<Origin>,
    /// Its records, in their order.
    pub records: Vec<Record>,
}

/// The place of a batch that was in the log already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Position of its last record.
    pub position: LogPosition,
    /// The `ingested_at` of that record.
    pub ingested_at: Timestamp,
}

/// The outcome for a batch of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// It stands in the log, and these are the positions of its records.
    Appended(Vec<LogPosition>),
    /// A batch of its id stands in the log already: nothing was added.
    Duplicate(Place),
    /// The log holds its source through a later offset, `next`: nothing was added.
    Stale {
        /// The offset from which on the source is not in the log.
        next: u64,
    },
}

/// A notice: a table is at a version, or a later one. It tells who follows the log that it is time to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The table.
    pub table: Arc<str>,
    /// The version.
    pub version: TableVersion,
    /// Whether whoever answers for a position behind the notice has to show the version: rows were deleted or restored in
    /// it, of which no record of the log tells.
    pub is_awaited: bool,
}

impl BatchId {
    /// A random identity.
    pub fn random() -> Self {
        Self(LogId::random().bytes())
    }

    /// The identity with these bytes.
    pub fn of(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }

    /// The identity of the part `number` of what was sent under this one, the first of which is 0.
    pub(crate) fn part(&self, number: u32) -> Self {
        Self(u128::from_be_bytes(self.0).wrapping_add(u128::from(number)).to_be_bytes())
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for BatchId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let id = u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()));
        id.filter(|id| id.to_string() == text).ok_or_else(|| {
            Error::request(format!("{text:?} is not the id of a batch: 32 digits of 0-9, a-f"))
        })
    }
}
