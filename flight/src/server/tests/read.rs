//! Tests of DoGet and GetFlightInfo: rows, endpoints of one moment, errors and limits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow_flight::Ticket as FlightTicket;
use arrow_flight::flight_service_server::FlightService;
use barograph_engine::{Clock, Durability, ErrorKind, LogSource, ManualClock};
use barograph_lake::{Key, Span, Timestamp};
use futures::{StreamExt, TryStreamExt};

use super::{START, batch, rows, start, start_on};
use crate::server::service::Service;
use crate::ticket::{RangeRead, Ticket};
use crate::{Client, FlightSettings};

/// `minutes` readings of each of `cities`.
pub(super) async fn fill(client: &Client, cities: i32, minutes: i64) {
    for minute in (0..minutes).step_by(100) {
        let some = minute..minutes.min(minute + 100);
        let readings =
            some.flat_map(|minute| (0..cities).map(move |city| (city, minute, minute as f32)));
        client.put_batch("readings", batch(readings), Durability::Memory).await.unwrap();
    }
}

fn whole() -> Ticket {
    Ticket::range("readings", RangeRead::default())
}

#[tokio::test]
async fn what_was_acknowledged_is_answered() {
    let server = start(FlightSettings::default()).await;
    let client = &server.client;
    let ack = client
        .put_batch("readings", batch([(1, 0, 10.0), (1, 1, 11.0), (2, 0, 20.0)]), Durability::Disk)
        .await
        .unwrap();
    assert_eq!((ack.accepted, ack.rejected, ack.durability), (3, 0, Durability::Disk));

    let latest = client
        .latest("readings", Some(&[2, 1, 3].map(Key::new)), Some(&["temperature"]))
        .await
        .unwrap();
    assert_eq!(rows(&latest), [(1, 1, 11.0), (2, 0, 20.0)]);
    assert_eq!(latest.num_columns(), 3);

    let everyone = client.latest("readings", None, None).await.unwrap();
    assert_eq!(rows(&everyone), rows(&latest));
    assert_eq!(everyone.schema(), client.schema("readings").await.unwrap());

    let first = Timestamp::from_micros(START);
    let at =
        client.at("readings", Some(&[Key::new(1)]), first + Span::seconds(30), None).await.unwrap();
    assert_eq!(rows(&at), [(1, 0, 10.0)]);

    let range =
        RangeRead { from: Some(first), to: Some(first + Span::MINUTE), ..Default::default() };
    let range =
        client.get(&Ticket::range("readings", range)).await.unwrap().collect().await.unwrap();
    assert_eq!(rows(&range), [(1, 0, 10.0), (2, 0, 20.0)]);

    let nothing = client.latest("readings", Some(&[Key::new(9)]), None).await.unwrap();
    assert_eq!((nothing.num_rows(), nothing.num_columns()), (0, 5));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn endpoints_give_the_rows_of_one_moment_while_writing_goes_on() {
    let settings = FlightSettings { endpoint_rows: 1_000, endpoints_max: 5, ..Default::default() };
    let server = start(settings).await;
    let client = &server.client;
    fill(client, 40, 100).await;
    let expected = client.get(&whole()).await.unwrap().collect().await.unwrap();
    assert_eq!(expected.num_rows(), 4_000);

    let plan = client.info(&whole()).await.unwrap();
    assert_eq!(plan.rows, Some(4_000));
    assert!((2..=5).contains(&plan.endpoints.len()), "{} endpoints", plan.endpoints.len());
    client
        .put_batch("readings", batch([(0, 0, -1.0), (50, 1, 1.0)]), Durability::Disk)
        .await
        .unwrap();
    client.flush().await.unwrap();
    let fetched: Vec<_> = client.fetch(&plan, 4).try_collect().await.unwrap();
    assert_eq!(rows(&concat_batches(&plan.schema, &fetched).unwrap()), rows(&expected));

    let changed = client.get(&whole()).await.unwrap().collect().await.unwrap();
    assert_eq!((changed.num_rows(), rows(&changed)[0]), (4_001, (0, 0, -1.0)));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn keys_and_windows_split_but_a_limit_does_not() {
    let settings = FlightSettings { endpoint_rows: 500, ..Default::default() };
    let server = start(settings).await;
    let client = &server.client;
    fill(client, 40, 100).await;
    let cities =
        RangeRead { keys: Some((0..40).step_by(2).map(Key::new).collect()), ..Default::default() };
    let ticket = Ticket::range("readings", cities.clone());
    let plan = client.info(&ticket).await.unwrap();
    assert!(plan.endpoints.len() > 1);
    let fetched: Vec<_> = client.fetch(&plan, 2).try_collect().await.unwrap();
    let whole = client.get(&ticket).await.unwrap().collect().await.unwrap();
    assert_eq!(concat_batches(&plan.schema, &fetched).unwrap(), whole);

    let limited = Ticket::range("readings", RangeRead { limit: Some(1_500), ..cities });
    let plan = client.info(&limited).await.unwrap();
    assert_eq!((plan.endpoints.len(), plan.rows), (1, Some(1_500)));
    let fetched: Vec<_> = client.fetch(&plan, 2).try_collect().await.unwrap();
    assert_eq!(fetched.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_500);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_endpoint_of_an_expired_view_says_what_to_do() {
    let settings =
        FlightSettings { endpoint_rows: 100, view_lifetime: Span::millis(1), ..Default::default() };
    let server = start(settings).await;
    fill(&server.client, 10, 100).await;
    let plan = server.client.info(&whole()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let error = server.client.fetch(&plan, 1).next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("call GetFlightInfo again"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn errors_keep_their_kind_and_message() {
    let server = start(FlightSettings::default()).await;
    let client = &server.client;
    let error = client.latest("weather", None, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("\"weather\"") && error.to_string().contains("readings"),
        "{error}"
    );

    let error = client.latest("readings", None, Some(&["wind"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.to_string().contains("no column \"wind\""), "{error}");

    let error = client.get_raw(FlightTicket::new("{\"v\":1}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);

    let big = vec![Key::new(1); 200_000];
    let error = client.latest("readings", Some(&big), None).await.unwrap_err();
    assert!(error.to_string().contains("flight.ticket_keys_max"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_over_the_bound_is_refused_and_an_abandoned_one_makes_room() {
    let server = start(FlightSettings { streams_max: 1, ..Default::default() }).await;
    let client = &server.client;
    fill(client, 3_000, 200).await;
    let mut running = client.get(&whole()).await.unwrap();
    running.try_next().await.unwrap().unwrap();
    let error = client.latest("readings", Some(&[Key::new(1)]), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources);
    assert_eq!(error.retry_after(), Some(Duration::from_millis(100)));
    assert!(error.to_string().contains("flight.streams_max"), "{error}");

    drop(running);
    while server.state().limits.running() > 0 {
        tokio::task::yield_now().await;
    }
    client.latest("readings", Some(&[Key::new(1)]), None).await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_takes_too_long_ends_with_an_error_not_short() {
    let settings = FlightSettings { request_timeout: Span::millis(300), ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    let log = LogSource::Folder { path: folder.path().join("log"), accept_damage: false };
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(START) + Span::DAY));
    let server = start_on(folder, log, Arc::clone(&clock) as _, settings).await;
    // Past the server, whose messages are bounded.
    for minute in (0..200).step_by(20) {
        let some = minute..minute + 20;
        let readings = some.flat_map(|minute| (0..3_000).map(move |city| (city, minute, 1.0)));
        let state = server.state();
        let put = state.engine.put("readings", batch(readings), "test", Durability::Memory);
        put.await.unwrap();
    }
    let mut answer = server.client.get(&whole()).await.unwrap();
    let mut waited = false;
    let error = loop {
        match answer.try_next().await {
            Ok(Some(_)) if !waited => {
                // More than the flow-control window is left when the deadline passes.
                clock.set(clock.now() + Span::millis(300));
                waited = true;
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("the answer ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("flight.request_timeout"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_generated_method_gives_what_the_socket_gives() {
    let server = start(FlightSettings::default()).await;
    fill(&server.client, 10, 100).await;
    let over_socket = server.client.get(&whole()).await.unwrap().collect().await.unwrap();
    let service = Service(server.serving.clone());
    let ticket = tonic::Request::new(FlightTicket::new(whole().to_json()));
    let messages: Vec<_> =
        service.do_get(ticket).await.unwrap().into_inner().try_collect().await.unwrap();
    let batches = arrow_flight::utils::flight_data_to_batches(&messages).unwrap();
    assert_eq!(concat_batches(over_socket.schema_ref(), &batches).unwrap(), over_socket);
    server.stop().await.unwrap();
}
