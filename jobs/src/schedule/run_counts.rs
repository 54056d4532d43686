//! The counts of runs of a process: by job and state, with the time that they took and when one last succeeded.

use std::collections::BTreeMap;
use std::time::Duration;

use barograph_lake::Timestamp;
use parking_lot::Mutex;

use super::record::{RunRecord, RunState};

/// The runs of a job that ended in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunStatistics {
    /// How many, by the state in which they ended.
    pub runs: BTreeMap<&'static str, u64>,
    /// Time that they took together.
    pub time: Duration,
    /// When one last did all of its work, in this process or, as far as known, in one before.
    pub last_success: Option<Timestamp>,
}

/// Counts runs by job.
#[derive(Debug, Default)]
pub(super) struct RunCounts(Mutex<BTreeMap<&'static str, RunStatistics>>);

impl RunCounts {
    /// Counts a run that has ended.
    pub(super) fn ended(&self, job: &'static str, run: &RunRecord) {
        let finished_at = run.finished_at.unwrap_or(run.started_at);
        let mut counts = self.0.lock();
        let of = counts.entry(job).or_default();
        *of.runs.entry(run.state.name()).or_default() += 1;
        of.time += finished_at.since(run.started_at).duration();
        if run.state == RunState::Done {
            of.last_success = of.last_success.max(Some(finished_at));
        }
    }

    /// Notes a success of an earlier process.
    pub(super) fn succeeded_before(&self, job: &'static str, at: Timestamp) {
        let mut counts = self.0.lock();
        let of = counts.entry(job).or_default();
        of.last_success = of.last_success.max(Some(at));
    }

    pub(super) fn of(&self, job: &str) -> RunStatistics {
        self.0.lock().get(job).cloned().unwrap_or_default()
    }
}
