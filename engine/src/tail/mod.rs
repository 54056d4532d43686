//! The tail: rows that are not in the lake yet.
//!
//! It holds the rows of open hours, and late rows of landed ones, as one chain of rows per key
//! (docs/adr/0006-tail.md):
//!
//! ```text
//! Tail ──► hour 10 ──► heads: key ──► last row, newest row
//!     │           └──► pages: rows, each linked to the one before it of its key
//!     ├──► hour 11 ──► …
//!     └──► newest: key ──► last hour that has it
//! ```
//!
//! One writer owns the [`Tail`]; readers hold a [`TailView`], which nothing changes and which keeps the
//! memory it shows. Appending a row costs the same whatever is there; so does the latest row of a key;
//! a key's rows are found without touching others; a whole hour comes out sorted by (key, time) by
//! sorting its keys, not its rows.

mod columns;
mod encode;
mod gather;
mod hour;
mod keys;
mod layout;
mod newest;
mod pages;
mod positions;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_lake::{Hour, LogPosition, TableSchema};
use parking_lot::Mutex;

pub use self::view::{HourView, TailView};

use self::encode::Batch;
use self::hour::{HourWriter, Origin};
use self::layout::{Layout, ROWS_MAX};
use self::newest::NewestHours;
use self::positions::Positions;
use crate::memory::Budget;
use crate::{Error, Result};

/// Rows turned into words at a time: few enough to stay in the nearest cache.
const BLOCK_ROWS: usize = 512;

/// The rows of one table that are not in the lake. Owned by the writer.
#[derive(Debug)]
pub struct Tail {
    layout: Arc<Layout>,
    budget: Arc<Budget>,
    hours: BTreeMap<Hour, HourWriter>,
    newest: NewestHours,
    /// Stays of hours begun so far.
    stays: u64,
    /// Position of the last batch.
    through: LogPosition,
    /// Words of the block being appended.
    staged: Vec<u64>,
    /// Where the rows stand in the log, if that is asked for.
    positions: Option<Positions>,
    published: Mutex<Published>,
}

/// The view that was given last, and what it does not show yet.
#[derive(Debug)]
struct Published {
    /// Grows with every view made.
    number: u64,
    hours: Arc<[HourView]>,
    /// Hours that `hours` does not show as they are.
    stale: Vec<Hour>,
}

impl Tail {
    /// An empty tail of the table `schema`; its memory is taken from `budget`, even over the bound,
    /// because what is appended was accepted before.
    pub fn new(schema: Arc<TableSchema>, budget: Arc<Budget>) -> Self {
        Self {
            layout: Arc::new(Layout::new(schema)),
            hours: BTreeMap::new(),
            newest: NewestHours::new(&budget),
            budget,
            stays: 0,
            through: LogPosition::new(0),
            staged: Vec::new(),
            positions: None,
            published: Mutex::new(Published { number: 1, hours: Arc::new([]), stale: Vec::new() }),
        }
    }

