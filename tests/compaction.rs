//! The job `compact` of the real binary, killed with -9 again and again, and run by two processes at once: afterwards
//! the lake is sound, answers are unchanged, and no file is left behind.
//!
//! `BAROGRAPH_TEST_KILLS=12 cargo test --release --workspace --test scenarios compaction` kills more than the 5 runs of
//! the gate.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use barograph_fuzz::number;
use barograph_test_support::temperatures;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::kills::{newest, until_it_runs};
use crate::server::{Server, command};

/// 2024-01-20T00:00:00Z
const START: i64 = 1_705_708_800_000_000;
const HOUR: i64 = 3_600_000_000;
/// One hour of every thirty-six: thirteen months, each of which is compacted by itself.
const HOURS: i64 = 240;
const MONTHS: usize = 13;
const CITIES: [i32; 3] = [2_643_743, 2_988_507, 5_128_581];
/// The lease of a process that is killed expires soon.
const LEASE: &str = "scheduler.lease=300ms";
/// A run that is to be killed compacts the first month that it finds, and then has work for minutes, however late the
/// kill comes.
const SLOWLY: [&str; 2] = ["--set", "jobs.compact.bytes_per_second=1KiB"];

/// The instant of the n-th minute.
fn instant(n: i64) -> i64 {
    START + n / 60 * 36 * HOUR + n % 60 * HOUR / 60
}

fn put(server: &Server) {
    let places = CITIES.iter().flat_map(|&city| (0..HOURS * 60).map(move |n| (city, instant(n))));
    let value = |at: i64| ((at / HOUR * 7) % 600) as f32 / 10.0 - 20.0;
    server.land("readings", temperatures(places.map(|(city, at)| (city, at, value(at)))));
}

/// Aggregates of each city and day, and the newest rows, from a server of its own.
fn answers(data: &Path) -> String {
    let server = Server::start(&["--set", "scheduler.enabled=false"], data);
    let text = asked(
        &server,
        "SELECT city_id, date_trunc('day', reading_at) AS day, count(*) AS n, sum(temperature) AS s, \
         min(temperature) AS a, max(temperature) AS z, max(reading_at) AS last \
         FROM readings GROUP BY 1, 2 ORDER BY 1, 2",
    );
    let newest = asked(&server, "SELECT * FROM latest('readings') ORDER BY city_id");
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    text + &newest
}

fn asked(server: &Server, sql: &str) -> String {
    let url = server.url();
    text(command(&["sql", sql, "--format", "csv", "--endpoint", &url]).output().unwrap())
}

fn text(output: Output) -> String {
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    String::from_utf8(output.stdout).unwrap()
}

fn run(data: &Path, args: &[&str]) -> std::process::Command {
    let mut command = command(args);
    command.arg("--data").arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The data files of `readings`, by their paths below the table's folder.
fn stored(data: &Path) -> Vec<String> {
    let table = data.join("lake/readings");
    let mut found = Vec::new();
    for tier in ["hour", "day", "month"] {
        let Ok(periods) = std::fs::read_dir(table.join(tier)) else { continue };
        for period in periods {
            for file in std::fs::read_dir(period.unwrap().path()).unwrap() {
                found
                    .push(file.unwrap().path().strip_prefix(&table).unwrap().display().to_string());
            }
        }
    }
    found
}

#[test]
fn compaction_killed_with_9_changes_no_answer_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let server = Server::start(&["--set", "scheduler.enabled=false"], data);
    put(&server);
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    let before = answers(data);
    assert_eq!(stored(data).len() as i64, HOURS);

    let mut rng = SmallRng::seed_from_u64(4);
    let (mut killed, kills) = (0, number("BAROGRAPH_TEST_KILLS", 5));
    while killed < kills {
        let before = newest(data, "compact");
        let mut job = run(data, &["jobs", "run", "compact"])
            .args(["--set", LEASE])
            .args(SLOWLY)
            .spawn()
            .unwrap();
        until_it_runs(data, "compact", before.as_ref(), || job.try_wait().unwrap().is_some());
        std::thread::sleep(Duration::from_millis(rng.random_range(0..200)));
        job.kill().unwrap();
        job.wait().unwrap();
        killed += u64::from(newest(data, "compact").unwrap()["state"] == "running");
        text(run(data, &["lake", "check"]).output().unwrap());
        std::thread::sleep(Duration::from_millis(350));
    }
    assert_eq!(answers(data), before, "after {kills} kills");

    let two = [(); 2].map(|()| run(data, &["jobs", "run", "compact"]).spawn().unwrap());
    let ended = two.map(|job| job.wait_with_output().unwrap());
    assert!(ended.iter().any(|output| output.status.success()), "{ended:?}");
    text(run(data, &["lake", "check"]).output().unwrap());
    assert_eq!(answers(data), before);

    std::thread::sleep(Duration::from_millis(350));
    let swept = ["jobs", "run", "sweep", "--set", "scheduler.removed_files_kept=1ms"];
    text(run(data, &swept).output().unwrap());
    let left = stored(data);
    assert_eq!(left.len(), MONTHS, "{left:?}");
    assert!(left.iter().all(|path| path.starts_with("month/")), "{left:?}");
    assert_eq!(answers(data), before);
}
