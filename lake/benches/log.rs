//! The cost of the Delta log of a table of 10,000 files: opening, refreshing, committing and writing a checkpoint.
//!
//! Prints min, median and max in ms, beside the physical limits: reading the checkpoint's bytes, and one synced write
//! to the same disk.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod table;

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use barograph_lake::store::LakeStore;
use barograph_lake::{Change, LakeTable, Operation, Timestamp};
use table::{entry, schema};

const FILES: i64 = 10_000;
const ROUNDS: usize = 9;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().unwrap();
    let store = LakeStore::local(folder.path()).unwrap().child("readings");
    let schema = Arc::new(schema());
    let (table, base) = LakeTable::open(store.clone(), schema.clone()).await.unwrap();
    let added = (0..FILES).map(|n| Arc::new(entry(n))).collect();
    let landing = table.transaction(&base, Operation::Land, Change::Moved);
    let mut held =
        landing.add(added).commit(Timestamp::UNIX_EPOCH).await.unwrap().committed().unwrap();

    let mut open = Timings::new("open, JSON only");
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(LakeTable::open(store.clone(), schema.clone()).await.unwrap());
        open.add(start);
    }
    open.print();

    let mut checkpoint = Timings::new("checkpoint");
    for _ in 0..3 {
        let start = Instant::now();
        table.checkpoint(&held).await.unwrap();
        checkpoint.add(start);
    }
    checkpoint.print();

    let mut open = Timings::new("open, checkpoint");
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(LakeTable::open(store.clone(), schema.clone()).await.unwrap());
        open.add(start);
    }
    open.print();

    let mut commit = Timings::new("commit: one file for another");
    let mut apply = Timings::new("  of it: snapshot chained");
    for n in 0..100 {
        let old = held
            .files_of_hour(entry(n).path.period().hours().next().unwrap())
            .first()
            .unwrap()
            .clone();
        let new = Arc::new(entry(n));
        let start = Instant::now();
        black_box(held.apply(held.version(), &[old.path], vec![new.clone()]));
        apply.add(start);
        let start = Instant::now();
        let landing = table.transaction(&held, Operation::Land, Change::Moved);
        let landing = landing.remove(&[old]).add(vec![new]);
        held = landing.commit(Timestamp::UNIX_EPOCH).await.unwrap().committed().unwrap();
        commit.add(start);
    }
    commit.print();
    apply.print();

    let mut refresh = Timings::new("refresh, checkpoint + 100 commits");
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(table.refresh().await.unwrap());
        refresh.add(start);
    }
    refresh.print();
    assert_eq!(table.refresh().await.unwrap().files(), held.files());

    let log = store.local_path("_delta_log").unwrap();
    let mut read = Timings::new("limit: read the checkpoint's bytes");
    let checkpoint = log.join(format!("{:020}.checkpoint.parquet", 1));
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(std::fs::read(&checkpoint).unwrap());
        read.add(start);
    }
    read.print();
    let mut sync = Timings::new("limit: one synced write");
    for n in 0..100 {
        let start = Instant::now();
        let mut file = std::fs::File::create(log.join(format!("sync-{n}"))).unwrap();
        file.write_all(&[0; 1024]).unwrap();
        file.sync_all().unwrap();
        sync.add(start);
    }
    sync.print();
}

struct Timings {
    name: &'static str,
    millis: Vec<f64>,
}

impl Timings {
    fn new(name: &'static str) -> Self {
        Self { name, millis: Vec::new() }
    }

    fn add(&mut self, start: Instant) {
        self.millis.push(start.elapsed().as_secs_f64() * 1e3);
    }

    fn print(&mut self) {
        self.millis.sort_by(f64::total_cmp);
        let (min, max) = (self.millis[0], self.millis[self.millis.len() - 1]);
        let median = self.millis[self.millis.len() / 2];
        println!("{:<36} min {min:8.2}  median {median:8.2}  max {max:8.2}", self.name);
    }
}
