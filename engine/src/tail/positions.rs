//! The positions of the tail's rows: up to which row an hour stands in the log at a position or before.

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_lake::{Hour, LogPosition};

use crate::memory::{Budget, Reservation};

/// A batch's position, and the rows of its hour with it and those before.
type Batch = (LogPosition, u64);

/// See the module.
#[derive(Debug)]
pub(super) struct Positions {
    /// Ascending.
    batches: BTreeMap<Hour, Vec<Batch>>,
    count: usize,
    held: Reservation,
}

impl Positions {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { batches: BTreeMap::new(), count: 0, held: budget.reserve(0) }
    }

    /// Rows of a batch at `position` came, of whose hour there have been `rows` with them.
    pub(super) fn add(&mut self, hour: Hour, position: LogPosition, rows: u64) {
        let batches = self.batches.entry(hour).or_default();
        match batches.last_mut() {
            Some(last) if last.0 == position => last.1 = rows,
            _ => {
                batches.push((position, rows));
                self.count += 1;
            }
        }
        self.held.resize(self.count * size_of::<Batch>());
    }

    /// How many rows of an hour, counted from the first that came, stand at `through` or before.
    pub(super) fn rows_through(&self, hour: Hour, through: LogPosition) -> u64 {
        let batches = self.batches.get(&hour).map(Vec::as_slice).unwrap_or_default();
        let before = batches.partition_point(|(position, _)| *position <= through);
        batches.get(..before).and_then(<[_]>::last).map_or(0, |(_, rows)| *rows)
    }

    /// The hour's rows have left, or stand elsewhere.
    pub(super) fn forget(&mut self, hour: Hour) {
        let forgotten = self.batches.remove(&hour).map_or(0, |batches| batches.len());
        self.count -= forgotten;
        self.held.resize(self.count * size_of::<Batch>());
    }
}
