//! The preparation of a piece: rows for the table and rows for the dead letters, checked as the engine does, each
//! with its place, sorted.

use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_engine::Clock;
use barograph_engine::dead_letters::{self, DEAD_LETTERS, Ids};
use barograph_engine::validate::{Rules, Validated, complete, validate};
use barograph_lake::{TableSchema, Timestamp};

use super::place::Places;
use super::sorted::{Part, sorted};
use crate::Result;
use crate::import::apply::Applied;
use crate::import::replaced::Replaced;
use crate::import::time::Found;

/// A table that rows are prepared for.
#[derive(Debug)]
pub(super) struct Into {
    pub(super) schema: Arc<TableSchema>,
    pub(super) places: Places,
}

/// What pieces are prepared with.
#[derive(Debug)]
pub(super) struct Prepare {
    pub(super) table: Into,
    pub(super) letters: Into,
    pub(super) rules: Rules,
    pub(super) ids: Ids,
    pub(super) clock: Arc<dyn Clock>,
}

/// A piece that is prepared.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) rows: Vec<Part>,
    pub(super) letters: Vec<Part>,
    pub(super) read: u64,
    pub(super) accepted: u64,
    pub(super) unreadable: u64,
    pub(super) implausible: u64,
    /// Of the piece itself, which are not in `rows` any more.
    pub(super) replaced: Replaced,
    pub(super) local: Found,
}

impl Into {
    fn prepare(
        &self,
        accepted: &RecordBatch,
        now: Timestamp,
        replaced: &mut Replaced,
    ) -> Result<Vec<Part>> {
        sorted(&complete(&self.schema, accepted, now)?, &self.places, replaced)
    }
}

impl Prepare {
    /// Prepares a piece of the file `source`.
    pub(super) fn piece(&self, piece: Applied, source: &str) -> Result<Prepared> {
        let Applied { rows, rejected: mut refused, read, found: local } = piece;
        let unreadable = refused.len() as u64;
        let mut prepared = Prepared { read, unreadable, local, ..Prepared::default() };
        let now = self.clock.now();
        let table = &self.table.schema;
        if rows.num_rows() > 0 {
            let rows = match table.name() {
                DEAD_LETTERS => dead_letters::complete(&rows, &self.ids, now)?,
                _ => rows,
            };
            let Validated { accepted, rejected } = validate(table, &rows, &self.rules)?;
            prepared.accepted = accepted.num_rows() as u64;
            prepared.implausible = rejected.len() as u64;
            prepared.rows = self.table.prepare(&accepted, now, &mut prepared.replaced)?;
            refused.extend(rejected);
        }
        if !refused.is_empty() {
            let (schema, ids) = (&self.letters.schema, &self.ids);
            let letters = dead_letters::letters(schema, ids, now, table.name(), source, &refused)?;
            // Each letter has a key of its own.
            prepared.letters = self.letters.prepare(&letters, now, &mut Replaced::default())?;
        }
        Ok(prepared)
    }
}
