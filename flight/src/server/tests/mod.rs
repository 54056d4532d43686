//! Tests of the server with a real engine over a real socket, asked by the client of this crate.
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits for what is to hold, and looks at it now and then"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod altering;
mod exchange;
mod fuzz;
mod lifecycle;
mod put;
mod read;
mod shared;
mod sql;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_access::Access;
use barograph_engine::{Clock, Engine, LogSource, SystemClock};
use barograph_query::{Sql, SqlSettings};
use barograph_test_support::{engine_in, landing_on_request, readings_table, temperatures};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Server;
use crate::call::{Alter, Serving, State};
use crate::{Client, FlightSettings, Result};

/// 2026-01-01T00:00:00Z in µs: the first reading of every test.
pub(super) const START: i64 = 1_767_225_600_000_000;
const MINUTE: i64 = 60_000_000;

/// A server that runs until it is told to stop.
pub(super) struct Running {
    pub(super) client: Client,
    pub(super) addr: SocketAddr,
    pub(super) serving: Arc<Serving>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
    folder: tempfile::TempDir,
}

impl Running {
    /// Tells it to stop and waits until it has.
    pub(super) async fn stop(self) -> Result<()> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }

    /// Where its data is.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What it serves.
    pub(super) fn state(&self) -> Arc<State> {
        self.serving.current()
    }

    /// Tells it to stop and leaves it alone.
    pub(super) fn begin_stop(self) -> JoinHandle<Result<()>> {
        self.stop.send(()).unwrap();
        self.task
    }
}

pub(super) async fn start(settings: FlightSettings) -> Running {
    start_altered(settings, None).await
}

/// A server whose columns are altered by `alter`.
pub(super) async fn start_altered(
    settings: FlightSettings,
    alter: Option<Arc<dyn Alter>>,
) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), &[]).await;
    serve(folder, engine, settings, alter, None).await
}

/// A server with its log somewhere else, and a clock.
pub(super) async fn start_on(
    folder: tempfile::TempDir,
    log: LogSource,
    clock: Arc<dyn Clock>,
    settings: FlightSettings,
) -> Running {
    let engine = open_on(folder.path(), log, clock, &[]).await;
    serve(folder, engine, settings, None, None).await
}

/// An engine of the table `readings`, with more columns than it has at first.
pub(super) async fn open(folder: &Path, more: &[&str]) -> Arc<Engine> {
    let log = LogSource::Folder { path: folder.join("log"), accept_damage: false };
    open_on(folder, log, Arc::new(SystemClock), more).await
}

async fn open_on(
    folder: &Path,
    log: LogSource,
    clock: Arc<dyn Clock>,
    more: &[&str],
) -> Arc<Engine> {
    let engine = engine_in(folder).settings(landing_on_request()).log(log).clock(clock);
    engine
        .table(readings_table(["temperature", "humidity"].iter().chain(more).copied()))
        .open()
        .await
        .unwrap()
}

async fn serve(
    folder: tempfile::TempDir,
    engine: Arc<Engine>,
    settings: FlightSettings,
    alter: Option<Arc<dyn Alter>>,
    access: Option<Arc<Access>>,
) -> Running {
    let settings = FlightSettings { listen: "127.0.0.1:0".to_owned(), ..settings };
    let audit = access.iter().map(|access| crate::audit_rows(access).unwrap()).collect();
    let (own, none) = (SqlSettings::default(), BTreeMap::new());
    let sql = Sql::with_system(Arc::clone(&engine), own, none, audit).unwrap();
    let server = Server::bind_altered_by(alter, engine, sql, settings).await.unwrap();
    let server = match access {
        None => server,
        Some(access) => server.with_access(access),
    };
    let (addr, serving) = (server.local_addr(), Arc::clone(&server.serving));
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    let client = Client::connect(&format!("grpc://{addr}")).await.unwrap();
    Running { client, addr, serving, stop, task, folder }
}

/// A connection for clients that are not this crate's.
pub(super) async fn channel(addr: SocketAddr) -> tonic::transport::Channel {
    tonic::transport::Endpoint::from_shared(format!("http://{addr}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// Readings (city, minute after START, temperature), with the humidity left out.
pub(super) fn batch(rows: impl IntoIterator<Item = (i32, i64, f32)>) -> RecordBatch {
    temperatures(
        rows.into_iter().map(|(city, minute, value)| (city, START + minute * MINUTE, value)),
    )
}

/// The rows of an answer as (city, minute after START, first value column).
pub(super) fn rows(batch: &RecordBatch) -> Vec<(i32, i64, f32)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};
    let cities = batch.column(0).as_primitive::<Int32Type>();
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    let values = batch.column(2).as_primitive::<Float32Type>();
    (0..batch.num_rows())
        .map(|row| (cities.value(row), (times.value(row) - START) / MINUTE, values.value(row)))
        .collect()
}
