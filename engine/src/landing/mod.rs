//! Landing: hours go from the tail into the lake, in the background and on request.
//!
//! `decide` chooses the hours; `round` goes through the tables piece by piece; `land` writes each hour as one sorted
//! file, commits, and asks the writer to swap; `late` merges rows into the files of days and months; `faults` keeps
//! track of rows that cannot land; `relog` keeps the log short behind rows that stay; `delete` takes rows out of the
//! lake; `poll_commits` polls for commits of other processes, and `foreign` takes over rows that other programs wrote;
//! `read_anew` goes on where a shared log has passed this process, and `watermarks` forgets what nobody replays. The
//! `Lander` runs them all. An interrupted landing leaves an unreferenced file, which the job `sweep` deletes.

mod decide;
mod delete;
mod faults;
mod foreign;
mod land;
mod late;
mod poll_commits;
mod read_anew;
mod relog;
mod round;
mod watermarks;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barograph_lake::Span;
use barograph_lake::file::FileCache;
use futures::FutureExt;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::memory::Budget;
use crate::statistics::LandingCounts;
use crate::table::Table;
use crate::writer::{Heard, LogGauge, WriterHandle, panic_text};
use crate::{Clock, ClockSteps, EngineSettings, Error, ErrorKind, Result};

use decide::Reason;
pub(crate) use delete::{Candidates, find_candidates};
pub use delete::{DeletionReport, DeletionRequest};
pub(crate) use faults::Faults;
pub use faults::LandingFault;
pub use land::FlushReport;
pub(crate) use land::{COMMITS_MAX, overtaken};
pub(crate) use watermarks::FLOOR_AGE_MAX;

/// How often the background task looks for hours that are due, if nothing wakes it before.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the lander works with.
#[derive(Debug)]
pub(crate) struct LanderParts {
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) settings: EngineSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) files: Arc<FileCache>,
    pub(crate) writer: WriterHandle,
    pub(crate) budget: Arc<Budget>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) counts: Arc<LandingCounts>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl LanderParts {
    /// Whether to come to an end: what is begun of an hour is finished, nothing else is begun.
    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

enum Command {
    Land(Reason, oneshot::Sender<Result<FlushReport>>),
    PollCommits(Arc<Table>, oneshot::Sender<()>),
    Delete(Arc<Table>, DeletionRequest, Candidates, oneshot::Sender<Result<DeletionReport>>),
    Stop,
}

/// The background task that lands hours.
#[derive(Debug)]
pub(crate) struct Lander {
    commands: mpsc::UnboundedSender<Command>,
    stop: Arc<AtomicBool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lander {
    /// Starts the task.
    pub(crate) fn start(parts: LanderParts) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let stop = Arc::clone(&parts.stop);
        let task = tokio::spawn(run(parts, receiver));
        Self { commands, stop, task: Mutex::new(Some(task)) }
    }

    /// Lands every hour, open ones included, also those whose landing failed before.
    ///
    /// # Errors
    /// Why some could not land, once all others have.
    pub(crate) async fn flush(&self) -> Result<FlushReport> {
        self.land(Reason::Flush).await
    }

    /// Lands the hours that are due.
    pub(crate) async fn land_due(&self) -> Result<FlushReport> {
        self.land(Reason::Due).await
    }

    /// Deletes rows of a table.
    pub(crate) async fn delete(
        &self,
        table: Arc<Table>,
        request: DeletionRequest,
        candidates: Candidates,
    ) -> Result<DeletionReport> {
        let (reply, report) = oneshot::channel();
        let command = Command::Delete(table, request, candidates, reply);
        self.commands.send(command).map_err(|_| stopped())?;
        report.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Takes over what others have committed to a table, if that can be. If not, it is a fault that is tried again.
    pub(crate) async fn poll_commits(&self, table: Arc<Table>) {
        let (reply, polled) = oneshot::channel();
        if self.commands.send(Command::PollCommits(table, reply)).is_ok() {
            let _ = polled.await;
        }
    }

    /// Ends the task. A running landing finishes the hours that it has begun.
    pub(crate) async fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.commands.send(Command::Stop);
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }

    async fn land(&self, reason: Reason) -> Result<FlushReport> {
        let (reply, report) = oneshot::channel();
        self.commands.send(Command::Land(reason, reply)).map_err(|_| stopped())?;
        report.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the engine is shutting down")
}

impl Drop for Lander {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// What the task remembers between landings, by the time that has passed: the clock may be set meanwhile.
#[derive(Debug, Default)]
struct Memory {
    /// When late rows of a table were last merged into files of hours.
    merged: HashMap<String, Span>,
    /// The same of files of days and months.
    compacted_merged: HashMap<String, Span>,
    /// When commits of others were last polled for.
    polled: Option<Span>,
    /// Since when hours are due that another process is to land.
    due_since: Option<Span>,
    /// The floor of a shared log, and since when it has been there; whether what lies below is forgotten.
    floor: Option<watermarks::Stood>,
}

async fn run(parts: LanderParts, mut commands: mpsc::UnboundedReceiver<Command>) {
    // Who opened the tables has just looked for commits of others.
    let mut memory = Memory { polled: Some(parts.clock.elapsed()), ..Memory::default() };
    let mut steps = ClockSteps::of(parts.clock.as_ref());
    loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command,
            () = parts.wake.notified() => Some(Command::Land(Reason::Due, oneshot::channel().0)),
            () = parts.clock.sleep(LOOK_EVERY) => {
                Some(Command::Land(Reason::Due, oneshot::channel().0))
            }
        };
        steps.report(parts.clock.as_ref());
        match command {
            None | Some(Command::Stop) => return,
            Some(Command::PollCommits(table, reply)) => {
                poll_commits::poll_table(&parts, &table).await;
                let _ = reply.send(());
            }
            Some(Command::Delete(table, request, candidates, reply)) => {
                let work = guarded(delete::delete(&parts, &table, &request, candidates));
                let _ = reply.send(work.await);
            }
            Some(Command::Land(reason, reply)) => {
                let begun = parts.clock.elapsed();
                let result = guarded(round::round(&parts, &mut memory, reason)).await;
                parts.counts.round(parts.clock.elapsed().saturating_sub(begun));
                parts.budget.set_stuck(parts.faults.settle(&parts.tables));
                // Faults are told where they are noted, the writer's failure by itself.
                if let Err(error) = &result
                    && error.kind() == ErrorKind::Internal
                    && parts.writer.status().failure().is_none()
                {
                    tracing::error!(%error, "landing failed");
                }
                let _ = reply.send(result);
            }
        }
    }
}

/// The outcome of `work`, also if it panics, which must end nothing else.
async fn guarded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let why = panic_text(panic.as_ref());
        Err(Error::internal(format!("landing panicked ({why}): please report the message")))
    })
}
