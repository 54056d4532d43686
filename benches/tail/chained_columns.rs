//! The candidate "chained columns": rows are chained as in the tail, but kept in Arrow columns. Every batch is a chunk,
//! chunks of like size are joined, and rows are gathered by interleaving chunks.
//!
//! One hour only; appending, publishing and reading as the tail does them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};

use crate::Candidate;

const NO_ROW: u32 = u32::MAX;
const CHUNK_ROWS_MAX: usize = 1 << 16;

#[derive(Clone)]
struct Chunk {
    first: u32,
    rows: RecordBatch,
    links: Arc<[u32]>,
}

#[derive(Default)]
pub(crate) struct ChainedColumns {
    chunks: Vec<Chunk>,
    /// Slot of every key, as the table would keep it, and the hour's last row of each slot.
    slots: HashMap<i32, usize>,
    heads: Vec<AtomicU32>,
    rows: u32,
    published: Arc<[Chunk]>,
}

impl ChainedColumns {
    fn find(&self, row: u32) -> (usize, usize) {
        let chunk = self.published.partition_point(|chunk| chunk.first <= row) - 1;
        (chunk, (row - self.published[chunk].first) as usize)
    }

    /// The key's rows by time, of several with one time the last.
    fn chain(&self, key: i32, out: &mut Vec<(i64, (usize, usize))>) {
        out.clear();
        let mut row = self.heads[self.slots[&key]].load(Ordering::Acquire);
        while row != NO_ROW {
            let at = self.find(row);
            let chunk = &self.published[at.0];
            let times = chunk.rows.column(1).as_primitive::<TimestampMicrosecondType>();
            out.push((times.value(at.1), at));
            row = chunk.links[at.1];
        }
        out.reverse();
        if !out.is_sorted_by(|a, b| a.0 < b.0) {
            out.sort_by_key(|row| row.0);
            out.reverse();
            out.dedup_by_key(|row| row.0);
            out.reverse();
        }
    }

    fn gather(&self, rows: &[(usize, usize)]) -> RecordBatch {
        let chunks: Vec<&RecordBatch> = self.published.iter().map(|chunk| &chunk.rows).collect();
        interleave_record_batch(&chunks, rows).unwrap()
    }
}

impl Candidate for ChainedColumns {
    const NAME: &'static str = "chained columns";

    fn append(&mut self, rows: &RecordBatch) {
        let first = self.rows;
        let keys = rows.column(0).as_primitive::<Int32Type>().values();
        let mut links = Vec::with_capacity(keys.len());
        for &key in keys {
            let slot = *self.slots.entry(key).or_insert_with(|| {
                self.heads.push(AtomicU32::new(NO_ROW));
                self.heads.len() - 1
            });
            links.push(self.heads[slot].load(Ordering::Relaxed));
            self.heads[slot].store(self.rows, Ordering::Release);
            self.rows += 1;
        }
        // A copy of its own: the batch may be a slice of something much larger.
        let rows = concat_batches(&rows.schema(), [rows]).unwrap();
        self.chunks.push(Chunk { first, rows, links: links.into() });
        while let [.., earlier, later] = &self.chunks[..] {
            let (a, b) = (earlier.rows.num_rows(), later.rows.num_rows());
            if a >= 2 * b || a + b > CHUNK_ROWS_MAX {
                break;
            }
            let rows =
                concat_batches(&earlier.rows.schema(), [&earlier.rows, &later.rows]).unwrap();
            let links = earlier.links.iter().chain(later.links.iter()).copied().collect();
            let joined = Chunk { first: earlier.first, rows, links };
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(joined);
        }
        self.published = self.chunks.as_slice().into();
    }

    fn latest(&self, key: i32) -> RecordBatch {
        let mut rows = Vec::new();
        self.chain(key, &mut rows);
        let (chunk, row) = rows[rows.len() - 1].1;
        self.published[chunk].rows.slice(row, 1)
    }

    fn key_hour(&self, key: i32) -> RecordBatch {
        let mut rows = Vec::new();
        self.chain(key, &mut rows);
        self.gather(&rows.into_iter().map(|row| row.1).collect::<Vec<_>>())
    }

    fn freeze(&self) -> RecordBatch {
        let mut keys: Vec<i32> = self.slots.keys().copied().collect();
        keys.sort_unstable();
        let mut order = Vec::with_capacity(self.rows as usize);
        let mut rows = Vec::new();
        for key in keys {
            self.chain(key, &mut rows);
            order.extend(rows.iter().map(|row| row.1));
        }
        self.gather(&order)
    }

    fn bytes(&self) -> usize {
        let chunks = self.chunks.iter();
        let chunks: usize =
            chunks.map(|chunk| chunk.rows.get_array_memory_size() + chunk.links.len() * 4).sum();
        chunks + self.heads.len() * 4 + self.slots.capacity() * 16
    }
}
