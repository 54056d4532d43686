//! The log of a lake: a lake takes rows from one log. A server with another log is refused when it starts, and the
//! first loses nothing. A log that is given up has landed as a whole, and any other may follow it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::Int64Type;
use barograph_engine::Durability;
use barograph_flight::Client;
use barograph_test_support::instants;

use crate::server::Server;

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const MINUTE: i64 = 60_000_000;
/// One of the built-in cities.
const CITY: i32 = 2_988_507;
/// No hour lands by itself.
const SETTINGS: [(&str, &str); 2] =
    [("BAROGRAPH_ENGINE__LATENESS", "100000h"), ("BAROGRAPH_ENGINE__LATE_MERGE_EVERY", "100000h")];

fn start(data: &Path, log: &Path) -> Result<Server, String> {
    let set = format!("log_folder={}", log.display());
    let mut server = Server::spawn(&["--set", &set], data, &SETTINGS);
    match server.wait_ready() {
        Ok(()) => Ok(server),
        Err(_) => Err(server.kill()),
    }
}

/// Puts a row for each minute, and lands all of them or none.
fn put(server: &Server, minutes: std::ops::Range<i64>, land: bool) {
    let count = minutes.clone().count();
    let rows = RecordBatch::try_from_iter([
        ("city_id", Arc::new(Int32Array::from_value(CITY, count)) as ArrayRef),
        ("reading_at", instants(minutes.map(|minute| START + minute * MINUTE))),
    ])
    .unwrap();
    runtime().block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let ack = client.put_batch("readings", rows, Durability::Disk).await.unwrap();
        assert_eq!(ack.accepted, count as u64);
        if land {
            client.flush().await.unwrap();
        }
    });
}

fn rows(server: &Server) -> i64 {
    runtime().block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let answer = client.sql("SELECT count(*) FROM readings").await.unwrap();
        answer.collect().await.unwrap().column(0).as_primitive::<Int64Type>().value(0)
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Removes the id of a log, as in logs of a program version that gave it none.
fn take_id_away(log: &Path) {
    for file in fs::read_dir(log).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[40..60].fill(0);
        fs::write(&path, bytes).unwrap();
    }
}

fn refused(data: &Path, log: &Path, owner: &Path) {
    let printed = start(data, log).expect_err("two logs on one lake");
    for part in [log, owner, &data.join("lake").join("_log.json")] {
        let part = part.display().to_string();
        assert!(printed.contains(&part), "{part} in:\n{printed}");
    }
}

/// A lake of 400 rows, of which some have landed, with the names of its log and of another.
fn filled(folder: &Path) -> (PathBuf, [PathBuf; 2], Server) {
    let data = folder.join("data");
    let logs = ["first", "second"].map(|name| folder.join(name));
    let server = start(&data, &logs[0]).unwrap();
    put(&server, 0..100, true);
    put(&server, 30..400, false);
    (data, logs, server)
}

#[test]
fn a_second_log_on_a_lake_is_refused_and_the_first_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let (data, [first, second], server) = filled(&folder);
    // Beside a running server, too.
    refused(&data, &second, &first);
    server.kill();
    refused(&data, &second, &first);
    let server = start(&data, &first).unwrap();
    assert_eq!(rows(&server), 400);
    server.kill();

    // A copy of the log's folder is that log.
    let restored = folder.join("restored");
    copy(&first, &restored);
    let server = start(&data, &restored).unwrap();
    assert_eq!(rows(&server), 400);
    put(&server, 400..500, true);
    server.kill();
    refused(&data, &second, &restored);

    // If it is said that it is gone for good, another log goes on from what has landed.
    fs::remove_file(data.join("lake").join("_log.json")).unwrap();
    let server = start(&data, &second).unwrap();
    assert_eq!(rows(&server), 500);
    put(&server, 450..600, false);
    server.kill();
    refused(&data, &restored, &second);
    assert_eq!(rows(&start(&data, &second).unwrap()), 600);
}

