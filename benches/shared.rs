//! The shared log beside its limits, in real processes: `cargo bench -p barograph-cli --bench shared [-- PART…]`.
//!
//! | part | what | beside |
//! |---|---|---|
//! | `folder` | rows acknowledged through the shared log in a folder, four writers | the local log |
//! | `ack` | acknowledgements of three servers, 12 batches of 15,000 a second in all, over an S3 server with its delays | a PUT of as many bytes |
//! | `seen` | a batch acknowledged at one server, until another shows it, asked all the time or by its position | its acknowledgement |
//! | `takeover` | time without an acknowledgement of a client with three addresses, the leader killed with -9 | – |
//! | `restart` | a start over an hour of 60 batches of 15,000 in that store | – |
//!
//! `ack` and `restart` need `BAROGRAPH_BENCH_S3=HOST:PORT`, an S3 server with a bucket `lake`; `seen` and `takeover` run
//! in a folder. `BAROGRAPH_BENCH_SECONDS` sets how long a measurement runs (default 10), and
//! `BAROGRAPH_BENCH_KILLS` how often the leader is killed (default 50).
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use barograph::{Cities, Weather};
use barograph_engine::Durability;
use barograph_flight::{Client, Ticket};
use barograph_lake::store::{LakeStore, StoreSettings};
use barograph_lake::{Hour, Key, Span};
use barograph_test_support::later;
use barograph_test_support::store_proxy::{Delay, Faults, StoreProxy};
use object_store::{ObjectStoreExt, PutPayload};

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const SERVERS: usize = 3;
const WRITERS: usize = 4;
const ROUNDS: usize = 3;
/// Batches whose way to another server is timed.
const SEEN: usize = 240;
/// Delays of S3 Standard: docs/adr/0033-shared-log.md.
const PUT: Delay = Delay { p50: Duration::from_millis(30), p99: Duration::from_millis(120) };
const OTHER: Delay = Delay { p50: Duration::from_millis(15), p99: Duration::from_millis(60) };

fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|it| it == part);
    let length = Duration::from_secs(variable("BAROGRAPH_BENCH_SECONDS").unwrap_or(10));
    let store = std::env::var("BAROGRAPH_BENCH_S3").ok().map(|it| it.parse().unwrap());
    let minutes = Arc::new(minutes());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if wanted("folder") {
            folder(&minutes, length).await;
        }
        if wanted("seen") {
            seen(&minutes).await;
        }
        if wanted("takeover") {
            takeover(variable("BAROGRAPH_BENCH_KILLS").unwrap_or(50) as usize).await;
        }
        match store {
            None => println!("ack, restart: left out, as BAROGRAPH_BENCH_S3 names no store"),
            Some(store) => {
                if wanted("ack") {
                    ack(store, &minutes, length).await;
                }
                if wanted("restart") {
                    restart(store, &minutes).await;
                }
            }
        }
    });
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// An hour of the demonstration's readings, a batch a minute.
fn minutes() -> Vec<RecordBatch> {
    let cities = Cities::built_in().unwrap();
    let weather = Weather::new(1, cities.all());
    let hour: Hour = "2024-01-01T00".parse().unwrap();
    weather.hour_batches(hour).map(Result::unwrap).collect()
}

/// A running server; killed with -9 when it is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts one, and gives the time until it answers.
    fn start(data: &str, settings: &[String]) -> (Self, Duration) {
        let started = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_barograph"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data", data])
            .args(["--set", "scheduler.enabled=false", "--set", "store.cache_bytes=0B"])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .envs([("AWS_ACCESS_KEY_ID", "bench"), ("AWS_SECRET_ACCESS_KEY", "bench")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = said.find(|line| line.contains(" at http://")).expect("the server ended");
        let address = line.rsplit("http://").next().unwrap().trim().to_owned();
        // What it prints later has to go somewhere.
        std::thread::spawn(move || said.for_each(drop));
        (Self { process, address }, started.elapsed())
    }

    async fn client(&self) -> Client {
        Client::connect(&format!("http://{}", self.address)).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn shared() -> Vec<String> {
    vec!["log=store".to_owned()]
}

/// Servers of one lake in a folder.
fn servers(folder: &std::path::Path) -> Vec<Server> {
    (0..SERVERS).map(|_| Server::start(folder.to_str().unwrap(), &shared()).0).collect()
}

fn print_times(name: &str, times: &mut [Duration]) -> [f64; 2] {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "  {name:34} p50 {:>8.2} ms  p99 {:>8.2} ms  max {:>8.2} ms  of {}",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
    [at(0.5), at(0.99)]
}

async fn folder(minutes: &Arc<Vec<RecordBatch>>, length: Duration) {
    println!("folder: {WRITERS} writers over Flight, batches of {}", minutes[0].num_rows());
    for round in 0..ROUNDS {
        let mut rates = [0.0; 2];
        for (rate, settings) in rates.iter_mut().zip([shared(), Vec::new()]) {
            let folder = tempfile::tempdir().unwrap();
            let (server, _) = Server::start(folder.path().to_str().unwrap(), &settings);
            let begun = Instant::now();
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (url, minutes) = (format!("http://{}", server.address), minutes.clone());
                    tokio::spawn(async move {
                        let client = Client::connect(&url).await.unwrap();
                        let mut rows = 0;
                        for number in (writer..).step_by(WRITERS) {
                            if begun.elapsed() >= length {
                                break;
                            }
                            let hours = Span::HOUR * (number / 60) as i64;
                            let batch = later(&minutes[number % 60], hours);
                            rows += batch.num_rows();
                            put(&client, batch).await;
                        }
                        rows
                    })
                })
                .collect();
            let mut rows = 0;
            for writer in writers {
                rows += writer.await.unwrap();
            }
            *rate = rows as f64 / begun.elapsed().as_secs_f64();
        }
        println!(
            "  round {round}: shared {:>10.0} rows/s, local {:>10.0} rows/s, {:.2} of it",
            rates[0],
            rates[1],
            rates[0] / rates[1]
        );
    }
}

