//! Three servers over one lake with a shared log, in a folder or on an object store (`stores`), killed with -9 and stopped
//! (SIGSTOP) and resumed, or cut off from the store, at random, under a load of puts, late rows, repeated rows, deletions, restores and landings: each
//! acknowledged row is there exactly once in each server, what was deleted or restored away stays away, and all answer
//! alike at a position.
//!
//! `BAROGRAPH_TEST_SEVERAL=200 cargo test --release -p barograph-cli --test scenarios several` runs more than the rounds of
//! the gate; `BAROGRAPH_TEST_SEED=7` sets the seed of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
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
use barograph_lake::{Key, LogPosition, TimeRange, Timestamp};
use barograph_test_support::temperatures;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Mutex as AsyncMutex;

use crate::server::{Server, command};

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

/// Runs a command with arguments.
pub(crate) type Run<'a> = dyn Fn(&[&str]) -> Output + 'a;

/// The lake of the servers.
pub(crate) struct Site<'a> {
    /// Starts the one of a number.
    pub(crate) start: &'a dyn Fn(usize) -> Server,
    /// Cuts the one of a number off from the store, or lets it reach the store again; absent if none can be.
    pub(crate) cut_off: Option<&'a dyn Fn(usize, bool)>,
    /// Runs a command beside them, to which the arguments that name the lake are added; absent where a store fails, as what
    /// a command did is not known then.
    pub(crate) run: Option<&'a Run<'a>>,
}

/// The servers, as clients find them.
#[derive(Default)]
struct Addresses(Mutex<Vec<String>>);

/// A writer with keys of its own, and what stands there.
struct Writer {
    keys: Vec<i32>,
    addresses: Arc<Addresses>,
    /// Rows that were acknowledged, and not deleted or restored away since.
    rows: BTreeMap<RowKey, f32>,
    /// Where it has deleted and puts nothing any more: a deletion that nobody waits for may still be carried out.
    deleted: Vec<(i32, TimeRange)>,
    /// Where the last of all that is told of in the log.
    position: LogPosition,
    minute: i64,
    /// A value that no earlier row had.
    next: u32,
    rng: SmallRng,
}

#[test]
fn acknowledged_rows_are_in_all_servers_once_whichever_die() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| command(args).arg("--data").arg(folder.path()).output().unwrap();
    let start = |_| Server::start_with(&[], folder.path(), &SETTINGS);
    survive(6, &Site { start: &start, cut_off: None, run: Some(&run) });
    check_lake(folder.path());
}

