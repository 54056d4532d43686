//! The writer: the one thread that changes anything. It gathers the batches that wait, writes them to the log at
//! once, syncs once, applies them to the tails, publishes the views and acknowledges them all.
//!
//! `state` holds its actions. No other thread changes tails and views, so a landing asks the writer to swap tail and
//! snapshot.

mod ack;
mod announce;
mod follow;
mod forward;
mod gauge;
mod heard;
mod precondition;
mod rebuild;
mod relog;
mod repeats;
mod state;
mod status;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::RecordBatch;
use barograph_lake::{LogPosition, Snapshot, Timestamp};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::Span;

use crate::log::{BatchId, Notice, Record};
use crate::logged::LandedThrough;
use crate::memory::Reservation;
use crate::table::Table;
use crate::tail::HourView;
use crate::{Error, Result};

pub use ack::{Ack, Durability};
pub(crate) use announce::Announcement;
pub(crate) use forward::Forwarder;
pub use gauge::LogGauge;
pub(crate) use heard::Heard;
pub(crate) use precondition::Precondition;
use rebuild::Rebuild;
pub(crate) use rebuild::RebuiltTable;
pub(crate) use relog::Relog;
pub(crate) use repeats::Repeats;
pub(crate) use state::State;
use state::refuse;
use status::StatusSender;
pub(crate) use status::{WriterStatus, panic_text};

/// A group is closed at this many bytes, so that one sync never waits for too much.
const GROUP_BYTES: usize = 16 << 20;

/// Rows of one table with their encoded form.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) table: Arc<Table>,
    /// All columns but `ingested_at`.
    pub(crate) rows: RecordBatch,
    /// The same as an Arrow IPC stream.
    pub(crate) body: Bytes,
    pub(crate) source: String,
}

/// Entries that go into the log together, or not at all.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) entries: Vec<Entry>,
    /// Submitted again under it, the entries count once.
    pub(crate) id: Option<BatchId>,
    /// It came from another process, which is not to get it back.
    pub(crate) is_forwarded: bool,
    pub(crate) durability: Durability,
    pub(crate) reply: oneshot::Sender<Result<Written>>,
    /// Memory of the rows until the tail holds them.
    pub(crate) reservation: Reservation,
    /// What its way is traced below.
    pub(crate) span: Span,
}

/// What became of a submission that is in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Position of its last entry.
    pub(crate) position: LogPosition,
    /// What its rows have in `ingested_at`.
    pub(crate) ingested_at: Timestamp,
}

/// A submission that goes in unless one of its rows was put since they were looked at.
#[derive(Debug)]
pub(crate) struct ConditionalPut {
    pub(crate) submission: Submission,
    pub(crate) precondition: Precondition,
    /// Told if it does not.
    pub(crate) changed: oneshot::Sender<()>,
}

/// Hours that have landed.
#[derive(Debug)]
pub(crate) struct Landed {
    pub(crate) table: Arc<Table>,
    /// Each hour with the view of it that is now in the lake.
    pub(crate) hours: Vec<HourView>,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Through which positions the hours have landed, whoever landed them; of a log that others share.
    pub(crate) through: Option<LandedThrough>,
    /// This process committed the snapshot, which the others do not know.
    pub(crate) is_own: bool,
    pub(crate) reply: oneshot::Sender<()>,
}

impl Entry {
    fn record(&self, ingested_at: Timestamp) -> Record {
        Record {
            table: self.table.schema.name().into(),
            source: self.source.clone(),
            ingested_at,
            rows: self.rows.num_rows() as u32,
            body: self.body.clone(),
        }
    }
}

enum Message {
    Put(Submission),
    ConditionalPut(ConditionalPut),
    Landed(Landed),
    Relog(Relog),
    TakeLead,
    Announce(Announcement),
    Offered,
    Follow(oneshot::Sender<Result<()>>),
    ReadAnew(oneshot::Sender<Result<()>>),
    Rebuild(Rebuild),
    Stop(oneshot::Sender<Result<()>>),
}