/// Puts a batch, as often as the server says to try again.
async fn put(client: &Client, batch: RecordBatch) -> Duration {
    let sent = Instant::now();
    loop {
        match client.put_batch("readings", batch.clone(), Durability::Disk).await {
            Ok(_) => return sent.elapsed(),
            Err(error) => match error.retry_after() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => panic!("{error}"),
            },
        }
    }
}

async fn ack(store: SocketAddr, minutes: &Arc<Vec<RecordBatch>>, length: Duration) {
    println!("ack: {SERVERS} servers, 4 batches of {} a second each", minutes[0].num_rows());
    let proxies: Vec<StoreProxy> = (0..SERVERS as u64).map(|seed| slow(store, seed)).collect();
    let data = format!("s3://lake/ack-{}", std::process::id());
    let servers: Vec<Server> = proxies.iter().map(|proxy| at(proxy, &data)).collect();
    let (mut times, mut limits) = (Vec::new(), Vec::new());
    let mut tasks = Vec::new();
    let begun = Instant::now();
    for (server, proxy) in servers.iter().zip(&proxies) {
        let (client, minutes) = (server.client().await, Arc::clone(minutes));
        let raw = raw(proxy, &data);
        tasks.push(tokio::spawn(async move {
            let (mut times, mut limits) = (Vec::new(), Vec::new());
            let mut ticks = tokio::time::interval(Duration::from_millis(250));
            let body = body(&minutes[0]);
            for (number, minute) in minutes.iter().cycle().enumerate() {
                if begun.elapsed() >= length {
                    break;
                }
                ticks.tick().await;
                times.push(put(&client, minute.clone()).await);
                let path = format!("raw/{number}").into();
                let sent = Instant::now();
                raw.object().put(&path, PutPayload::from(body.clone())).await.unwrap();
                limits.push(sent.elapsed());
            }
            (times, limits)
        }));
    }
    for task in tasks {
        let (acknowledged, limit) = task.await.unwrap();
        times.extend(acknowledged);
        limits.extend(limit);
    }
    let ours = print_times("acknowledgement", &mut times);
    let limit = print_times("a PUT of as many bytes", &mut limits);
    println!("  p50 {:.2} and p99 {:.2} of a PUT", ours[0] / limit[0], ours[1] / limit[1]);
}

/// A proxy before a store that makes it as slow as S3.
fn slow(store: SocketAddr, seed: u64) -> StoreProxy {
    StoreProxy::start(store, seed, Faults { put_delay: PUT, delay: OTHER, ..Faults::default() })
}

/// A server whose requests go through a proxy.
fn at(proxy: &StoreProxy, data: &str) -> Server {
    let mut settings = shared();
    settings.push(format!("store.endpoint=http://{}", proxy.address()));
    Server::start(data, &settings).0
}

/// The store itself, through the same proxy.
fn raw(proxy: &StoreProxy, data: &str) -> LakeStore {
    let credentials = tempfile::NamedTempFile::new().unwrap();
    let text = "AWS_ACCESS_KEY_ID=bench\nAWS_SECRET_ACCESS_KEY=bench\n";
    std::fs::write(credentials.path(), text).unwrap();
    let settings = StoreSettings {
        endpoint: Some(format!("http://{}", proxy.address())),
        credentials: Some(credentials.path().to_owned()),
        ..StoreSettings::default()
    };
    LakeStore::open_with(data, &settings, "bench").unwrap()
}

