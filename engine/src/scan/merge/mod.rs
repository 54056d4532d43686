//! The merge of sorted runs into one.
//!
//! A scan over several hours has one run an hour, and the tail's rows; each run is sorted by
//! (key, time). The runs take turns for many rows, so whole spans of rows are found first and then
//! copied column by column:
//!
//! ```text
//! run 0   1@10:00 1@10:01 … 2@10:00 2@10:01 …      spans   run 0, rows  0…59   key 1, 10 h
//! run 1   1@11:00 1@11:01 … 2@11:00 2@11:01 …                  run 1, rows  0…59   key 1, 11 h
//!                                                              run 0, rows 60…119  key 2, 10 h
//! ```
//!
//! The end of a span is where the next run in line begins, found by leaps that begin with the
//! length of the span before: readings come at a steady pace.

mod copy;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Int32Type, Int64Type, TimestampMicrosecondType,
};
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, Timestamp};

use crate::{Error, Result};

/// One run of all rows of `runs`, sorted by (key, time).
///
/// Every run has the same columns, the first two of them key and time, and is sorted by them without
/// repeats. Where several runs hold a key and time, the run that stands last gives the row.
///
/// # Errors
/// `Internal` without runs or with unlike columns; text of more than 2 GiB in one column.
pub fn merge(runs: &[RecordBatch]) -> Result<RecordBatch> {
    join(runs, Repeats::LastRunWins)
}

/// What becomes of rows of several runs that are equal in key and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// The row of the last run stays.
    LastRunWins,
    /// All stay, in the order of the runs.
    Kept,
}

/// Consecutive rows of one run: `rows` of them from `start` on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    run: u32,
    start: u32,
    rows: u32,
}

impl Span {
    /// Runs have fewer than 2³² rows: [`join`] has looked.
    fn new(run: usize, rows: Range<usize>) -> Self {
        Self { run: run as u32, start: rows.start as u32, rows: rows.len() as u32 }
    }

    fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.rows as usize
    }
}

/// [`merge`] with a choice. With [`Repeats::Kept`] a run may have repeats in itself.
pub(super) fn join(runs: &[RecordBatch], repeats: Repeats) -> Result<RecordBatch> {
    let first = runs.first().ok_or_else(|| Error::internal("merge: no runs"))?;
    let filled: Vec<_> = runs.iter().filter(|run| run.num_rows() > 0).collect();
    let (one, others) = filled.split_first().unwrap_or((&first, &[]));
    if others.is_empty() {
        return Ok((*one).clone());
    }
    let types = |run: &RecordBatch| {
        run.columns().iter().map(|column| column.data_type().clone()).collect::<Vec<_>>()
    };
    let expected = types(one);
    if others.iter().any(|run| types(run) != expected) {
        return Err(Error::internal("merge: the runs have unlike columns"));
    }
    if filled.iter().any(|run| u32::try_from(run.num_rows()).is_err()) {
        return Err(Error::internal("merge: a run of more than 4,294,967,295 rows"));
    }
    let spans = match expected.first() {
        Some(DataType::Int32) => spans(&order::<Int32Type>(&filled)?, repeats),
        Some(DataType::Int64) => spans(&order::<Int64Type>(&filled)?, repeats),
        _ => return Err(Error::internal("merge: the first column is no key")),
    };
    copy::gather(&filled, &spans)
}

/// The sort columns of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a, K> {
    pub(super) keys: &'a [K],
    pub(super) times: &'a [i64],
}

impl<'a, K: ArrowNativeType + Into<Key>> Order<'a, K> {
    /// The sort columns of `run`, whose keys are of type `T`.
    pub(super) fn of<T: ArrowPrimitiveType<Native = K>>(run: &'a RecordBatch) -> Result<Self> {
        let unsorted = || Error::internal("a run does not begin with a key and a time");
        let keys = run.columns().get(KEY_COLUMN).and_then(|column| column.as_primitive_opt::<T>());
        let times = run
            .columns()
            .get(TIME_COLUMN)
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        Ok(Self {
            keys: keys.ok_or_else(unsorted)?.values(),
            times: times.ok_or_else(unsorted)?.values(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    #[expect(clippy::indexing_slicing, reason = "callers ask for rows below the length")]
    pub(super) fn at(&self, row: usize) -> (Key, Timestamp) {
        (self.keys[row].into(), Timestamp::from_micros(self.times[row]))
    }

    /// The first row after `from` that is not `inside`, which holds for `from` and then for no row
    /// after the first for which it does not. `guess` is how many rows are expected.
    pub(super) fn end(
        &self,
        from: usize,
        guess: usize,
        inside: impl Fn((Key, Timestamp)) -> bool,
    ) -> usize {
        let guess = from.saturating_add(guess.max(1)).min(self.len());
        let (mut low, mut high) = (from + 1, guess - 1);
        if guess - 1 == from || inside(self.at(guess - 1)) {
            low = guess;
            let mut leap = 1;
            loop {
                high = (low + leap - 1).min(self.len());
                if high == self.len() || !inside(self.at(high)) {
                    break;
                }
                low = high + 1;
                leap *= 2;
            }
        }
        while low < high {
            let middle = low.midpoint(high);
            if inside(self.at(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

fn order<'a, T: ArrowPrimitiveType<Native: Into<Key>>>(
    runs: &[&'a RecordBatch],
) -> Result<Vec<Order<'a, T::Native>>> {
    runs.iter().map(|run| Order::of::<T>(run)).collect()
}

/// The spans of `runs`, none empty, in the order of the result.
#[expect(clippy::indexing_slicing, reason = "heads name the runs that they were taken from")]
fn spans<K: ArrowNativeType + Into<Key>>(runs: &[Order<'_, K>], repeats: Repeats) -> Vec<Span> {
    let mut spans = Vec::new();
    // The next row of each run, and the length of its last span.
    let mut state: Vec<_> = runs.iter().map(|_| (0, 1)).collect();
    let mut heads = Heads::default();
    for (run, order) in runs.iter().enumerate() {
        heads.insert((order.at(0), run));
    }
    while let Some((at, run)) = heads.0.pop_front() {
        let order = &runs[run];
        let (from, pace) = state[run];
        let to = match heads.0.front() {
            None => order.len(),
            Some((next, _)) if repeats == Repeats::LastRunWins => {
                if *next == at {
                    // A later run has this row too: it is passed over.
                    state[run].0 += 1;
                    if from + 1 < order.len() {
                        heads.insert((order.at(from + 1), run));
                    }
                    continue;
                }
                order.end(from, pace, |at| at < *next)
            }
            Some(next) => order.end(from, pace, |at| (at, run) < *next),
        };
        spans.push(Span::new(run, from..to));
        state[run] = (to, to - from);
        if to < order.len() {
            heads.insert((order.at(to), run));
        }
    }
    spans
}

/// The first row that is left of each run, ascending; of equal ones the earliest run stands first.
///
/// Runs of hours take turns, so that a new head mostly belongs at the end: cheaper than a heap.
#[derive(Default)]
struct Heads(VecDeque<((Key, Timestamp), usize)>);

impl Heads {
    fn insert(&mut self, head: ((Key, Timestamp), usize)) {
        if self.0.back().is_none_or(|last| *last < head) {
            self.0.push_back(head);
        } else {
            self.0.insert(self.0.partition_point(|other| *other < head), head);
        }
    }
}
