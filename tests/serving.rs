//! Serving under load: a server whose statements are in a long operation, or whose answers nobody reads, answers other
//! clients and takes rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, AsArray, Float32Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use barograph_engine::{Durability, ErrorKind};
use barograph_flight::Client;
use barograph_flight::client::Answer;
use barograph_test_support::instants;
use futures::StreamExt;
use tokio::task::JoinHandle;

use crate::server::Server;

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
/// Nothing ends in these tests by timeout, and a statement has one thread.
const SETTINGS: [&str; 10] = [
    "--set",
    "sql.threads=1",
    "--set",
    "sql.timeout=1h",
    "--set",
    "sql.reader_timeout=1h",
    "--set",
    "flight.request_timeout=1h",
    "--set",
    "scheduler.enabled=false",
];
/// More rows than any window between server and client holds.
const ENDLESS: &str = "SELECT a.value + b.value AS n FROM generate_series(1, 1000000) a \
                       CROSS JOIN generate_series(1, 1000000) b";
/// A statement whose thread works for minutes on its first batch.
const STUCK: &str = "SELECT sum(levenshtein(repeat('a', 40000 + value % 7), repeat('b', 40000))) \
                     FROM generate_series(1, 8192)";

async fn number(client: &Client, text: &str) -> i64 {
    let rows = client.sql(text).await.unwrap().collect().await.unwrap();
    rows.column(0).as_primitive::<Int64Type>().value(0)
}

/// An answer that is not read after its first rows. It has a connection of its own, since unread answers fill their
/// connection's window.
async fn cursor(server: &Server) -> Answer {
    let client = Client::connect(&server.url()).await.unwrap();
    let mut answer = client.sql(ENDLESS).await.unwrap();
    assert!(answer.next().await.unwrap().unwrap().num_rows() > 0);
    answer
}

/// The number of a statement that keeps its thread, once it does, and the error with which it ends.
async fn stuck(client: &Client, mark: i64) -> (i64, JoinHandle<barograph_flight::Error>) {
    let text = format!("{STUCK} -- {mark}");
    let asked = tokio::spawn({
        let (client, text) = (client.clone(), text.clone());
        async move {
            match client.sql(&text).await {
                Ok(answer) => answer.collect().await.unwrap_err(),
                Err(error) => error,
            }
        }
    });
    let text = text.replace('\'', "''");
    let of =
        format!("FROM system.queries WHERE text = '{text}' AND state = 'running' AND tasks > 0");
    while number(client, &format!("SELECT count(*) {of}")).await == 0 {
        assert!(!asked.is_finished(), "{:?}", asked.await);
    }
    (number(client, &format!("SELECT max(id) {of}")).await, asked)
}

fn serve() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&SETTINGS, folder.path());
    (folder, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_cursors_do_not_keep_others_out() {
    let (_folder, server) = serve();
    let client = Client::connect(&server.url()).await.unwrap();
    let mut cursors = Vec::new();
    // Four times as many as there are places.
    for _ in 0..64 {
        cursors.push(cursor(&server).await);
        assert_eq!(number(&client, "SELECT 1").await, 1);
    }
    let unread = "SELECT count(*) FROM system.queries WHERE state = 'unread'";
    assert!(number(&client, unread).await >= 48);
    // Each can still be read on.
    for cursor in &mut cursors {
        assert!(cursor.next().await.unwrap().unwrap().num_rows() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_keeps_its_threads_hears_at_once_and_hinders_nobody() {
    let (_folder, server) = serve();
    let client = Client::connect(&server.url()).await.unwrap();
    for mark in 0..3 {
        let (id, asked) = stuck(&client, mark).await;
        assert_eq!(number(&client, "SELECT 1").await, 1);
        client.kill(&id.to_string()).await.unwrap();
        let error = asked.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert_eq!(number(&client, "SELECT 1").await, 1);
    }
}

/// A statement of the largest size allowed.
fn heavy(mark: usize) -> String {
    let terms: Vec<_> = (0..400).map(|i| format!("city_id + {i} <> {}", i + mark)).collect();
    format!("SELECT count(*) FROM readings WHERE {}", terms.join(" OR "))
}

fn readings(minute: i64) -> RecordBatch {
    const ROWS: i32 = 250;
    let at = std::iter::repeat_n(START + minute * 60_000_000, ROWS as usize);
    let values = Float32Array::from_iter_values((0..ROWS).map(|row| row as f32 / 10.0));
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from_iter_values(0..ROWS)) as ArrayRef),
        ("at", instants(at)),
        ("level", Arc::new(values)),
        ("note", Arc::new(StringArray::from(vec!["calm"; ROWS as usize]))),
    ])
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_in_beside_all_of_it() {
    const BATCHES: i64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    let declared = "[tables.tides]\nkey = 'id'\ntime = 'at'\ncolumns = [\n\
                    { name = 'level', type = 'float32' }, { name = 'note', type = 'utf8' }]\n";
    std::fs::write(&settings, declared).unwrap();
    let config = ["--config", settings.to_str().unwrap()];
    let data = folder.path().join("data");
    let server = Server::start(&[&SETTINGS[..], &config].concat(), &data);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut cursors = Vec::new();
    for _ in 0..16 {
        cursors.push(cursor(&server).await);
    }
    let mut ended = Vec::new();
    for mark in 0..2 {
        let (id, asked) = stuck(&client, mark).await;
        client.kill(&id.to_string()).await.unwrap();
        ended.push(asked);
    }
    let (_, kept) = stuck(&client, 2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let planned = tokio::spawn({
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        async move {
            for mark in 0.. {
                client.sql(&heavy(mark)).await.unwrap().collect().await.unwrap();
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
    });
    for minute in 0..BATCHES {
        let ack = client.put_batch("tides", readings(minute), Durability::Disk).await.unwrap();
        assert_eq!((ack.accepted, ack.rejected), (250, 0));
    }
    stop.store(true, Ordering::SeqCst);
    planned.await.unwrap();
    for asked in ended {
        assert_eq!(asked.await.unwrap().kind(), ErrorKind::Cancelled);
    }
    let count = "SELECT count(*) FROM tides";
    assert_eq!(number(&client, count).await, BATCHES * 250);
    client.flush().await.unwrap();
    assert_eq!(number(&client, count).await, BATCHES * 250);
    assert!(!kept.is_finished());
}
