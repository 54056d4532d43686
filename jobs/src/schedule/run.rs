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

use barograph_engine::clock::pause;
use barograph_lake::Micros;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::context::{Context, Progress, Stop, Why};
use super::record::{self, Asked, RunRecord, RunState};
use super::seat::{Seat, Taken};
use super::shelf::RunId;
use super::{Registered, Schedule};
use crate::{Error, ErrorKind, Result};

/// How often a run looks for a request to stop.
const CANCEL_EVERY: Duration = Duration::from_secs(1);
/// How long a run that is to stop may take until it is dropped where it stands.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How often the record of an ended run is tried to be written.
const RECORD_TRIES: u32 = 4;

/// What a run is begun with.
pub(super) struct Begin {
    /// What the decision to run was made on.
    pub(super) seat: Seat,
    /// The time it is due for; absent if it runs on request.
    pub(super) slot: Option<Micros>,
    pub(super) asked: Asked,
    pub(super) stop: Stop,
    pub(super) progress: watch::Sender<Progress>,
}

impl Schedule {
    /// Takes the lease and runs the job to its end; `None` if another process was first.
    pub(super) async fn begin(
        &self,
        registered: &Registered,
        begin: Begin,
    ) -> Result<Option<RunRecord>> {
        let Begin { seat, slot, asked, stop, progress } = begin;
        let job = registered.job.name();
        let taken = self.seats.take(job, &seat, slot.unwrap_or(seat.slot)).await?;
        let Taken::Ours(seat) = taken else { return Ok(None) };
        let run = RunId { job: job.to_owned(), number: seat.run };
        let now = self.clock.now();
        let spec = registered.spec.clone();
        let mut record = RunRecord::new(run, self.by.clone(), spec, asked, now);
        record.slot = slot;
        if let Some(earlier) = self.settle(job).await? {
            // Who comes because the job is due finishes what was begun, whoever had asked for it.
            if slot.is_some() {
                record.asked = earlier.asked.clone();
            }
            if record.asked == earlier.asked {
                record.carry_on(&earlier);
            }
        }
        let context = Context {
            stop,
            record: Mutex::new(record),
            seat: Mutex::new(seat),
            shelf: self.shelf.clone(),
            clock: Arc::clone(&self.clock),
            progress,
            failures: Mutex::default(),
            paced: Mutex::default(),
        };
        let result = self.work_and_beat(registered, &context).await;
        self.end(&context, result).await.map(Some)
    }

    /// Writes down how the newest run ended, if its process could not; gives it if it is to be continued.
    async fn settle(&self, job: &str) -> Result<Option<RunRecord>> {
        let Some(&number) = self.shelf.runs(job).list().await?.numbers.last() else {
            return Ok(None);
        };
        let mut earlier = match record::read(&self.shelf, job, number).await {
            Ok(Some(earlier)) => earlier,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Damage => {
                tracing::warn!(job, %error, "the run before is not continued");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let stopped = self.is_cancelled(&earlier.run).await?;
        let interrupted = earlier.state == RunState::Interrupted;
        if earlier.state.is_open() || (interrupted && stopped) {
            let state = if stopped { RunState::Cancelled } else { RunState::Interrupted };
            earlier.finish(state, self.clock.now());
            record::write(&self.shelf, &earlier).await?;
        }
        Ok(Some(earlier).filter(|earlier| earlier.state == RunState::Interrupted))
    }

    async fn is_cancelled(&self, run: &RunId) -> Result<bool> {
        let asked = self.shelf.cancels(&run.job).get(run.number).await?;
        Ok(asked.is_some())
    }

    /// Works, and renews the lease while it does.
    async fn work_and_beat(&self, registered: &Registered, context: &Context) -> Result<()> {
        let work = AssertUnwindSafe(self.attempts(registered, context)).catch_unwind();
        let stopping = async {
            context.stop.asked().await;
            self.clock.sleep(STOP_GRACE).await;
        };
        tokio::select! {
            biased;
            result = work => result.unwrap_or_else(|_| {
                Err(Error::internal(format!("the job {} panicked", registered.job.name())))
            }),
            () = self.beat(context) => Err(Error::internal("a seat is kept for ever")),
            () = self.listen(context) => Err(Error::internal("a run is listened to for ever")),
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
            tracing::warn!(job = registered.job.name(), attempt, ?wait, %error, "tried again");
            // It may be the store that fails; the next attempt writes the record again.
            let _ = context.update(|record| record.error = Some(error.to_string())).await;
            context.pause(wait).await;
            context.check()?;
        }
    }

    async fn attempt(&self, registered: &Registered, context: &Context) -> Result<()> {
        context.begin_attempt();
        context.update(|record| record.attempts += 1).await?;
        let (asked, planned) = {
            let record = context.record.lock();
            (record.asked.clone(), record.plan.is_some())
        };
        if !planned {
            let plan = registered.job.plan(&asked).await?;
            let done = context.figures();
            context.progress.send_replace(Progress { done, total: plan.price });
            context.record.lock().plan = Some(plan);
        }
        context.update(|record| record.state = RunState::Running).await?;
        registered.job.run(&asked, context).await?;
        context.end_attempt()
    }

    /// Renews the lease for as long as it is polled.
    async fn beat(&self, context: &Context) {
        let job = context.record.lock().run.job.clone();
        loop {
            self.clock.sleep(self.settings.lease.duration() / 3).await;
            let seat = context.seat.lock().clone();
            match self.seats.renew(&job, &seat).await {
                Ok(Taken::Ours(seat)) => *context.seat.lock() = seat,
                Ok(Taken::Lost) => context.stop.stop(Why::SeatLost),
                Err(error) => tracing::warn!(job, %error, "the seat is tried to be kept again"),
            }
        }
    }

    /// Looks for requests to stop for as long as it is polled.
    async fn listen(&self, context: &Context) {
        let run = context.record.lock().run.clone();
        loop {
            self.clock.sleep(CANCEL_EVERY).await;
            match self.is_cancelled(&run).await {
                Ok(true) => context.stop.stop(Why::Cancelled),
                Ok(false) => {}
                Err(error) => tracing::debug!(%run, %error, "looking for a request to stop"),
            }
        }
    }

    /// Records how the run ended, and gives the lease back.
    async fn end(&self, context: &Context, result: Result<()>) -> Result<RunRecord> {
        let now = self.clock.now();
        let (state, error) = match (result, context.stop.why()) {
            (Ok(()), _) => (RunState::Done, None),
            (Err(error), Some(Why::SeatLost)) => return Err(error),
            (Err(error), Some(why)) if error.kind() == ErrorKind::Stopped => match why {
                Why::Cancelled => (RunState::Cancelled, None),
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
                // The seat runs out, and whoever takes it continues.
                return Err(error.during("write how the run ended"));
            }
            pause(Duration::from_millis(100 << tries)).await;
            tries += 1;
        }
        let record = context.record.lock().clone();
        let seat = context.seat.lock().clone();
        let job = record.run.job.as_str();
        let ended = state != RunState::Interrupted;
        if let Err(error) = self.seats.give_back(job, &seat, ended).await {
            tracing::warn!(job, %error, "the seat is free when its lease is over");
        }
        let pruned =
            record::prune(&self.shelf, job, record.run.number, self.settings.runs_kept).await;
        if let Err(error) = pruned {
            tracing::warn!(job, %error, "old records are deleted after the next run");
        }
        Ok(record)
    }
}
