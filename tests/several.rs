//! Three servers over one lake with a shared log, in a folder or on an object store (`stores`), killed with -9 and stopped (SIGSTOP) and resumed at random, under a
//! load of puts, late rows, repeated rows and landings: each acknowledged row is there exactly once in each
//! server, deletions are refused, and all answer alike.
//!
//! `BAROGRAPH_TEST_SEVERAL=200 cargo test --release -p barograph-cli --test scenarios several` runs more than the rounds of
//! the gate; `BAROGRAPH_TEST_SEED=7` sets the seed of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};
use barograph::Cities;
use barograph_engine::{Durability, ErrorKind};
use barograph_flight::client::PutBatch;
use barograph_flight::ticket::RangeRead;
use barograph_flight::{Client, Ticket};
use barograph_lake::{Key, LogPosition, TimeRange};
use barograph_test_support::temperatures;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::server::Server;

const MINUTE: i64 = 60_000_000;
/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const SERVERS: usize = 3;
const WRITERS: usize = 3;
const KEYS_PER_WRITER: usize = 10;
/// A server is killed or stopped after at most this many more batches were acknowledged.
const BATCHES_PER_ROUND: usize = 30;
/// A call that takes longer goes to another server.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hours close soon after their end and late rows are merged at once, so that most kills hit a landing.
pub(crate) const SETTINGS: [(&str, &str); 5] = [
    ("BAROGRAPH_LOG", "store"),
    ("BAROGRAPH_ENGINE__LATENESS", "1s"),
    ("BAROGRAPH_ENGINE__LATE_MERGE_EVERY", "200ms"),
    ("BAROGRAPH_ENGINE__POLL_COMMITS_EVERY", "200ms"),
    ("BAROGRAPH_SCHEDULER__ENABLED", "false"),
];

type RowKey = (i32, i64);

/// The servers, as clients find them.
#[derive(Default)]
struct Addresses(Mutex<Vec<String>>);

/// A writer with keys of its own, and what stands there.
struct Writer {
    keys: Vec<i32>,
    addresses: Arc<Addresses>,
    /// Rows that were acknowledged.
    rows: BTreeMap<RowKey, f32>,
    /// Where the last of them stands.
    position: LogPosition,
    minute: i64,
    /// A value that no earlier row had.
    next: u32,
    rng: SmallRng,
}

#[test]
fn acknowledged_rows_are_in_all_servers_once_whichever_die() {
    let folder = tempfile::tempdir().unwrap();
    survive(6, &|| Server::start_with(&[], folder.path(), &SETTINGS));
    check_lake(folder.path());
}

