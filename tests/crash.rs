//! The real binary, killed with -9 at random moments under load, also while it lands: each row acknowledged at `disk`
//! is there exactly once, and a batch is there as a whole or not at all.
//!
//! `BAROGRAPH_TEST_CRASHES=1000 cargo test --release -p barograph-cli --test scenarios crash` runs more than the 16
//! cycles of the gate; `BAROGRAPH_TEST_SEED=7` sets the seed of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};
use barograph::Cities;
use barograph_engine::Durability;
use barograph_flight::ticket::RangeRead;
use barograph_flight::{Client, Ticket};
use barograph_fuzz::number;
use barograph_test_support::temperatures;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::server::Server;

const MINUTE: i64 = 60_000_000;
/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const WRITERS: usize = 3;
const KEYS_PER_WRITER: usize = 20;
/// A server is killed after it has acknowledged at most this many more rows.
const ROWS_PER_CYCLE: usize = 2_000;

/// Hours close soon after their end and late rows are merged at once, so that most kills hit a landing.
const SETTINGS: [(&str, &str); 3] = [
    ("BAROGRAPH_ENGINE__LATENESS", "1s"),
    ("BAROGRAPH_ENGINE__LATE_MERGE_EVERY", "50ms"),
    ("BAROGRAPH_ENGINE__CHECKPOINT_COMMITS", "3"),
];

/// The record that a writer keeps of its own keys.
#[derive(Default)]
struct Ledger {
    /// Rows that the server acknowledged at `disk`.
    acknowledged: BTreeMap<(i32, i64), f32>,
    /// The batch that was sent and not answered.
    open: Vec<((i32, i64), f32)>,
    /// Minutes since the start; grows with each batch.
    minute: i64,
    /// A value that no earlier row had.
    next: u32,
}

#[test]
fn acknowledged_rows_survive_kill_9() {
    let cycles = number("BAROGRAPH_TEST_CRASHES", 16);
    let seed = number("BAROGRAPH_TEST_SEED", 1);
    let folder = tempfile::tempdir().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ledgers: Vec<_> = (0..WRITERS).map(|_| Arc::new(Mutex::new(Ledger::default()))).collect();
    let mut rng = SmallRng::seed_from_u64(seed);
    for cycle in 0..cycles {
        let server = Server::start_with(&[], folder.path(), &SETTINGS);
        runtime.block_on(verify(&server, &ledgers, cycle));
        let stop = Arc::new(AtomicBool::new(false));
        let url = server.url();
        let tasks: Vec<_> = ledgers
            .iter()
            .enumerate()
            .map(|(writer, ledger)| {
                let (url, stop) = (url.clone(), Arc::clone(&stop));
                let rng = SmallRng::seed_from_u64(rng.random());
                runtime.spawn(write(url, writer, Arc::clone(ledger), stop, rng))
            })
            .collect();
        let enough = acknowledged(&ledgers) + rng.random_range(1..ROWS_PER_CYCLE);
        until(|| acknowledged(&ledgers) >= enough || tasks.iter().all(|task| task.is_finished()));
        std::thread::sleep(Duration::from_micros(rng.random_range(0..20_000)));
        let printed = server.kill();
        assert!(!printed.contains("panicked"), "the server panicked:\n{printed}");
        stop.store(true, Ordering::SeqCst);
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    }
    let server = Server::start_with(&[], folder.path(), &SETTINGS);
    runtime.block_on(verify(&server, &ledgers, cycles));
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    let rows = acknowledged(&ledgers);
    println!("{cycles} kills, {rows} acknowledged rows, each there once");
    assert!(rows > cycles as usize * 100, "the writers wrote too little to prove anything: {rows}");
    check_lake(folder.path());
}

/// Number of rows that the server acknowledged at `disk`.
fn acknowledged(ledgers: &[Arc<Mutex<Ledger>>]) -> usize {
    ledgers.iter().map(|ledger| ledger.lock().unwrap().acknowledged.len()).sum()
}

fn until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends batches until the server dies: new minutes, late ones, repeats; now and then a flush.
async fn write(
    url: String,
    writer: usize,
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    mut rng: SmallRng,
) {
    let Ok(client) = Client::connect(&url).await else { return };
    while !stop.load(Ordering::SeqCst) {
        if rng.random_bool(0.03) && client.flush().await.is_err() {
            return;
        }
        let rows = next_batch(&mut ledger.lock().unwrap(), writer, &mut rng);
        let batch = encode(&rows);
        match client.put_batch("readings", batch, Durability::Disk).await {
            Ok(ack) => {
                assert_eq!(ack.accepted, rows.len() as u64);
                let mut ledger = ledger.lock().unwrap();
                ledger.acknowledged.extend(rows);
                ledger.open.clear();
            }
            Err(_) => return,
        }
    }
}

fn next_batch(ledger: &mut Ledger, writer: usize, rng: &mut SmallRng) -> Vec<((i32, i64), f32)> {
    ledger.minute += rng.random_range(1..8);
    let mut rows = BTreeMap::new();
    for _ in 0..rng.random_range(1..120) {
        let city = writer * KEYS_PER_WRITER + rng.random_range(0..KEYS_PER_WRITER);
        let key = Cities::built_in().unwrap().all()[city].id;
        let age =
            if rng.random_bool(0.9) { rng.random_range(0..5) } else { rng.random_range(0..600) };
        ledger.next += 1;
        let value = (ledger.next % 1_400_000) as f32 / 10_000.0 - 80.0;
        rows.insert((key, START + (ledger.minute - age) * MINUTE), value);
    }
    ledger.open = rows.into_iter().collect();
    ledger.open.clone()
}

fn encode(rows: &[((i32, i64), f32)]) -> RecordBatch {
    temperatures(rows.iter().map(|&((city, at), value)| (city, at, value)))
}

/// Reads everything and compares it with the ledgers; the outcome of open batches follows from what is there.
async fn verify(server: &Server, ledgers: &[Arc<Mutex<Ledger>>], cycle: u64) {
    let client = Client::connect(&server.url()).await.unwrap();
    let ticket = Ticket::range("readings", RangeRead::default()).columns(["temperature"]);
    let answer = client.get(&ticket).await.unwrap().collect().await.unwrap();
    let keys = answer.column(0).as_primitive::<Int32Type>();
    let times = answer.column(1).as_primitive::<TimestampMicrosecondType>();
    let values = answer.column(2).as_primitive::<Float32Type>();
    let mut stored = BTreeMap::new();
    for row in 0..answer.num_rows() {
        let key = (keys.value(row), times.value(row));
        assert!(
            stored.insert(key, values.value(row)).is_none(),
            "cycle {cycle}: {key:?} is there twice"
        );
    }
    for (writer, ledger) in ledgers.iter().enumerate() {
        let mut ledger = ledger.lock().unwrap();
        let open = std::mem::take(&mut ledger.open);
        let landed = open.iter().filter(|(key, value)| stored.get(key) == Some(value)).count();
        assert!(
            landed == 0 || landed == open.len(),
            "cycle {cycle}, writer {writer}: {landed} of {} rows of an unanswered batch are there",
            open.len()
        );
        if landed > 0 {
            ledger.acknowledged.extend(open);
        }
        for (key, value) in &ledger.acknowledged {
            assert_eq!(
                stored.remove(key),
                Some(*value),
                "cycle {cycle}, writer {writer}: {key:?} was acknowledged at disk"
            );
        }
    }
    assert!(stored.is_empty(), "cycle {cycle}: rows that nobody sent: {stored:?}");
}

fn check_lake(data: &Path) {
    let output = crate::server::command(&["lake", "check", "--data"]).arg(data).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