/// Kills and stops servers in so many rounds, or as many as the environment says.
pub(crate) fn survive(rounds: u64, site: &Site<'_>) {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let rounds = number("BAROGRAPH_TEST_SEVERAL", rounds);
    let mut rng = SmallRng::seed_from_u64(number("BAROGRAPH_TEST_SEED", 1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut servers: Vec<_> = (0..SERVERS).map(site.start).collect();
    let addresses = Arc::new(Addresses::default());
    addresses.set(&servers);
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let rng = SmallRng::seed_from_u64(rng.random());
            Arc::new(AsyncMutex::new(Writer::new(writer, &addresses, rng)))
        })
        .collect();
    let tasks: Vec<_> = writers
        .iter()
        .map(|writer| runtime.spawn(work(writer.clone(), Arc::clone(&stop), Arc::clone(&done))))
        .collect();
    let progress = |batches: usize| {
        let enough = done.load(Ordering::SeqCst) + batches;
        while done.load(Ordering::SeqCst) < enough && !tasks.iter().any(|task| task.is_finished()) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let mut restores = 0;
    for round in 0..rounds {
        progress(rng.random_range(1..BATCHES_PER_ROUND));
        let at = rng.random_range(0..SERVERS);
        if let Some(cut_off) = site.cut_off.filter(|_| round % 2 == 0) {
            cut_off(at, true);
            progress(rng.random_range(1..BATCHES_PER_ROUND));
            cut_off(at, false);
        } else if rng.random_bool(0.5) {
            let printed = std::mem::replace(&mut servers[at], (site.start)(at)).kill();
            assert!(!printed.contains("panicked"), "a server panicked:\n{printed}");
            addresses.set(&servers);
        } else {
            servers[at].signal("STOP");
            progress(rng.random_range(1..BATCHES_PER_ROUND));
            if let Some(run) = site.run {
                restores += usize::from(runtime.block_on(restore(&writers, run)));
            }
            servers[at].signal("CONT");
        }
    }
    progress(BATCHES_PER_ROUND);
    stop.store(true, Ordering::SeqCst);
    tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
    let writers: Vec<_> = writers.iter().map(|writer| writer.blocking_lock()).collect();
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
    let deletions: usize = writers.iter().map(|writer| writer.deleted.len()).sum();
    println!(
        "{rounds} rounds, {deletions} deletions, {restores} restores, {} rows, the same in each server",
        expected.len()
    );
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
            deleted: Vec::new(),
            position: LogPosition::default(),
            minute: 0,
            next: number as u32 * 1_000_000,
            rng,
        }
    }

    /// Puts, deletes, lands or reads, again and again at other servers until one says that it is done.
    async fn act(&mut self) {
        match self.rng.random_range(0..100) {
            0..4 => self.delete().await,
            4..8 => self.land().await,
            8..20 => self.read().await,
            _ => self.put().await,
        }
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
        rows.retain(|row, _| !self.deleted.iter().any(|deleted| is_in(row, deleted)));
        rows
    }

    async fn delete(&mut self) {
        let key = self.keys[self.rng.random_range(0..KEYS_PER_WRITER)];
        let from = START + (self.minute - self.rng.random_range(0..300)) * MINUTE;
        let [from, to] = [from, from + 30 * MINUTE].map(Timestamp::from_micros);
        let time = TimeRange { from, to };
        self.deleted.push((key, time));
        let report = loop {
            // Where it is done, all has to be known that was acknowledged.
            let client = self.client().await.after(self.position);
            match client.delete("readings", Some(vec![Key::from(key)]), time, "test").await {
                Ok(report) => break report,
                Err(error) => may_pass(&error),
            }
        };
        self.rows.retain(|row, _| !is_in(row, &(key, time)));
        self.position = self.position.max(report.position.unwrap());
    }

    async fn land(&mut self) {
        // One that does not come to its end changes nothing that is seen.
        if let Err(error) = self.client().await.flush().await {
            may_pass(&error);
        }
    }

    /// Lands all that was acknowledged.
    async fn land_all(&mut self) {
        while let Err(error) = self.client().await.flush().await {
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

/// Has a writer work until told to stop.
async fn work(writer: Arc<AsyncMutex<Writer>>, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) {
    while !stop.load(Ordering::SeqCst) {
        writer.lock().await.act().await;
        done.fetch_add(1, Ordering::SeqCst);
    }
}

/// Restores a version in which everything had landed, while no writer does anything. Whether that could be: a server that
/// was stopped in a deletion may have begun a record, and one that lands be first.
async fn restore(writers: &[Arc<AsyncMutex<Writer>>], run: &dyn Fn(&[&str]) -> Output) -> bool {
    let mut held = Vec::new();
    for writer in writers {
        held.push(writer.lock().await);
    }
    held[0].land_all().await;
    let version = newest_version(run);
    let rows: Vec<_> = held.iter().map(|writer| writer.rows.clone()).collect();
    for writer in &mut held {
        writer.put().await;
    }
    held[0].land_all().await;
    let done = run(&["lake", "restore", "readings", "--version", &version.to_string()]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() {
        let is_refused = said.contains("nothing was changed")
            || said.contains("rows that were deleted")
            || said.contains("there is nothing to restore");
        assert!(is_refused, "{said}");
        return false;
    }
    let position = said.split("after position ").nth(1).and_then(|rest| rest.split(' ').next());
    let position: LogPosition = position.expect(&said).parse().unwrap();
    for (writer, rows) in held.iter_mut().zip(rows) {
        writer.rows = rows;
        writer.position = writer.position.max(position);
        writer.read().await;
    }
    true
}

/// The newest version of the table.
fn newest_version(run: &dyn Fn(&[&str]) -> Output) -> u64 {
    let listed = run(&["lake", "history", "--table", "readings", "--format", "csv"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success(), "{text}{}", String::from_utf8_lossy(&listed.stderr));
    let versions = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse::<u64>());
    versions.map(Result::unwrap).max().unwrap()
}

fn is_in((key, at): &RowKey, (of, time): &(i32, TimeRange)) -> bool {
    key == of && time.contains(Timestamp::from_micros(*at))
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
