//! Tests of foreign writers: a table stays consistent when other programs write to it, beside a running server and
//! without one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use barograph_engine::Durability;
use barograph_flight::Client;
use barograph_test_support::instants;
use serde_json::{Value, json};

use super::{Python, text};
use crate::server::{Server, command};

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const MINUTE: i64 = 60_000_000;
const KEYS: std::ops::Range<i32> = 0..8;
/// Long enough for any test.
const PATIENCE: Duration = Duration::from_secs(120);
const TABLES: &str = r#"
[tables.samples]
key = "key"
time = "at"
columns = [{ name = "text", type = "utf8" }]

[tables.others]
key = "key"
time = "at"
columns = [{ name = "text", type = "utf8" }]

[engine]
lateness = "1000000h"
late_merge_every = "1000000h"
poll_commits_every = "50ms"

[scheduler]
enabled = false
"#;

/// Rows by key and minute.
type Model = BTreeMap<(i32, i64), String>;

/// A lake that others write to, and the expected rows of the table `samples`.
struct Bed {
    folder: tempfile::TempDir,
    model: Model,
    /// Those of its rows that other programs cannot see, since they are only in the log.
    unlanded: BTreeSet<(i32, i64)>,
}

impl Bed {
    /// Six hours have landed, and a part of the seventh is in the log.
    fn new() -> (Self, Server) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("barograph.toml"), TABLES).unwrap();
        let mut bed = Self { folder, model: Model::new(), unlanded: BTreeSet::new() };
        let server = bed.start();
        bed.put(&server, "samples", (0..360).step_by(10));
        bed.flush(&server);
        bed.put(&server, "samples", (360..380).step_by(10));
        bed.expect(&server, "put");
        (bed, server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn settings(&self) -> String {
        self.folder.path().join("barograph.toml").display().to_string()
    }

    fn start(&self) -> Server {
        Server::start(&["--config", &self.settings()], &self.data())
    }

    fn put(&mut self, server: &Server, table: &str, minutes: impl Iterator<Item = i64>) {
        let places: Vec<_> = minutes.flat_map(|at| KEYS.map(move |key| (key, at))).collect();
        let said = |(key, at): &(i32, i64)| format!("{key}-{at}");
        let times = instants(places.iter().map(|(_, at)| START + at * MINUTE));
        let rows = RecordBatch::try_from_iter([
            ("key", Arc::new(Int32Array::from_iter_values(places.iter().map(|p| p.0))) as ArrayRef),
            ("at", times),
            ("text", Arc::new(StringArray::from_iter_values(places.iter().map(said)))),
        ])
        .unwrap();
        wait(async {
            let client = Client::connect(&server.url()).await.unwrap();
            client.put_batch(table, rows, Durability::Disk).await.unwrap();
        });
        if table == "samples" {
            self.model.extend(places.iter().map(|place| (*place, said(place))));
            self.unlanded.extend(places);
        }
    }

    fn flush(&mut self, server: &Server) {
        flush(server);
        self.unlanded.clear();
    }

    /// Lets another program change the table, and makes the same change in the model.
    fn other(&mut self, what: &str) {
        write(what, &self.data().join("lake").join("samples"));
        let unseen = &self.unlanded;
        match what {
            "delete" => self
                .model
                .retain(|place, said| unseen.contains(place) || place.0 != 2 && said != "5-100"),
            "update" => {
                let seen = self.model.iter_mut().filter(|(place, _)| !unseen.contains(place));
                let of_four = seen.filter(|((key, _), _)| *key == 4);
                of_four.for_each(|(_, said)| *said = "updated".to_owned());
            }
            "vector" => self.model.retain(|place, _| ![(0, 0), (0, 10)].contains(place)),
            "append" => {
                let minutes = [10, 130, 499, 500, 501];
                self.model.extend(minutes.map(|at| ((3, at), format!("appended-{at}"))));
            }
            _ => {}
        }
    }

    /// Waits until the server shows the rows of the model.
    fn expect(&self, server: &Server, what: &str) {
        let since = Instant::now();
        loop {
            let found = rows(server, "samples");
            if found == self.model {
                return;
            }
            if since.elapsed() > PATIENCE {
                let differs: Vec<_> = found
                    .iter()
                    .filter(|(place, said)| self.model.get(place) != Some(said))
                    .chain(self.model.iter().filter(|(place, _)| !found.contains_key(place)))
                    .take(5)
                    .collect();
                panic!("{what}: {differs:?} of {}:\n{}", found.len(), server.output());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Compares the rows that deltalake reads with the model; rows of the tail are not in the lake.
    fn expect_in_lake(&self) {
        let found = write("rows", &self.data().join("lake").join("samples"));
        let found: Vec<(i32, i64, String)> = serde_json::from_value(found).unwrap();
        let count = found.len();
        let found: Model =
            found.into_iter().map(|(key, at, said)| ((key, (at - START) / MINUTE), said)).collect();
        assert_eq!((found.len(), &found), (count, &self.model));
    }

    fn run(&self, args: &[&str]) -> String {
        let mut asked = command(args);
        asked.args(["--config", &self.settings(), "--data"]).arg(self.data());
        let done = asked.output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", text(&done));
        text(&done)
    }
}

/// The process of the other programs. One serves all tests, as its libraries take long to load; it ends with them.
struct Writers {
    _process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Writers {
    fn start() -> Self {
        let mut process = Python::ready()
            .command("lake_writers.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { _process: process, input, output }
    }

    fn ask(&mut self, what: &str, path: &Path) -> String {
        writeln!(self.input, "{}", json!([what, path])).unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer
    }
}

/// Lets another program do something with a table or a lake; gives what it has found there.
pub(super) fn write(what: &str, path: &Path) -> Value {
    static WRITERS: OnceLock<Mutex<Writers>> = OnceLock::new();
    let writers = WRITERS.get_or_init(|| Mutex::new(Writers::start()));
    let answer = writers.lock().unwrap().ask(what, path);
    let answer: Value = serde_json::from_str(&answer).expect("the process of the others ended");
    let failed = answer.get("failed").and_then(Value::as_str);
    assert!(failed.is_none(), "{what}: {}", failed.unwrap_or_default());
    answer["done"].clone()
}

fn rows(server: &Server, table: &str) -> Model {
    let sql = format!("SELECT key, at, text FROM {table}");
    let rows = wait(async {
        let client = Client::connect(&server.url()).await.unwrap();
        client.sql(&sql).await.unwrap().collect().await.unwrap()
    });
    let keys = rows.column(0).as_primitive::<Int32Type>().values();
    let times = rows.column(1).as_primitive::<TimestampMicrosecondType>().values();
    let texts = arrow::compute::cast(rows.column(2), &arrow::datatypes::DataType::Utf8).unwrap();
    let said = texts.as_string::<i32>().iter().map(|text| text.unwrap().to_owned());
    let places = keys.iter().zip(times).map(|(key, at)| (*key, (at - START) / MINUTE));
    let found: Vec<_> = places.zip(said).collect();
    let count = found.len();
    let found: Model = found.into_iter().collect();
    assert_eq!(found.len(), count, "a key and time is there twice");
    found
}

fn flush(server: &Server) {
    wait(async { Client::connect(&server.url()).await.unwrap().flush().await.unwrap() });
}

fn faults(server: &Server) -> String {
    let rows = wait(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let sql = "SELECT table_name, error, cure FROM system.faults";
        client.sql(sql).await.unwrap().collect().await.unwrap()
    });
    arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

const WRITES: [&str; 9] =
    ["delete", "append", "compact", "update", "vacuum", "zorder", "delete", "append", "vacuum"];

#[test]
fn what_other_programs_write_beside_a_running_server_is_taken_over() {
    let (mut bed, server) = Bed::new();
    for (n, what) in WRITES.into_iter().enumerate() {
        bed.other(what);
        bed.expect(&server, what);
        // Landing works on, in hours that have landed and in new ones.
        let minute = 380 + n as i64;
        bed.put(&server, "samples", [minute, 5 + n as i64].into_iter());
        bed.flush(&server);
        bed.expect(&server, what);
    }
    bed.expect_in_lake();
    assert!(!faults(&server).contains("samples"), "{}", faults(&server));
    server.kill();
    let server = bed.start();
    bed.expect(&server, "after kill -9");
    let (status, output) = server.terminate();
    assert!(status.success(), "{output}");
    assert!(bed.run(&["lake", "check"]).contains("sound"));
}

#[test]
fn what_other_programs_wrote_without_a_server_is_taken_over_at_its_start() {
    let (mut bed, server) = Bed::new();
    server.kill();
    for what in WRITES {
        bed.other(what);
        // Also what the log still holds of rows that were deleted does not come back.
        let server = bed.start();
        bed.expect(&server, what);
        server.kill();
    }
    bed.other("append");
    bed.other("compact");
    // Beside files that are not taken over yet.
    for command in [&["lake", "check"][..], &["lake", "files"], &["lake", "history"]] {
        bed.run(command);
    }
    for job in ["compact", "sweep", "verify", "expire"] {
        bed.run(&["jobs", "run", job]);
    }
    let server = bed.start();
    bed.expect(&server, "jobs");
    bed.flush(&server);
    let (status, output) = server.terminate();
    assert!(status.success(), "{output}");
    bed.run(&["jobs", "run", "compact"]);
    assert!(bed.run(&["lake", "check"]).contains("sound"));
    bed.expect_in_lake();
    bed.expect(&bed.start(), "compacted");
}

#[test]
fn rows_that_other_programs_deleted_in_a_file_go() {
    let (mut bed, server) = Bed::new();
    bed.other("vector");
    bed.expect(&server, "beside a server");
    bed.flush(&server);
    server.kill();
    bed.expect(&bed.start(), "after kill -9");
    assert!(bed.run(&["lake", "check"]).contains("sound"));
}

#[test]
fn columns_that_other_programs_added_are_taken_over_once_they_are_declared() {
    let (mut bed, server) = Bed::new();
    bed.other("widen");
    server.kill();
    let declared = TABLES.replacen(
        "\"utf8\" }]",
        "\"utf8\" }, { name = \"humidity\", type = \"float64\" }]",
        1,
    );
    std::fs::write(bed.settings(), declared).unwrap();
    bed.model.insert((3, 700), "wider-700".to_owned());
    let server = bed.start();
    bed.expect(&server, "declared");
    bed.flush(&server);
    assert!(!faults(&server).contains("samples"), "{}", faults(&server));
    bed.expect_in_lake();
}

#[test]
fn what_cannot_be_taken_over_is_refused_for_that_table_alone() {
    for what in ["widen", "partition", "constrain", "create", "unreadable"] {
        let (mut bed, server) = Bed::new();
        let version = bed.run(&["lake", "files", "--table", "samples"]);
        bed.other(what);
        let refused = |server: &Server| {
            let since = Instant::now();
            while !faults(server).contains("samples") {
                assert!(since.elapsed() < PATIENCE, "{what}: {}", server.output());
                std::thread::sleep(Duration::from_millis(20));
            }
            faults(server)
        };
        let fault = refused(&server);
        assert!(fault.contains("lake restore samples --version"), "{what}: {fault}\n{version}");
        // The table is what it was, takes rows, and others land.
        bed.put(&server, "samples", std::iter::once(390));
        bed.expect(&server, what);
        bed.put(&server, "others", std::iter::once(0));
        wait(async {
            let client = Client::connect(&server.url()).await.unwrap();
            assert!(client.flush().await.is_err(), "{what}");
        });
        assert!(!faults(&server).contains("others"));
        server.kill();
        let server = bed.start();
        refused(&server);
        bed.expect(&server, what);
        assert_eq!(rows(&server, "others").len(), KEYS.len());
        let cure = "lake restore samples --version ";
        let at = fault.find(cure).unwrap() + cure.len();
        let version: String = fault[at..].chars().take_while(char::is_ascii_digit).collect();
        bed.run(&["lake", "restore", "samples", "--version", &version]);
        let since = Instant::now();
        while faults(&server).contains("samples") {
            assert!(since.elapsed() < PATIENCE, "{what}: {}", faults(&server));
            flush_if_it_can(&server);
        }
        bed.flush(&server);
        bed.expect(&server, what);
        bed.expect_in_lake();
    }
}

fn flush_if_it_can(server: &Server) {
    wait(async { drop(Client::connect(&server.url()).await.unwrap().flush().await) });
}
