//! The candidate "sorted runs": every batch becomes a run sorted by (key, time), and runs of like size are merged, so
//! that a read looks into few.
//!
//! One hour only; appending, publishing and reading as the tail does them.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};

use crate::Candidate;

#[derive(Default)]
pub(crate) struct SortedRuns {
    runs: Vec<Arc<RecordBatch>>,
    published: Arc<[Arc<RecordBatch>]>,
}

fn keys(run: &RecordBatch) -> &[i32] {
    run.column(0).as_primitive::<Int32Type>().values()
}

fn times(run: &RecordBatch) -> &[i64] {
    run.column(1).as_primitive::<TimestampMicrosecondType>().values()
}

/// The rows by (key, time), of several with both the last.
fn sorted(rows: &RecordBatch) -> RecordBatch {
    let (keys, times) = (keys(rows), times(rows));
    let mut order: Vec<(i32, i64, u32)> =
        keys.iter().zip(times).zip(0..).map(|((&key, &time), row)| (key, time, row)).collect();
    if !order.is_sorted() {
        order.sort_unstable();
    }
    let last =
        |i: usize| order.get(i + 1).is_none_or(|next| (next.0, next.1) != (order[i].0, order[i].1));
    let rows_kept = (0..order.len()).filter(|&i| last(i)).map(|i| order[i].2);
    take_record_batch(rows, &UInt32Array::from_iter_values(rows_kept)).unwrap()
}

/// Both runs as one; on equal key and time the row of `later`.
fn merge(earlier: &RecordBatch, later: &RecordBatch) -> RecordBatch {
    let (a_keys, a_times) = (keys(earlier), times(earlier));
    let (b_keys, b_times) = (keys(later), times(later));
    let mut order = Vec::with_capacity(a_keys.len() + b_keys.len());
    let (mut a, mut b) = (0, 0);
    while a < a_keys.len() && b < b_keys.len() {
        match (a_keys[a], a_times[a]).cmp(&(b_keys[b], b_times[b])) {
            Ordering::Less => {
                order.push((0, a));
                a += 1;
            }
            Ordering::Greater => {
                order.push((1, b));
                b += 1;
            }
            Ordering::Equal => a += 1,
        }
    }
    order.extend((a..a_keys.len()).map(|a| (0, a)));
    order.extend((b..b_keys.len()).map(|b| (1, b)));
    interleave_record_batch(&[earlier, later], &order).unwrap()
}

fn range_of(run: &RecordBatch, key: i32) -> (usize, usize) {
    let keys = keys(run);
    let start = keys.partition_point(|&k| k < key);
    (start, start + keys[start..].partition_point(|&k| k == key))
}

impl Candidate for SortedRuns {
    const NAME: &'static str = "sorted runs";

    fn append(&mut self, rows: &RecordBatch) {
        self.runs.push(Arc::new(sorted(rows)));
        while let [.., earlier, later] = &self.runs[..] {
            if earlier.num_rows() >= 2 * later.num_rows() {
                break;
            }
            let merged = Arc::new(merge(earlier, later));
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(merged);
        }
        self.published = self.runs.as_slice().into();
    }

    fn latest(&self, key: i32) -> RecordBatch {
        let mut best: Option<(i64, &RecordBatch, usize)> = None;
        for run in self.published.iter() {
            let (start, end) = range_of(run, key);
            if start < end && best.is_none_or(|(time, ..)| times(run)[end - 1] >= time) {
                best = Some((times(run)[end - 1], run, end - 1));
            }
        }
        let (_, run, row) = best.unwrap();
        run.slice(row, 1)
    }

    fn key_hour(&self, key: i32) -> RecordBatch {
        let parts: Vec<RecordBatch> = self
            .published
            .iter()
            .map(|run| {
                let (start, end) = range_of(run, key);
                run.slice(start, end - start)
            })
            .collect();
        sorted(&concat_batches(&parts[0].schema(), &parts).unwrap())
    }

    fn freeze(&self) -> RecordBatch {
        let mut runs = self.published.to_vec();
        while let [.., earlier, later] = &runs[..] {
            let merged = Arc::new(merge(earlier, later));
            runs.truncate(runs.len() - 2);
            runs.push(merged);
        }
        (*runs[0]).clone()
    }

    fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.get_array_memory_size()).sum()
    }
}