/// The way to the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: Sender<Message>,
    status: WriterStatus,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(state: State) -> Result<Self> {
        let (sender, receiver) = channel();
        let status_sender = StatusSender::default();
        let status = status_sender.status();
        let thread = std::thread::Builder::new()
            .name("barograph-writer".to_owned())
            .spawn(move || {
                // The receiver goes after the end is told, so that who finds it gone knows why.
                let work = AssertUnwindSafe(|| run(state, &receiver, &status_sender));
                match catch_unwind(work) {
                    Ok(()) => status_sender.stop(),
                    Err(panic) => status_sender.panicked(panic.as_ref()),
                }
            })
            .map_err(|e| Error::internal("start the writer thread").with_source(e))?;
        Ok(Self { sender, status, thread: Mutex::new(Some(thread)) })
    }

    /// A second way to the same thread.
    pub(crate) fn handle(&self) -> WriterHandle {
        WriterHandle { sender: self.sender.clone(), status: self.status.clone() }
    }

    /// How the thread is.
    pub(crate) fn status(&self) -> &WriterStatus {
        &self.status
    }

    /// Finishes what was sent before, syncs and closes the log.
    ///
    /// # Errors
    /// Why the log could not be synced, or the writer had failed before.
    pub(crate) async fn stop(&self) -> Result<()> {
        let (reply, stopped) = oneshot::channel();
        let result = match self.sender.send(Message::Stop(reply)) {
            Ok(()) => match stopped.await {
                Ok(result) => result,
                Err(_) => self.status.end().await,
            },
            Err(_) => self.status.end().await,
        };
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        result
    }
}

/// A way to the writer thread.
#[derive(Debug, Clone)]
pub(crate) struct WriterHandle {
    sender: Sender<Message>,
    status: WriterStatus,
}

impl WriterHandle {
    /// Hands rows over; the answer comes through the submission's `reply`.
    pub(crate) fn put(&self, submission: Submission) -> Result<()> {
        self.send(Message::Put(submission))
    }

    /// The same, unless rows have changed.
    pub(crate) fn put_unchanged(&self, conditional: ConditionalPut) -> Result<()> {
        self.send(Message::ConditionalPut(conditional))
    }

    /// Swaps tail and snapshot for hours that have landed.
    pub(crate) fn landed(&self, landed: Landed) -> Result<()> {
        self.send(Message::Landed(landed))
    }

    /// Writes rows of the tail to the log again.
    pub(crate) fn relog(&self, asked: Relog) -> Result<()> {
        self.send(Message::Relog(asked))
    }

    /// Makes this process the one that appended last to a log that others share.
    pub(crate) fn take_lead(&self) -> Result<()> {
        self.send(Message::TakeLead)
    }

    /// Tells the others of a version that they are to show, and gives a position: who has come past it knows of it.
    pub(crate) async fn announce(&self, notice: Notice) -> Result<LogPosition> {
        self.ask(|reply| Message::Announce(Announcement { notice, reply })).await
    }

    /// Has the writer take what the leader has sent.
    pub(crate) fn take_offered(&self) -> Result<()> {
        self.send(Message::Offered)
    }

    /// Follows a log that others share to its end. All that was acknowledged before, by whichever process, is in the views
    /// then.
    pub(crate) async fn follow(&self) -> Result<()> {
        self.ask(Message::Follow).await
    }

    /// Reads a log anew whose floor has passed this process. Nothing is put or followed until tails are rebuilt.
    pub(crate) async fn read_anew(&self) -> Result<()> {
        self.ask(Message::ReadAnew).await
    }

    /// Rebuilds the tails from a log that was read anew.
    pub(crate) async fn rebuild(&self, tables: Vec<RebuiltTable>) -> Result<()> {
        self.ask(|reply| Message::Rebuild(Rebuild { tables, reply })).await
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T>>) -> Message,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(message(reply))?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.status.gone().await),
        }
    }

    /// How the thread is.
    pub(crate) fn status(&self) -> &WriterStatus {
        &self.status
    }

    fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).map_err(|_| self.status.refusal())
    }
}

