//! Tests of DoPut: acknowledgements in order, wrong puts, and batches over the bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use barograph_engine::{Durability, ErrorKind};
use barograph_lake::Key;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::{Code, Request, Status};

use super::{Running, batch, channel, rows, start};
use crate::FlightSettings;

#[tokio::test]
async fn every_batch_is_acknowledged_in_order() {
    let server = start(FlightSettings::default()).await;
    let batches = (0..50).map(|i| batch((0..=i).map(|city| (city, i64::from(i), 0.0))));
    let acks: Vec<_> = server
        .client
        .put("readings", stream::iter(batches.collect::<Vec<_>>()), Durability::Memory)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        acks.iter().map(|ack| ack.accepted).collect::<Vec<_>>(),
        (1..=50).collect::<Vec<_>>()
    );
    assert!(acks.is_sorted_by(|a, b| a.position < b.position));
    assert!(acks.iter().all(|ack| ack.durability == Durability::Memory));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_later_batch_wins_even_after_a_large_one() {
    let server = start(FlightSettings::default()).await;
    let large = |value: f32| batch((0..40_000).map(move |city| (city, 0, value)));
    let small = |value: f32| batch([(7, 0, value)]);
    for round in 0..5 {
        let value = |i: i32| (10 * round + i) as f32;
        let batches = vec![
            small(value(1)),
            large(value(2)),
            small(value(3)),
            large(value(4)),
            small(value(5)),
        ];
        let acks =
            server.client.put("readings", stream::iter(batches), Durability::Memory).await.unwrap();
        assert_eq!(acks.try_collect::<Vec<_>>().await.unwrap().len(), 5);
        let seen =
            server.client.latest("readings", Some(&[7, 8].map(Key::new)), None).await.unwrap();
        assert_eq!(rows(&seen), [(7, 0, value(5)), (8, 0, value(4))]);
    }
    server.stop().await.unwrap();
}

/// Sends raw messages with a durability header.
async fn put_raw(
    server: &Running,
    messages: Vec<FlightData>,
    durability: Option<&'static str>,
) -> Result<Vec<PutResult>, Status> {
    let mut client = FlightServiceClient::new(channel(server.addr).await);
    let mut request = Request::new(stream::iter(messages));
    if let Some(durability) = durability {
        request.metadata_mut().insert("x-barograph-durability", durability.parse().unwrap());
    }
    client.do_put(request).await?.into_inner().try_collect().await
}

async fn messages(descriptor: Option<FlightDescriptor>) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(descriptor)
        .build(stream::iter([Ok(batch([(1, 0, 1.0)]))]))
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_acknowledgement_is_json_and_disk_is_the_default() {
    let server = start(FlightSettings::default()).await;
    let command = FlightDescriptor::new_cmd(r#"{"v":1,"table":"readings"}"#);
    let results = put_raw(&server, messages(Some(command)).await, None).await.unwrap();
    let [result] = results.as_slice() else { panic!("{results:?}") };
    let json: serde_json::Value = serde_json::from_slice(&result.app_metadata).unwrap();
    assert_eq!(json["durability"], "disk");
    assert_eq!((json["accepted"].as_u64(), json["rejected"].as_u64()), (Some(1), Some(0)));
    assert!(json["position"].is_string());
    assert_eq!(json.as_object().unwrap().len(), 4);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_put_says_what_is_wrong() {
    let server = start(FlightSettings::default()).await;
    let path = |name: &str| Some(FlightDescriptor::new_path(vec![name.to_owned()]));
    for (messages, durability, code, expected) in [
        (
            messages(path("readings")).await,
            Some("tape"),
            Code::InvalidArgument,
            "\"tape\": write memory or disk",
        ),
        (messages(path("weather")).await, None, Code::NotFound, "\"weather\""),
        (messages(None).await, None, Code::InvalidArgument, "no descriptor"),
        (Vec::new(), None, Code::InvalidArgument, "without any message"),
    ] {
        let status = put_raw(&server, messages, durability).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(expected), "{status:?}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn acknowledgements_before_an_error_stand() {
    let server = start(FlightSettings::default()).await;
    let mut messages =
        messages(Some(FlightDescriptor::new_path(vec!["readings".to_owned()]))).await;
    let mut broken = messages[1].clone();
    broken.data_header = broken.data_header.slice(..20);
    messages.push(broken);
    let mut client = FlightServiceClient::new(channel(server.addr).await);
    let mut acks = client.do_put(stream::iter(messages)).await.unwrap().into_inner();
    assert!(acks.next().await.unwrap().is_ok());
    assert_eq!(acks.next().await.unwrap().unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(
        server.client.latest("readings", Some(&[Key::new(1)]), None).await.unwrap().num_rows(),
        1
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_over_the_bound_names_the_setting() {
    let settings = FlightSettings {
        request_bytes_max: barograph_lake::Size::bytes(64 << 10),
        ..Default::default()
    };
    let server = start(settings).await;
    let large = batch((0..20_000).map(|city| (city, 0, 0.0)));
    let error = server.client.put_batch("readings", large, Durability::Memory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.to_string().contains("flight.request_bytes_max is 64KiB"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_to_send_is_no_error_and_an_empty_batch_has_its_acknowledgement() {
    let server = start(FlightSettings::default()).await;
    let acks = server
        .client
        .put("readings", stream::empty::<RecordBatch>(), Durability::Disk)
        .await
        .unwrap();
    assert_eq!(acks.try_collect::<Vec<_>>().await.unwrap(), []);
    let sizes = [batch([]), batch([(1, 0, 1.0)]), batch([])];
    let acks =
        server.client.put("readings", stream::iter(sizes), Durability::Memory).await.unwrap();
    let accepted: Vec<_> = acks.map_ok(|ack| ack.accepted).try_collect().await.unwrap();
    assert_eq!(accepted, [0, 1, 0]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_with_other_columns_is_told_and_not_forgotten() {
    let server = start(FlightSettings::default()).await;
    let first = batch([(1, 0, 1.0)]);
    let other = first.project(&[0, 1]).unwrap();
    let mut acks = server
        .client
        .put("readings", stream::iter([first, other]), Durability::Memory)
        .await
        .unwrap();
    assert_eq!(acks.try_next().await.unwrap().unwrap().accepted, 1);
    let error = acks.try_next().await.unwrap_err();
    assert!(error.to_string().contains("other columns than the first"), "{error}");
    server.stop().await.unwrap();
}
