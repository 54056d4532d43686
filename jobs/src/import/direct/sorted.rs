//! The sorting of rows into runs: each piece is sorted by itself, making use of the order it comes in, and the
//! gathered pieces of a period are merged.
//!
//! ```text
//! piece ──sorted──► rows of period 1 ──┐ Gathered ┌──merge──► run of period 1
//!               └─► rows of period 2 ──┘          └──merge──► run of period 2
//! ```

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use barograph_engine::validate::key_at;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, Period, Timestamp};

use super::place::Places;
use crate::Result;
use crate::import::reading::batch_bytes;
use crate::import::replaced::Replaced;

/// Bytes that a column of a few rows takes besides its values, about.
const COLUMN_BYTES: usize = 256;

/// Sorted rows of a period.
pub(super) type Part = (Period, RecordBatch);

/// Where a row goes.
struct Row {
    period: Period,
    key: Key,
    time: Timestamp,
    row: u32,
}

impl Row {
    fn at(&self) -> (Timestamp, Key, Timestamp) {
        (self.period.start(), self.key, self.time)
    }
}

/// The rows of a piece by period, each sorted by key and time; of rows equal in both, the last. The others are
/// noted in `replaced`.
pub(super) fn sorted(
    rows: &RecordBatch,
    places: &Places,
    replaced: &mut Replaced,
) -> Result<Vec<Part>> {
    let mut order = order(rows, places)?;
    if !order.is_sorted_by(|a, b| a.at() < b.at()) {
        // Stable: of equal rows the last stays the last.
        order.sort_by_key(Row::at);
        let last: Vec<bool> = (order.iter().zip(order.iter().skip(1)))
            .map(|(row, next)| row.at() != next.at())
            .chain([true])
            .collect();
        let mut last = last.into_iter();
        order.retain(|row| {
            let stays = last.next().unwrap_or(true);
            if !stays {
                replaced.note(row.key, row.time);
            }
            stays
        });
    }
    let in_place = order.len() == rows.num_rows() && order.is_sorted_by_key(|row| row.row);
    let taken = if in_place {
        rows.clone()
    } else {
        let indices = UInt32Array::from_iter_values(order.iter().map(|row| row.row));
        take_record_batch(rows, &indices)?
    };
    let mut start = 0;
    let parts = order.chunk_by(|a, b| a.period == b.period).filter_map(|of| {
        let from = start;
        start += of.len();
        Some((of.first()?.period, taken.slice(from, of.len())))
    });
    Ok(parts.collect())
}

fn order(rows: &RecordBatch, places: &Places) -> Result<Vec<Row>> {
    let keys = rows.column(KEY_COLUMN);
    let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>().values();
    let mut order = Vec::with_capacity(times.len());
    let mut last: Option<Period> = None;
    for (row, &time) in times.iter().enumerate() {
        let time = Timestamp::from_micros(time);
        let period = match last.filter(|last| last.range().contains(time)) {
            Some(period) => period,
            None => places.of(time)?,
        };
        last = Some(period);
        order.push(Row { period, key: key_at(keys, row), time, row: row as u32 });
    }
    Ok(order)
}

/// Sorted rows that are not in a run yet, by period, in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    periods: BTreeMap<Timestamp, (Period, Vec<RecordBatch>)>,
    bytes: usize,
}

impl Gathered {
    /// Adds rows that were read after those before.
    pub(super) fn add(&mut self, parts: Vec<Part>) {
        for (period, rows) in parts {
            self.bytes += batch_bytes(&rows) + rows.num_columns() * COLUMN_BYTES;
            self.periods.entry(period.start()).or_insert((period, Vec::new())).1.push(rows);
        }
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes them out, in order of time.
    pub(super) fn take(&mut self) -> Vec<(Period, Vec<RecordBatch>)> {
        self.bytes = 0;
        std::mem::take(&mut self.periods).into_values().collect()
    }
}
