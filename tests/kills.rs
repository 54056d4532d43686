//! The jobs `rollup`, `quality`, `expire` and `sweep` of the real binary, killed with -9 while their records say that
//! they run, by hand and in a server, and run by two processes at once: afterwards the lake is sound, and the result is
//! that of undisturbed runs.
//!
//! `BAROGRAPH_TEST_KILLS=10 cargo test --release --workspace --test scenarios kills` kills more than the 2 runs of each
//! job of the gate.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use barograph_fuzz::number;
use barograph_test_support::temperatures;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::server::{Server, command};

/// 2024-01-20T00:00:00Z
const START: i64 = 1_705_708_800_000_000;
const HOUR: i64 = 3_600_000_000;
const HOURS: i64 = 30;
const CITIES: [i32; 3] = [2_643_743, 2_988_507, 5_128_581];
/// The lease of a process that is killed expires soon. The process computes the first window and then has work for
/// minutes, however late the kill comes.
const LEASE: Duration = Duration::from_millis(300);
const DOOMED: [&str; 6] = [
    "--set",
    "scheduler.lease=300ms",
    "--set",
    "jobs.rollup.bytes_per_second=1KiB",
    "--set",
    "jobs.quality.bytes_per_second=1KiB",
];
/// Long enough for any test.
const PATIENCE: Duration = Duration::from_secs(600);
const SWEPT: [&str; 2] = ["--set", "scheduler.removed_files_kept=1ms"];
/// Flags do not expire: which of them have landed by then differs from run to run.
const RETENTION: &str = "\
[retention.readings]
after = \"1h\"
";
const TABLES: [&str; 4] = ["readings", "readings_1h", "readings_1d", "quality_flags"];

/// Hours of readings that have landed, with a jump in each.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--set", "scheduler.enabled=false"], folder.path());
    let minutes = CITIES.iter().flat_map(|&city| (0..HOURS * 60).map(move |n| (city, n)));
    let rows = minutes.map(|(city, n)| {
        let at = START + n * HOUR / 60;
        let jump = if n % 60 == 30 { 20.0 } else { 0.0 };
        (city, at, jump + ((at / HOUR * 7) % 200) as f32 / 10.0 - 20.0)
    });
    server.land("readings", temperatures(rows));
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    std::fs::write(folder.path().join("settings.toml"), RETENTION).unwrap();
    folder
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    let mut source = from.as_os_str().to_owned();
    source.push("/.");
    let copied = Command::new("cp").arg("-r").arg(source).arg(to.path()).status().unwrap();
    assert!(copied.success());
    to
}

