//! The gathering of an hour's rows: those that a read wants, in the order of (key, time).
//!
//! Keys are taken in ascending order, [`GROUP`] of them at a time: their chains are followed in step,
//! so that the misses of one chain overlap with those of the others, and their rows are read into
//! columns before they leave the cache. A key's rows come out of its chain in order of arrival, which
//! is nearly always their order in time; only a key with late rows is sorted.

#![expect(
    clippy::indexing_slicing,
    reason = "rows are as wide as the layout that numbers their words, and there is room for each row of a group of keys"
)]

use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use barograph_lake::file::{SHORT_TEXT_BYTES, Weight};
use barograph_lake::{Key, Span, TimeRange, Timestamp};

use super::columns::{Columns, Row};
use super::hour::{Head, Rows};
use super::layout::{Field, HEADER, Header, NO_ROW, TIME, time_of_word};
use super::pages::{OpenPages, text};
use crate::Result;

/// Bytes of long texts that are weighed together.
const WEIGHED_TEXT: u64 = 256 << 10;
/// Chains followed in step.
const GROUP: usize = 16;

/// An hour opened for reading by a view of its first `mark` rows.
pub(super) struct Reader<'a> {
    shared: &'a Rows,
    rows: OpenPages,
    mark: u32,
}

/// A chain on the way from its last row to its first.
struct Chain {
    next: u32,
    /// Where the key's row with ordinal 0 stands in the group's rows, and how many rows the key has.
    start: usize,
    count: usize,
    /// Rows before this ordinal are not wanted.
    wanted_from: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(shared: &'a Rows, mark: u32) -> Self {
        Self { shared, rows: shared.rows.open(), mark }
    }

    /// The rows of the keys of `heads` in `time`, by (key, time), the last to arrive of each.
    pub(super) fn read(
        &self,
        heads: &[(Key, u32)],
        time: TimeRange,
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let hour = self.shared.hour.range();
        let room = match time.covers(hour.from, hour.to - Span::MICROSECOND) {
            true => heads.iter().map(|&(_, last)| self.count(last)).sum(),
            false => 0,
        };
        let mut columns = Columns::new(&self.shared.layout, columns, room)?;
        let heap = self.shared.heap.open();
        let mut group = Group::default();
        for heads in heads.chunks(GROUP) {
            group.collect(self, heads, time);
            columns.extend(&group.keys, &group.ordered, &heap)?;
        }
        columns.finish()
    }

    /// Every key of the view, ascending, each with its last row in the view.
    pub(super) fn heads(&self) -> Vec<(Key, u32)> {
        let mut heads = Vec::new();
        self.shared.heads.each(|key, head| {
            if let Some(last) = self.last_below(Head::unpack(head).last) {
                heads.push((key, last));
            }
        });
        heads.sort_unstable();
        heads
    }

    /// Those of `keys` that the view has, in their order, each with its last row in the view.
    pub(super) fn heads_of(&self, keys: &[Key]) -> Vec<(Key, u32)> {
        keys.iter().filter_map(|&key| Some((key, self.last(key)?))).collect()
    }

    /// The last row of `key` in the view.
    pub(super) fn last(&self, key: Key) -> Option<u32> {
        self.shared.heads.get(key).and_then(|head| self.last_below(Head::unpack(head).last))
    }

    /// The newest row of `key` in the view: the last to arrive of those with the largest instant.
    pub(super) fn newest(&self, key: Key) -> Option<u32> {
        let head = Head::unpack(self.shared.heads.get(key)?);
        if head.last < self.mark {
            return Some(head.newest);
        }
        let mut id = self.last_below(head.last)?;
        loop {
            let header = self.header(id);
            if header.peak {
                return Some(id);
            }
            id = header.link;
        }
    }

    /// The instant of the newest row of `key` at or before `time`.
    pub(super) fn time_at(&self, key: Key, time: Timestamp) -> Option<Timestamp> {
        let mut best = None;
        let mut next = self.last(key)?;
        while next != NO_ROW {
            let instant = self.time(next);
            let header = self.header(next);
            if instant <= time {
                best = best.max(Some(instant));
                if header.peak {
                    break;
                }
            }
            next = header.link;
        }
        best
    }

