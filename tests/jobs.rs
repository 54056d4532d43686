//! Jobs of the real binary: killed with -9 and continued, run by one process of several, stopped, and run beside a
//! server.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::Int64Type;
use barograph_engine::Durability;
use barograph_flight::Client;
use barograph_test_support::temperatures;
use serde_json::Value;

use crate::server::{Server, command};

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const HOUR: i64 = 3_600_000_000;
const HOURS: i64 = 12;
/// A key of each hour's rows, one of the built-in cities.
const CITY: i32 = 2_988_507;
/// Long enough for any test.
const PATIENCE: Duration = Duration::from_secs(600);
/// The lease of a process that is to be killed expires soon, but lasts on a busy machine until then.
const DOOMED: [&str; 2] = ["--set", "scheduler.lease=5s"];
/// A run that reads one file and then has work for minutes.
const SLOWLY: [&str; 2] = ["--set", "jobs.verify.bytes_per_second=100B"];

/// A server that runs `verify`, but none of the jobs that write files: those would be verified, too.
const VERIFIES: [&str; 6] = [
    "--set",
    "jobs.rollup.enabled=false",
    "--set",
    "jobs.quality.enabled=false",
    "--set",
    "jobs.compact.enabled=false",
];

/// A data folder with a file for each of some hours.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--set", "scheduler.enabled=false"], folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let minutes = 0..HOURS * 60;
        let rows =
            temperatures(minutes.map(|n| (CITY, START + n * HOUR / 60, (n % 400) as f32 / 10.0)));
        client.put_batch("readings", rows, Durability::Disk).await.unwrap();
        client.flush().await.unwrap();
    });
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    folder
}

