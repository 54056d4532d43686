//! The run of an import: the rows of a file go into a sink piece by piece, several on their way at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use barograph_engine::expression::Expressions;
use barograph_engine::internal::pause;
use barograph_engine::retry;
use barograph_engine::validate::Rejected;
use barograph_engine::validate::{ROW_BYTES_MAX, bounded};
use barograph_lake::TableSchema;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::apply::Applied;
use super::input::FileForm;
use super::mapping::Mapping;
use super::reading::{Reading, batch_bytes};
use super::replaced::{Replaced, SeenRows};
use super::sink::{PutOutcome, Sink};
use super::state::{Identity, State};
use super::time::Found;
use crate::{Error, ErrorKind, Result};

/// Largest batch handed to the sink, in bytes.
const BATCH_BYTES: usize = 8 << 20;
/// Rejected rows handed to the sink at a time.
const REJECTED_ROWS: usize = 10_000;
/// What a dead letter takes besides its row, about, in bytes.
const LETTER_BYTES: usize = 256;

/// The options of an import.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows read and handed to the sink at a time.
    pub batch_rows: usize,
    /// Most batches on their way at one time.
    pub in_flight: usize,
    /// Memory of rows that are sorted and merged, in bytes, for a direct import.
    pub memory: usize,
    /// Form of the files; by their names if absent.
    pub form: Option<FileForm>,
    /// Whether to begin at the first row even if an earlier run got further.
    pub restart: bool,
    /// The language of expressions in mappings.
    pub expressions: Arc<dyn Expressions>,
}

impl Options {
    /// The default options.
    pub fn new(expressions: Arc<dyn Expressions>) -> Self {
        Self {
            batch_rows: 65_536,
            in_flight: 4,
            memory: 256 << 20,
            form: None,
            restart: false,
            expressions,
        }
    }
}

/// A request to stop an import after the batches on their way.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Rows of this file that are durable, those of earlier runs included.
    pub rows: u64,
    /// Rows of this file and run that are durable.
    pub taken: PutOutcome,
}

/// The summary of the import of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSummary {
    /// The file.
    pub path: PathBuf,
    /// Rows that an earlier run had imported.
    pub earlier: u64,
    /// Rows that this run read: `accepted + unreadable + implausible`.
    pub read: u64,
    /// Rows that went into the table.
    pub accepted: u64,
    /// Rows of which a cell could not be read; they are in `dead_letters`.
    pub unreadable: u64,
    /// Rows that the table's rules refuse; they are in `dead_letters`.
    pub implausible: u64,
    /// Rows that were handed over and replace earlier ones of this run, of this file or one before.
    pub replaced: Replaced,
    /// Ambiguous and nonexistent local times.
    pub local: Found,
    /// Columns of the file that were not imported.
    pub ignored: Vec<String>,
    /// Columns of the table that the file does not have: null in every row.
    pub absent: Vec<String>,
    /// Time it took.
    pub took: Duration,
    /// Whether the run was stopped before the file's end.
    pub stopped: bool,
}

/// An import of files into one table.
#[derive(Debug)]
pub struct Import<'a, S> {
    /// The sink that takes the rows.
    pub sink: &'a S,
    /// The destination of the sink, under the name that the state uses.
    pub target: String,
    /// The table.
    pub table: Arc<TableSchema>,
    /// The mapping of columns.
    pub mapping: Mapping,
    /// The options of the import.
    pub options: Options,
    /// The request to stop, looked at between batches.
    pub stop: Stop,
    /// Keys and instants of the files so far.
    pub seen: Seen,
}

/// The keys and instants that an import has put so far, to count the rows that replace others.
#[derive(Debug, Default)]
pub struct Seen(Mutex<SeenRows>);

