//! The context of a run: its budget, its progress, the checkpoint it continues from, and whether it is to stop.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::Clock;
use barograph_engine::internal::{pause, roughly};
use barograph_lake::time::MICROS_PER_SECOND;
use barograph_lake::{Size, Span, Timestamp, TrustedTime};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::failures::Failures;
use super::job::Finding;
use super::job_store::JobStore;
use super::lease::Lease;
use super::record::{Figures, RunRecord, read, write};
use crate::{Error, ErrorKind, Result};

/// Runs whose times the clock is held against at most.
const SIGNS_MAX: usize = 16;

/// The reason for which a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// On request.
    Cancelled,
    /// The process is shutting down.
    ShuttingDown,
    /// The process gave no sign of life for so long that another may have taken the job over.
    LeaseLost,
}

/// A request to stop a run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<Option<StopReason>>>);

/// The progress of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The figures done so far.
    pub done: Figures,
    /// The cost of the plan.
    pub total: Figures,
}

/// The context of a run.
#[derive(Debug)]
pub struct Context {
    pub(super) stop: Stop,
    pub(super) record: Mutex<RunRecord>,
    pub(super) lease: Mutex<Lease>,
    pub(super) store: JobStore,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) failures: Mutex<Failures>,
    /// When the next bytes may be read, by the time that has passed.
    pub(super) paced: Mutex<Option<Span>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Stop {
    /// Requests a stop, unless one was requested before.
    pub fn stop(&self, reason: StopReason) {
        self.0.send_if_modified(|request| {
            let first = request.is_none();
            request.get_or_insert(reason);
            first
        });
    }

    /// The reason to stop, if a stop was requested.
    pub fn reason(&self) -> Option<StopReason> {
        *self.0.borrow()
    }

    /// Ready when a stop is requested.
    pub async fn requested(&self) {
        let mut request = self.0.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = request.wait_for(Option::is_some).await;
    }
}

impl Context {
    /// Memory it may take.
    pub fn memory(&self) -> Size {
        self.record.lock().spec.memory
    }

    /// Threads it may take.
    pub fn threads(&self) -> usize {
        self.record.lock().spec.threads
    }

    /// The time by the clock of the scheduler.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Checks whether the run may go on.
    ///
    /// # Errors
    /// `Stopped` if the run is to stop or its lease is over: nothing may be changed then.
    pub fn check(&self) -> Result<()> {
        if self.lease.lock().is_abandoned(self.clock.now()) {
            self.stop.stop(StopReason::LeaseLost);
        }
        match self.stop.reason() {
            None => Ok(()),
            Some(reason) => Err(Error::new(ErrorKind::Stopped, reason.to_string())),
        }
    }

    /// How far the clock is ahead of the time that ages are counted by: 0, unless it has just leapt ahead of the runs
    /// before this one.
    ///
    /// # Errors
    /// `Unavailable` if their records cannot be read.
    pub async fn lead(&self) -> Result<Span> {
        let run = self.record.lock().run.clone();
        let now = self.clock.now();
        let mut trusted = TrustedTime::new(now);
        let numbers = self.store.runs(&run.job).list().await?.numbers;
        let earlier = numbers.into_iter().filter(|number| *number < run.number);
        for number in earlier.rev().take(SIGNS_MAX) {
            if trusted.is_certain() {
                break;
            }
            match read(&self.store, &run.job, number).await {
                Ok(record) => {
                    record.into_iter().for_each(|record| trusted.observe(record.started_at))
                }
                Err(error) if error.kind() == ErrorKind::Damage => {}
                Err(error) => return Err(error),
            }
        }
        let lead = now.since(trusted.time());
        if lead > Span::ZERO {
            tracing::warn!(
                %run,
                "the clock jumped ahead by {}: ages are computed as of the previous run, at {}, until the clock has advanced by half an hour",
                roughly(lead),
                trusted.time()
            );
        }
        Ok(lead)
    }

    /// Waits until `bytes` more may be read.
    ///
    /// # Errors
    /// As of [`Self::check`].
    pub async fn pace(&self, bytes: u64) -> Result<()> {
        let rate = self.record.lock().spec.bytes_per_second;
        if let Some(rate) = rate {
            let wait = {
                let (mut paced, now) = (self.paced.lock(), self.clock.elapsed());
                let begin = paced.map_or(now, |at| at.max(now));
                let takes = bytes as f64 / rate.get().max(1) as f64 * MICROS_PER_SECOND as f64;
                *paced = Some(begin + Span::from_micros(takes as i64));
                begin.saturating_sub(now).duration()
            };
            if !wait.is_zero() {
                self.sleep(wait).await;
            }
        }
        self.check()
    }

    /// Gives what failed some time, unless the run is to stop.
    pub(crate) async fn pause(&self, length: Duration) {
        tokio::select! {
            () = pause(length) => {}
            () = self.stop.requested() => {}
        }
    }

    /// Waits by the clock, unless the run is to stop.
    pub(super) async fn sleep(&self, length: Duration) {
        tokio::select! {
            () = self.clock.sleep(length) => {}
            () = self.stop.requested() => {}
        }
    }

    /// The checkpoint to continue from, as [`Self::save`] was given it; `None` at the beginning.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let checkpoint = self.record.lock().checkpoint.clone();
        let read = checkpoint.map(serde_json::from_value).transpose();
        read.map_err(|e| {
            Error::internal("the checkpoint was written by another version of this job")
                .with_source(e)
        })
    }

    /// Shows the work under way, besides the work that is saved.
    pub fn show(&self, doing: Figures) {
        let done = self.figures().plus(doing);
        self.progress.send_modify(|progress| progress.done = done);
    }

    /// The figures done so far, those of the run it continues included.
    pub fn figures(&self) -> Figures {
        self.record.lock().figures
    }

    /// The damage found so far: its number among the findings that are kept, and the first of it.
    pub fn damage(&self) -> (usize, Option<Finding>) {
        let record = self.record.lock();
        let mut damage = record.findings.iter().filter(|finding| finding.damage);
        let first = damage.next().cloned();
        (damage.count() + usize::from(first.is_some()), first)
    }

    /// Records further figures and findings, and that a later run can continue from `checkpoint`. The record is
    /// durable when this returns.
    ///
    /// # Errors
    /// As of [`Self::check`], or `Unavailable` if the store fails.
    pub async fn save<T: Serialize>(
        &self,
        checkpoint: &T,
        done: Figures,
        found: Vec<Finding>,
    ) -> Result<()> {
        self.check()?;
        let checkpoint = serde_json::to_value(checkpoint)
            .map_err(|e| Error::internal("cannot write a checkpoint").with_source(e))?;
        let record = {
            let mut record = self.record.lock();
            record.checkpoint = Some(checkpoint);
            record.figures = record.figures.plus(done);
            record.find(found);
            record.clone()
        };
        self.progress.send_modify(|progress| progress.done = record.figures);
        self.write(record).await?;
        self.answered();
        Ok(())
    }

    /// Writes the record as it is, changed by `change`.
    pub(super) async fn update(&self, change: impl FnOnce(&mut RunRecord)) -> Result<()> {
        let record = {
            let mut record = self.record.lock();
            change(&mut record);
            record.clone()
        };
        self.write(record).await
    }

    async fn write(&self, mut record: RunRecord) -> Result<()> {
        record.updated_at = self.clock.now();
        write(&self.store, &record).await
    }
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the run was cancelled",
            Self::ShuttingDown => "the process is shutting down",
            Self::LeaseLost => {
                "the process did not renew its lease within scheduler.lease, so another process may have taken over the job"
            }
        })
    }
}
