//! The runner of a server's jobs: a task for each job, which looks when it is due.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::retry;
use tokio::task::JoinSet;

use super::context::{Stop, StopReason};
use super::record::{RunRecord, RunState};
use super::{DueOutcome, Schedule};

/// A job that is due later is looked at again this often, as the machine's clock may be set.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// The least time between two looks.
const CHECK_AFTER: Duration = Duration::from_millis(10);

/// The running jobs of a process. Dropping it leaves them where they stand.
#[derive(Debug)]
pub struct Scheduler {
    stop: Stop,
    tasks: JoinSet<()>,
}

impl Scheduler {
    /// Runs the jobs of `schedule` whenever they are due, if its settings enable it.
    pub fn start(schedule: &Arc<Schedule>) -> Self {
        let (stop, mut tasks) = (Stop::default(), JoinSet::new());
        if schedule.settings.enabled {
            for job in schedule.names() {
                tasks.spawn(run_whenever_due(Arc::clone(schedule), job, stop.clone()));
            }
        }
        Self { stop, tasks }
    }

    /// Lets running jobs save their progress, then stops.
    pub async fn stop(mut self) {
        self.stop.stop(StopReason::ShuttingDown);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Runs one job whenever it is due or has work before that.
async fn run_whenever_due(schedule: Arc<Schedule>, job: &'static str, shutdown: Stop) {
    let mut woken = false;
    while shutdown.reason().is_none() {
        let stop = Stop::default();
        let look = async {
            match woken {
                true => schedule.wake(job, stop.clone()).await,
                false => schedule.run_if_due(job, stop.clone()).await,
            }
        };
        let outcome = tokio::select! {
            outcome = look => outcome,
            () = forward(&shutdown, &stop) => return,
        };
        woken = false;
        let wait = match outcome {
            Ok(DueOutcome::Never) => return,
            Ok(DueOutcome::Ran(record)) => {
                report(&record);
                CHECK_AFTER
            }
            Ok(DueOutcome::Overtaken) => CHECK_AFTER,
            Ok(DueOutcome::Wait(time)) => {
                let left = time.since(schedule.clock.now());
                left.duration().clamp(CHECK_AFTER, CHECK_EVERY)
            }
            Err(error) => {
                tracing::warn!(job, %error, "could not check whether the job is due: trying again");
                retry::STORE_ANSWERS
            }
        };
        tokio::select! {
            () = schedule.clock.sleep(wait) => {}
            () = schedule.woken(job) => woken = true,
            () = shutdown.requested() => {}
        }
    }
}

/// Tells a run that the process is shutting down, and waits for it to end.
async fn forward(shutdown: &Stop, stop: &Stop) {
    shutdown.requested().await;
    stop.stop(StopReason::ShuttingDown);
    std::future::pending().await
}

fn report(record: &RunRecord) {
    let (run, state) = (&record.run, record.state);
    let done = record.figures;
    let error = record.error.as_deref().unwrap_or_default();
    let findings = record.findings_count;
    match state {
        RunState::Failed => {
            tracing::error!(%run, %state, files = done.files, rows = done.rows, bytes = done.bytes, findings, error, "job");
        }
        _ => {
            tracing::info!(%run, %state, files = done.files, rows = done.rows, bytes = done.bytes, findings, "job");
        }
    }
}
