//! The rate and the latency of ingestion over Flight, synced to disk.
//!
//! `cargo bench --bench ingest` prints
//! - the sustained rate of four writers that send batches of 15,000 as fast as they are acknowledged,
//!   with hours landing meanwhile, beside the limit: the same log bytes written and synced to the same
//!   disk, without an engine;
//! - the time of an acknowledgement at the real load, a batch of 15,000 a second, with and without point
//!   and range queries beside it, and the time of those queries with and without the load;
//! - the time of an acknowledgement of a batch of 250, forty a second, without and beside statements that keep their
//!   threads, answers that nobody reads and statements that take long to plan (this part alone with `-- beside`).
//!
//! `BAROGRAPH_BENCH_SECONDS` sets how long each measurement runs (default 20; at the real load three times as long).
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use barograph::{Cities, Settings, Weather};
use barograph_engine::internal::CountingAllocator;
use barograph_engine::{Durability, Engine, ErrorKind};
use barograph_flight::ticket::RangeRead;
use barograph_flight::{Client, FlightSettings, Server, Ticket};
use barograph_lake::{Hour, Key, Span, Timestamp};
use barograph_query::{Sql, SqlSettings};
use barograph_test_support::{engine_in, later};
use futures::StreamExt;

#[global_allocator]
static ALLOCATOR: CountingAllocator<mimalloc::MiMalloc> = CountingAllocator(mimalloc::MiMalloc);

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const WRITERS: usize = 4;
const ROWS: usize = 15_000;

fn main() {
    let seconds = std::env::var("BAROGRAPH_BENCH_SECONDS").map_or(20, |s| s.parse().unwrap());
    let length = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let part = std::env::args().nth(1).filter(|part| !part.starts_with('-'));
    runtime.block_on(async {
        if part.as_deref() == Some("beside") {
            return beside_statements(length).await;
        }
        flood(length).await;
        settle().await;
        real_load(length * 3).await;
        settle().await;
        beside_statements(length).await;
    });
}

/// Waits until the disk has what was written before, so that it does not slow down what comes.
async fn settle() {
    let synced = tokio::process::Command::new("sync").status().await.unwrap();
    assert!(synced.success(), "sync: {synced}");
    tokio::time::sleep(Duration::from_secs(2)).await;
}

async fn serve(folder: &Path) -> (Arc<Engine>, String) {
    let settings = Settings::default();
    let cities = Cities::built_in().unwrap();
    let cities = cities.all().iter().map(|city| Key::from(city.id));
    let engine = engine_in(folder)
        .settings(settings.engine.clone())
        .tables(settings.schemas().unwrap())
        .dimension("cities", cities)
        .open()
        .await
        .unwrap();
    let flight = FlightSettings { listen: "127.0.0.1:0".to_owned(), ..FlightSettings::default() };
    let sql = Sql::new(Arc::clone(&engine), SqlSettings::default()).unwrap();
    let server = Server::bind(Arc::clone(&engine), sql, flight).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    (engine, url)
}

/// One hour of readings, to be sent again as other hours.
fn hour_of_readings() -> Vec<RecordBatch> {
    let cities = Cities::built_in().unwrap();
    let weather = Weather::new(1, cities.all());
    weather
        .hour_batches(Hour::of(Timestamp::from_micros(START)).unwrap())
        .map(Result::unwrap)
        .collect()
}

