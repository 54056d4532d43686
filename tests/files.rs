//! Exports and restored versions in the real binary: an export is complete or absent, and a restored version is seen by
//! a running server and not undone by a crash.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use barograph_engine::Durability;
use barograph_flight::ticket::RangeRead;
use barograph_flight::{Client, Ticket};
use barograph_lake::{AsOf, TableVersion, TimeRange, Timestamp};
use barograph_test_support::temperatures;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::server::{Server, command};

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const MINUTE: i64 = 60_000_000;
/// One of the built-in cities.
const CITY: i32 = 2_988_507;
/// Long enough for any test.
const PATIENCE: Duration = Duration::from_secs(600);
/// Commits of others are noticed soon, and no hour lands by itself.
const SETTINGS: [&str; 6] = [
    "--set",
    "engine.poll_commits_every=50ms",
    "--set",
    "engine.lateness=100000h",
    "--set",
    "engine.late_merge_every=100000h",
];
/// An answer without end while anybody waits for it.
const LONG: &str = "SELECT value, value * 2 AS twice FROM generate_series(1, 4000000000000)";

fn readings(minutes: std::ops::Range<i64>, temperature: f32) -> RecordBatch {
    temperatures(minutes.map(|minute| (CITY, START + minute * MINUTE, temperature)))
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn count(client: &Client, sql: &str) -> i64 {
    let rows = client.sql(sql).await.unwrap().collect().await.unwrap();
    rows.column(0).as_primitive::<Int64Type>().value(0)
}

/// An export that has begun to write.
fn writing(server: &Server, out: &Path) -> Child {
    let child = command(&["export", LONG, "--endpoint", &server.url(), "--out"])
        .arg(out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = out.with_file_name(format!(
        "{}.part-{}",
        out.file_name().unwrap().to_string_lossy(),
        child.id()
    ));
    let begun = Instant::now();
    while std::fs::metadata(&part).map_or(0, |part| part.len()) < 1 << 20 {
        assert!(begun.elapsed() < PATIENCE, "{part:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn an_export_is_whole_or_not_there() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(&SETTINGS, data.path());
    let url = server.url();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&url).await.unwrap();
        client.put_batch("readings", readings(0..120, 7.5), Durability::Disk).await.unwrap();
    });
    let file = |name: &str| out.path().join(name);
    let export = |name: &str, more: &[&str]| {
        let path = file(name);
        let statement = "SELECT city_id, reading_at, temperature FROM readings ORDER BY reading_at";
        let args = ["export", statement, "--endpoint", &url, "--out", path.to_str().unwrap()];
        run(&[&args[..], more].concat())
    };
    for name in ["rows.parquet", "rows.csv", "rows.jsonl", "rows.arrow"] {
        let done = export(name, &[]);
        assert!(done.status.success(), "{}", said(&done));
        assert!(said(&done).contains("120 rows"), "{}", said(&done));
    }
    let rows = ParquetRecordBatchReaderBuilder::try_new(
        std::fs::File::open(file("rows.parquet")).unwrap(),
    );
    let rows: usize = rows.unwrap().build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 120);
    let csv = std::fs::read_to_string(file("rows.csv")).unwrap();
    assert_eq!(csv.lines().count(), 121);
    assert!(csv.contains("2988507,2024-01-01T00:01:00Z,7.5"), "{csv}");
    let refused = export("rows.csv", &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("--force"), "{}", said(&refused));
    assert!(export("rows.csv", &["--force", "--format", "json"]).status.success());
    let lines = std::fs::read_to_string(file("rows.csv")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["temperature"], 7.5);
    let wrong = run(&["export", "SELECT temprature FROM readings", "--endpoint", &url, "--out"]
        .into_iter()
        .chain([file("wrong.csv").to_str().unwrap()])
        .collect::<Vec<_>>());
    assert!(said(&wrong).contains("did you mean"), "{}", said(&wrong));
    assert_eq!(names(out.path()), ["rows.arrow", "rows.csv", "rows.jsonl", "rows.parquet"]);

    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.csv");
    let mut killed = writing(&server, &long);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!long.exists(), "{:?}", names(folder.path()));
    let left = names(folder.path());
    assert_eq!(left.len(), 1, "what kill -9 leaves has another name: {left:?}");
    let mut stopped = writing(&server, &long);
    let interrupt = format!("kill -INT {}", stopped.id());
    assert!(std::process::Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    assert_eq!(stopped.wait().unwrap().code(), Some(1));
    assert_eq!(names(folder.path()), left, "Ctrl-C leaves nothing");
}

