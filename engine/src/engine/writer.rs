//! Who writes? One thread: it gathers the batches that wait, writes them to the log at once, syncs
//! once, applies them to the tails, publishes the views and acknowledges all.
//!
//! It is the only one that changes tails and views, so a landing asks it to swap tail and snapshot.

mod condition;
mod relog;
mod seen;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use barograph_lake::{Hour, LogPosition, Micros, Snapshot};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{Durability, Table};
use crate::log::{Log, Record};
use crate::memory::{Budget, Reservation};
use crate::tail::{HourView, Tail};
use crate::validate::complete;
use crate::view::View;
use crate::{Clock, Error, Result};

use condition::Teller;
pub(crate) use condition::{Condition, panic_text};
pub(crate) use relog::Relog;
pub(crate) use seen::Seen;

/// A group is closed at this many bytes, so that one sync never waits for too much.
const GROUP_BYTES: usize = 16 << 20;
/// Batches acknowledged at `memory` are synced after at most this long.
const SYNC_WITHIN: Duration = Duration::from_millis(200);

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
    pub(crate) durability: Durability,
    pub(crate) reply: oneshot::Sender<Result<Written>>,
    /// Memory of the rows until the tail holds them.
    pub(crate) reservation: Reservation,
}

/// What became of a submission that is in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Position of its last entry.
    pub(crate) position: LogPosition,
    /// What its rows have in `ingested_at`.
    pub(crate) ingested_at: Micros,
}

/// A submission that goes in if nobody has put the rows that it puts since they were looked at.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) submission: Submission,
    pub(crate) seen: Seen,
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
    pub(crate) reply: oneshot::Sender<()>,
}

impl Entry {
    fn record(&self, ingested_at: Micros) -> Record {
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
    Guarded(Guarded),
    Landed(Landed),
    Relog(Relog),
    Stop(oneshot::Sender<Result<()>>),
}

/// The way to the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: Sender<Message>,
    condition: Condition,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the log holds, told by the writer to whoever asks.
#[derive(Debug, Default)]
pub(crate) struct LogGauge {
    pub(crate) end: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Records and rows appended since the engine was opened.
    pub(crate) records: AtomicU64,
    pub(crate) rows: AtomicU64,
    /// Appends: each one write, and at most one sync, for all its records.
    pub(crate) groups: AtomicU64,
    /// Rows written again, as they held the log back.
    pub(crate) again: AtomicU64,
}

impl LogGauge {
    pub(crate) fn measure(&self, log: &dyn Log) {
        self.end.store(log.end().0, Ordering::Relaxed);
        self.bytes.store(log.bytes(), Ordering::Relaxed);
    }

    pub(crate) fn end(&self) -> LogPosition {
        LogPosition(self.end.load(Ordering::Relaxed))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Rows that were written to the log again, as they held it back.
    pub(crate) fn rows_written_again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    fn rows_again(&self, rows: u64) {
        self.again.fetch_add(rows, Ordering::Relaxed);
    }
}

/// What the thread owns.
pub(crate) struct State {
    pub(crate) log: Box<dyn Log>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) tails: BTreeMap<String, Tail>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Largest `ingested_at` given so far.
    pub(crate) last_ingested: Micros,
    /// Told when an hour begins or memory runs short.
    pub(crate) wake_lander: Arc<Notify>,
    pub(crate) budget: Arc<Budget>,
    /// Newest hour seen, over all tables.
    pub(crate) newest_hour: Option<Hour>,
    /// When the oldest batch that was acknowledged at `memory` and not synced since is to be synced.
    pub(crate) sync_at: Option<Instant>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(state: State) -> Result<Self> {
        let (sender, receiver) = channel();
        let teller = Teller::default();
        let condition = teller.condition();
        let thread = std::thread::Builder::new()
            .name("barograph-writer".to_owned())
            .spawn(move || {
                // The receiver goes after the end is told, so that who finds it gone knows why.
                let work = AssertUnwindSafe(|| run(state, &receiver, &teller));
                match catch_unwind(work) {
                    Ok(()) => teller.stop(),
                    Err(panic) => teller.panicked(panic.as_ref()),
                }
            })
            .map_err(|e| Error::internal("start the writer thread").with_source(e))?;
        Ok(Self { sender, condition, thread: Mutex::new(Some(thread)) })
    }

