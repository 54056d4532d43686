//! How does a batch get in? Validated by its sender's task, then handed to the writer thread.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::ipc::writer::StreamWriter;
use barograph_lake::LogPosition;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::writer::{Entry, Submission};
use super::{Ack, Durability, Engine, Table};
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::validate::{Rejected, Rules, Validated, validate};
use crate::{Error, Result};

/// When a refused put is worth trying again: about the time that landing an hour takes.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Batches above this size are validated off the asynchronous threads.
const INLINE_ROWS: usize = 32_768;

impl Engine {
    /// Validates `batch` and appends it to `table`.
    ///
    /// Columns are matched by name and cast where that loses nothing that matters; value columns that
    /// are missing are null; a column `ingested_at` is ignored, as the engine assigns it. Rows that
    /// may not go in go to `dead_letters` with their reason, in the same append. `source` says where
    /// the batch came from. When this returns, the rows are visible and as durable as asked.
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
        let overhead = batch.num_rows() * 24;
        let reservation = self.tail_budget.try_reserve(bytes + overhead, RETRY_AFTER)?;
        let source = source.to_owned();
        let prepared = if batch.num_rows() > INLINE_ROWS {
            let engine = Arc::clone(self);
            let job = move || engine.prepare(&table, &batch, &source);
            tokio::task::spawn_blocking(job)
                .await
                .map_err(|e| Error::internal("validating a batch").with_source(e))??
        } else {
            self.prepare(&table, &batch, &source)?
        };
        let position = self.submit(prepared.entries, durability, reservation).await?;
        Ok(Ack { position, durability, accepted: prepared.accepted, rejected: prepared.rejected })
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
        reservation: crate::memory::Reservation,
    ) -> Result<LogPosition> {
        if entries.is_empty() {
            return Ok(LogPosition::default());
        }
        let (reply, answer) = oneshot::channel();
        let submission = Submission { entries, durability, reply, reservation };
        self.writer.handle().put(submission)?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.writer.condition().gone().await),
        }
    }

    pub(super) fn reserve_tail(&self, bytes: usize) -> Result<crate::memory::Reservation> {
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
        let Validated { accepted, rejected } = validate(&table.schema, batch, &self.rules(table))?;
        if self.tail_budget.is_stuck()
            && let Some(refusal) = self.faults.refusal(table, &accepted, self.tail_budget.name())
        {
            return Err(refusal);
        }
        let counts = (accepted.num_rows() as u64, rejected.len() as u64);
        let mut entries = Vec::with_capacity(2);
        if accepted.num_rows() > 0 {
            entries.push(entry(table, accepted, source)?);
        }
        if !rejected.is_empty() {
            let letters = self.letters(table.schema.name(), source, &rejected)?;
            entries.push(entry(self.table(DEAD_LETTERS)?, letters, source)?);
        }
        Ok(Prepared { entries, accepted: counts.0, rejected: counts.1 })
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
}

/// Rows with their encoded form.
pub(super) fn entry(table: &Arc<Table>, rows: RecordBatch, source: &str) -> Result<Entry> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(&rows)?;
    let body = Bytes::from(writer.into_inner()?);
    Ok(Entry { table: Arc::clone(table), rows, body, source: source.to_owned() })
}

/// Bytes that the rows of a batch take, without what else their buffers may hold.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|column| {
            let data = column.to_data();
            data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
        })
        .sum()
}