/// Kills and stops servers in so many rounds, or as many as the environment says.
pub(crate) fn survive(rounds: u64, start: &dyn Fn() -> Server) {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let rounds = number("BAROGRAPH_TEST_SEVERAL", rounds);
    let mut rng = SmallRng::seed_from_u64(number("BAROGRAPH_TEST_SEED", 1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut servers: Vec<_> = (0..SERVERS).map(|_| start()).collect();
    let addresses = Arc::new(Addresses::default());
    addresses.set(&servers);
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let writer = Writer::new(writer, &addresses, SmallRng::seed_from_u64(rng.random()));
            runtime.spawn(writer.work(Arc::clone(&stop), Arc::clone(&done)))
        })
        .collect();
    let progress = |batches: usize| {
        let enough = done.load(Ordering::SeqCst) + batches;
        while done.load(Ordering::SeqCst) < enough && !tasks.iter().any(|task| task.is_finished()) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for _ in 0..rounds {
        progress(rng.random_range(1..BATCHES_PER_ROUND));
        let at = rng.random_range(0..SERVERS);
        if rng.random_bool(0.5) {
            let printed = std::mem::replace(&mut servers[at], start()).kill();
            assert!(!printed.contains("panicked"), "a server panicked:\n{printed}");
            addresses.set(&servers);
        } else {
            servers[at].signal("STOP");
            progress(rng.random_range(1..BATCHES_PER_ROUND));
            servers[at].signal("CONT");
        }
    }
    progress(BATCHES_PER_ROUND);
    stop.store(true, Ordering::SeqCst);
    let writers: Vec<Writer> =
        tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
    let expected: BTreeMap<_, _> = writers.iter().flat_map(|writer| &writer.rows).collect();
    let position = writers.iter().map(|writer| writer.position).max().unwrap();
    for server in servers {
        let rows = runtime.block_on(async {
            let client = Client::connect(&server.url()).await.unwrap();
            everything(&client.after(position)).await
        });
        let told: BTreeMap<_, _> = rows.iter().map(|(key, value)| (key, value)).collect();
        assert_eq!(told.len(), rows.len(), "a row is there twice");
        assert!(told == expected, "{}", difference(&told, &expected));
        let (status, printed) = server.terminate();
        assert!(status.success(), "{printed}");
    }
    println!("{rounds} rounds, {} rows, the same in each server", expected.len());
}

impl Addresses {
    fn set(&self, servers: &[Server]) {
        *self.0.lock().unwrap() = servers.iter().map(Server::url).collect();
    }

    /// All of them, from the one of a number on.
    fn from(&self, first: usize) -> String {
        let mut all = self.0.lock().unwrap().clone();
        all.rotate_left(first % SERVERS);
        all.join(",")
    }
}

impl Writer {
    fn new(number: usize, addresses: &Arc<Addresses>, rng: SmallRng) -> Self {
        let cities = Cities::built_in().unwrap();
        let cities = cities.all().iter().skip(number * KEYS_PER_WRITER).take(KEYS_PER_WRITER);
        Self {
            keys: cities.map(|city| city.id).collect(),
            addresses: Arc::clone(addresses),
            rows: BTreeMap::new(),
            position: LogPosition::default(),
            minute: 0,
            next: number as u32 * 1_000_000,
            rng,
        }
    }

    /// Puts, deletes, lands and reads until told to stop; each is done again at other servers until one says that it is
    /// done.
    async fn work(mut self, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Self {
        while !stop.load(Ordering::SeqCst) {
            match self.rng.random_range(0..100) {
                0..4 => self.delete().await,
                4..8 => self.land().await,
                8..20 => self.read().await,
                _ => self.put().await,
            }
            done.fetch_add(1, Ordering::SeqCst);
        }
        self
    }

    /// A client of all servers, which begins at a random one.
    async fn client(&mut self) -> Client {
        loop {
            let all = self.addresses.from(self.rng.random_range(0..SERVERS));
            match Client::connect(&all).await {
                Ok(client) => return client.with_timeout(PATIENCE),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
    }

    async fn put(&mut self) {
        let rows = self.rows();
        if rows.is_empty() {
            return;
        }
        let batch = PutBatch::from(temperatures(rows.iter().map(|(&(key, at), &v)| (key, at, v))));
        let ack = loop {
            let client = self.client().await;
            match client.put_batch("readings", batch.clone(), Durability::Disk).await {
                Ok(ack) => break ack,
                Err(error) => may_pass(&error),
            }
        };
        assert_eq!((ack.accepted, ack.rejected), (rows.len() as u64, 0));
        self.rows.extend(rows);
        self.position = self.position.max(ack.position);
    }

    /// The next rows: new minutes, late ones, repeated ones.
    fn rows(&mut self) -> BTreeMap<RowKey, f32> {
        self.minute += self.rng.random_range(1..8);
        let mut rows = BTreeMap::new();
        for _ in 0..self.rng.random_range(1..60) {
            let key = self.keys[self.rng.random_range(0..KEYS_PER_WRITER)];
            let late = self.rng.random_bool(0.1);
            let age = self.rng.random_range(0..if late { 600 } else { 5 });
            self.next += 1;
            let value = (self.next % 1_400_000) as f32 / 10_000.0 - 80.0;
            rows.insert((key, START + (self.minute - age) * MINUTE), value);
        }
        rows
    }

    /// Servers that share a log refuse to delete.
    async fn delete(&mut self) {
        let key = Key::from(self.keys[self.rng.random_range(0..KEYS_PER_WRITER)]);
        loop {
            let client = self.client().await;
            match client.delete("readings", Some(vec![key]), TimeRange::ALL, "test").await {
                Ok(report) => panic!("rows were deleted: {report:?}"),
                Err(error) if error.kind() == ErrorKind::Request => break,
                Err(error) => may_pass(&error),
            }
        }
    }

    async fn land(&mut self) {
        // One that does not come to its end changes nothing that is seen.
        if let Err(error) = self.client().await.flush().await {
            may_pass(&error);
        }
    }

    /// Reads the writer's keys at any server.
    async fn read(&mut self) {
        let keys = Some(self.keys.iter().map(|&key| Key::from(key)).collect());
        let range = RangeRead { keys, ..RangeRead::default() };
        let ticket = Ticket::range("readings", range).columns(["temperature"]);
        let read = loop {
            let client = self.client().await.after(self.position);
            let answer = match client.get(&ticket).await {
                Ok(answer) => answer.collect().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(rows) => break rows_of(&rows),
                Err(error) => may_pass(&error),
            }
        };
        let told: BTreeMap<_, _> = read.iter().map(|(key, value)| (key, value)).collect();
        let expected: BTreeMap<_, _> = self.rows.iter().collect();
        assert_eq!(told.len(), read.len(), "a row is there twice");
        assert!(told == expected, "{}", difference(&told, &expected));
    }
}

/// What a server that dies, stops or shuts down may say.
fn may_pass(error: &barograph_flight::Error) {
    let passes = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Resources];
    assert!(passes.contains(&error.kind()), "{:?}: {error}", error.kind());
}

/// All rows of a server, however long it takes to have them.
async fn everything(client: &Client) -> Vec<(RowKey, f32)> {
    let ticket = Ticket::range("readings", RangeRead::default()).columns(["temperature"]);
    loop {
        match client.get(&ticket).await {
            Ok(answer) => return rows_of(&answer.collect().await.unwrap()),
            Err(error) => may_pass(&error),
        }
    }
}

fn rows_of(answer: &RecordBatch) -> Vec<(RowKey, f32)> {
    let keys = answer.column(0).as_primitive::<Int32Type>();
    let times = answer.column(1).as_primitive::<TimestampMicrosecondType>();
    let values = answer.column(2).as_primitive::<Float32Type>();
    let row = |row| ((keys.value(row), times.value(row)), values.value(row));
    (0..answer.num_rows()).map(row).collect()
}

/// The first rows that only one has, or that differ.
fn difference<'a>(
    told: &BTreeMap<&'a RowKey, &'a f32>,
    expected: &BTreeMap<&'a RowKey, &'a f32>,
) -> String {
    let rows = |of: &BTreeMap<&RowKey, &f32>, other: &BTreeMap<&RowKey, &f32>| {
        let only = of.iter().filter(|(key, value)| other.get(*key) != Some(*value));
        format!("{:?}", only.take(5).collect::<Vec<_>>())
    };
    format!(
        "{} rows, and {} were acknowledged; told: {}; acknowledged: {}",
        told.len(),
        expected.len(),
        rows(told, expected),
        rows(expected, told)
    )
}

fn check_lake(data: &Path) {
    let output = crate::server::command(&["lake", "check", "--data"]).arg(data).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
