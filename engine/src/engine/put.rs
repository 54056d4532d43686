//! The put of a batch: prepared by its sender's task, then submitted to the writer thread.
//!
//! ```text
//! batch ─► prepare: room in the tail, validated, encoded ─► submit: its place in the log ─► acknowledged
//!             any number beside each other                     one after another
//! ```
//!
//! Of the rows of a key and time the one that was submitted last counts. Preparing takes time and fixes nothing, so
//! that a sender of several batches may prepare them beside each other, and submits them in their order.

mod letters;
mod size;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use barograph_access::SPANS;
use barograph_lake::{LogPosition, Span};
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::Span as Traced;

use super::Engine;
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::log::BatchId;
use crate::memory::Reservation;
use crate::table::Table;
use crate::validate::{Rejections, Rules, Validated, validate};
use crate::writer::{ConditionalPut, Entry, Precondition, Submission, WriterStatus, Written};
use crate::{Ack, Durability, Error, Result, retry};

use letters::LETTERS_BYTES;
pub use size::batch_bytes;
use size::{entries_within, parts};

/// Batches above this size are validated off the asynchronous threads.
const INLINE_ROWS: usize = 32_768;

/// A batch that is validated and has room in the tail. Nothing of it is put before it is submitted.
#[must_use = "nothing is put before it is submitted"]
pub struct Prepared {
    put: Put,
    first: Part,
    /// What comes after the first part of a batch that is too large to be prepared at once.
    others: std::vec::IntoIter<RecordBatch>,
}

/// A batch that has its place in the log. Its rows are put whether or not the acknowledgement is waited for.
#[must_use = "only what is acknowledged is durable"]
pub struct Submitted {
    put: Put,
    part: SubmittedPart,
    durability: Durability,
    /// The acknowledgement of the parts before.
    before: Ack,
}

/// A put: who does it, and where.
struct Put {
    engine: Arc<Engine>,
    table: Arc<Table>,
    source: String,
    /// When the batch came, by elapsed time.
    begun: Span,
    /// Bytes of the batch.
    bytes: usize,
    ids: Ids,
}

/// The identities of the parts of a put.
#[derive(Debug, Clone, Copy)]
struct Ids {
    id: Option<BatchId>,
    parts: u32,
}

/// A part of a batch, the whole of most.
struct Part {
    entries: Vec<Entry>,
    accepted: u64,
    rejected: u64,
    /// The rejected rows whose letters are not among `entries`.
    rest: Rejections,
    reservation: Reservation,
}

/// A part that was handed to the writer.
struct SubmittedPart {
    answer: Answer,
    accepted: u64,
    rejected: u64,
    rest: Rejections,
}

/// The answer of the writer to a submission, which is yet to come.
pub(super) struct Answer {
    /// None for a submission without rows.
    written: Option<oneshot::Receiver<Result<Written>>>,
    status: WriterStatus,
}

impl Engine {
    /// Validates `batch` and appends it to `table`.
    ///
    /// Columns are matched by name and cast to the table's types; a value that its type cannot hold is a fault of
    /// its row. Value columns that are missing are null; a column `ingested_at` is ignored, as the engine assigns
    /// it. Rows that may not go in go to `dead_letters` with their reason. `source` says where the batch came
    /// from. When this returns, the rows are visible and as durable as asked, and so are the letters, of which
    /// those beyond 4 MiB are appended after the rows.
    ///
    /// # Errors
    /// `Request` if the batch as a whole cannot be read, `Resources` at a bound of memory or disk,
    /// `Unavailable` if the log cannot be written. After an error none of the batch is acknowledged.
    pub async fn put(
        self: &Arc<Self>,
        table: &str,
        batch: RecordBatch,
        source: &str,
        durability: Durability,
    ) -> Result<Ack> {
        let prepared = self.prepare(table, batch, source).await?;
        prepared.submit(durability).await?.acknowledged().await
    }

    /// Prepares the put of a batch, as [`Engine::put`] describes it.
    ///
    /// # Errors
    /// `Request` if the batch as a whole cannot be read, `Resources` if there is no room for it in the tail.
    pub async fn prepare(
        self: &Arc<Self>,
        table: &str,
        batch: RecordBatch,
        source: &str,
    ) -> Result<Prepared> {
        let table = Arc::clone(self.table(table)?);
        let bytes = batch_bytes(&batch);
        let most = self.settings.batch_bytes_max.get();
        if bytes > most {
            return Err(Error::request(format!(
                "the batch has {bytes} bytes, more than batch_bytes_max = {most}: send it in smaller batches"
            )));
        }
        // Columns of nothing but nulls, or of one run, take no bytes for a row.
        let rows = batch.num_rows();
        if rows > most {
            return Err(Error::request(format!(
                "the batch has {rows} rows, more than batch_bytes_max = {most} has bytes: send it in smaller batches"
            )));
        }
        let (first, others) = parts(&table, batch, bytes, most);
        let begun = self.clock.elapsed();
        let ids = Ids { id: None, parts: 0 };
        let source = source.to_owned();
        let put = Put { engine: Arc::clone(self), table, source, begun, bytes, ids };
        let first = put.prepare(first).await?;
        Ok(Prepared { put, first, others: others.into_iter() })
    }