    /// A second way to the same thread.
    pub(crate) fn handle(&self) -> WriterHandle {
        WriterHandle { sender: self.sender.clone(), condition: self.condition.clone() }
    }

    /// How the thread is.
    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
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
                Err(_) => self.condition.end().await,
            },
            Err(_) => self.condition.end().await,
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
    condition: Condition,
}

impl WriterHandle {
    /// Hands rows over; the answer comes through the submission's `reply`.
    pub(crate) fn put(&self, submission: Submission) -> Result<()> {
        self.send(Message::Put(submission))
    }

    /// The same, unless rows have changed.
    pub(crate) fn put_unchanged(&self, guarded: Guarded) -> Result<()> {
        self.send(Message::Guarded(guarded))
    }

    /// Swaps tail and snapshot for hours that have landed.
    pub(crate) fn landed(&self, landed: Landed) -> Result<()> {
        self.send(Message::Landed(landed))
    }

    /// Writes rows of the tail to the log again.
    pub(crate) fn relog(&self, asked: Relog) -> Result<()> {
        self.send(Message::Relog(asked))
    }

    /// How the thread is.
    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).map_err(|_| self.condition.refusal())
    }
}

fn run(mut state: State, receiver: &Receiver<Message>, teller: &Teller) {
    let mut poison: Option<Error> = None;
    loop {
        if let Some(error) = &poison {
            teller.fail(error);
        }
        let left = state.sync_at.map(|at| at.saturating_duration_since(Instant::now()));
        let first = match left {
            Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
            Some(left) => receiver.recv_timeout(left),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let first = match first {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                state.sync_at = None;
                if let Err(error) = state.log.sync() {
                    tracing::error!(%error, "syncing the log failed");
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
            Some(Message::Put(_)) => {}
            Some(Message::Guarded(guarded)) => match &poison {
                Some(error) => refuse(vec![guarded.submission], error),
                None => poison = state.commit_unchanged(guarded),
            },
            Some(Message::Landed(landed)) => state.swap(landed),
            Some(Message::Relog(asked)) => match &poison {
                Some(error) => drop(asked.reply.send(Err(error.again()))),
                None => {
                    state.relog(asked);
                    poison = state.log.stopped();
                }
            },
            Some(Message::Stop(reply)) => {
                let _ = reply.send(match poison {
                    Some(error) => Err(error),
                    None => state.log.sync(),
                });
                return;
            }
        }
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

fn refuse(group: Vec<Submission>, error: &Error) {
    for submission in group {
        let _ = submission.reply.send(Err(error.again()));
    }
}

impl State {
    /// Log, sync, apply, publish, acknowledge. An error given back poisons the writer: what is in the
    /// log and what is in the tails may differ, and only a restart makes them one again.
    fn commit(&mut self, group: Vec<Submission>) -> Option<Error> {
        // Larger than any before, so that it tells which of two rows was accepted later.
        let ingested_at = self.clock.now().max(self.last_ingested.saturating_add(1));
        self.last_ingested = ingested_at;
        let (group, records) = self.fitting(group, ingested_at);
        if group.is_empty() {
            return None;
        }
        let sync = group.iter().any(|submission| submission.durability == Durability::Disk);
        let positions = match self.log.append(&records, sync) {
            Ok(positions) => positions,
            Err(error) => {
                tracing::error!(%error, "appending to the log failed");
                return self.commit_each(group, &error);
            }
        };
        self.sync_at = match sync {
            true => None,
            false => self.sync_at.or_else(|| Some(Instant::now() + SYNC_WITHIN)),
        };
        let rows: u64 = records.iter().map(|record| u64::from(record.rows)).sum();
        self.gauge.records.fetch_add(records.len() as u64, Ordering::Relaxed);
        self.gauge.rows.fetch_add(rows, Ordering::Relaxed);
        self.gauge.groups.fetch_add(1, Ordering::Relaxed);
        self.gauge.measure(self.log.as_ref());
        drop(records);
        match self.apply(&group, &positions, ingested_at) {
            Ok(()) => {
                let mut positions = positions.into_iter();
                for submission in group {
                    drop(submission.reservation);
                    let position = positions.by_ref().take(submission.entries.len()).last();
                    let position = position.unwrap_or_default();
                    let _ = submission.reply.send(Ok(Written { position, ingested_at }));
                }
                None
            }
            Err(error) => {
                tracing::error!(%error, "applying logged rows to the tail failed");
                refuse(group, &error);
                Some(error)
            }
        }
    }

    /// The submissions that the log takes, with their records; each of the others is refused by itself.
    fn fitting(
        &self,
        group: Vec<Submission>,
        ingested_at: Micros,
    ) -> (Vec<Submission>, Vec<Record>) {
        let mut records = Vec::with_capacity(group.len());
        let mut fitting = Vec::with_capacity(group.len());
        for submission in group {
            let first = records.len();
            records.extend(submission.entries.iter().map(|entry| entry.record(ingested_at)));
            match self.log.check(&records[first..]) {
                Ok(()) => fitting.push(submission),
                Err(error) => {
                    records.truncate(first);
                    refuse(vec![submission], &error);
                }
            }
        }
        (fitting, records)
    }

    /// After a group as a whole met an error: one by one, so that a small one goes in where a large one finds
    /// no room.
    fn commit_each(&mut self, group: Vec<Submission>, error: &Error) -> Option<Error> {
        if group.len() == 1 {
            refuse(group, error);
            return None;
        }
        let mut poison = None;
        for submission in group {
            match &poison {
                None => poison = self.commit(vec![submission]),
                Some(error) => refuse(vec![submission], error),
            }
        }
        poison
    }

    fn commit_unchanged(&mut self, guarded: Guarded) -> Option<Error> {
        let Guarded { submission, seen, changed } = guarded;
        match seen.is_unchanged() {
            Ok(true) => self.commit(vec![submission]),
            Ok(false) => {
                let _ = changed.send(());
                None
            }
            Err(error) => {
                refuse(vec![submission], &error);
                None
            }
        }
    }

    fn apply(
        &mut self,
        group: &[Submission],
        positions: &[LogPosition],
        ingested_at: Micros,
    ) -> Result<()> {
        let mut touched: BTreeMap<&str, &Arc<Table>> = BTreeMap::new();
        let entries = group.iter().flat_map(|submission| &submission.entries);
        for (entry, &position) in entries.zip(positions) {
            let name = entry.table.schema.name();
            self.append(name, position, &complete(&entry.table.schema, &entry.rows, ingested_at)?)?;
            touched.insert(name, &entry.table);
        }
        for (name, table) in touched {
            let snapshot = Arc::clone(&table.view.load().snapshot);
            self.publish(name, table, snapshot);
        }
        Ok(())
    }

    fn append(&mut self, table: &str, position: LogPosition, rows: &RecordBatch) -> Result<()> {
        self.tails
            .get_mut(table)
            .ok_or_else(|| Error::internal(format!("no tail for table {table:?}")))?
            .append(position, rows)
    }

    fn publish(&self, name: &str, table: &Arc<Table>, snapshot: Arc<Snapshot>) {
        if let Some(tail) = self.tails.get(name) {
            let schema = Arc::clone(&table.schema);
            table.view.store(Arc::new(View { schema, snapshot, tail: tail.view() }));
        }
    }

    fn swap(&mut self, landed: Landed) {
        let name = landed.table.schema.name();
        if let Some(tail) = self.tails.get_mut(name) {
            for hour in &landed.hours {
                tail.landed(hour.hour(), hour);
            }
        }
        self.publish(name, &landed.table, landed.snapshot);
        self.give_back();
        let _ = landed.reply.send(());
    }

    /// Gives back the space of the log that no row of the tail needs.
    fn give_back(&mut self) {
        let needed = self.tails.values().filter_map(Tail::first_position).min();
        if let Err(error) = self.log.truncate(needed.unwrap_or_else(|| self.log.end())) {
            tracing::warn!(%error, "old log segments could not be deleted: they will be next time");
        }
        self.gauge.measure(self.log.as_ref());
    }

    fn wake_lander_if_needed(&mut self) {
        let newest = self
            .tails
            .values()
            .filter_map(|tail| tail.view().hours().last().map(|hour| hour.hour()))
            .max();
        let short = self.budget.to_free() > 0;
        if newest > self.newest_hour || short {
            self.newest_hour = newest.max(self.newest_hour);
            self.wake_lander.notify_one();
        }
    }
}
