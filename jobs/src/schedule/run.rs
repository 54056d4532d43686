//! One run of a job: its lease is kept and requests to stop are looked for beside the work; failures that a retry can
//! help are retried; its end is recorded before the lease is given back.
//!
//! ```text
//! take the lease ─► settle the run before ─► plan ─► work ─► record ─► give the lease back
//!                                             ▲       │ failed: wait, then from the checkpoint
//!                                             └───────┘
//! ```

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::internal::pause;
use barograph_lake::Timestamp;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::context::{Context, Progress, Stop, StopReason};
use super::job_store::RunId;
use super::lease::{Lease, Taken};
use super::record::{self, RunRecord, RunRequest, RunState};
use super::{Registered, Schedule};
use crate::{Error, ErrorKind, Result};

/// How often a run looks for a request to stop.
const CANCEL_EVERY: Duration = Duration::from_secs(1);
/// How long a run that is to stop may take until it is dropped where it stands.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How often the record of an ended run is tried to be written.
const RECORD_TRIES: u32 = 4;

/// What a run is begun with.
pub(super) struct RunStart {
    /// What the decision to run was made on.
    pub(super) lease: Lease,
    /// The time it is due for; absent if it runs on request.
    pub(super) slot: Option<Timestamp>,
    pub(super) request: RunRequest,
    pub(super) stop: Stop,
    pub(super) progress: watch::Sender<Progress>,
}

impl Schedule {
    /// Takes the lease and runs the job to its end; `None` if another process was first.
    pub(super) async fn begin(
        &self,
        registered: &Registered,
        begin: RunStart,
    ) -> Result<Option<RunRecord>> {
        let RunStart { lease, slot, request, stop, progress } = begin;
        let job = registered.job.name();
        let taken = self.leases.take(job, &lease, slot.unwrap_or(lease.slot)).await?;
        let Taken::Ours(lease) = taken else { return Ok(None) };
        let run = RunId { job: job.to_owned(), number: lease.run };
        let now = self.clock.now();
        let spec = registered.spec.clone();
        let mut record = RunRecord::new(run, self.by.clone(), spec, request, now);
        record.slot = slot;
        if let Some(earlier) = self.settle(job).await? {
            // Who comes because the job is due finishes what was begun, whoever had asked for it.
            if slot.is_some() {
                record.request = earlier.request.clone();
            }
            if record.request == earlier.request {
                record.carry_on(&earlier);
            }
        }
        let context = Context {
            stop,
            record: Mutex::new(record),
            lease: Mutex::new(lease),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            progress,
            failures: Mutex::default(),
            paced: Mutex::default(),
        };
        let result = self.work_with_heartbeat(registered, &context).await;
        let record = self.end(&context, result).await?;
        self.counts.ended(registered.job.name(), &record);
        Ok(Some(record))
    }

    /// Writes down how the newest run ended, if its process could not; gives it if it is to be continued.
    async fn settle(&self, job: &str) -> Result<Option<RunRecord>> {
        let Some(&number) = self.store.runs(job).list().await?.numbers.last() else {
            return Ok(None);
        };
        let mut earlier = match record::read(&self.store, job, number).await {
            Ok(Some(earlier)) => earlier,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Damage => {
                tracing::warn!(job, %error, "the previous run is not continued");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let stopped = self.is_cancelled(&earlier.run).await?;
        let interrupted = earlier.state == RunState::Interrupted;
        if earlier.state.is_open() || (interrupted && stopped) {
            let state = if stopped { RunState::Cancelled } else { RunState::Interrupted };
            earlier.finish(state, self.clock.now());
            record::write(&self.store, &earlier).await?;
        }
        Ok(Some(earlier).filter(|earlier| earlier.state == RunState::Interrupted))
    }

    async fn is_cancelled(&self, run: &RunId) -> Result<bool> {
        let request = self.store.cancels(&run.job).get(run.number).await?;
        Ok(request.is_some())
    }

    /// Works, and renews the lease while it does.
    async fn work_with_heartbeat(&self, registered: &Registered, context: &Context) -> Result<()> {
        let work = AssertUnwindSafe(self.attempts(registered, context)).catch_unwind();
        let stopping = async {
            context.stop.requested().await;
            self.clock.sleep(STOP_GRACE).await;
        };
        tokio::select! {
            biased;
            result = work => result.unwrap_or_else(|_| {
                Err(Error::internal(format!("the job {} panicked", registered.job.name())))
            }),
            () = self.heartbeat(context) => Err(Error::internal("a lease is kept for ever")),
            () = self.watch_for_cancel(context) => Err(Error::internal("a run is listened to for ever")),
            () = stopping => Err(Error::new(ErrorKind::Stopped, "the run did not stop in time")),
        }
    }

    async fn attempts(&self, registered: &Registered, context: &Context) -> Result<()> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(registered, context).await {
                Err(error) if error.can_be_helped() && attempt <= registered.spec.retries => error,
                result => return result,
            };
            let wait = registered.spec.wait_after(attempt).duration();
            let wait = wait.max(error.retry_after().unwrap_or_default());
            tracing::warn!(job = registered.job.name(), attempt, ?wait, %error, "the run failed: trying again");
            // It may be the store that fails; the next attempt writes the record again.
            let _ = context.update(|record| record.error = Some(error.to_string())).await;
            context.pause(wait).await;
            context.check()?;
        }
    }