    /// Hands entries to the writer: behind all that was submitted before, and all of them together or not at all.
    pub(super) fn submit(
        &self,
        entries: Vec<Entry>,
        durability: Durability,
        reservation: Reservation,
        id: Option<BatchId>,
    ) -> Result<Answer> {
        let status = self.writer.status().clone();
        if entries.is_empty() {
            return Ok(Answer { written: None, status });
        }
        let (reply, answer) = oneshot::channel();
        let is_forwarded = false;
        let span = Traced::current();
        let submission =
            Submission { entries, id, is_forwarded, durability, reply, reservation, span };
        self.writer.handle().put(submission)?;
        Ok(Answer { written: Some(answer), status })
    }

    /// Submits at durability `disk`; `None`, and nothing is put, if one of the rows that were seen was put meanwhile.
    pub(super) async fn submit_unchanged(
        &self,
        entries: Vec<Entry>,
        reservation: Reservation,
        precondition: Precondition,
    ) -> Result<Option<Written>> {
        let (reply, answer) = oneshot::channel();
        let (changed, told) = oneshot::channel();
        let (id, is_forwarded, durability) = (None, false, Durability::Disk);
        let span = Traced::current();
        let submission =
            Submission { entries, id, is_forwarded, durability, reply, reservation, span };
        self.writer.handle().put_unchanged(ConditionalPut { submission, precondition, changed })?;
        match answer.await {
            Ok(answer) => answer.map(Some),
            Err(_) => match told.await {
                Ok(()) => Ok(None),
                Err(_) => Err(self.writer.status().gone().await),
            },
        }
    }

    pub(super) fn reserve_tail(&self, bytes: usize) -> Result<Reservation> {
        self.tail_budget.try_reserve(bytes, retry::HOUR_LANDS)
    }

    pub(super) fn rules(&self, table: &Table) -> Rules {
        Rules {
            future: self.clock.now().saturating_add(self.settings.future_max),
            known_keys: table.known_keys.clone(),
        }
    }

    fn validated(
        &self,
        table: &Arc<Table>,
        batch: &RecordBatch,
        source: &str,
        reservation: Reservation,
    ) -> Result<Part> {
        let lacks_ids = dead_letters::lacks_ids(table.schema.name(), batch);
        let completed;
        let batch = if table.schema.name() == DEAD_LETTERS {
            completed = dead_letters::complete(batch, &self.letter_ids, self.clock.now())?;
            &completed
        } else {
            batch
        };
        let Validated { accepted, rejected: mut rest } =
            validate(&table.schema, batch, &self.rules(table))?;
        if self.tail_budget.is_stuck()
            && let Some(refusal) = self.faults.refusal(table, &accepted, self.tail_budget.name())
        {
            return Err(refusal);
        }
        let accepted = match lacks_ids && self.cluster.is_some() {
            true => dead_letters::without_ids(&accepted)?,
            false => accepted,
        };
        let counts = (accepted.num_rows() as u64, rest.len() as u64);
        for (at, rows) in rest.by_fault().into_iter().enumerate() {
            table.puts.rejected(at, rows);
        }
        let mut entries = Vec::with_capacity(2);
        if accepted.num_rows() > 0 {
            let most = self.settings.log.record_bytes_max.get();
            entries_within(table, accepted, source, most, &mut entries)?;
        }
        if !rest.is_empty() {
            let letters = rest.take(LETTERS_BYTES);
            entries.push(self.letter_entry(table, &letters, source)?);
        }
        Ok(Part { entries, accepted: counts.0, rejected: counts.1, rest, reservation })
    }
}

impl Prepared {
    /// The batch is known by `id`, which its sender made: of an exact retry under the same id nothing is put again, and it
    /// is acknowledged where the first one stands. A shared log knows the newest 32,768 ids for good; any other log knows
    /// as many until the process ends.
    pub fn with_id(mut self, id: BatchId) -> Self {
        self.put.ids.id = Some(id);
        self
    }

