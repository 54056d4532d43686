//! The place of a row: the period where compaction would have brought it by now, or where the lake already holds its
//! hour. Pure functions of the active files and of the time.

use std::cmp::Reverse;
use std::sync::Arc;

use barograph_lake::{Hour, Period, Snapshot, Timestamp};

use crate::compact::{CompactionSettings, compacted_period};
use crate::import::state::Run;
use crate::{Error, Result};

/// Where the rows of a table have their place.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now: Timestamp,
    pub(super) settings: CompactionSettings,
}

impl Places {
    /// The period of a row of `instant`. The periods of two rows are apart or the same.
    pub(super) fn of(&self, instant: Timestamp) -> Result<Period> {
        let period = compacted_period(instant, self.now, &self.settings);
        let period = period
            .ok_or_else(|| Error::internal(format!("{} µs has no date", instant.as_micros())))?;
        Ok(home(&self.snapshot, period))
    }
}

/// `period`, or the longer one of active files that hold it.
pub(super) fn home(snapshot: &Snapshot, period: Period) -> Period {
    let first = Hour::of(period.start()).and_then(|hour| snapshot.files_of_hour(hour).first());
    first.map(|file| file.path.period()).filter(|home| home.covers(period)).unwrap_or(period)
}

/// The period that is next to be merged, the earliest, with all of its runs in their order.
pub(super) fn next(snapshot: &Snapshot, runs: &[Run]) -> Option<(Period, Vec<Run>)> {
    let place = |run: &Run| home(snapshot, run.file.path.period());
    let target =
        runs.iter().map(place).min_by_key(|period| (period.start(), Reverse(period.end())))?;
    let inside = runs.iter().filter(|run| target.covers(run.file.path.period()));
    Some((target, inside.cloned().collect()))
}
