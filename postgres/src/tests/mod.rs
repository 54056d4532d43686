//! The door with a real engine over a real socket: what comes back byte by byte, and what input that is made to harm does.

mod fuzz;

use std::net::SocketAddr;
use std::sync::Arc;

use barograph_access::AccessSettings;
use barograph_engine::{Durability, LogSource, SystemClock};
use barograph_flight::{FlightSettings, Server};
use barograph_lake::Size;
use barograph_query::{Sql, SqlSettings};
use barograph_test_support::{engine_in, landing_on_request, readings_table, temperatures};
use bytes::BytesMut;
use pgwire::messages::PgWireFrontendMessage as In;
use pgwire::messages::extendedquery::{Bind, Describe, Execute, Parse, Sync};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::Startup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::{Postgres, PostgresListener, PostgresSettings, pg_catalog};

/// 2026-01-01T00:00:00Z in µs.
const START: i64 = 1_767_225_600_000_000;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<barograph_flight::Result<()>>,
    _folder: tempfile::TempDir,
}

async fn start(folder: tempfile::TempDir) -> Running {
    let log = LogSource::Folder { path: folder.path().join("log"), accept_damage: false };
    let engine = engine_in(folder.path()).settings(landing_on_request()).log(log);
    let engine = engine.clock(Arc::new(SystemClock)).table(readings_table(["temperature"]));
    let engine = engine.open().await.unwrap();
    let rows = temperatures((0..4).map(|id| (id, START, 20.5)));
    engine.put("readings", rows, "test", Durability::Memory).await.unwrap();
    let settings = SqlSettings { value_bytes_max: Size::bytes(1 << 20), ..SqlSettings::default() };
    let sql = Sql::new(Arc::clone(&engine), settings).unwrap();
    let sql = sql.with_derived(pg_catalog()).unwrap();
    let listen = "127.0.0.1:0".to_owned();
    let flight = FlightSettings { listen: listen.clone(), ..FlightSettings::default() };
    let settings = PostgresSettings { listen, prepared_max: 8, ..PostgresSettings::default() };
    let access = AccessSettings::default();
    let listener = PostgresListener::bind(&settings, &flight, &access).await.unwrap().unwrap();
    let address = listener.local_addr();
    let server = Server::bind(engine, sql, flight).await.unwrap();
    let postgres = Postgres::new(listener, server.beside(), settings);
    let server = server.with_protocol(postgres.serve());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    Running { address, stop, task, _folder: folder }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn startup() -> In {
    let mut startup = Startup::new();
    startup.parameters.insert("user".to_owned(), "ada".to_owned());
    In::Startup(startup)
}

/// The kinds of messages that come back until the server waits, and the text of all of them.
async fn answers(connection: &mut TcpStream, messages: &[In]) -> (String, String) {
    let mut bytes = BytesMut::new();
    messages.iter().for_each(|message| message.encode(&mut bytes).unwrap());
    connection.write_all(&bytes).await.unwrap();
    let (mut kinds, mut text) = (String::new(), Vec::new());
    while !kinds.ends_with('Z') {
        let mut head = [0; 5];
        if connection.read_exact(&mut head).await.is_err() {
            break;
        }
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; length as usize - 4];
        connection.read_exact(&mut body).await.unwrap();
        kinds.push(char::from(head[0]));
        text.extend_from_slice(&body);
    }
    (kinds, String::from_utf8_lossy(&text).into_owned())
}

fn query(text: &str) -> In {
    In::Query(Query::new(text.to_owned()))
}

fn parse(text: &str) -> In {
    In::Parse(Parse::new(None, text.to_owned(), Vec::new()))
}

fn bind(values: &[&'static str]) -> In {
    let values = values.iter().map(|value| Some(value.as_bytes().into())).collect();
    In::Bind(Bind::new(None, None, Vec::new(), values, Vec::new()))
}

fn execute(most: i32) -> In {
    In::Execute(Execute::new(None, most))
}

fn sync() -> In {
    In::Sync(Sync::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_their_order() {
    let running = start(tempfile::tempdir().unwrap()).await;
    let mut connection = TcpStream::connect(running.address).await.unwrap();
    let (kinds, text) = answers(&mut connection, &[startup()]).await;
    assert_eq!(kinds, format!("R{}KZ", "S".repeat(13)));
    assert!(text.contains("server_version\x0015.0\0"), "{text:?}");

    let (kinds, text) =
        answers(&mut connection, &[query("select city_id from readings order by 1; begin; ")])
            .await;
    assert_eq!(kinds, "TDDDDCCZ");
    assert!(text.ends_with("SELECT 4\0BEGIN\0T"), "{text:?}");
    let (kinds, text) = answers(&mut connection, &[query("select 1; select x; select 2")]).await;
    assert_eq!((kinds.as_str(), text.ends_with('E')), ("TDCEZ", true), "{text:?}");
    let (kinds, text) = answers(&mut connection, &[query("select 1")]).await;
    assert_eq!((kinds.as_str(), text.contains("25P02")), ("EZ", true), "{text:?}");
    let (kinds, _) = answers(&mut connection, &[query("commit; -- nothing")]).await;
    assert_eq!(kinds, "CZ");
    assert_eq!(answers(&mut connection, &[query(" ; ")]).await.0, "IZ");

    // Rows of a portal in two parts, and nothing of what comes behind a failure.
    let describe = In::Describe(Describe::new(b'S', None));
    let text = "select city_id from readings where city_id < $1 order by 1";
    let messages =
        [query("begin"), parse(text), describe, bind(&["3"]), execute(2), execute(2), sync()];
    assert_eq!(answers(&mut connection, &messages[..1]).await.0, "CZ");
    assert_eq!(answers(&mut connection, &messages[1..]).await.0, "1tT2DDsDCZ");
    let messages = [parse("select y"), bind(&[]), execute(0), sync()];
    assert_eq!(answers(&mut connection, &messages).await.0, "EZ");
    drop(connection);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_of_the_server_is_told_to_those_who_wait() {
    let running = start(tempfile::tempdir().unwrap()).await;
    let mut connection = TcpStream::connect(running.address).await.unwrap();
    answers(&mut connection, &[startup()]).await;
    running.stop().await;
    let mut text = Vec::new();
    connection.read_to_end(&mut text).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("57P01"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_prepared_than_may_be() {
    let running = start(tempfile::tempdir().unwrap()).await;
    let mut connection = TcpStream::connect(running.address).await.unwrap();
    answers(&mut connection, &[startup()]).await;
    for at in 0..9 {
        let parse = In::Parse(Parse::new(Some(at.to_string()), "select 1".to_owned(), Vec::new()));
        let (kinds, text) = answers(&mut connection, &[parse, sync()]).await;
        assert_eq!(
            (kinds == "EZ", text.contains("postgres.prepared_max")),
            (at == 8, at == 8),
            "{text:?}"
        );
    }
    let (kinds, _) = answers(&mut connection, &[query("deallocate all")]).await;
    assert_eq!(kinds, "CZ");
    drop(connection);
    running.stop().await;
}