    /// Submits the batch: its rows count over those of all batches that were submitted before. Of a batch that is
    /// too large to be prepared at once, all parts but the last are acknowledged when this returns.
    ///
    /// # Errors
    /// As of [`Engine::put`].
    pub async fn submit(self, durability: Durability) -> Result<Submitted> {
        let Self { mut put, first, others } = self;
        let durability = put.engine.reached(durability);
        let before = Ack { position: LogPosition::default(), durability, accepted: 0, rejected: 0 };
        let part = put.submit(first, durability)?;
        let mut submitted = Submitted { put, part, durability, before };
        for part in others {
            submitted = submitted.followed_by(part).await?;
        }
        Ok(submitted)
    }
}

impl Submitted {
    /// Waits until the batch is visible and as durable as asked.
    ///
    /// # Errors
    /// As of [`Engine::put`].
    pub async fn acknowledged(self) -> Result<Ack> {
        let (put, ack) = self.finish().await?;
        put.acknowledged(&ack);
        Ok(ack)
    }

    async fn followed_by(self, part: RecordBatch) -> Result<Self> {
        let durability = self.durability;
        let (mut put, before) = self.finish().await?;
        let part = put.prepare(part).await?;
        let part = put.submit(part, durability)?;
        Ok(Self { put, part, durability, before })
    }

    async fn finish(self) -> Result<(Put, Ack)> {
        let Self { mut put, part, durability, before } = self;
        let written = part.answer.written().await?;
        let position = put.put_letters(part.rest, durability, written.position).await?;
        let accepted = before.accepted + part.accepted;
        let rejected = before.rejected + part.rejected;
        Ok((put, Ack { position, durability, accepted, rejected }))
    }
}

impl Put {
    async fn prepare(&self, batch: RecordBatch) -> Result<Part> {
        let overhead = batch.num_rows() * 24;
        let reservation = self.engine.reserve_tail(batch_bytes(&batch) + overhead)?;
        let rows = batch.num_rows();
        let traced = tracing::trace_span!(target: SPANS, "validate", rows);
        if rows <= INLINE_ROWS {
            return self.engine.validated(&self.table, &batch, &self.source, reservation);
        }
        let (engine, table) = (Arc::clone(&self.engine), Arc::clone(&self.table));
        let source = self.source.clone();
        let job = move || {
            let _traced = traced;
            engine.validated(&table, &batch, &source, reservation)
        };
        let validated = tokio::task::spawn_blocking(job).await;
        validated.map_err(|e| Error::internal("validating a batch").with_source(e))?
    }

    /// Hands a part to the writer. Its rows go first, so that no later batch overtakes them.
    fn submit(&mut self, part: Part, durability: Durability) -> Result<SubmittedPart> {
        let Part { entries, accepted, rejected, rest, reservation } = part;
        let id = self.ids.take();
        let answer = self.engine.submit(entries, durability, reservation, id)?;
        Ok(SubmittedPart { answer, accepted, rejected, rest })
    }

    /// Counts the put, and how long it took.
    fn acknowledged(&self, ack: &Ack) {
        let engine = &self.engine;
        self.table.puts.acknowledged(ack.accepted, self.bytes, engine.clock.now());
        let took = engine.clock.elapsed().saturating_sub(self.begun);
        engine.acknowledgements.of(ack.durability).add(took);
    }

    /// Appends the letters that are left, one piece at a time.
    async fn put_letters(
        &mut self,
        mut rest: Rejections,
        durability: Durability,
        mut position: LogPosition,
    ) -> Result<LogPosition> {
        while !rest.is_empty() {
            let piece = self.engine.letters_piece(&self.table, rest, &self.source).await?;
            rest = piece.rest;
            let (entries, id) = (vec![piece.entry], self.ids.take());
            let answer = self.engine.submit(entries, durability, piece.room, id)?;
            position = answer.written().await?.position;
        }
        Ok(position)
    }
}

impl Ids {
    /// The identity of the next part.
    fn take(&mut self) -> Option<BatchId> {
        let number = self.parts;
        self.parts = self.parts.wrapping_add(1);
        self.id.map(|id| id.part(number))
    }
}

impl Answer {
    /// What became of the entries, once they are in the log and visible.
    pub(super) async fn written(self) -> Result<Written> {
        let Some(written) = self.written else { return Ok(Written::default()) };
        match written.await {
            Ok(written) => written,
            Err(_) => Err(self.status.gone().await),
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.first.accepted + self.first.rejected;
        f.debug_struct("Prepared").field("rows", &rows).finish_non_exhaustive()
    }
}

impl fmt::Debug for Submitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.part.accepted + self.part.rejected;
        f.debug_struct("Submitted").field("rows", &rows).finish_non_exhaustive()
    }
}

/// Rows with their encoded form.
pub(super) fn entry(table: &Arc<Table>, rows: RecordBatch, source: &str) -> Result<Entry> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(&rows)?;
    let body = Bytes::from(writer.into_inner()?);
    Ok(Entry { table: Arc::clone(table), rows, body, source: source.to_owned() })
}
