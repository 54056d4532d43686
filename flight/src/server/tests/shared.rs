//! Tests of servers that share a log: batches that are sent again, positions that calls ask for, and where endpoints are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor};
use barograph_engine::{Durability, ErrorKind, LogSource, SystemClock};
use barograph_lake::{Key, LogPosition, Span};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::Request;

use super::read::fill;
use super::{Running, batch, channel, open_on, rows, serve};
use crate::client::PutBatch;
use crate::ticket::RangeRead;
use crate::{BATCH_ID_HEADER, Client, FlightSettings, Ticket};

/// A server over the lake in `folder`, with small endpoints and short waits.
async fn server(folder: &Path) -> Running {
    let log = LogSource::Store { address: String::new() };
    let engine = open_on(folder, log, Arc::new(SystemClock), &[]).await;
    let settings = FlightSettings {
        endpoint_rows: 100,
        after_wait_max: Span::millis(50),
        ..FlightSettings::default()
    };
    serve(tempfile::tempdir().unwrap(), engine, settings, None, None).await
}

async fn stop(servers: [Running; 2]) {
    for server in servers {
        server.stop().await.unwrap();
    }
}

fn everything() -> Ticket {
    Ticket::range("readings", RangeRead::default()).columns(["temperature"])
}

/// All rows as of a position, however long a server takes to have it.
async fn at(client: &Client, position: LogPosition) -> Vec<(i32, i64, f32)> {
    loop {
        match client.get(&everything().after(position)).await {
            Ok(answer) => return rows(&answer.collect().await.unwrap()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
}

/// The acknowledgements of a put of two batches, whose ids follow from a header.
async fn put_with_header(server: &Running, id: &'static str) -> Vec<Bytes> {
    let rows = [batch([(2, 0, 1.0)]), batch([(3, 0, 1.0)])].map(Ok);
    let path = FlightDescriptor::new_path(vec!["readings".to_owned()]);
    let messages = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(path));
    let messages: Vec<FlightData> = messages.build(stream::iter(rows)).try_collect().await.unwrap();
    let mut request = Request::new(stream::iter(messages));
    request.metadata_mut().insert(BATCH_ID_HEADER, id.parse().unwrap());
    let mut raw = FlightServiceClient::new(channel(server.addr).await);
    let acks = raw.do_put(request).await.unwrap().into_inner();
    acks.map_ok(|ack| ack.app_metadata).try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_counts_once_at_any_server() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (server(folder.path()).await, server(folder.path()).await);
    let first = PutBatch::from(batch([(1, 0, 1.0)]));
    let ack = a.client.put_batch("readings", first.clone(), Durability::Disk).await.unwrap();
    let second = b.client.put_batch("readings", batch([(1, 0, 2.0)]), Durability::Disk);
    let second = second.await.unwrap();
    assert!(second.position > ack.position);
    // As if its acknowledgement had been lost: it does not come over the row that was put after it.
    for server in [&b, &a] {
        let again = server.client.put_batch("readings", first.clone(), Durability::Disk);
        assert_eq!(again.await.unwrap().position, ack.position);
        assert_eq!(at(&server.client, second.position).await, [(1, 0, 2.0)]);
    }
    let id = "00000000000000000000000000000007";
    let once = put_with_header(&a, id).await;
    assert_eq!((once.len(), put_with_header(&b, id).await), (2, once));
    stop([a, b]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_at_one_server_is_read_at_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (server(folder.path()).await, server(folder.path()).await);
    let (questions, mut answers) =
        b.client.exchange(&Ticket::latest("readings", None)).await.unwrap();
    for minute in 0..20 {
        let row = batch([(1, minute, minute as f32)]);
        let ack = a.client.put_batch("readings", row, Durability::Disk).await.unwrap();
        let newest = loop {
            match minute % 4 {
                0 => break at(&b.client, ack.position).await.pop().unwrap(),
                1 => match b.client.after(ack.position).latest("readings", None, None).await {
                    Ok(answer) => break rows(&answer)[0],
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                },
                2 => {
                    questions.keys_after(&[Key::new(1)], ack.position).await.unwrap();
                    match answers.next().await.unwrap().unwrap().rows {
                        Ok(answer) => break rows(&answer)[0],
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                    }
                }
                _ => {
                    let text = "SELECT city_id, reading_at, temperature FROM latest('readings')";
                    match b.client.after(ack.position).sql(text).await {
                        Ok(answer) => break rows(&answer.collect().await.unwrap())[0],
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                    }
                }
            }
        };
        assert_eq!(newest, (1, minute, minute as f32));
    }
    drop(questions);
    stop([a, b]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_does_not_come_is_told_with_that_which_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (server(folder.path()).await, server(folder.path()).await);
    let far = LogPosition::new(1 << 40);
    let ahead = a.client.after(far);
    let row = || batch([(1, 0, 1.0)]);
    let ack = a.client.put_batch("readings", row(), Durability::Disk).await.unwrap();
    let errors = [
        ahead.get(&everything()).await.map(drop).unwrap_err(),
        ahead.info(&everything()).await.map(drop).unwrap_err(),
        ahead.latest("readings", None, None).await.map(drop).unwrap_err(),
        ahead.sql("SELECT count(*) FROM readings").await.map(drop).unwrap_err(),
        ahead.plan(&everything()).await.map(drop).unwrap_err(),
        a.client.get(&everything().after(far)).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        assert!(text.contains(&far.to_string()) && text.contains("50 ms"), "{text}");
        assert!(text.contains("this server has the log up to 0"), "{text}");
    }
    // A put does not wait.
    assert!(
        ahead.put_batch("readings", row(), Durability::Disk).await.unwrap().position > ack.position
    );
    stop([a, b]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_a_pinned_view_name_their_server_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (server(folder.path()).await, server(folder.path()).await);
    fill(&a.client, 10, 50).await;
    let plan = a.client.info(&everything()).await.unwrap();
    assert!(plan.endpoints.len() > 1);
    assert_eq!(plan.location.as_deref(), Some(format!("grpc+tcp://{}", a.addr).as_str()));
    // Even a client of the other server goes there.
    let fetched: Vec<_> = b.client.fetch(&plan, 2).try_collect().await.unwrap();
    assert_eq!(fetched.iter().map(|batch| batch.num_rows()).sum::<usize>(), 500);
    let plan = a.client.info(&Ticket::latest("readings", None)).await.unwrap();
    assert_eq!((plan.endpoints.len(), plan.location.clone()), (1, None));
    stop([a, b]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_several_addresses_goes_on_at_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (server(folder.path()).await, server(folder.path()).await);
    let gone = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let all = format!("{gone}, grpc://{},http://{}", a.addr, b.addr);
    let client = Client::connect(&all).await.unwrap();
    let ack = client.put_batch("readings", batch([(1, 0, 1.0)]), Durability::Disk).await.unwrap();
    a.stop().await.unwrap();
    assert_eq!(at(&client, ack.position).await, [(1, 0, 1.0)]);
    client.put_batch("readings", batch([(1, 1, 2.0)]), Durability::Disk).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(client.latest("readings", None, None).await.unwrap().num_rows(), 1);
    b.stop().await.unwrap();
    let client = client.with_timeout(std::time::Duration::from_millis(50));
    let error = client.latest("readings", None, None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
    let error = Client::connect(&all).await.unwrap_err();
    assert!(error.to_string().contains(&gone.to_string()), "{error}");
}
