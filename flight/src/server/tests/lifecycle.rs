//! Tests of the life of a server: actions, health, reflection, a failed writer, and draining.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Empty};
use barograph_engine::log::{LogSettings, MemoryDisk, MemoryLog};
use barograph_engine::{Durability, ErrorKind, LogSource, SystemClock};
use barograph_lake::{Key, LogPosition, Span, TimeRange};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::read::fill;
use super::{batch, channel, start, start_on};
use crate::ticket::RangeRead;
use crate::{Client, FlightSettings, Ticket};

#[tokio::test]
async fn tables_and_actions_are_listed_and_done() {
    let server = start(FlightSettings::default()).await;
    fill(&server.client, 10, 10).await;
    let tables = server.client.tables().await.unwrap();
    let readings = tables.iter().find(|table| table.name == "readings").unwrap();
    assert_eq!((readings.rows, readings.schema.fields().len()), (100, 5));

    let plan = server.client.plan(&Ticket::range("readings", RangeRead::default())).await.unwrap();
    assert!(plan.contains("readings") || plan.contains("Scan"), "{plan}");
    let error = server.client.plan(&Ticket::latest("readings", None)).await.unwrap_err();
    assert!(error.to_string().contains("a point read has no plan"), "{error}");
    server.client.flush().await.unwrap();
    let report = server.client.redrive("readings", TimeRange::ALL).await.unwrap();
    assert_eq!((report.letters, report.accepted, report.rejected), (0, 0, 0));

    let mut raw = FlightServiceClient::new(channel(server.addr).await);
    let listed: Vec<_> =
        raw.list_actions(Empty {}).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(
        listed.iter().take(7).map(|action| action.r#type.as_str()).collect::<Vec<_>>(),
        ["alter", "delete", "flush", "kill", "plan", "redrive", "version"]
    );
    let mut version = raw.do_action(Action::new("version", "")).await.unwrap().into_inner();
    let version = version.message().await.unwrap().unwrap().body;
    assert!(std::str::from_utf8(&version).unwrap().contains("\"ticket\":1"));
    let status = raw.do_action(Action::new("dance", "")).await.unwrap_err();
    assert!(
        status.message().contains("there are alter, delete, flush, kill, plan, redrive, version"),
        "{status:?}"
    );
    let status = raw
        .do_action(Action::new("redrive", r#"{"table":"readings","until":"x"}"#))
        .await
        .unwrap_err();
    assert!(status.message().contains("unknown field `until`"), "{status:?}");
    server.stop().await.unwrap();
}

/// Asks by HTTP/1.1 and gives the whole answer.
async fn http(addr: std::net::SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn headers_of_http_1_are_bounded() {
    let server = start(FlightSettings::default()).await;
    for (bytes, expected) in [(60 << 10, "HTTP/1.1 200"), (65 << 10, "HTTP/1.1 431")] {
        let more = format!("/health HTTP/1.1\r\nX-Much: {}\r\nX:", "m".repeat(bytes));
        let answer = http(server.addr, &more).await;
        assert!(answer.starts_with(expected), "{bytes}: {answer}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_port_speaks_http_health_and_reflection() {
    let server = start(FlightSettings::default()).await;
    let health = http(server.addr, "/health").await;
    assert!(
        health.starts_with("HTTP/1.1 200") && health.contains(r#""status":"serving""#),
        "{health}"
    );
    let unknown = http(server.addr, "/nothing").await;
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("/nothing"), "{unknown}");

    let ready = http(server.addr, "/ready").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#""ready":true"#), "{ready}");
    assert!(http(server.addr, "/metrics").await.contains("\nbarograph_failed 0\n"));
    let mut health = HealthClient::new(channel(server.addr).await);
    for service in ["", "arrow.flight.protocol.FlightService"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(
            health.check(asked).await.unwrap().into_inner().status,
            1,
            "{service:?} is serving"
        );
    }

    let mut reflection = ServerReflectionClient::new(channel(server.addr).await);
    let asked =
        |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asked = [
        asked(MessageRequest::ListServices(String::new())),
        asked(MessageRequest::FileContainingSymbol(
            "arrow.flight.protocol.FlightService".to_owned(),
        )),
    ];
    let answers: Vec<_> = reflection
        .server_reflection_info(stream::iter(asked))
        .await
        .unwrap()
        .into_inner()
        .map(|answer| answer.unwrap().message_response.unwrap())
        .collect()
        .await;
    let [
        MessageResponse::ListServicesResponse(services),
        MessageResponse::FileDescriptorResponse(file),
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert!(services.service.iter().any(|s| s.name == "arrow.flight.protocol.FlightService"));
    let file =
        prost_types::FileDescriptorProto::decode(file.file_descriptor_proto[0].as_slice()).unwrap();
    assert_eq!(file.service[0].method.len(), 10);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_panicked_is_an_internal_error_and_the_server_is_unwell() {
    let disk = MemoryDisk::default();
    let log = MemoryLog::open(&disk, &LogSettings::default(), LogPosition::new(0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = LogSource::Ready(Box::new(log));
    let server = start_on(folder, log, Arc::new(SystemClock), FlightSettings::default()).await;
    let put = async |value| {
        let rows = batch([(1, 0, value)]);
        server.client.put_batch("readings", rows, Durability::Disk).await
    };
    put(1.0).await.unwrap();
    disk.set_before_append(|| panic!("the log was set to panic"));
    for _ in 0..2 {
        let error = put(2.0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        assert!(error.to_string().contains("the writer panicked"), "{error}");
    }
    let health = http(server.addr, "/health").await;
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    assert!(health.contains(r#""status":"failed""#) && health.contains("panicked"), "{health}");
    let ready = http(server.addr, "/ready").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains(r#""ready":false"#) && ready.contains("the writer panicked"), "{ready}");
    assert!(http(server.addr, "/metrics").await.contains("\nbarograph_failed 1\n"));
    let mut health = HealthClient::new(channel(server.addr).await);
    for service in ["", "arrow.flight.protocol.FlightService"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let mut watched = health.watch(asked).await.unwrap().into_inner();
        // The status changes beside the answer to the put.
        while watched.message().await.unwrap().unwrap().status != 2 {}
    }
    let answer = server.client.get(&Ticket::latest("readings", None)).await.unwrap();
    assert_eq!(answer.collect().await.unwrap().num_rows(), 1, "reads go on");
    let error = server.stop().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
}

#[tokio::test]
async fn draining_ends_writers_and_exchanges_and_takes_no_new_calls() {
    let server = start(FlightSettings::default()).await;
    let client = server.client.clone();
    let (requests, mut answers) = client.exchange(&Ticket::latest("readings", None)).await.unwrap();
    requests.keys(&[Key::new(1)], None).await.unwrap();
    answers.next().await.unwrap().unwrap();
    let endless = stream::iter([batch([(1, 0, 1.0)])]).chain(stream::pending());
    let mut acks = client.put("readings", endless, Durability::Disk).await.unwrap();
    acks.next().await.unwrap().unwrap();

    let addr = server.addr;
    let stopping = server.begin_stop();
    assert_eq!(answers.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(acks.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    stopping.await.unwrap().unwrap();
    assert_eq!(
        client.latest("readings", None, None).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert!(Client::connect(&format!("http://{addr}")).await.is_err());
}

#[tokio::test]
async fn a_running_answer_goes_on_while_draining() {
    let settings = FlightSettings { drain_timeout: Span::seconds(3_600), ..Default::default() };
    let server = start(settings).await;
    fill(&server.client, 3_000, 200).await;
    let whole = Ticket::range("readings", RangeRead::default());
    let mut answer = server.client.get(&whole).await.unwrap();
    let mut rows = answer.try_next().await.unwrap().unwrap().num_rows();
    let stopping = server.begin_stop();
    while let Some(batch) = answer.try_next().await.unwrap() {
        rows += batch.num_rows();
    }
    assert_eq!(rows, 600_000);
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_running_answer_is_ended_after_draining() {
    let settings = FlightSettings { drain_timeout: Span::millis(300), ..Default::default() };
    let server = start(settings).await;
    fill(&server.client, 3_000, 200).await;
    let whole = Ticket::range("readings", RangeRead::default());
    let mut slow = server.client.get(&whole).await.unwrap();
    slow.try_next().await.unwrap().unwrap();
    server.begin_stop().await.unwrap().unwrap();
    let error = loop {
        match slow.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the answer ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal), "{error}");
}

#[tokio::test]
async fn a_taken_address_names_the_setting() {
    let server = start(FlightSettings::default()).await;
    let engine = server.state().engine.clone();
    let sql = server.state().sql.clone();
    let settings = FlightSettings { listen: server.addr.to_string(), ..Default::default() };
    let error = crate::Server::bind(engine, sql, settings).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("flight.listen"), "{error}");
    server.stop().await.unwrap();
}