/// What a batch takes in the log.
fn body(batch: &RecordBatch) -> Vec<u8> {
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

async fn seen(minutes: &[RecordBatch]) {
    println!("seen: a batch of {} put at one server, read at another", minutes[0].num_rows());
    let folder = tempfile::tempdir().unwrap();
    let servers = servers(folder.path());
    let [first, second, third] = [0, 1, 2].map(|at| servers[at].client());
    let (first, second, third) = (first.await, second.await, third.await);
    // It leads, and the others have time to ask it for what it appends.
    put(&first, row(0)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut hours = (0..)
        .map(|hour| Span::HOUR * hour)
        .flat_map(|hour| minutes.iter().map(move |minute| later(minute, hour)));
    for (name, here, there) in [
        ("put at the leader", &first, &second),
        ("put at a follower, which forwards it", &second, &third),
    ] {
        println!("  {name}");
        let (mut acknowledged, mut shown, mut asked_for) = (Vec::new(), Vec::new(), Vec::new());
        for (number, batch) in hours.by_ref().take(SEEN).enumerate() {
            let newest = newest(&batch);
            let sent = Instant::now();
            let ack = here.put_batch("readings", batch, Durability::Disk).await.unwrap();
            acknowledged.push(sent.elapsed());
            let asked = Instant::now();
            let key = Some(vec![Key::from(newest.0)]);
            let ticket = Ticket::latest("readings", key).columns(["temperature"]);
            // By turns: whether it is there is asked until it is, or the answer is to show it.
            let (ticket, times) = match number % 2 {
                0 => (ticket, &mut shown),
                _ => (ticket.after(ack.position), &mut asked_for),
            };
            loop {
                let rows = there.get(&ticket).await.unwrap().collect().await.unwrap();
                if rows.num_rows() > 0 && times_of(&rows).value(0) >= newest.1 {
                    break;
                }
                assert!(number % 2 == 0, "an answer after a position does not show it");
            }
            times.push(asked.elapsed());
        }
        print_times("acknowledgement", &mut acknowledged);
        print_times("shown at another, after it", &mut shown);
        print_times("the same, by its position", &mut asked_for);
    }
}

/// The first key of a batch with its instant, the same for all.
fn newest(batch: &RecordBatch) -> (i32, i64) {
    let keys = batch.column(0).as_primitive::<Int32Type>();
    (keys.value(0), times_of(batch).value(0))
}

fn times_of(rows: &RecordBatch) -> &TimestampMicrosecondArray {
    rows.column(1).as_primitive::<TimestampMicrosecondType>()
}

/// A row of a city.
fn row(number: usize) -> RecordBatch {
    let time = TimestampMicrosecondArray::from(vec![START + number as i64]).with_timezone("UTC");
    let key = arrow::array::Int32Array::from(vec![Cities::built_in().unwrap().all()[0].id]);
    RecordBatch::try_from_iter([
        ("city_id", Arc::new(key) as ArrayRef),
        ("reading_at", Arc::new(time)),
    ])
    .unwrap()
}

async fn takeover(kills: usize) {
    println!("takeover: the leader is killed with -9, {kills} times");
    let folder = tempfile::tempdir().unwrap();
    let mut servers = servers(folder.path());
    let (mut gaps, mut number) = (Vec::new(), 0);
    for _ in 0..kills {
        let addresses: Vec<_> =
            servers.iter().map(|server| format!("http://{}", server.address)).collect();
        let client = Client::connect(&addresses.join(",")).await.unwrap();
        for _ in 0..20 {
            number += 1;
            put(&client, row(number)).await;
        }
        let leader = leader(&client).await;
        let at = servers.iter().position(|server| server.address == leader).unwrap();
        let killed = Instant::now();
        servers[at].process.kill().unwrap();
        number += 1;
        put(&client, row(number)).await;
        gaps.push(killed.elapsed());
        servers[at] = Server::start(folder.path().to_str().unwrap(), &shared()).0;
    }
    print_times("until the next acknowledgement", &mut gaps);
}

/// The address of the process that leads.
async fn leader(client: &Client) -> String {
    let text = "SELECT address FROM system.members WHERE role = 'leader'";
    loop {
        let rows = client.sql(text).await.unwrap().collect().await.unwrap();
        if rows.num_rows() == 1 {
            return rows.column(0).as_string::<i32>().value(0).to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn restart(store: SocketAddr, minutes: &[RecordBatch]) {
    println!("restart: over {} batches of {}", minutes.len(), minutes[0].num_rows());
    let proxy = slow(store, 1);
    let data = format!("s3://lake/restart-{}", std::process::id());
    let server = at(&proxy, &data);
    let client = server.client().await;
    for batch in minutes {
        put(&client, batch.clone()).await;
    }
    drop(server);
    let mut settings = shared();
    settings.push(format!("store.endpoint=http://{}", proxy.address()));
    let mut times: Vec<_> = (0..ROUNDS).map(|_| Server::start(&data, &settings).1).collect();
    print_times("until it answers", &mut times);
}
