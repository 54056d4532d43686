//! The API with a real engine over a real socket, under a clock that the test sets: what is cut short is seen to be.

mod fuzz;

use std::sync::Arc;

use barograph_engine::{Durability, Engine, LogSource, ManualClock};
use barograph_flight::{FlightSettings, Server};
use barograph_lake::{Span, Timestamp};
use barograph_query::{Sql, SqlSettings};
use barograph_test_support::{engine_in, landing_on_request, readings_table, temperatures};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::{Http, HttpSettings, Places};

/// 2026-01-01T00:00:00Z in µs.
const START: i64 = 1_767_225_600_000_000;
/// Rows whose text fits into no buffer of a socket.
const ROWS: i32 = 400_000;

struct Running {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<barograph_flight::Result<()>>,
    _folder: tempfile::TempDir,
}

async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(START)));
    let log = LogSource::Folder { path: folder.path().join("log"), accept_damage: false };
    let engine = engine_in(folder.path()).settings(landing_on_request()).log(log);
    let engine = engine.clock(Arc::clone(&clock) as _).table(readings_table(["temperature"]));
    let engine = engine.open().await.unwrap();
    let sql = Sql::new(Arc::clone(&engine), SqlSettings::default()).unwrap();
    let listen = "127.0.0.1:0".to_owned();
    let settings = FlightSettings { listen, ..FlightSettings::default() };
    let server = Server::bind(Arc::clone(&engine), sql, settings).await.unwrap();
    let places = Places::new(Vec::new(), Box::new(|_| Err("no places".to_owned())));
    let http = Http::new(server.door(), HttpSettings::default(), places, Span::MINUTE);
    let server = server.with_routes(http.routes());
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    Running { engine, clock, address, stop, task, _folder: folder }
}

impl Running {
    async fn fill(&self) {
        let rows = temperatures((0..ROWS).map(|id| (id, START, 20.5)));
        self.engine.put("readings", rows, "test", Durability::Memory).await.unwrap();
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// Reads the beginning of an answer, lets its time run out, and reads on to the end of the connection.
async fn read_too_slowly(running: &Running, path: &str) -> String {
    let mut connection = running.ask(path).await;
    let mut text = vec![0; 1_000];
    connection.read_exact(&mut text).await.unwrap();
    assert!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
    running.clock.set(running.clock_now() + Span::HOUR);
    // An error of the connection is an end that is seen, too.
    let _ = connection.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

impl Running {
    fn clock_now(&self) -> Timestamp {
        self.engine.now()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_short_is_seen_to_be() {
    let running = start().await;
    running.fill().await;
    for format in ["json", "ndjson", "csv", "arrow"] {
        let path = format!("/api/v1/tables/readings/range?format={format}");
        let text = read_too_slowly(&running, &path).await;
        assert!(!text.ends_with("0\r\n\r\n"), "{format}: the answer looks whole");
        assert!(!text.trim_end().ends_with(']'), "{format}: the answer looks whole");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_is_whole_if_it_is_read_in_time() {
    let running = start().await;
    running.fill().await;
    let mut connection = running.ask("/api/v1/tables/readings/range?format=ndjson").await;
    let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 20]);
    while !text.ends_with(b"0\r\n\r\n") {
        let count = connection.read(&mut piece).await.unwrap();
        assert_ne!(count, 0, "the answer was cut short");
        text.extend_from_slice(&piece[..count]);
    }
    let rows = text.windows(2).filter(|pair| pair == b"}\n").count();
    assert_eq!(rows, ROWS as usize);
    drop(connection);
    running.stop().await;
}
