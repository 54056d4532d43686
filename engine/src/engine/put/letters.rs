//! The letters of a batch: its rejected rows on their way to `dead_letters`. Those beyond a few MiB go in behind its
//! rows, one piece at a time.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use barograph_lake::{LogPosition, Span};

use super::entry;
use crate::clock::pause;
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::memory::Reservation;
use crate::table::Table;
use crate::validate::{Rejected, Rejections};
use crate::writer::Entry;
use crate::{Ack, Durability, Engine, Error, Result, retry};

/// About as many bytes of letters are written at a time.
pub(super) const LETTERS_BYTES: usize = 4 << 20;
/// How long the letters of one batch wait for room in the tail, which landing gives back.
const LETTERS_WAIT: Duration = Duration::from_secs(60);

impl Engine {
    /// Appends the letters that are left, one piece at a time.
    pub(super) async fn put_letters(
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
            position = self.submit(vec![entry], durability, reservation)?.written().await?.position;
        }
        Ok(position)
    }

    /// Room in the tail for letters of a batch whose rows are in.
    async fn room(&self, bytes: usize) -> Result<Reservation> {
        let began = self.clock.elapsed();
        loop {
            match self.reserve_tail(bytes) {
                Err(error)
                    if self.clock.elapsed().saturating_sub(began)
                        < Span::from_duration(LETTERS_WAIT) =>
                {
                    pause(retry::wait(error.retry_after())).await;
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

    pub(super) fn letter_entry(
        &self,
        table: &Table,
        rejected: &[Rejected],
        source: &str,
    ) -> Result<Entry> {
        let letters = self.letters(table.schema.name(), source, rejected)?;
        entry(self.table(DEAD_LETTERS)?, letters, source)
    }

    fn letters(&self, table: &str, source: &str, rejected: &[Rejected]) -> Result<RecordBatch> {
        let schema = self.schema(DEAD_LETTERS)?;
        let now = self.clock.now();
        dead_letters::letters(&schema, &self.letter_ids, now, table, source, rejected)
    }
}
