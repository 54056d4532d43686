//! The comparison of structures for the tail. Three candidates hold the same hour of 900,000 rows: the tail itself
//! (chained rows), chained Arrow columns, and sorted runs (docs/adr/0006-tail.md).
//!
//! `cargo bench --bench tail` prints one table for each order of arrival, and one of the tail with a few rows in each
//! of 10,000 hours; every figure is min / median / max. The candidates' answers are compared before anything is
//! measured.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "tail/chained_columns.rs"]
mod chained_columns;
#[path = "tail/data.rs"]
mod data;
#[path = "tail/sorted_runs.rs"]
mod sorted_runs;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::Int32Type;
use barograph_engine::TailView;
use barograph_engine::internal::{Budget, Tail};
use barograph_lake::{KeySelection, LogPosition, TimeRange};

use chained_columns::ChainedColumns;
use data::Arrival;
use sorted_runs::SortedRuns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A structure to compare. `append` ends with the rows visible to readers.
pub(crate) trait Candidate {
    const NAME: &'static str;
    fn append(&mut self, rows: &RecordBatch);
    fn latest(&self, key: i32) -> RecordBatch;
    fn key_hour(&self, key: i32) -> RecordBatch;
    fn freeze(&self) -> RecordBatch;
    fn bytes(&self) -> usize;
}

/// The tail as the engine uses it.
struct ChainedRows {
    tail: Tail,
    budget: Arc<Budget>,
    view: TailView,
    position: u64,
}

const ALL: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

impl Default for ChainedRows {
    fn default() -> Self {
        let budget = Budget::new("bench", usize::MAX);
        let tail = Tail::new(data::schema(), Arc::clone(&budget));
        let view = tail.view();
        Self { tail, budget, view, position: 0 }
    }
}

impl Candidate for ChainedRows {
    const NAME: &'static str = "chained rows (tail)";

    fn append(&mut self, rows: &RecordBatch) {
        self.position += 1;
        self.tail.append(LogPosition::new(self.position), rows).unwrap();
        self.view = self.tail.view();
    }

    fn latest(&self, key: i32) -> RecordBatch {
        self.view.latest(&[key.into()], &ALL).unwrap()
    }

    fn key_hour(&self, key: i32) -> RecordBatch {
        let keys = KeySelection::list([key]);
        self.view.hours()[0].read(&keys, TimeRange::ALL, &ALL).unwrap()
    }

    fn freeze(&self) -> RecordBatch {
        self.view.hours()[0].read(&KeySelection::All, TimeRange::ALL, &ALL).unwrap()
    }

    fn bytes(&self) -> usize {
        self.budget.used()
    }
}

fn main() {
    // Cargo's own flags (`--bench`) and filters mean nothing here.
    for arrival in [Arrival::InOrder, Arrival::Shuffled, Arrival::ShuffledWithLate] {
        let batches = data::hour(arrival);
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        println!("\n{arrival}: {} batches, {rows} rows", batches.len());
        let expected = fill::<SortedRuns>(&batches).freeze();
        measure::<ChainedRows>(&batches, &expected);
        measure::<ChainedColumns>(&batches, &expected);
        measure::<SortedRuns>(&batches, &expected);
        limits(&batches, &expected);
    }
    println!("\na few rows in each of 10,000 hours, one batch");
    sparse();
}

fn fill<C: Candidate + Default>(batches: &[RecordBatch]) -> C {
    let mut candidate = C::default();
    batches.iter().for_each(|batch| candidate.append(batch));
    candidate
}