#[test]
fn a_log_without_an_id_gets_one_and_a_start_that_was_cut_off_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let (data, second) = (folder.join("data"), folder.join("second"));
    let log = folder.join("first");
    let owner = data.join("lake").join("_log.json");
    let server = start(&data, &log).unwrap();
    put(&server, 0..200, true);
    put(&server, 100..300, false);
    server.kill();
    // As an earlier program left it.
    take_id_away(&log);
    fs::remove_file(&owner).unwrap();
    let server = start(&data, &log).unwrap();
    assert_eq!(rows(&server), 300);
    server.kill();
    refused(&data, &second, &log);
    // The id was written, and the process died before the lake knew.
    let told = fs::read(&owner).unwrap();
    fs::remove_file(&owner).unwrap();
    let server = start(&data, &log).unwrap();
    assert_eq!((rows(&server), fs::read(&owner).unwrap()), (300, told));
    server.kill();
    refused(&data, &second, &log);
}

/// Gives up the log of a folder, and says whether that was done, with what was printed.
fn release(data: &Path, log: &Path) -> (bool, String) {
    release_with(data, &format!("log_folder={}", log.display()))
}

fn release_with(data: &Path, set: &str) -> (bool, String) {
    let mut command = crate::server::command(&["lake", "release-log", "--set", set, "--data"]);
    let output = command.arg(data).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

#[test]
fn a_log_that_is_given_up_loses_nothing_and_any_other_may_follow() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let (data, [first, second], server) = filled(&folder);
    let (done, printed) = release(&data, &first);
    assert!(!done && printed.contains("another process has it open"), "{printed}");
    server.kill();
    let copied = folder.join("copied");
    copy(&first, &copied);
    let (done, printed) = release(&data, &first);
    assert!(done && printed.contains("the lake is free"), "{printed}");

    // Several processes with a shared log, which another log does not get in.
    let shared = ["--set", "log=store"];
    let servers = [0, 1].map(|_| Server::start_with(&shared, &data, &SETTINGS));
    assert_eq!(servers.each_ref().map(rows), [400; 2]);
    put(&servers[1], 350..500, false);
    drop(servers);
    refused(&data, &second, Path::new("_log"));
    let server = Server::start_with(&shared, &data, &SETTINGS);
    assert_eq!(rows(&server), 500);
    server.kill();
    // Nor does a copy of the one that was given up, which is told so once no other has the lake.
    refused(&data, &copied, Path::new("_log"));
    fs::remove_file(data.join("lake").join("_log.json")).unwrap();
    let printed = start(&data, &copied).expect_err("a log that was given up");
    assert!(printed.contains("was given up"), "{printed}");
    let (done, printed) = release(&data, &folder.join("none"));
    assert!(!done && printed.contains("there is no log in"), "{printed}");
}

#[test]
fn a_shared_log_is_given_up_for_a_local_one_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let (data, log) = (folder.join("data"), folder.join("log"));
    let shared = ["--set", "log=store"];
    let (done, printed) = release_with(&data, "log=store");
    assert!(!done && printed.contains("there is no shared log"), "{printed}");
    let server = Server::start_with(&shared, &data, &SETTINGS);
    put(&server, 0..100, true);
    put(&server, 30..400, false);
    let (done, printed) = release_with(&data, "log=store");
    assert!(!done && printed.contains("another process has the lake open"), "{printed}");
    assert_eq!(rows(&server), 400);
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    refused(&data, &log, Path::new("_log"));
    let (done, printed) = release_with(&data, "log=store");
    assert!(done && printed.contains("the lake is free"), "{printed}");

    let server = start(&data, &log).unwrap();
    assert_eq!(rows(&server), 400);
    put(&server, 350..500, false);
    server.kill();
    let (done, printed) = release(&data, &log);
    assert!(done, "{printed}");
    let server = Server::start_with(&shared, &data, &SETTINGS);
    assert_eq!(rows(&server), 500);
    put(&server, 450..600, false);
    assert_eq!(rows(&server), 600);
}
