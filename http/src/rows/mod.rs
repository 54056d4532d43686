//! Rows that come as text, one at a time, become batches of a table. A row that cannot be one is told by itself; the others
//! go on.

mod cell;
mod columns;
mod csv;
mod json;
mod store;

pub(crate) use cell::{Cell, Precision};
pub(crate) use columns::TableRows;
pub(crate) use csv::CsvRows;
pub(crate) use json::read as read_json;
pub(crate) use store::{Outbox, Outcome, store};

use barograph_engine::validate::Rejected;

/// Bad rows are kept so long, in bytes, before they go to `dead_letters`.
const BAD_BYTES: usize = 1 << 20;
/// Bad rows whose faults are told in the answer.
const TOLD_MAX: usize = 100;
/// Longest text and reason of a bad row that are told in the answer, in bytes.
const TOLD_BYTES_MAX: usize = 1 << 10;

/// A bad row as it is told to who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRow {
    /// Its number, or that of its line, from 1 on.
    pub(crate) number: usize,
    /// What it says, or the beginning of it.
    pub(crate) text: String,
    pub(crate) reason: String,
}

/// The bad rows of a request: the first are told, all are kept in `dead_letters`.
#[derive(Debug, Default)]
pub(crate) struct BadRows {
    pub(crate) told: Vec<BadRow>,
    pub(crate) count: u64,
    letters: Vec<Rejected>,
    bytes: usize,
}

impl BadRows {
    /// Adds a row that cannot be one of the table. `row` is the JSON object by which it is kept.
    pub(crate) fn add(&mut self, number: usize, text: &str, row: String, reason: String) {
        self.tell(number, text, &reason);
        let row = barograph_engine::validate::bounded(&row);
        self.bytes += row.len() + reason.len() + size_of::<Rejected>();
        self.letters.push(Rejected { reason, row });
    }

    /// Adds a row that is in `dead_letters` already.
    pub(crate) fn tell(&mut self, number: usize, text: &str, reason: &str) {
        self.count += 1;
        if self.told.len() < TOLD_MAX {
            let (text, reason) = (beginning(text).to_owned(), beginning(reason).to_owned());
            self.told.push(BadRow { number, text, reason });
        }
    }

    /// Adds those of another part of the request.
    pub(crate) fn join(&mut self, other: Self) {
        self.count += other.count;
        self.told.extend(other.told);
        self.told.sort_by_key(|row| row.number);
        self.told.truncate(TOLD_MAX);
    }

    /// Whether so many are held that they are to be put.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BAD_BYTES
    }

    /// Those that are to be put.
    pub(crate) fn take_letters(&mut self) -> Vec<Rejected> {
        self.bytes = 0;
        std::mem::take(&mut self.letters)
    }
}

/// What of a text is told in the answer.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TOLD_BYTES_MAX)).unwrap_or_default()
}
