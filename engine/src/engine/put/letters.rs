//! The letters of a batch: its rejected rows on their way to `dead_letters`. Those beyond a few MiB go in behind its
//! rows, one piece at a time.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use barograph_lake::Span;

use super::entry;
use crate::clock::pause;
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::memory::Reservation;
use crate::statistics::UNREADABLE;
use crate::table::Table;
use crate::validate::{Rejected, Rejections, validate};
use crate::writer::Entry;
use crate::{Ack, Durability, Engine, Error, Result, retry};

/// About as many bytes of letters are written at a time.
pub(super) const LETTERS_BYTES: usize = 4 << 20;
/// How long the letters of one batch wait for room in the tail, which landing gives back.
const LETTERS_WAIT: Duration = Duration::from_secs(60);

/// Some letters of a batch, with room for them in the tail, and the rejected rows that are left.
pub(super) struct Piece {
    pub(super) entry: Entry,
    pub(super) room: Reservation,
    pub(super) rest: Rejections,
}

impl Engine {
    /// The first of the letters that are left, once there is room for them.
    pub(super) async fn letters_piece(
        self: &Arc<Self>,
        table: &Arc<Table>,
        mut rest: Rejections,
        source: &str,
    ) -> Result<Piece> {
        let (engine, table, source) = (Arc::clone(self), Arc::clone(table), source.to_owned());
        let job = move || {
            let piece = rest.take(LETTERS_BYTES);
            engine.letter_entry(&table, &piece, &source).map(|entry| (entry, rest))
        };
        let piece = tokio::task::spawn_blocking(job).await;
        let (entry, rest) =
            piece.map_err(|e| Error::internal("writing letters").with_source(e))??;
        let room = self.room(entry.body.len()).await?;
        Ok(Piece { entry, room, rest })
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

    /// The rows that a put of `batch` would reject, with their reasons. Nothing is put.
    ///
    /// # Errors
    /// `Request` if the batch as a whole cannot be read.
    pub fn rejections(&self, table: &str, batch: &RecordBatch) -> Result<Rejections> {
        let table = self.table(table)?;
        Ok(validate(&table.schema, batch, &self.rules(table))?.rejected)
    }

    /// Appends rows to `dead_letters` that never became typed rows of `table`.
    pub async fn put_rejected(
        self: &Arc<Self>,
        table: &str,
        rejected: &[Rejected],
        source: &str,
        durability: Durability,
    ) -> Result<Ack> {
        let puts = &self.table(table)?.puts;
        puts.rejected(UNREADABLE, rejected.len() as u64);
        let mut letters = self.letters(table, source, rejected)?;
        if self.cluster.is_some() {
            letters = dead_letters::without_ids(&letters)?;
        }
        let ack = self.put(DEAD_LETTERS, letters, source, durability).await?;
        Ok(Ack { accepted: 0, rejected: ack.accepted, ..ack })
    }

    pub(super) fn letter_entry(
        &self,
        table: &Table,
        rejected: &[Rejected],
        source: &str,
    ) -> Result<Entry> {
        let mut letters = self.letters(table.schema.name(), source, rejected)?;
        if self.cluster.is_some() {
            letters = dead_letters::without_ids(&letters)?;
        }
        entry(self.table(DEAD_LETTERS)?, letters, source)
    }

    fn letters(&self, table: &str, source: &str, rejected: &[Rejected]) -> Result<RecordBatch> {
        let schema = self.schema(DEAD_LETTERS)?;
        let now = self.clock.now();
        dead_letters::letters(&schema, &self.letter_ids, now, table, source, rejected)
    }
}