    async fn attempt(&self, registered: &Registered, context: &Context) -> Result<()> {
        context.begin_attempt();
        context.update(|record| record.attempts += 1).await?;
        let (request, planned) = {
            let record = context.record.lock();
            (record.request.clone(), record.plan.is_some())
        };
        if !planned {
            let plan = registered.job.plan(&request).await?;
            let done = context.figures();
            context.progress.send_replace(Progress { done, total: plan.cost });
            context.record.lock().plan = Some(plan);
        }
        context.update(|record| record.state = RunState::Running).await?;
        registered.job.run(&request, context).await?;
        context.end_attempt()
    }

    /// Renews the lease for as long as it is polled.
    async fn heartbeat(&self, context: &Context) {
        let job = context.record.lock().run.job.clone();
        loop {
            self.clock.sleep(self.settings.lease.duration() / 3).await;
            let lease = context.lease.lock().clone();
            match self.leases.renew(&job, &lease).await {
                Ok(Taken::Ours(lease)) => *context.lease.lock() = lease,
                Ok(Taken::Lost) => context.stop.stop(StopReason::LeaseLost),
                Err(error) => {
                    tracing::warn!(job, %error, "could not renew the lease: trying again")
                }
            }
        }
    }

    /// Looks for requests to stop for as long as it is polled.
    async fn watch_for_cancel(&self, context: &Context) {
        let run = context.record.lock().run.clone();
        loop {
            self.clock.sleep(CANCEL_EVERY).await;
            match self.is_cancelled(&run).await {
                Ok(true) => context.stop.stop(StopReason::Cancelled),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%run, %error, "could not look for a cancellation request")
                }
            }
        }
    }

    /// Records how the run ended, and gives the lease back.
    async fn end(&self, context: &Context, result: Result<()>) -> Result<RunRecord> {
        let now = self.clock.now();
        let (state, error) = match (result, context.stop.reason()) {
            (Ok(()), _) => (RunState::Done, None),
            (Err(error), Some(StopReason::LeaseLost)) => return Err(error),
            (Err(error), Some(why)) if error.kind() == ErrorKind::Stopped => match why {
                StopReason::Cancelled => (RunState::Cancelled, None),
                _ => (RunState::Interrupted, None),
            },
            (Err(error), _) => (RunState::Failed, Some(error.to_string())),
        };
        if state == RunState::Failed {
            context.record.lock().find(context.take_failures());
        }
        let finish = |record: &mut RunRecord| {
            record.finish(state, now);
            record.error = error.clone();
        };
        let mut tries = 1;
        while let Err(error) = context.update(finish).await {
            if tries == RECORD_TRIES {
                // The lease runs out, and whoever takes it continues.
                return Err(error.during("recording how the run ended"));
            }
            pause(Duration::from_millis(100 << tries)).await;
            tries += 1;
        }
        let record = context.record.lock().clone();
        let lease = context.lease.lock().clone();
        let job = record.run.job.as_str();
        let ended = state != RunState::Interrupted;
        if let Err(error) = self.leases.give_back(job, &lease, ended).await {
            tracing::warn!(job, %error, "could not give the lease back: it expires by itself");
        }
        let pruned =
            record::prune(&self.store, job, record.run.number, self.settings.runs_kept).await;
        if let Err(error) = pruned {
            tracing::warn!(job, %error, "could not delete old records: trying again after the next run");
        }
        Ok(record)
    }
}
