//! Import into a folder beside the server that has it open: killed with -9 and stopped again and again, resumed by the
//! same command while the server ingests; then the server is killed, too.
//!
//! `BAROGRAPH_TEST_KILLS=30 cargo test --release --workspace --test scenarios an_import_beside` ends more than the 9 runs
//! of the gate.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use barograph_engine::{Clock, Durability, SystemClock};
use barograph_flight::Client;
use barograph_fuzz::number;
use barograph_lake::Span;
use barograph_test_support::temperatures;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::server::{Server, command};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// Some of the built-in cities; the live city is imported, too, at other instants.
const CITIES: [i32; 3] = [2_643_743, 2_988_507, 5_128_581];
const LIVE: i32 = 2_988_507;
/// Some months of hours, up to the present one. More of them where an import ends before it is stopped.
const HOURS: i64 = 4_000;
/// Long enough for any test.
const PATIENCE: Duration = Duration::from_secs(600);
/// Commits of others are noticed soon, and no hour lands by itself.
const SETTINGS: [&str; 6] = [
    "--set",
    "engine.poll_commits_every=50ms",
    "--set",
    "engine.lateness=100000h",
    "--set",
    "scheduler.enabled=false",
];

/// A reading per hour and city at second 30, in random order, and one that is refused.
fn history(path: &Path, now: i64, hours: i64, rng: &mut SmallRng) {
    let mut rows: Vec<_> = (0..hours)
        .flat_map(|hour| CITIES.map(|city| (city, now / HOUR * HOUR - hour * HOUR)))
        .collect();
    rows.shuffle(rng);
    let mut text = String::from("city_id,reading_at,temperature\n1,0,1.0\n");
    for (city, hour) in rows {
        writeln!(text, "{city},{},{}", hour + MINUTE / 2, (hour / HOUR % 50) as f64 / 2.0).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// Readings of a city at whole minutes.
fn live(from: i64, minutes: i64) -> RecordBatch {
    temperatures((0..minutes).map(|minute| (LIVE, from - minute * MINUTE, 41.5)))
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

async fn numbers(client: &Client) -> [i64; 3] {
    let sql = "SELECT count(*), count(*) FILTER (WHERE temperature = 41.5), \
               CAST(coalesce(sum(temperature) FILTER (WHERE temperature < 41), 0) * 2 AS BIGINT) FROM readings";
    let rows = client.sql(sql).await.unwrap().collect().await.unwrap();
    [0, 1, 2].map(|column| rows.column(column).as_primitive::<Int64Type>().value(0))
}

async fn letters(client: &Client) -> i64 {
    let rows = client.sql("SELECT count(*) FROM dead_letters").await.unwrap();
    rows.collect().await.unwrap().column(0).as_primitive::<Int64Type>().value(0)
}

async fn come_to(client: &Client, expected: [i64; 3]) {
    let begun = Instant::now();
    while numbers(client).await != expected {
        assert!(begun.elapsed() < PATIENCE, "{:?} instead of {expected:?}", numbers(client).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for the dead letters: a server notices the commits of each table separately.
async fn letters_come_to(client: &Client, expected: i64) {
    let begun = Instant::now();
    while letters(client).await != expected {
        assert!(begun.elapsed() < PATIENCE, "{} instead of {expected}", letters(client).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn an_import_beside_a_server_is_killed_and_goes_on_and_no_row_is_lost_or_doubled() {
    let mut hours = HOURS;
    while !killed_and_stopped(hours) {
        hours *= 2;
    }
}

/// Imports this many hours, again and again until all are there; tells whether it was both killed and stopped before
/// its end.
fn killed_and_stopped(hours: i64) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("history.csv"));
    let mut rng = SmallRng::seed_from_u64(11);
    let now = SystemClock.now().floor_to(Span::MINUTE).as_micros();
    history(&file, now, hours, &mut rng);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start(&SETTINGS, &data);
    let client = runtime.block_on(Client::connect(&server.url())).unwrap();
    let put = |from, minutes| {
        runtime.block_on(async {
            client.put_batch("readings", live(from, minutes), Durability::Disk).await.unwrap();
        });
    };
    // The first record of the log is of an hour that is imported; others of hours that have landed.
    put(now, 20);
    let import = |more: &[&str]| {
        let mut command =
            command(&["import", "--memory", "1MiB", "--batch-rows", "2000", "--data"]);
        command.arg(&data).arg(&file).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let (mut killed, mut stopped, mut live_rows) = (0, 0, 20);
    for round in 0..number("BAROGRAPH_TEST_KILLS", 9) {
        let mut process = import(&[]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(15..90)));
        if round % 3 == 2 {
            let interrupt = format!("kill -INT {}", process.id());
            let _ = std::process::Command::new("sh").args(["-c", &interrupt]).status().unwrap();
            let ended = process.wait_with_output().unwrap();
            stopped += usize::from(!ended.status.success());
            // It may be stopped before it listens to signals.
            let is_clean = ended.status.success() || ended.status.signal().is_some();
            assert!(is_clean || said(&ended).contains("continues from here"), "{}", said(&ended));
        } else {
            killed += usize::from(process.try_wait().unwrap().is_none());
            process.kill().unwrap();
            process.wait().unwrap();
        }
        succeeds(command(&["lake", "check", "--data"]).arg(&data).output().unwrap());
        put(now - (20 + 10 * round as i64) * MINUTE, 10);
        live_rows += 10;
        let [all, live, _] = runtime.block_on(numbers(&client));
        assert_eq!(live, live_rows);
        assert!((live..=live + hours * 3).contains(&all), "{all}");
    }
    succeeds(import(&[]).output().unwrap());
    let sum: i64 = (0..hours).map(|hour| (now / HOUR - hour) % 50 * 3).sum();
    let expected = [hours * 3 + live_rows, live_rows, sum];
    runtime.block_on(come_to(&client, expected));
    runtime.block_on(letters_come_to(&client, 1));

    server.kill();
    let server = Server::start(&SETTINGS, &data);
    let client = runtime.block_on(Client::connect(&server.url())).unwrap();
    runtime.block_on(come_to(&client, expected));
    runtime.block_on(async { client.flush().await.unwrap() });
    let said = succeeds(import(&["--restart"]).output().unwrap());
    assert!(said.contains(" 1 files written"), "the dead letter is another one: {said}");
    runtime.block_on(come_to(&client, expected));
    server.kill();

    let swept = ["jobs", "run", "sweep", "--set", "scheduler.removed_files_kept=1ms", "--data"];
    succeeds(command(&swept).arg(&data).output().unwrap());
    let server = Server::start(&SETTINGS, &data);
    let client = runtime.block_on(Client::connect(&server.url())).unwrap();
    runtime.block_on(come_to(&client, expected));
    runtime.block_on(letters_come_to(&client, 2));
    server.kill();
    succeeds(command(&["lake", "check", "--data"]).arg(&data).output().unwrap());
    killed > 0 && stopped > 0
}
