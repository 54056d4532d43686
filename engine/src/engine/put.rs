//! The put of a batch: validated by its sender's task, then handed to the writer thread.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::ipc::writer::StreamWriter;
use barograph_lake::LogPosition;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::writer::{Entry, Guarded, Seen, Submission, Written};
use super::{Ack, Durability, Engine, Table};
use crate::clock::{micros, pause};
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::memory::Reservation;
use crate::validate::{Rejected, Rejections, Rules, Validated, validate};
use crate::{Error, Result};

/// When a refused put is worth trying again: about the time that landing an hour takes.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Batches above this size are validated off the asynchronous threads.
const INLINE_ROWS: usize = 32_768;

/// About as many bytes of letters are written at a time.
const LETTERS_BYTES: usize = 4 << 20;
/// How long the letters of one batch wait for room in the tail, which landing gives back.
const LETTERS_WAIT: Duration = Duration::from_secs(60);

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
        let table = Arc::clone(self.table(table)?);
        let bytes = batch_bytes(&batch);
        let most = self.settings.batch_bytes_max.get();
        if bytes > most {
            return Err(Error::request(format!(
                "the batch has {bytes} bytes, more than batch_bytes_max = {most}: send it in smaller batches"
            )));
        }
        let mut done =
            Ack { position: LogPosition::default(), durability, accepted: 0, rejected: 0 };
        for part in parts(&table, batch, bytes, most) {
            let ack = self.put_part(&table, part, source, durability).await?;
            done.position = ack.position;
            done.accepted += ack.accepted;
            done.rejected += ack.rejected;
        }
        Ok(done)
    }

    async fn put_part(
        self: &Arc<Self>,
        table: &Arc<Table>,
        batch: RecordBatch,
        source: &str,
        durability: Durability,
    ) -> Result<Ack> {
        let overhead = batch.num_rows() * 24;
        let reservation =
            self.tail_budget.try_reserve(batch_bytes(&batch) + overhead, RETRY_AFTER)?;
        let prepared = if batch.num_rows() > INLINE_ROWS {
            let (engine, table, source) = (Arc::clone(self), Arc::clone(table), source.to_owned());
            let job = move || engine.prepare(&table, &batch, &source);
            tokio::task::spawn_blocking(job)
                .await
                .map_err(|e| Error::internal("validating a batch").with_source(e))??
        } else {
            self.prepare(table, &batch, source)?
        };
        let Prepared { entries, accepted, rejected, rest } = prepared;
        // The rows go first, so that no later batch overtakes them.
        let position = self.submit(entries, durability, reservation).await?.position;
        let position = self.rest(table, rest, source, durability, position).await?;
        Ok(Ack { position, durability, accepted, rejected })
    }

    /// Appends the letters that are left, one piece at a time.
    async fn rest(
        self: &Arc<Self>,
        table: &Arc<Table>,
        mut rest: Rejections,
        source: &str,
        durability: Durability,
        mut position: LogPosition,
    ) -> Result<LogPosition> {
        while !rest.is_empty() {
            let (engine, table, source) = (Arc::clone(self), Arc::clone(table), source.to_owned());
            let job = move || {
                let piece = rest.take(LETTERS_BYTES);
                engine.letter_entry(&table, &piece, &source).map(|entry| (entry, rest))
            };
            let piece = tokio::task::spawn_blocking(job).await;
            let (entry, left) =
                piece.map_err(|e| Error::internal("writing letters").with_source(e))??;
            rest = left;
            let reservation = self.room(entry.body.len()).await?;
            position = self.submit(vec![entry], durability, reservation).await?.position;
        }
        Ok(position)
    }

    /// Room in the tail for letters of a batch whose rows are in.
    async fn room(&self, bytes: usize) -> Result<Reservation> {
        let began = self.clock.elapsed();
        loop {
            match self.reserve_tail(bytes) {
                Err(error) if self.clock.elapsed() - began < micros(LETTERS_WAIT) => {
                    pause(error.retry_after().unwrap_or(RETRY_AFTER)).await;
                }
                done => return done,
            }
        }
    }

    /// Appends rows to `dead_letters` that never became typed rows of `table`.
    pub async fn put_rejected(
        self: &Arc<Self>,
        table: &str,
        rejected: &[Rejected],
        source: &str,
        durability: Durability,
    ) -> Result<Ack> {
        self.table(table)?;
        let letters = self.letters(table, source, rejected)?;
        let ack = self.put(DEAD_LETTERS, letters, source, durability).await?;
        Ok(Ack { accepted: 0, rejected: ack.accepted, ..ack })
    }

    pub(super) async fn submit(
        &self,
        entries: Vec<Entry>,
        durability: Durability,
        reservation: Reservation,
    ) -> Result<Written> {
        if entries.is_empty() {
            return Ok(Written::default());
        }
        let (reply, answer) = oneshot::channel();
        let submission = Submission { entries, durability, reply, reservation };
        self.writer.handle().put(submission)?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.writer.condition().gone().await),
        }
    }

    /// Submits at durability `disk`; `None`, and nothing is put, if one of the rows that were seen was put meanwhile.
    pub(super) async fn submit_unchanged(
        &self,
        entries: Vec<Entry>,
        reservation: Reservation,
        seen: Seen,
    ) -> Result<Option<Written>> {
        let (reply, answer) = oneshot::channel();
        let (changed, told) = oneshot::channel();
        let submission = Submission { entries, durability: Durability::Disk, reply, reservation };
        self.writer.handle().put_unchanged(Guarded { submission, seen, changed })?;
        match answer.await {
            Ok(answer) => answer.map(Some),
            Err(_) => match told.await {
                Ok(()) => Ok(None),
                Err(_) => Err(self.writer.condition().gone().await),
            },
        }
    }

    pub(super) fn reserve_tail(&self, bytes: usize) -> Result<Reservation> {
        self.tail_budget.try_reserve(bytes, RETRY_AFTER)
    }

    pub(super) fn rules(&self, table: &Table) -> Rules {
        Rules {
            future: self.clock.now().saturating_add(self.settings.future_max.micros()),
            known_keys: table.known_keys.clone(),
        }
    }

    fn prepare(&self, table: &Arc<Table>, batch: &RecordBatch, source: &str) -> Result<Prepared> {
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
        let counts = (accepted.num_rows() as u64, rest.len() as u64);
        let mut entries = Vec::with_capacity(2);
        if accepted.num_rows() > 0 {
            let most = self.settings.log.record_bytes_max.get();
            entries_within(table, accepted, source, most, &mut entries)?;
        }
        if !rest.is_empty() {
            let letters = rest.take(LETTERS_BYTES);
            entries.push(self.letter_entry(table, &letters, source)?);
        }
        Ok(Prepared { entries, accepted: counts.0, rejected: counts.1, rest })
    }

    fn letter_entry(&self, table: &Table, rejected: &[Rejected], source: &str) -> Result<Entry> {
        let letters = self.letters(table.schema.name(), source, rejected)?;
        entry(self.table(DEAD_LETTERS)?, letters, source)
    }

    fn letters(&self, table: &str, source: &str, rejected: &[Rejected]) -> Result<RecordBatch> {
        let schema = self.schema(DEAD_LETTERS)?;
        let now = self.clock.now();
        dead_letters::letters(&schema, &self.letter_ids, now, table, source, rejected)
    }
}

