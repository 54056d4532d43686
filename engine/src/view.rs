//! The view of a table that a query sees: a lake snapshot and a tail, swapped together.

use std::sync::Arc;

use barograph_lake::{Hour, Snapshot, TableSchema, Timestamp};

use crate::tail::TailView;

/// All rows of a table at one moment. Immutable: a query that holds a view sees the same rows to its
/// end, whatever lands or arrives meanwhile.
///
/// A row of the tail replaces the row of the lake with the same key and instant.
#[derive(Debug, Clone)]
pub struct View {
    /// The schema of the table.
    pub schema: Arc<TableSchema>,
    /// The rows that have landed.
    pub snapshot: Arc<Snapshot>,
    /// The rows that have not.
    pub tail: TailView,
}

impl View {
    /// Rows in lake and tail, before tail rows replace lake rows.
    pub fn rows(&self) -> u64 {
        self.snapshot.files().iter().map(|file| file.rows).sum::<u64>() + self.tail.rows()
    }

    /// Bytes of the lake files.
    pub fn lake_bytes(&self) -> u64 {
        self.snapshot.files().iter().map(|file| file.bytes).sum()
    }

    /// Newest instant of any row.
    pub fn newest(&self) -> Option<Timestamp> {
        let lake = self.snapshot.files().iter().map(|file| file.times.1).max();
        let tail = self.tail.hours().iter().filter_map(|hour| Some(hour.times()?.1)).max();
        lake.max(tail)
    }

    /// Every hour that has rows, ascending, and those between the first and last row of a day or month.
    pub fn hours(&self) -> Vec<Hour> {
        let mut hours: Vec<_> = self
            .snapshot
            .files()
            .iter()
            .flat_map(|file| file.hours())
            .chain(self.tail.hours().iter().map(|hour| hour.hour()))
            .collect();
        hours.sort_unstable();
        hours.dedup();
        hours
    }
}
