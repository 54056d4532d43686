//! Servers of one lake: real processes, and clients that put into them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use barograph_engine::{Ack, Durability};
use barograph_flight::{Client, Ticket};

/// Servers of a lake.
pub(crate) const SERVERS: usize = 3;

/// A running server; killed with -9 when it is dropped.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: String,
}

/// The binary that is measured, free of the settings in this process's environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barograph"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BAROGRAPH_") {
            command.env_remove(name);
        }
    }
    command
}

impl Server {
    /// Starts one, and gives the time until it answers.
    pub(crate) fn start(data: &str, settings: &[String]) -> (Self, Duration) {
        let started = Instant::now();
        let mut process = command()
            .args(["serve", "--listen", "127.0.0.1:0", "--data", data])
            .args(["--set", "scheduler.enabled=false", "--set", "store.cache_bytes=0B"])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
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

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.url()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The shared log, with more settings.
pub(crate) fn shared(more: &[&str]) -> Vec<String> {
    std::iter::once("log=store").chain(more.iter().copied()).map(str::to_owned).collect()
}

/// Servers of one lake in a folder.
pub(crate) fn servers(folder: &Path, more: &[&str]) -> Vec<Server> {
    let data = folder.to_str().unwrap();
    (0..SERVERS).map(|_| Server::start(data, &shared(more)).0).collect()
}

/// Puts a batch, as often as the server says to try again; gives the time until it is acknowledged, too.
pub(crate) async fn put(client: &Client, batch: RecordBatch) -> (Duration, Ack) {
    let sent = Instant::now();
    loop {
        match client.put_batch("readings", batch.clone(), Durability::Disk).await {
            Ok(ack) => return (sent.elapsed(), ack),
            Err(error) => match error.retry_after() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => panic!("{error}"),
            },
        }
    }
}

/// The rows of an answer.
pub(crate) async fn rows(client: &Client, ticket: &Ticket) -> RecordBatch {
    client.get(ticket).await.unwrap().collect().await.unwrap()
}

/// The instants of rows of the table.
pub(crate) fn instants(rows: &RecordBatch) -> &TimestampMicrosecondArray {
    rows.column(1).as_primitive::<TimestampMicrosecondType>()
}

/// The one number that a statement gives.
pub(crate) async fn number(client: &Client, sql: &str) -> i64 {
    let rows = client.sql(sql).await.unwrap().collect().await.unwrap();
    rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
}
