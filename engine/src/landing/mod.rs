//! When and how do hours go from the tail into the lake?
//!
//! `decide` says which hours; `land` writes each as one sorted file, `late` merges rows into the files of days
//! and months; `land` commits, and asks the writer to swap; `delete` takes rows out of the lake; `notice` sees
//! what others committed; the [`Lander`] does so in the background and on request. An interrupted landing leaves an
//! unreferenced file, which the job `sweep` deletes.

pub mod decide;
mod delete;
mod land;
mod late;
mod notice;

use std::sync::Arc;
use std::time::Duration;

use barograph_lake::Micros;
use barograph_lake::file::FileCache;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::engine::{FlushReport, Table, writer::WriterHandle};
use crate::memory::Budget;
use crate::{Clock, EngineSettings, Error, ErrorKind, Result};

use decide::Reason;
pub use delete::{DeletionReport, DeletionRequest};
pub(crate) use delete::{Looked, look};

/// How often the background task looks for hours that are due, if nothing wakes it before.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failed landing the next attempt waits this long.
const RETRY_AFTER: Duration = Duration::from_secs(5);

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
}

enum Command {
    Land(Reason, oneshot::Sender<Result<FlushReport>>),
    Delete(Arc<Table>, DeletionRequest, Looked, oneshot::Sender<Result<DeletionReport>>),
    Stop,
}

/// The background task that lands hours.
#[derive(Debug)]
pub(crate) struct Lander {
    commands: mpsc::UnboundedSender<Command>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lander {
    /// Starts the task.
    pub(crate) fn start(parts: LanderParts) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(parts, receiver));
        Self { commands, task: Mutex::new(Some(task)) }
    }

    /// Lands every hour, open ones included.
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
        asked: DeletionRequest,
        looked: Looked,
    ) -> Result<DeletionReport> {
        let (reply, report) = oneshot::channel();
        let command = Command::Delete(table, asked, looked, reply);
        self.commands.send(command).map_err(|_| stopped())?;
        report.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Finishes a running landing and ends the task.
    pub(crate) async fn stop(&self) {
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

/// What the task remembers between landings.
#[derive(Debug, Default)]
struct Memory {
    /// When late rows of a table were last merged into files of hours.
    merged: HashMap<String, Micros>,
    /// The same of files of days and months.
    folded_merged: HashMap<String, Micros>,
    /// When commits of others were last looked for.
    noticed: Option<Micros>,
}

async fn run(parts: LanderParts, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut memory = Memory::default();
    loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command,
            () = parts.wake.notified() => Some(Command::Land(Reason::Due, oneshot::channel().0)),
            () = tokio::time::sleep(LOOK_EVERY) => {
                Some(Command::Land(Reason::Due, oneshot::channel().0))
            }
        };
        match command {
            None | Some(Command::Stop) => return,
            Some(Command::Delete(table, asked, looked, reply)) => {
                let _ = reply.send(delete::delete(&parts, &table, &asked, looked).await);
            }
            Some(Command::Land(reason, reply)) => {
                let asked = !reply.is_closed();
                let result = round(&parts, &mut memory, reason).await;
                let failed = result.is_err();
                if let Err(error) = &result {
                    tracing::error!(%error, "landing failed: the rows stay in log and tail, and landing is tried again");
                }
                let _ = reply.send(result);
                if failed && !asked {
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}

async fn round(parts: &LanderParts, memory: &mut Memory, reason: Reason) -> Result<FlushReport> {
    notice::notice(parts, memory).await;
    let mut report = FlushReport::default();
    for table in &parts.tables {
        let done = land::land_table(parts, table, memory, reason).await?;
        report.files += done.files;
        report.rows += done.rows;
        report.bytes += done.bytes;
    }
    Ok(report)
}