    /// The words of a row in the view.
    pub(super) fn row(&self, id: u32) -> Row<'_> {
        self.rows.unit(id)
    }

    /// The instant of a row in the view.
    pub(super) fn time(&self, id: u32) -> Timestamp {
        time_of(self.row(id))
    }

    /// The first row of the chain from `last` on that is in the view. The rows above the mark came
    /// after the view was made and may stand on pages added since.
    fn last_below(&self, last: u32) -> Option<u32> {
        if last < self.mark {
            return Some(last);
        }
        let rows = self.shared.rows.open();
        let mut id = last;
        while id != NO_ROW && id >= self.mark {
            id = header_of(rows.unit(id)).link;
        }
        Some(id).filter(|&id| id != NO_ROW)
    }

    /// Rows of the key whose last row is `last`.
    pub(super) fn count(&self, last: u32) -> usize {
        self.header(last).ordinal as usize + 1
    }

    /// What the rows of the key whose last row is `last` weigh with these texts, in the order of their instants.
    pub(super) fn weights(&self, (key, last): (Key, u32), texts: &[Field]) -> Vec<Weight> {
        let mut rows = Vec::with_capacity(self.count(last));
        let mut next = last;
        while next != NO_ROW {
            let row = self.row(next);
            let length = |text: &Field| text::length(row[text.word].load(Ordering::Relaxed));
            let long = texts.iter().map(|text| length(text).saturating_sub(SHORT_TEXT_BYTES));
            rows.push((time_of(row), long.sum::<usize>() as u64));
            next = header_of(row).link;
        }
        rows.sort_unstable();
        let mut weights: Vec<Weight> = Vec::new();
        for (from, text) in rows {
            match weights.last_mut().filter(|last| last.text < WEIGHED_TEXT) {
                Some(last) => (last.rows, last.text) = (last.rows + 1, last.text + text),
                None => weights.push(Weight { key, from, rows: 1, text }),
            }
        }
        weights
    }

    fn header(&self, id: u32) -> Header {
        header_of(self.row(id))
    }
}

/// The rows of a few keys in their final order.
#[derive(Default)]
struct Group<'r> {
    chains: Vec<Chain>,
    /// By key and order of arrival.
    arrived: Vec<(Timestamp, Row<'r>)>,
    /// By key and instant, each once.
    ordered: Vec<Row<'r>>,
    /// Each key with how many of the ordered rows are its.
    keys: Vec<(Key, usize)>,
}

impl<'r> Group<'r> {
    fn collect(&mut self, reader: &'r Reader<'_>, heads: &[(Key, u32)], time: TimeRange) {
        self.chains.clear();
        let mut rows = 0;
        for &(_, last) in heads {
            let count = reader.count(last);
            self.chains.push(Chain { next: last, start: rows, count, wanted_from: 0 });
            rows += count;
        }
        self.arrived.clear();
        self.arrived.resize(rows, (Timestamp::UNIX_EPOCH, &[]));
        self.follow(reader, time.from);

        self.ordered.clear();
        self.keys.clear();
        for (chain, &(key, _)) in self.chains.iter().zip(heads) {
            let wanted = chain.start + chain.wanted_from..chain.start + chain.count;
            let before = self.ordered.len();
            order(&mut self.arrived[wanted], time, &mut self.ordered);
            self.keys.push((key, self.ordered.len() - before));
        }
    }

    /// Follows all chains in step, each to its first row or to where nothing before is wanted.
    fn follow(&mut self, reader: &'r Reader<'_>, from: Timestamp) {
        let mut open = true;
        while open {
            open = false;
            for chain in self.chains.iter_mut().filter(|chain| chain.next != NO_ROW) {
                let row = reader.row(chain.next);
                let (header, time) = (header_of(row), time_of(row));
                let ordinal = header.ordinal as usize;
                self.arrived[chain.start + ordinal] = (time, row);
                chain.wanted_from = ordinal;
                // No row before a peak is newer than the peak.
                chain.next = if header.peak && time < from { NO_ROW } else { header.link };
                open |= chain.next != NO_ROW;
            }
        }
    }
}

/// Appends one key's rows inside `range` to `out` by instant, of several with one instant the last.
/// `rows` stand in order of arrival.
fn order<'r>(rows: &mut [(Timestamp, Row<'r>)], range: TimeRange, out: &mut Vec<Row<'r>>) {
    if !rows.is_sorted_by(|a, b| a.0 <= b.0) {
        rows.sort_by_key(|row| row.0);
    }
    let mut rows = rows.iter().peekable();
    while let Some(&(time, row)) = rows.next() {
        let replaced = rows.peek().is_some_and(|next| next.0 == time);
        if !replaced && range.contains(time) {
            out.push(row);
        }
    }
}

fn header_of(row: Row<'_>) -> Header {
    Header::unpack(row[HEADER].load(Ordering::Relaxed))
}

fn time_of(row: Row<'_>) -> Timestamp {
    time_of_word(row[TIME].load(Ordering::Relaxed))
}