struct Prepared {
    entries: Vec<Entry>,
    accepted: u64,
    rejected: u64,
    /// The rejected rows whose letters are not among `entries`.
    rest: Rejections,
}

/// The batch, cut where its rows take many times more memory in the table's types than as they were sent.
fn parts(table: &Table, batch: RecordBatch, bytes: usize, most: usize) -> Vec<RecordBatch> {
    let widths = table.schema.arrow().fields().iter();
    let width: usize = widths.map(|f| f.data_type().primitive_width().unwrap_or(4)).sum();
    let rows = batch.num_rows();
    let held = rows.saturating_mul(width).saturating_add(bytes);
    let count = held.div_ceil(most.saturating_mul(2).max(1));
    if count <= 1 {
        return vec![batch];
    }
    let step = rows.div_ceil(count).max(1);
    (0..rows).step_by(step).map(|from| batch.slice(from, step.min(rows - from))).collect()
}

/// Rows with their encoded form, in as many records as the bound of one asks for.
fn entries_within(
    table: &Arc<Table>,
    rows: RecordBatch,
    source: &str,
    most: usize,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let count = rows.num_rows();
    if count > 1 && batch_bytes(&rows) > most / 4 * 3 {
        let half = count / 2;
        entries_within(table, rows.slice(0, half), source, most, entries)?;
        return entries_within(table, rows.slice(half, count - half), source, most, entries);
    }
    entries.push(entry(table, rows, source)?);
    Ok(())
}

/// Rows with their encoded form.
pub(super) fn entry(table: &Arc<Table>, rows: RecordBatch, source: &str) -> Result<Entry> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(&rows)?;
    let body = Bytes::from(writer.into_inner()?);
    Ok(Entry { table: Arc::clone(table), rows, body, source: source.to_owned() })
}

/// Bytes that the rows of a batch take, without what else their buffers may hold, and with what dictionaries
/// stand for.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(column_bytes).sum()
}

fn column_bytes(column: &ArrayRef) -> usize {
    if let Some(dictionary) = column.as_any_dictionary_opt() {
        let values = dictionary.values();
        let each = column_bytes(values) / values.len().max(1);
        let of_texts = |lengths: &dyn Fn(usize) -> usize| {
            let keys = dictionary.normalized_keys();
            keys.into_iter().filter(|&key| key < values.len()).map(lengths).sum::<usize>()
        };
        return match values.data_type() {
            _ if values.is_empty() => 0,
            DataType::Utf8 => {
                let texts = values.as_string::<i32>();
                of_texts(&|key| texts.value_length(key) as usize + size_of::<i32>())
            }
            DataType::LargeUtf8 => {
                let texts = values.as_string::<i64>();
                of_texts(&|key| texts.value_length(key) as usize + size_of::<i32>())
            }
            DataType::Utf8View => {
                let texts = values.as_string_view();
                of_texts(&|key| texts.value(key).len() + size_of::<i32>())
            }
            _ => each.max(1).saturating_mul(column.len()),
        };
    }
    let data = column.to_data();
    data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

#[cfg(test)]
mod tests;