fn run(mut state: State, receiver: &Receiver<Message>, status_sender: &StatusSender) {
    let mut poison: Option<Error> = None;
    loop {
        if let Some(error) = &poison {
            status_sender.fail(error);
        }
        let wakes_at = state.wakes_at();
        let left = wakes_at.map(|at| (at - state.clock.elapsed()).duration());
        let first = match left {
            Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
            Some(left) => receiver.recv_timeout(left),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let first = match first {
            Ok(message) => message,
            // A clock that is held has not come so far.
            Err(RecvTimeoutError::Timeout)
                if wakes_at.is_some_and(|at| at > state.clock.elapsed()) =>
            {
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = state.wake(poison.is_none()) {
                    poison.get_or_insert(error);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (group, control) = gather(first, receiver);
        if !group.is_empty() {
            match &poison {
                Some(error) => refuse(group, error),
                None => {
                    poison = state.commit(group).or_else(|| state.log.stopped());
                    if poison.is_none() {
                        state.wake_lander_if_needed();
                    }
                }
            }
        }
        match control {
            None => {}
            Some(Message::Stop(reply)) => {
                let _ = reply.send(match poison {
                    Some(error) => Err(error),
                    None => state.log.sync(),
                });
                return;
            }
            Some(Message::Landed(landed)) => {
                let failed = state.swap(landed);
                poison = poison.or(failed);
            }
            Some(message) => match &poison {
                Some(error) => decline(message, error),
                None => poison = state.take(message),
            },
        }
    }
}

impl State {
    /// Does what a message of another kind than a put asks for. An error given back poisons the writer.
    fn take(&mut self, message: Message) -> Option<Error> {
        match message {
            Message::Put(_) | Message::Landed(_) | Message::Stop(_) => None,
            Message::ConditionalPut(conditional) => self.commit_unchanged(conditional),
            Message::TakeLead => {
                self.take_lead();
                None
            }
            Message::Relog(asked) => {
                self.relog(asked);
                self.log.stopped()
            }
            Message::Announce(announcement) => self.announce(announcement),
            Message::Offered => self.take_offered().err(),
            Message::Follow(reply) => {
                let followed = self.follow();
                let poison = followed.as_ref().err().map(Error::again);
                let _ = reply.send(followed.and_then(|failed| failed.map_or(Ok(()), Err)));
                poison
            }
            Message::ReadAnew(reply) => {
                let _ = reply.send(self.read_anew());
                self.log.stopped()
            }
            Message::Rebuild(rebuild) => self.rebuild(rebuild),
        }
    }
}

/// Says of a message to a writer that has failed why nothing is done.
fn decline(message: Message, error: &Error) {
    match message {
        Message::ConditionalPut(conditional) => refuse(vec![conditional.submission], error),
        Message::Relog(asked) => drop(asked.reply.send(Err(error.again()))),
        Message::Announce(asked) => drop(asked.reply.send(Err(error.again()))),
        Message::Follow(reply)
        | Message::ReadAnew(reply)
        | Message::Rebuild(Rebuild { reply, .. }) => {
            drop(reply.send(Err(error.again())));
        }
        // Who waits for it finds the writer failed.
        Message::Landed(_)
        | Message::Put(_)
        | Message::TakeLead
        | Message::Offered
        | Message::Stop(_) => {}
    }
}

/// `first` and whatever else waits, up to the group's size or to a message of another kind.
fn gather(first: Message, receiver: &Receiver<Message>) -> (Vec<Submission>, Option<Message>) {
    let mut group = Vec::new();
    let mut bytes = 0;
    let mut next = first;
    loop {
        match next {
            Message::Put(submission) => {
                bytes += submission.entries.iter().map(|entry| entry.body.len()).sum::<usize>();
                group.push(submission);
            }
            control => return (group, Some(control)),
        }
        if bytes >= GROUP_BYTES {
            return (group, None);
        }
        next = match receiver.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return (group, None),
        };
    }
}