async fn flood(length: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let (engine, url) = serve(folder.path()).await;
    let minutes = Arc::new(hour_of_readings());
    let next = Arc::new(AtomicU64::new(0));
    let rows = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (url, minutes, next) = (url.clone(), Arc::clone(&minutes), Arc::clone(&next));
            let (rows, refused) = (Arc::clone(&rows), Arc::clone(&refused));
            tokio::spawn(async move {
                let client = Client::connect(&url).await.unwrap();
                while started.elapsed() < length {
                    let minute = next.fetch_add(1, Ordering::SeqCst);
                    let hour = (minute / 60) as i64;
                    let batch = later(&minutes[(minute % 60) as usize], Span::HOUR * hour);
                    let count = batch.num_rows() as u64;
                    loop {
                        let put = client.put_batch("readings", batch.clone(), Durability::Disk);
                        match put.await {
                            Ok(_) => break,
                            Err(error) if error.kind() == ErrorKind::Resources => {
                                refused.fetch_add(1, Ordering::SeqCst);
                                let wait = error.retry_after();
                                tokio::time::sleep(wait.unwrap_or(Duration::from_millis(50))).await;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    rows.fetch_add(count, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let taken = started.elapsed().as_secs_f64();
    let rows = rows.load(Ordering::SeqCst);
    let rate = rows as f64 / taken;
    let landed = engine.view("readings").unwrap().snapshot.files().len();
    engine.shutdown().await.unwrap();
    let limit = raw_limit(&minutes, folder.path());
    println!("durable ingestion over Flight, {WRITERS} writers, batches of {ROWS}, {taken:.0} s");
    println!(
        "  {rate:>12.0} rows/s  ({landed} hours landed meanwhile, {} puts told to retry)",
        refused.load(Ordering::SeqCst)
    );
    println!(
        "  {limit:>12.0} rows/s  limit: the same bytes written and synced in groups of {WRITERS}, nothing else"
    );
    println!(
        "  {:>12.3} of the limit; {:.2} × the bar of 1,000,000 rows/s",
        rate / limit,
        rate / 1e6
    );
}

/// Rows a second of which the log bytes could be written and synced.
fn raw_limit(minutes: &[RecordBatch], folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("raw")).unwrap();
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(Vec::new(), minutes[0].schema_ref()).unwrap();
    writer.write(&minutes[0]).unwrap();
    let body = writer.into_inner().unwrap();
    let started = Instant::now();
    let groups = 100;
    for _ in 0..groups {
        for _ in 0..WRITERS {
            file.write_all(&body).unwrap();
        }
        file.sync_data().unwrap();
    }
    (groups * WRITERS * ROWS) as f64 / started.elapsed().as_secs_f64()
}

async fn real_load(length: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let (engine, url) = serve(folder.path()).await;
    let minutes = hour_of_readings();
    // Three landed hours, so that queries have a lake to read.
    let client = Client::connect(&url).await.unwrap();
    for hour in 0..3 {
        for batch in &minutes {
            let batch = later(batch, Span::HOUR * hour);
            client.put_batch("readings", batch, Durability::Disk).await.unwrap();
        }
    }
    client.flush().await.unwrap();
    let keys: Vec<Key> =
        Cities::built_in().unwrap().all().iter().map(|city| Key::from(city.id)).collect();

    let alone = put_every_second(&client, &minutes, length, 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let queries = tokio::spawn(query(url.clone(), keys.clone(), Arc::clone(&stop)));
    let beside = put_every_second(&client, &minutes, length, 4).await;
    stop.store(true, Ordering::SeqCst);
    let loaded = queries.await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let queries = tokio::spawn(query(url, keys, Arc::clone(&stop)));
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::SeqCst);
    let unloaded = queries.await.unwrap();
    engine.shutdown().await.unwrap();

    println!("acknowledgement at disk, one batch of {ROWS} a second, {} batches each", alone.len());
    print_times("no queries beside", alone);
    print_times("with queries beside", beside);
    println!("queries, one client each, back to back");
    for ((name, without), (_, with)) in unloaded.into_iter().zip(loaded) {
        print_times(&format!("{name}, no ingestion"), without);
        print_times(&format!("{name}, with ingestion"), with);
    }
}

async fn put_every_second(
    client: &Client,
    minutes: &[RecordBatch],
    length: Duration,
    hour: i64,
) -> Vec<Duration> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut times = Vec::new();
    let started = Instant::now();
    for minute in minutes.iter().cycle() {
        if started.elapsed() >= length {
            break;
        }
        ticks.tick().await;
        let batch = later(minute, Span::HOUR * hour);
        let sent = Instant::now();
        client.put_batch("readings", batch, Durability::Disk).await.unwrap();
        times.push(sent.elapsed());
    }
    times
}

/// Point and range reads, one after the other, until told to stop.
async fn query(
    url: String,
    keys: Vec<Key>,
    stop: Arc<AtomicBool>,
) -> Vec<(&'static str, Vec<Duration>)> {
    let client = Client::connect(&url).await.unwrap();
    let (mut latest, mut range) = (Vec::new(), Vec::new());
    for (i, &key) in keys.iter().cycle().step_by(7).enumerate() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let sent = Instant::now();
        assert!(client.latest("readings", Some(&[key]), None).await.unwrap().num_rows() > 0);
        latest.push(sent.elapsed());
        if i % 10 == 0 {
            let ticket = Ticket::range(
                "readings",
                RangeRead { keys: Some(vec![key]), ..RangeRead::default() },
            );
            let sent = Instant::now();
            assert!(client.get(&ticket).await.unwrap().collect().await.unwrap().num_rows() > 0);
            range.push(sent.elapsed());
        }
        // One client that thinks a little, so that the load is a load and not a race.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    vec![("latest of one key", latest), ("all hours of one key", range)]
}

/// Acknowledgements of small batches, by turns without and beside statements that hurt.
async fn beside_statements(length: Duration) {
    const TURNS: u32 = 4;
    let folder = tempfile::tempdir().unwrap();
    let (engine, url) = serve(folder.path()).await;
    let client = Client::connect(&url).await.unwrap();
    let minutes = hour_of_readings();
    let (mut alone, mut beside, mut sent) = (Vec::new(), Vec::new(), 0);
    for turn in 0..TURNS {
        alone.extend(put_small(&client, &minutes, length / TURNS, &mut sent).await);
        let stop = Arc::new(AtomicBool::new(false));
        let mut cursors = Vec::new();
        for _ in 0..16 {
            // Unread answers fill the window of their connection.
            let own = Client::connect(&url).await.unwrap();
            let mut cursor = own.sql(ENDLESS).await.unwrap();
            cursor.next().await.unwrap().unwrap();
            cursors.push(cursor);
        }
        let hurting = [STUCK.to_owned(), STUCK.to_owned(), heavy(turn)];
        let hurting = hurting.map(|text| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    // It is left in the middle now and then; some of them go on for a while.
                    let asked = async { client.sql(&text).await?.collect().await };
                    let _ = tokio::time::timeout(Duration::from_secs(4), asked).await;
                }
            })
        });
        beside.extend(put_small(&client, &minutes, length / TURNS, &mut sent).await);
        stop.store(true, Ordering::SeqCst);
        for asked in hurting {
            asked.await.unwrap();
        }
        drop(cursors);
        // What threads are in the middle of ends before the next turn.
        while engine_is_asked(&client).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let counted = client.sql("SELECT count(*) FROM readings").await.unwrap().collect().await;
    let counted = counted.unwrap().column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(counted, sent * SMALL as i64, "rows are lost");
    engine.shutdown().await.unwrap();
    println!("acknowledgement at disk, batches of {SMALL}, {} and {}", alone.len(), beside.len());
    print_times("no statements beside", alone);
    print_times("beside statements that hurt", beside);
}

const SMALL: usize = 250;
const ENDLESS: &str = "SELECT a.value + b.value AS n FROM generate_series(1, 1000000) a \
                       CROSS JOIN generate_series(1, 1000000) b";
const STUCK: &str = "SELECT sum(levenshtein(repeat('a', 500 + value % 7), repeat('b', 500))) \
                     FROM generate_series(1, 8192)";

fn heavy(mark: u32) -> String {
    let terms: Vec<_> = (0..400).map(|i| format!("city_id + {i} <> {}", i + mark)).collect();
    format!("SELECT count(*) FROM readings WHERE {}", terms.join(" OR "))
}

async fn engine_is_asked(client: &Client) -> bool {
    let text = "SELECT count(*) FROM system.queries WHERE tasks > 0 AND finished_at IS NOT NULL";
    let Ok(answer) = client.sql(text).await else { return true };
    let rows = answer.collect().await.unwrap();
    rows.column(0).as_primitive::<Int64Type>().value(0) > 0
}

/// Batches of some rows, forty a second.
async fn put_small(
    client: &Client,
    minutes: &[RecordBatch],
    length: Duration,
    sent: &mut i64,
) -> Vec<Duration> {
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    let (mut times, started) = (Vec::new(), Instant::now());
    while started.elapsed() < length {
        ticks.tick().await;
        let batch = later(&minutes[0].slice(0, SMALL), Span::SECOND * *sent);
        *sent += 1;
        let begun = Instant::now();
        client.put_batch("readings", batch, Durability::Disk).await.unwrap();
        times.push(begun.elapsed());
    }
    times
}

fn print_times(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "  {name:<38} p50 {:>7.2} ms   p99 {:>7.2} ms   max {:>7.2} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