    /// Appends `rows`, which have the table's full Arrow schema, in any order, of any hours, repeats
    /// allowed: of several rows with one key and instant the last one counts. Positions never step
    /// back. An error is a defect of the caller and leaves the tail as it was.
    pub fn append(&mut self, position: LogPosition, rows: &RecordBatch) -> Result<()> {
        let by_key = encode::by_key(&self.layout, rows)?;
        let batch = Batch::new(&self.layout, by_key.as_ref().unwrap_or(rows))?;
        let pieces = batch.hours()?;
        self.check(position, &batch, &pieces)?;
        self.through = position;

        let mut staged = std::mem::take(&mut self.staged);
        let mut pieces = pieces.into_iter().peekable();
        for block in (0..batch.len()).step_by(BLOCK_ROWS) {
            let block_end = batch.len().min(block + BLOCK_ROWS);
            batch.stage(block..block_end, &mut staged);
            let mut start = block;
            while let Some(&(hour, end)) = pieces.peek()
                && start < block_end
            {
                let range = start..end.min(block_end);
                let words =
                    (start - block) * self.layout.stride..(range.end - block) * self.layout.stride;
                start = range.end;
                let newest = &mut self.newest;
                let writer =
                    hour_writer(&mut self.hours, &mut self.stays, &self.layout, &self.budget, hour);
                #[expect(
                    clippy::indexing_slicing,
                    reason = "the words are those of rows that were just staged"
                )]
                writer.append(position, &batch, range, &mut staged[words], |key| {
                    newest.raise(key, hour)
                });
                mark_stale(self.published.get_mut(), writer, hour);
                if let Some(positions) = &mut self.positions {
                    positions.add(hour, position, rows_ever(writer));
                }
                if end <= block_end {
                    pieces.next();
                }
            }
        }
        self.staged = staged;
        Ok(())
    }

    /// The tail as it stands. Costs little: what did not change since the last view is shared with it.
    pub fn view(&self) -> TailView {
        let mut published = self.published.lock();
        published.refresh(&self.hours);
        let hours = Arc::clone(&published.hours);
        TailView::new(Arc::clone(&self.layout), hours, Arc::clone(self.newest.map()))
    }

    /// Drops the rows of `hour` that `view`, an earlier view of it, shows: they are in the lake. Rows
    /// that came after stay. Views keep what they show.
    pub(crate) fn landed(&mut self, hour: Hour, view: &HourView) {
        let Some(writer) = self.hours.get(&hour) else { return };
        let (held, seen) = (writer.shared().origin, view.origin());
        let landed = (seen.landed + view.rows()).saturating_sub(held.landed);
        if held.stay != seen.stay || landed == 0 {
            return;
        }
        let landed = u32::try_from(landed).unwrap_or(u32::MAX);
        match writer.after(&self.budget, landed, view.through()) {
            Some(rest) => self.hours.insert(hour, rest),
            None => {
                self.positions.iter_mut().for_each(|positions| positions.forget(hour));
                self.hours.remove(&hour)
            }
        };
        self.newest.left(&self.budget, hour, &self.hours);
        self.published.get_mut().stale.push(hour);
    }

    /// Keeps the positions of rows, for [`Self::landed_through`].
    pub fn keep_positions(&mut self) {
        self.positions.get_or_insert_with(|| Positions::new(&self.budget));
    }

    /// Drops the rows of `hour` that stand in the log at `through` or before: another process has landed them. Views keep
    /// what they show. Positions have to be [kept](Self::keep_positions).
    pub fn landed_through(&mut self, hour: Hour, through: LogPosition) {
        let (Some(writer), Some(positions)) = (self.hours.get(&hour), &mut self.positions) else {
            return;
        };
        let origin = writer.shared().origin;
        let landed = positions.rows_through(hour, through).saturating_sub(origin.landed);
        if landed == 0 {
            return;
        }
        let landed = u32::try_from(landed).unwrap_or(u32::MAX);
        match writer.after(&self.budget, landed, through) {
            Some(rest) => self.hours.insert(hour, rest),
            None => {
                positions.forget(hour);
                self.hours.remove(&hour)
            }
        };
        self.newest.left(&self.budget, hour, &self.hours);
        self.published.get_mut().stale.push(hour);
    }

    /// The hours that have rows here, ascending.
    pub fn hours(&self) -> impl Iterator<Item = Hour> + '_ {
        self.hours.keys().copied()
    }

    /// Notes that every row of `hour` that came before position `first` stands in the log again, from `first`
    /// through `through`.
    pub(crate) fn moved(&mut self, hour: Hour, first: LogPosition, through: LogPosition) {
        let Some(writer) = self.hours.get_mut(&hour) else { return };
        writer.moved(first, through);
        if let Some(positions) = &mut self.positions {
            positions.forget(hour);
            positions.add(hour, writer.through(), rows_ever(writer));
        }
        self.through = self.through.max(through);
        mark_stale(self.published.get_mut(), writer, hour);
    }

    /// The smallest log position of any row held, or, where rows of an hour landed while later ones
    /// stayed, the position through which they landed.
    pub(crate) fn first_position(&self) -> Option<LogPosition> {
        self.hours.values().map(HourWriter::first_position).min()
    }

    fn check(
        &self,
        position: LogPosition,
        batch: &Batch<'_>,
        pieces: &[(Hour, usize)],
    ) -> Result<()> {
        if position < self.through {
            return Err(Error::internal(format!(
                "a batch at log position {position} came after one at {}",
                self.through
            )));
        }
        let text_words = batch.text_words();
        for writer in pieces.iter().filter_map(|(hour, _)| self.hours.get(hour)) {
            if writer.rows() as u64 + batch.len() as u64 > ROWS_MAX
                || writer.heap_words() as usize + text_words > u32::MAX as usize
            {
                return Err(Error::internal(format!(
                    "hour {} holds {} rows and {} bytes of text, as many as an hour can",
                    writer.shared().hour,
                    writer.rows(),
                    u64::from(writer.heap_words()) * 8
                )));
            }
        }
        Ok(())
    }
}

impl Published {
    /// Shows what is stale.
    fn refresh(&mut self, hours: &BTreeMap<Hour, HourWriter>) {
        if self.stale.is_empty() {
            return;
        }
        self.stale.sort_unstable();
        self.stale.dedup();
        let mut views = Vec::with_capacity(self.hours.len() + self.stale.len());
        let mut known = self.hours.iter().peekable();
        for hour in self.stale.drain(..) {
            while let Some(view) = known.next_if(|view| view.hour() < hour) {
                views.push(view.clone());
            }
            known.next_if(|view| view.hour() == hour);
            views.extend(hours.get(&hour).map(HourWriter::view));
        }
        views.extend(known.cloned());
        self.hours = views.into();
        self.number += 1;
    }
}

/// The writer of `hour`, which begins a stay if it is not here.
fn hour_writer<'h>(
    hours: &'h mut BTreeMap<Hour, HourWriter>,
    stays: &mut u64,
    layout: &Arc<Layout>,
    budget: &Arc<Budget>,
    hour: Hour,
) -> &'h mut HourWriter {
    hours.entry(hour).or_insert_with(|| {
        *stays += 1;
        HourWriter::new(layout, budget, hour, Origin { stay: *stays, landed: 0 })
    })
}

/// Rows of this stay of an hour, landed or here.
fn rows_ever(writer: &HourWriter) -> u64 {
    writer.shared().origin.landed + u64::from(writer.rows())
}

/// Notes once between two views that `hour` has rows the last view does not show.
fn mark_stale(published: &mut Published, writer: &mut HourWriter, hour: Hour) {
    if writer.stale_since != published.number {
        writer.stale_since = published.number;
        published.stale.push(hour);
    }
}