fn jobs(data: &Path, args: &[&str]) -> Output {
    let mut command = command(&["jobs"]);
    command.args(args).arg("--data").arg(data);
    command.output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn history(data: &Path) -> Vec<Value> {
    lines(&jobs(data, &["history", "verify", "--format", "json"]))
}

/// A run of `verify` that does not end by itself.
fn slow(data: &Path, more: &[&str]) -> Child {
    command(&["jobs", "run", "verify", "--format", "json", "--data"])
        .arg(data)
        .args(SLOWLY)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the newest run is as wanted.
fn until(data: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        if let Some(run) = history(data).pop().filter(|run| wanted(run)) {
            return run;
        }
        assert!(started.elapsed() < PATIENCE, "{:?}", history(data));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_verification_killed_with_9_is_continued_where_it_was() {
    let folder = folder();
    let data = folder.path();
    let plan = lines(&jobs(data, &["run", "verify", "--dry-run", "--format", "json"]));
    let files: i64 = plan.iter().map(|step| step["files"].as_i64().unwrap()).sum();
    assert_eq!(files, HOURS, "{plan:?}");
    assert!(!data.join("jobs").exists(), "a dry run changes nothing");

    let mut earlier = 0;
    let mut continues = Value::Null;
    for _ in 0..3 {
        let mut process = slow(data, &DOOMED);
        let run = until(data, |run| {
            run["state"] == "running" && run["files"].as_i64().unwrap() > earlier
        });
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(run["continues"], continues);
        let run = until(data, |run| run["state"] == "interrupted");
        earlier = run["files"].as_i64().unwrap();
        assert!((1..HOURS).contains(&earlier), "{run}");
        continues = run["run"].clone();
    }
    let ended = lines(&jobs(data, &["run", "verify", "--format", "json"])).pop().unwrap();
    assert_eq!((&ended["state"], &ended["continues"]), (&Value::from("done"), &continues));
    assert_eq!(ended["files"], HOURS);
    assert_eq!(ended["rows"], HOURS * 60);
    assert_eq!(ended["findings_count"], 0);
    let states: Vec<_> = history(data).iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["interrupted", "interrupted", "interrupted", "done"]);
}

#[test]
fn of_several_processes_one_runs_a_job_and_another_stops_it() {
    let folder = folder();
    let data = folder.path();
    let process = slow(data, &[]);
    let run = until(data, |run| run["files"].as_i64().unwrap() > 0);
    let beaten = jobs(data, &["run", "verify"]);
    let said = String::from_utf8_lossy(&beaten.stderr);
    assert_eq!(beaten.status.code(), Some(1), "{said}");
    let name = run["run"].as_str().unwrap();
    assert!(said.contains(&format!("barograph jobs cancel {name}")), "{said}");
    assert!(jobs(data, &["cancel", name]).status.success());
    let ended = process.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(history(data).pop().unwrap()["state"], "cancelled");

    // Ctrl-C comes to the same.
    let process = slow(data, &[]);
    until(data, |run| run["state"] == "running" && run["files"].as_i64().unwrap() > 0);
    let interrupt = format!("kill -INT {}", process.id());
    assert!(std::process::Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    assert_eq!(process.wait_with_output().unwrap().status.code(), Some(1));
    let states: Vec<_> = history(data).iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["cancelled", "cancelled"]);
}

#[test]
fn damage_is_in_the_record_and_a_server_shows_it_in_sql() {
    let folder = folder();
    let data = folder.path();
    let files = lines(&{
        command(&["lake", "files", "--format", "json", "--data"]).arg(data).output().unwrap()
    });
    let path = data.join("lake/readings").join(files[3]["path"].as_str().unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
    let failed = jobs(data, &["run", "verify"]);
    let said = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("1 findings of damage, the first in readings"), "{said}");
    assert!(said.contains(files[3]["path"].as_str().unwrap()), "{said}");

    let server = Server::start(&[], data);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shown = runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let text = "SELECT state || ' ' || CAST(files AS VARCHAR) || ' ' || CAST(findings_count AS VARCHAR) FROM system.job_runs \
                    WHERE job = 'verify' UNION ALL SELECT job || ' ' || CAST(enabled AS VARCHAR) FROM system.jobs ORDER BY 1";
        let rows = client.sql(text).await.unwrap().collect().await.unwrap();
        let texts = rows.column(0).as_any().downcast_ref::<StringArray>().unwrap().clone();
        texts.iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(
        shown,
        [
            "compact true",
            "expire true",
            "failed 12 1",
            "quality true",
            "rollup true",
            "sweep true",
            "verify true"
        ]
    );
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
}

#[test]
fn a_server_runs_what_is_due_and_hands_it_on_when_it_stops() {
    let folder = folder();
    let data = folder.path();
    // Interrupted by hand, so that it is due at once.
    let mut process = slow(data, &DOOMED);
    until(data, |run| run["files"].as_i64().unwrap() > 0);
    process.kill().unwrap();
    process.wait().unwrap();
    let before = until(data, |run| run["state"] == "interrupted");
    let server = Server::start(&[&VERIFIES[..], &SLOWLY].concat(), data);
    let run = until(data, |run| {
        run["state"] == "running" && run["files"].as_i64() > before["files"].as_i64()
    });
    assert_eq!(run["continues"], before["run"]);
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    let handed_on = history(data).pop().unwrap();
    assert_eq!(
        (&handed_on["run"], &handed_on["state"]),
        (&run["run"], &Value::from("interrupted"))
    );

    let _server = Server::start(&VERIFIES, data);
    let done = until(data, |run| run["state"] == "done");
    assert_eq!((&done["continues"], &done["files"]), (&run["run"], &Value::from(HOURS)));
}

/// Rows, then hours with their temperature counts, of a rollup.
async fn windows(client: &Client, from: &str) -> Vec<String> {
    let text = format!(
        "SELECT CAST(window_start AS VARCHAR) || ' ' || CAST(rows AS VARCHAR) || ' ' || \
         CAST(temperature_max AS VARCHAR) FROM {from} ORDER BY 1"
    );
    let rows = client.sql(&text).await.unwrap().collect().await.unwrap();
    let texts = rows.column(0).as_any().downcast_ref::<StringArray>().unwrap().clone();
    texts.iter().map(|text| text.unwrap().to_owned()).collect()
}

#[test]
fn a_server_keeps_rollups_as_readings_are_and_nobody_else_does_beside_it() {
    let folder = folder();
    let data = folder.path();
    // Without a server the command has the log.
    let ran = lines(&jobs(data, &["run", "rollup", "--format", "json"])).pop().unwrap();
    assert_eq!((&ran["state"], &ran["rows"]), (&Value::from("done"), &Value::from(2 * HOURS * 60)));
    let server = Server::start(&["--set", "engine.late_merge_every=100000h"], data);
    let refused = jobs(data, &["run", "rollup"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("that server runs the job by itself within a second"), "{said}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let before = windows(&client, "readings_1h").await;
        assert_eq!(before.len(), HOURS as usize);
        assert!(before[3].ends_with(" 60 23.9"), "{before:?}");
        let rows = temperatures([(CITY, START + 3 * HOUR + 1, 50.5)]);
        client.put_batch("readings", rows, Durability::Disk).await.unwrap();
        let live = windows(&client, "live('readings_1h')").await;
        assert!(live[3].ends_with(" 61 50.5"), "{live:?}");
        assert_eq!(windows(&client, "readings_1h").await, before, "it has not landed");
        client.flush().await.unwrap();
        let started = Instant::now();
        while windows(&client, "readings_1h").await != live {
            assert!(started.elapsed() < PATIENCE, "{:?}", windows(&client, "readings_1h").await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(windows(&client, "live('readings_1h')").await, live);
        // One rollup is computed after the other.
        let days = windows(&client, "live('readings_1d')").await;
        assert_eq!(days.len(), 1);
        assert!(days[0].ends_with(" 721 50.5"), "{days:?}");
        while windows(&client, "readings_1d").await != days {
            assert!(started.elapsed() < PATIENCE, "{:?}", windows(&client, "readings_1d").await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
}

/// Waits until a table's folder holds `count` files of hours.
fn until_landed(data: &Path, table: &str, count: usize) {
    fn files(folder: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        let entries = entries.filter_map(Result::ok);
        entries
            .map(|entry| match entry.path() {
                path if path.is_dir() => files(&path),
                path => usize::from(path.extension().is_some_and(|e| e == "parquet")),
            })
            .sum()
    }
    let started = Instant::now();
    while files(&data.join("lake").join(table)) < count {
        assert!(started.elapsed() < PATIENCE, "{count} files of {table}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_told_to_stop_in_a_long_landing_round_ends_between_two_pieces_and_keeps_every_row() {
    const OLD_HOURS: i64 = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let lazy = ["--set", "scheduler.enabled=false", "--set", "engine.late_merge_every=1h"];
    let server = Server::start(&lazy, data);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let first = START - OLD_HOURS * HOUR;
        let rows = temperatures((0..OLD_HOURS).map(|hour| (CITY, first + hour * HOUR, 1.5)));
        client.put_batch("readings", rows, Durability::Disk).await.unwrap();
    });
    drop(server);

    let eager = ["--set", "scheduler.enabled=false", "--set", "engine.late_merge_every=50ms"];
    let server = Server::start(&eager, data);
    until_landed(data, "readings", 100);
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    let listed =
        command(&["lake", "files", "--format", "json", "--data"]).arg(data).output().unwrap();
    let landed = lines(&listed).len() as i64;
    assert!((100..OLD_HOURS).contains(&landed), "{landed} files landed: the round was cut short");

    let server = Server::start(&lazy, data);
    let counted = runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let counted = client.sql("SELECT count(*) AS n FROM readings").await.unwrap();
        counted.collect().await.unwrap()
    });
    let counted = counted.column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(counted, OLD_HOURS);
}

#[test]
fn jobs_do_all_but_what_is_damaged_and_end_as_failed() {
    let folder = folder();
    let data = folder.path();
    let log = data.join("lake/readings_1h/_delta_log/00000000000000000000.json");
    std::fs::write(&log, "no JSON").unwrap();
    // What has files of hours is a table of ours, whatever its log says.
    let hour = data.join("lake/readings_1h/hour/2024-01-01T00");
    std::fs::create_dir_all(&hour).unwrap();
    std::fs::write(hour.join("left.parquet"), "rows").unwrap();
    for job in ["compact", "sweep", "verify"] {
        let run = jobs(data, &["run", job]);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success(), "{job}: {said}");
        assert!(said.contains("one part of the work failed, the rest is done"), "{job}: {said}");
        assert!(said.contains("readings_1h"), "{job}: {said}");
    }
    let month = data.join("lake/readings/month");
    assert!(month.exists(), "readings are compacted beside the table that is damaged");
}