#[test]
fn a_running_server_sees_a_restored_version_and_a_crash_does_not_undo_it() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start(&SETTINGS, data.path());
    let rows = "SELECT count(*) FROM readings";
    let restored = runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        for (minutes, temperature) in [(0..60, 1.0), (30..120, 2.0)] {
            client
                .put_batch("readings", readings(minutes, temperature), Durability::Disk)
                .await
                .unwrap();
            client.flush().await.unwrap();
        }
        // Not landed.
        client.put_batch("readings", readings(300..310, 3.0), Durability::Disk).await.unwrap();
        assert_eq!(count(&client, rows).await, 130);
        for (as_of, expected) in [("1", 60), ("2", 120)] {
            let past = format!("SELECT count(*) FROM as_of('readings', {as_of})");
            assert_eq!(count(&client, &past).await, expected);
        }
        let as_of = Some(AsOf::Version(TableVersion::new(1)));
        let ticket = Ticket::range("readings", RangeRead { as_of, ..RangeRead::default() });
        assert_eq!(client.get(&ticket).await.unwrap().collect().await.unwrap().num_rows(), 60);
        assert!(client.plan(&ticket).await.unwrap().contains("version 1"));

        let args = ["lake", "restore", "readings", "--version", "1", "--data", folder];
        let dry = run(&[&args[..], &["--dry-run"]].concat());
        assert!(dry.status.success(), "{}", said(&dry));
        for words in ["2 files removed, 1 added, 120 rows before, 60 after", "nothing was changed"]
        {
            assert!(said(&dry).contains(words), "{}", said(&dry));
        }
        assert_eq!(count(&client, "SELECT count(*) FROM as_of('readings', 2)").await, 120);
        let done = run(&args);
        assert!(done.status.success(), "{}", said(&done));
        assert!(said(&done).contains("--version 2` undoes it"), "{}", said(&done));
        let begun = Instant::now();
        while count(&client, rows).await != 70 {
            assert!(begun.elapsed() < PATIENCE, "the server does not see it");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let again = run(&args);
        assert_eq!(again.status.code(), Some(2), "{}", said(&again));
        let sum = "SELECT CAST(sum(temperature) AS BIGINT) FROM readings";
        count(&client, sum).await
    });
    assert_eq!(restored, 60 + 30);
    server.kill();
    let history =
        run(&["lake", "history", "--table", "readings", "--format", "json", "--data", folder]);
    let last: Value = serde_json::from_str(said(&history).lines().last().unwrap()).unwrap();
    assert_eq!((&last["operation"], &last["version"]), (&"RESTORE".into(), &3.into()));
    assert_eq!(last["hours"], "2024-01-01T00/2024-01-01T02");
    let server = Server::start(&SETTINGS, data.path());
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        assert_eq!(count(&client, rows).await, 70, "{}", server.output());
        client.flush().await.unwrap();
        assert_eq!(count(&client, rows).await, 70);
    });
    let checked = run(&["lake", "check", "--data", folder]);
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn deleted_rows_are_gone_after_kill_9_and_from_the_disk_after_a_sweep() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start(&SETTINGS, data.path());
    let rows = "SELECT count(*) FROM readings";
    let delete = |server: &Server, more: &[&str]| {
        let args = ["lake", "delete", "readings", "--reason", "asked for", "--endpoint"];
        run(&[&args[..], &[&server.url()], more].concat())
    };
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        client.put_batch("readings", readings(0..120, 1.0), Durability::Disk).await.unwrap();
        client.flush().await.unwrap();
        // Not landed, some of it late.
        client.put_batch("readings", readings(90..150, 2.0), Durability::Disk).await.unwrap();
        let (from, to) = ("2024-01-01T00:30:00Z", "2024-01-01T02:00:00Z");
        let done = delete(&server, &["--keys", "Paris,FR", "--from", from, "--to", to]);
        assert!(said(&done).contains("deleted 90 rows of readings"), "{}", said(&done));
        assert_eq!(count(&client, rows).await, 60);
        let none = delete(&server, &["--keys", "Tokyo,JP;Paris,FR", "--to", "2023-01-01"]);
        assert!(said(&none).contains("no such rows"), "{}", said(&none));
        let refused = client.delete("readings", None, TimeRange::ALL, " ").await.unwrap_err();
        assert!(refused.to_string().contains("\"reason\" is empty"), "{refused}");
        let from = Timestamp::from_micros(START + 120 * MINUTE);
        let all = TimeRange { from, ..TimeRange::ALL };
        let report = client.delete("readings", None, all, "a test").await.unwrap();
        assert_eq!((report.rows, report.files), (30, 1));
        let past = client.sql("SELECT count(*) FROM as_of('readings', 1)").await;
        let refused = match past {
            Ok(answer) => answer.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(refused.to_string().contains("rows that were deleted"), "{refused}");
    });
    server.kill();
    let server = Server::start(&SETTINGS, data.path());
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        assert_eq!(count(&client, rows).await, 30, "{}", server.output());
        let records =
            "SELECT sum(rows) FROM system.deletions WHERE reason IN ('asked for', 'a test')";
        assert_eq!(count(&client, records).await, 120);
    });
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    let files = || {
        let hours = std::fs::read_dir(data.path().join("lake/readings/hour")).unwrap();
        hours.map(|hour| names(&hour.unwrap().path()).len()).sum::<usize>()
    };
    assert!(files() > 1);
    std::thread::sleep(Duration::from_millis(10));
    let swept = run(&[
        "jobs",
        "run",
        "sweep",
        "--data",
        folder,
        "--set",
        "scheduler.removed_files_kept=1ms",
    ]);
    assert!(swept.status.success(), "{}", said(&swept));
    assert_eq!(files(), 1);
    let checked = run(&["lake", "check", "--data", folder]);
    assert!(checked.status.success(), "{}", said(&checked));
}