fn run(data: &Path, args: &[&str]) -> Command {
    let mut command = command(args);
    command.arg("--data").arg(data).arg("--config").arg(data.join("settings.toml"));
    command.args(SWEPT);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: Output) -> String {
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a job to its end.
fn complete(data: &Path, job: &str) {
    text(run(data, &["jobs", "run", job]).output().unwrap());
}

/// The newest record of a job, as it is stored.
pub(crate) fn newest(data: &Path, job: &str) -> Option<Value> {
    let records = std::fs::read_dir(data.join("jobs").join(job).join("runs")).ok()?;
    let paths = records.filter_map(|entry| Some(entry.ok()?.path()));
    let newest: PathBuf =
        paths.filter(|path| path.extension().is_some_and(|e| e == "json")).max()?;
    serde_json::from_slice(&std::fs::read(newest).ok()?).ok()
}

/// Waits until a job works on a run that is newer than those before.
pub(crate) fn until_it_runs(
    data: &Path,
    job: &str,
    before: Option<&Value>,
    mut ended: impl FnMut() -> bool,
) {
    let started = Instant::now();
    loop {
        let record = newest(data, job);
        let is_new = |record: &Value| before.is_none_or(|before| before["run"] != record["run"]);
        if record.is_some_and(|record| is_new(&record) && record["state"] == "running") || ended() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{job} does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills `times` runs of a job, each at most about `within_ms` after it began to work, and more until one was killed
/// before its end.
fn kill(data: &Path, job: &str, times: u64, within_ms: u64) {
    let mut rng = SmallRng::seed_from_u64(times);
    let (mut runs, mut cut_off) = (0, 0);
    while runs < times || cut_off == 0 {
        runs += 1;
        let before = newest(data, job);
        let mut process: Child = run(data, &["jobs", "run", job]).args(DOOMED).spawn().unwrap();
        until_it_runs(data, job, before.as_ref(), || process.try_wait().unwrap().is_some());
        std::thread::sleep(Duration::from_millis(rng.random_range(0..within_ms)));
        process.kill().unwrap();
        process.wait().unwrap();
        cut_off += usize::from(newest(data, job).unwrap()["state"] == "running");
        text(run(data, &["lake", "check"]).output().unwrap());
        std::thread::sleep(LEASE);
    }
    println!("{job}: {cut_off} of {runs} runs were cut off");
}

/// Rows of the tables, and data files that belong to none of them.
fn left(data: &Path) -> (Vec<String>, Vec<String>) {
    let active = text(run(data, &["lake", "files", "--format", "csv"]).output().unwrap());
    let listed = text(Command::new("find").arg(data.join("lake")).output().unwrap());
    let is_data = |line: &&str| line.ends_with(".parquet") && !line.contains("_delta_log");
    let is_left = |path: &&str| !active.contains(path.rsplit('/').next().unwrap());
    let leaked = listed.lines().filter(is_data).filter(is_left).map(str::to_owned).collect();
    let server = Server::start(&["--set", "scheduler.enabled=false"], data);
    let url = server.url();
    let rows = |table: &str| {
        let times = if table.starts_with("readings_") { "window_start" } else { "reading_at" };
        let all = format!("SELECT * FROM {table} ORDER BY city_id, {times}");
        let rows = command(&["sql", &all, "--format", "csv", "--endpoint", &url]).output().unwrap();
        // All but the last column, which says when a row was put.
        let lines = text(rows);
        let lines = lines.lines().map(|line| line.rsplit_once(',').unwrap().0);
        lines.collect::<Vec<_>>().join("\n")
    };
    let rows = TABLES.map(rows).to_vec();
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    (rows, leaked)
}

/// Runs a job by two processes at once: only one of them at a time gets the lease.
fn at_once(data: &Path, job: &str) {
    let two = [(); 2].map(|()| run(data, &["jobs", "run", job]).spawn().unwrap());
    let ended = two.map(|process| process.wait_with_output().unwrap());
    assert!(ended.iter().any(|output| output.status.success()), "{ended:?}");
    for output in ended.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        let refused = ["is being run", "needs the log to itself"];
        assert!(refused.iter().any(|why| said.contains(why)), "{said}");
    }
}

#[test]
fn jobs_killed_with_9_come_to_the_same_as_jobs_that_nobody_killed() {
    let folder = folder();
    let (data, whole) = (folder.path(), copy(folder.path()));
    for job in ["rollup", "quality", "expire", "sweep"] {
        complete(whole.path(), job);
    }
    let expected = left(whole.path());
    assert!(expected.1.is_empty(), "{:?}", expected.1);
    assert_eq!(expected.0[0].lines().count(), 1, "all readings have expired");
    assert_eq!(expected.0[1].lines().count(), 1 + CITIES.len() * HOURS as usize);

    for (job, within_ms) in [("rollup", 600), ("quality", 600), ("expire", 6), ("sweep", 6)] {
        kill(data, job, number("BAROGRAPH_TEST_KILLS", 2), within_ms);
        at_once(data, job);
    }
    for job in ["rollup", "quality", "expire", "sweep"] {
        complete(data, job);
    }
    assert_eq!(left(data), expected);
}

#[test]
fn a_server_killed_with_9_while_it_rolls_up_goes_on_where_it_was() {
    let folder = folder();
    let (data, whole) = (folder.path(), copy(folder.path()));
    complete(whole.path(), "rollup");
    let mut rng = SmallRng::seed_from_u64(9);
    let (mut cut_off, kills) = (0, number("BAROGRAPH_TEST_KILLS", 2));
    while cut_off < kills {
        let before = newest(data, "rollup");
        let server = Server::start(&DOOMED, data);
        until_it_runs(data, "rollup", before.as_ref(), || false);
        std::thread::sleep(Duration::from_millis(rng.random_range(0..500)));
        let printed = server.kill();
        assert!(!printed.contains("panicked"), "{printed}");
        cut_off += u64::from(newest(data, "rollup").unwrap()["state"] == "running");
    }
    let server = Server::start(&[], data);
    let started = Instant::now();
    while newest(data, "rollup").is_none_or(|record| record["state"] != "done") {
        assert!(started.elapsed() < PATIENCE, "{:?}", newest(data, "rollup"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    assert_eq!(left(data).0[1..3], left(whole.path()).0[1..3]);
}