fn measure<C: Candidate + Default>(batches: &[RecordBatch], expected: &RecordBatch) {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    println!("  {}", C::NAME);
    let full: C = fill(batches);
    check(&full, expected);

    report("append, batches of 15,000", "M rows/s", 7, || {
        let start = Instant::now();
        let filled: C = fill(batches);
        let rate = rows as f64 / start.elapsed().as_secs_f64() / 1e6;
        drop(filled);
        rate
    });
    let single: Vec<RecordBatch> = batches
        .iter()
        .flat_map(|b| (0..b.num_rows()).map(|i| b.slice(i, 1)))
        .take(100_000)
        .collect();
    report("append, batches of 1, view after each", "k rows/s", 5, || {
        let start = Instant::now();
        let filled: C = fill(&single);
        let rate = single.len() as f64 / start.elapsed().as_secs_f64() / 1e3;
        drop(filled);
        rate
    });
    let mut keys = data::keys().into_iter().cycle().step_by(7_919);
    let mut each = |what: &str, query: &dyn Fn(i32) -> RecordBatch| {
        report(what, "µs", 15, || {
            let asked: Vec<i32> = keys.by_ref().take(1_000).collect();
            let start = Instant::now();
            for key in asked {
                black_box(query(key));
            }
            start.elapsed().as_secs_f64() * 1e6 / 1_000.0
        });
    };
    each("latest of one key", &|key| full.latest(key));
    each("one key's hour", &|key| full.key_hour(key));
    report("freeze the hour", "ms", 9, || millis(|| drop(black_box(full.freeze()))));
    println!("    {:<40} {:>9.1} bytes/row", "memory", full.bytes() as f64 / rows as f64);
}

/// Every candidate gives the same answers.
fn check<C: Candidate>(candidate: &C, expected: &RecordBatch) {
    assert_eq!(&candidate.freeze(), expected);
    let keys = expected.column(0).as_primitive::<Int32Type>().values();
    for key in data::keys().into_iter().step_by(97) {
        let start = keys.partition_point(|&k| k < key);
        let end = keys.partition_point(|&k| k <= key);
        assert_eq!(candidate.key_hour(key), expected.slice(start, end - start));
        assert_eq!(candidate.latest(key), expected.slice(end - 1, 1));
    }
}

/// What any structure is up against: Arrow's full sort of the same rows, and the bare copying of the
/// answer.
fn limits(batches: &[RecordBatch], expected: &RecordBatch) {
    println!("  for comparison");
    let all = concat_batches(&batches[0].schema(), batches).unwrap();
    report("lexsort and take of all rows", "ms", 5, || {
        millis(|| {
            let column = |i: usize| SortColumn { values: Arc::clone(all.column(i)), options: None };
            let order = lexsort_to_indices(&[column(0), column(1)], None).unwrap();
            drop(black_box(take_record_batch(&all, &order)));
        })
    });
    let (front, back) = (expected.slice(0, expected.num_rows() / 2), expected.num_rows() / 2);
    let halves = [front, expected.slice(back, expected.num_rows() - back)];
    report("copy of the sorted rows", "ms", 9, || {
        millis(|| drop(black_box(concat_batches(&expected.schema(), &halves))))
    });
}

fn sparse() {
    let batch = data::sparse(10_000, 3);
    report("append and view", "ms", 5, || {
        let mut tail = ChainedRows::default();
        let took = millis(|| tail.append(&batch));
        drop(tail);
        took
    });
    let mut tail = ChainedRows::default();
    tail.append(&batch);
    println!("    {:<40} {:>9.0} bytes/hour", "memory", tail.bytes() as f64 / 10_000.0);
    let one = batch.slice(17, 1);
    report("append and view of one row more", "µs", 15, || millis(|| tail.append(&one)) * 1e3);
}

fn millis(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn report(what: &str, unit: &str, times: usize, mut measure: impl FnMut() -> f64) {
    let mut figures: Vec<f64> = (0..times).map(|_| measure()).collect();
    figures.sort_unstable_by(f64::total_cmp);
    let (min, median, max) = (figures[0], figures[times / 2], figures[times - 1]);
    println!("    {what:<40} {min:>9.2} / {median:>9.2} / {max:>9.2} {unit}");
}