impl Stop {
    /// Requests a stop.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was requested.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S: Sink> Import<'_, S> {
    /// Imports one file. When it returns `Ok` and was not stopped, every row of the file is durable, in
    /// the table or in `dead_letters`, and `state` says so.
    ///
    /// # Errors
    /// `Request` if file and mapping do not fit, `Input` if the file cannot be read to its end, or what
    /// the sink fails with. `state` holds what is durable; a later run goes on from there.
    pub async fn file(
        &self,
        path: &Path,
        state: &mut State,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<FileSummary> {
        #[allow(
            clippy::disallowed_methods,
            reason = "how long it took is told, and decides nothing"
        )]
        let started = Instant::now();
        let fingerprint = self.mapping.fingerprint();
        let identity = Identity::of(path, &self.target, self.table.name(), fingerprint)?;
        if self.options.restart {
            state.forget(&identity);
        }
        let (reached, done) = state.reached(&identity);
        let reading = Reading::open(path, &self.table, &self.mapping, &self.options)?;
        let mut summary = reading.summary(path, reached);
        if done {
            return Ok(summary);
        }
        let source = path.display().to_string();
        let contents = reading.contents();
        let pieces = reading.pieces(reached, &self.options, &self.stop);
        let (durable, mut pieces_before) = (watch::Sender::new(0_u64), 0);
        let puts = pieces.map(|piece| {
            let replaced = match &piece {
                Ok(piece) => self.seen(&piece.rows),
                Err(_) => Ok(Replaced::default()),
            };
            let before = Before { pieces: pieces_before, durable: durable.subscribe() };
            pieces_before += 1;
            self.put(piece, replaced, before, &source)
        });
        let puts = puts.buffered(self.options.in_flight.max(1));
        let mut puts = std::pin::pin!(puts);
        while let Some(put) = puts.next().await {
            let put = match put {
                Err(e) if e.kind() == ErrorKind::Resources && self.stop.is_stopped() => break,
                put => put?,
            };
            durable.send_modify(|pieces| *pieces += 1);
            summary.read += put.read;
            summary.accepted += put.accepted;
            summary.unreadable += put.unreadable;
            summary.implausible += put.implausible;
            summary.replaced.add(put.replaced);
            summary.local.add(put.local);
            state.record(&identity, reached + summary.read, false)?;
            progress(Progress {
                rows: reached + summary.read,
                taken: PutOutcome {
                    accepted: summary.accepted,
                    rejected: summary.unreadable + summary.implausible,
                },
            });
        }
        contents.complete(&mut summary);
        summary.stopped = self.stop.is_stopped();
        if !summary.stopped {
            state.record(&identity, reached + summary.read, true)?;
        }
        summary.took = started.elapsed();
        Ok(summary)
    }

    /// Which rows of a piece stand in the place of earlier ones. Asked in the order of the pieces.
    fn seen(&self, rows: &RecordBatch) -> Result<Replaced> {
        let mut replaced = Replaced::default();
        self.seen.0.lock().add(rows, &mut replaced)?;
        Ok(replaced)
    }

    async fn put(
        &self,
        piece: Result<Applied>,
        replaced: Result<Replaced>,
        before: Before,
        source: &str,
    ) -> Result<Put> {
        let Applied { rows, mut rejected, read, found: local } = piece?;
        for rejected in &mut rejected {
            if rejected.row.len() > ROW_BYTES_MAX {
                rejected.row = bounded(&rejected.row);
            }
        }
        let replaced = replaced?;
        if replaced.rows > 0 || replaced.is_at_least {
            before.are_durable().await;
        }
        let mut put = Put { read, local, replaced, ..Put::default() };
        for part in parts(rows) {
            let taken = self.until_taken(|| self.sink.put(self.table.name(), part.clone(), source));
            let taken = taken.await?;
            put.accepted += taken.accepted;
            put.implausible += taken.rejected;
        }
        for part in letters(&rejected) {
            let taken = self
                .until_taken(|| self.sink.put_rejected(self.table.name(), part, source))
                .await?;
            put.unreadable += taken.accepted + taken.rejected;
        }
        if put.accepted + put.implausible + put.unreadable != read {
            return Err(Error::internal(format!(
                "{source}: {read} rows were handed over, but {} acknowledged",
                put.accepted + put.implausible + put.unreadable
            )));
        }
        Ok(put)
    }

    /// Comes back to a full sink until it has room.
    async fn until_taken<F: Future<Output = Result<PutOutcome>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<PutOutcome> {
        loop {
            match call().await {
                Err(e) if e.kind() == ErrorKind::Resources && !self.stop.is_stopped() => {
                    pause(retry::wait(e.retry_after())).await;
                }
                other => return other,
            }
        }
    }
}

#[derive(Debug, Default)]
struct Put {
    read: u64,
    accepted: u64,
    unreadable: u64,
    implausible: u64,
    replaced: Replaced,
    local: Found,
}

/// The pieces before one. Those on their way beside each other may be put in any order, but rows that replace others
/// have to come after them.
struct Before {
    pieces: u64,
    /// Number of the first pieces that are durable.
    durable: watch::Receiver<u64>,
}

impl Before {
    async fn are_durable(mut self) {
        // Whoever counts them outlives those that wait.
        let _ = self.durable.wait_for(|durable| *durable >= self.pieces).await;
    }
}

/// Rows cut to batches of a bounded size; none for no rows.
fn parts(rows: RecordBatch) -> Vec<RecordBatch> {
    let count = rows.num_rows();
    if count == 0 {
        return Vec::new();
    }
    let bytes = batch_bytes(&rows);
    let step = count.div_ceil(bytes.div_ceil(BATCH_BYTES).max(1)).max(1);
    let starts = (0..count).step_by(step);
    starts.map(|from| rows.slice(from, step.min(count - from))).collect()
}

/// Rejected rows in parts of a bounded size.
fn letters(rejected: &[Rejected]) -> Vec<&[Rejected]> {
    let mut bytes = 0;
    let parts = rejected.chunk_by(|last, _| {
        bytes += last.row.len() + last.reason.len() + LETTER_BYTES;
        let is_full = bytes >= BATCH_BYTES;
        if is_full {
            bytes = 0;
        }
        !is_full
    });
    parts.flat_map(|part| part.chunks(REJECTED_ROWS)).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
