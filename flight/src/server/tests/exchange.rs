//! Tests of DoExchange: the order of answers, wrong requests, and streams that cannot be opened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor};
use barograph_engine::{Durability, ErrorKind};
use barograph_lake::{Key, Span, Timestamp};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tonic::Status;

use super::read::fill;
use super::{Running, START, batch, channel, rows, start};
use crate::{FlightSettings, Ticket};

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests() {
    let server =
        start(FlightSettings { exchange_requests_in_flight: 10, ..Default::default() }).await;
    fill(&server.client, 100, 3).await;
    let ticket = Ticket::latest("readings", Some(vec![])).columns(["temperature"]);
    let (requests, answers) = server.client.exchange(&ticket).await.unwrap();
    let at = Timestamp::from_micros(START) + Span::MINUTE;
    let asking = async {
        for id in 0..1_000_u64 {
            match id % 4 {
                0 => requests.keys(&[Key::new((id % 100) as i64)], Some(id)).await,
                1 => requests.keys(&[(id % 100) as i64, 5].map(Key::new), Some(id)).await,
                2 => requests.at(&[Key::new((id % 100) as i64)], at, Some(id)).await,
                _ => requests.keys(&[Key::new(1_000_000)], Some(id)).await,
            }
            .unwrap();
        }
        drop(requests);
    };
    let (answers, ()) = tokio::join!(answers.try_collect::<Vec<_>>(), asking);
    let answers = answers.unwrap();
    assert_eq!(answers.len(), 1_000);
    for (id, answer) in (0..1_000_u64).zip(answers) {
        assert_eq!(answer.id, Some(id.into()));
        let city = (id % 100) as i32;
        let seen = rows(&answer.rows.unwrap());
        match id % 4 {
            0 => assert_eq!(seen, [(city, 2, 2.0)]),
            1 if city > 5 => assert_eq!(seen, [(5, 2, 2.0), (city, 2, 2.0)]),
            1 if city == 5 => assert_eq!(seen, [(5, 2, 2.0)]),
            1 => assert_eq!(seen, [(city, 2, 2.0), (5, 2, 2.0)]),
            2 => assert_eq!(seen, [(city, 1, 1.0)]),
            _ => assert_eq!(seen, []),
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_sees_what_was_acknowledged_before_it_was_sent() {
    let server = start(FlightSettings::default()).await;
    let ticket = Ticket::latest("readings", Some(vec![Key::new(7)]));
    let (requests, mut answers) = server.client.exchange(&ticket).await.unwrap();
    for value in 0..50 {
        let row = batch([(7, 0, value as f32)]);
        server.client.put_batch("readings", row, Durability::Memory).await.unwrap();
        requests.keys(&[Key::new(7)], None).await.unwrap();
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(rows(&answer.rows.unwrap()), [(7, 0, value as f32)]);
    }
    server.stop().await.unwrap();
}

/// Sends requests as other clients do and gives (app_metadata, number of messages with a header).
async fn ask(
    server: &Running,
    descriptor: Option<FlightDescriptor>,
    requests: &[Value],
) -> Result<Vec<(Value, usize)>, Status> {
    let mut client = FlightServiceClient::new(channel(server.addr).await);
    let mut messages: Vec<_> = requests
        .iter()
        .map(|request| FlightData::new().with_app_metadata(request.to_string()))
        .collect();
    if let Some(descriptor) = descriptor {
        messages.insert(0, FlightData::new().with_descriptor(descriptor));
    }
    let answers: Vec<_> =
        client.do_exchange(stream::iter(messages)).await?.into_inner().try_collect().await?;
    let batches = arrow_flight::utils::flight_data_to_batches(&answers).unwrap();
    let metadata = answers.iter().skip(1).map(|data| match data.app_metadata.as_ref() {
        [] => Value::Null,
        json => serde_json::from_slice(json).unwrap(),
    });
    Ok(metadata.zip(batches.iter().map(|batch| batch.num_rows())).collect())
}

#[tokio::test]
async fn the_first_request_may_open_the_stream_by_itself() {
    let server = start(FlightSettings::default()).await;
    fill(&server.client, 10, 1).await;
    let whole = json!({"v":1,"table":"readings","latest":{"keys":[1,2]},"columns":[],"id":"first"});
    let answers =
        ask(&server, None, &[whole, json!({"keys":[3],"id":2}), json!({})]).await.unwrap();
    assert_eq!(answers, [(json!({"id":"first"}), 2), (json!({"id":2}), 1), (Value::Null, 2)]);
    let path = FlightDescriptor::new_path(vec!["readings".to_owned()]);
    let answers = ask(&server, Some(path), &[json!({"keys":[3]}), json!({})]).await.unwrap();
    assert_eq!(answers, [(Value::Null, 1), (Value::Null, 10)]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_request_is_answered_and_the_stream_goes_on() {
    let server = start(FlightSettings { ticket_keys_max: 3, ..Default::default() }).await;
    fill(&server.client, 10, 1).await;
    let ticket =
        Ticket::latest("readings", Some(vec![Key::new(1)])).columns(["temperature"]).to_json();
    let wrong = [
        (json!({"id":1,"keys":["x"]}), "key as a whole number"),
        (json!({"id":1,"range":{}}), "ask for a range with DoGet"),
        (json!({"id":1,"table":"dead_letters"}), "one table"),
        (json!({"id":1,"columns":["humidity"]}), "one list of columns"),
        (json!({"id":1,"columns":["wind"]}), "no column"),
        (json!({"id":1,"keys":[1,2,3,4]}), "flight.ticket_keys_max"),
        (json!({"id":1,"keys":[4294967296_i64]}), "32-bit"),
        (json!({"id":1,"what":1}), "unknown field `what`"),
    ];
    for (request, expected) in wrong {
        let requests = [json!({"keys":[1],"id":0}), request, json!({"keys":[2],"id":2})];
        let answers =
            ask(&server, Some(FlightDescriptor::new_cmd(ticket.clone())), &requests).await.unwrap();
        let [(_, 1), (refused, 0), (_, 1)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((&refused["id"], &refused["code"]), (&json!(1), &json!("INVALID_ARGUMENT")));
        let error = refused["error"].as_str().unwrap();
        assert!(error.contains(expected), "{error}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_too_large_for_one_message_is_refused() {
    let settings = FlightSettings {
        message_bytes: barograph_lake::Size::bytes(4 << 10),
        ..Default::default()
    };
    let server = start(settings).await;
    fill(&server.client, 1_000, 1).await;
    let (requests, mut answers) =
        server.client.exchange(&Ticket::latest("readings", None)).await.unwrap();
    requests.keys(&(0..1_000).map(Key::new).collect::<Vec<_>>(), None).await.unwrap();
    let error = answers.next().await.unwrap().unwrap().rows.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.to_string().contains("flight.message_bytes"), "{error}");
    requests.keys(&[Key::new(1)], None).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().rows.unwrap().num_rows(), 1);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_ends_with_the_reason() {
    let server = start(FlightSettings::default()).await;
    let range = FlightDescriptor::new_cmd(r#"{"v":1,"table":"readings","range":{}}"#);
    let unknown = FlightDescriptor::new_path(vec!["weather".to_owned()]);
    for (descriptor, request, expected) in [
        (None, json!({"keys":[1]}), "must be a whole ticket"),
        (None, json!({"v":9}), "version 9"),
        (Some(range), json!({"keys":[1]}), "ask for a range with DoGet"),
        (Some(unknown), json!({"keys":[1]}), "\"weather\""),
    ] {
        let status = ask(&server, descriptor, &[request]).await.unwrap_err();
        assert!(status.message().contains(expected), "{status:?}");
    }
    server.stop().await.unwrap();
}
