//! Tests of divided answers: their endpoints give every row once, all of one moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow_flight::FlightInfo;
use barograph_engine::Durability;
use barograph_lake::Span;
use futures::TryStreamExt;
use futures::future::join_all;
use tonic::Code;

use super::{Running, SqlClient, connect, fetch, refused, start};
use crate::FlightSettings;
use crate::server::tests::{batch, rows};

const CITIES: i32 = 700;
/// All in one hour, which stays in the tail.
const MINUTES: i64 = 59;
const ALL: &str =
    "SELECT city_id, reading_at, temperature FROM readings ORDER BY city_id, reading_at";

/// A server with enough rows that dividing them is worth it, and a client that asks for four endpoints.
async fn served(settings: FlightSettings) -> (Running, SqlClient) {
    let server = start(settings).await;
    let all =
        (0..CITIES).flat_map(|city| (0..MINUTES).map(move |minute| (city, minute, city as f32)));
    server.client.put_batch("readings", batch(all), Durability::Memory).await.unwrap();
    let mut client = connect(&server).await;
    client.set_header("x-barograph-endpoints", "4");
    (server, client)
}

async fn info(client: &mut SqlClient, text: &str) -> FlightInfo {
    client.execute(text.to_owned(), None).await.unwrap()
}

/// The rows of each endpoint, all fetched at the same time by clients of their own.
async fn fetch_apart(server: &Running, info: FlightInfo) -> Vec<RecordBatch> {
    let schema = std::sync::Arc::new(info.clone().try_decode_schema().unwrap());
    join_all(info.endpoint.into_iter().map(async |endpoint| {
        let mut client = connect(server).await;
        let stream = client.do_get(endpoint.ticket.unwrap()).await.unwrap();
        let batches: Vec<_> = stream.try_collect().await.unwrap();
        concat_batches(&schema, &batches).unwrap()
    }))
    .await
}

#[tokio::test]
async fn parts_are_one_answer_of_one_moment() {
    let (server, mut client) = served(FlightSettings::default()).await;
    let info = info(&mut client, ALL).await;
    assert_eq!((info.endpoint.len(), info.ordered), (4, true));
    assert!(info.endpoint.iter().all(|endpoint| endpoint.expiration_time.is_some()));
    // What comes after the info belongs to no part: one row replaced, one new, one of a new city.
    let late = batch([(1, 0, -1.0), (CITIES - 1, MINUTES, -1.0), (CITIES, 0, -1.0)]);
    server.client.put_batch("readings", late, Durability::Memory).await.unwrap();

    let parts = fetch_apart(&server, info).await;
    let last: Vec<_> = parts.iter().map(|part| rows(part).last().unwrap().0).collect();
    let first: Vec<_> = parts.iter().map(|part| rows(part)[0].0).collect();
    assert!(first[1..].iter().zip(&last).all(|(next, last)| last < next), "{first:?} {last:?}");
    let got: Vec<_> = parts.iter().flat_map(rows).collect();
    let all =
        (0..CITIES).flat_map(|city| (0..MINUTES).map(move |minute| (city, minute, city as f32)));
    assert_eq!(got, all.collect::<Vec<_>>());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_by_key_is_divided_and_nothing_else() {
    let (server, mut client) = served(FlightSettings::default()).await;
    for (text, is_divided) in [
        ("SELECT * FROM readings", true),
        ("SELECT * FROM readings WHERE temperature > 3 AND reading_at < now()", true),
        ("SELECT city_id, count(*) AS n FROM readings GROUP BY city_id", true),
        (
            "SELECT city_id, date_bin(INTERVAL '1 hour', reading_at) AS h, avg(temperature) AS mean FROM readings GROUP BY 1, 2",
            true,
        ),
        (
            "SELECT city_id, lag(temperature) OVER (PARTITION BY city_id ORDER BY reading_at) AS l FROM readings",
            true,
        ),
        (
            "SELECT r.city_id, c.column2 FROM readings r JOIN (VALUES (1, 'a'), (30, 'b')) c ON c.column1 = r.city_id",
            true,
        ),
        ("SELECT count(*) AS n FROM readings", false),
        ("SELECT * FROM readings LIMIT 40000", false),
        ("SELECT * FROM readings ORDER BY reading_at, city_id", false),
        ("SELECT reading_at, count(*) AS n FROM readings GROUP BY 1", false),
        (
            "SELECT a.city_id FROM readings a JOIN readings b ON a.city_id = b.city_id AND a.reading_at = b.reading_at",
            false,
        ),
        ("SELECT * FROM readings WHERE city_id = 7", false),
        ("SELECT city_id FROM readings UNION ALL SELECT city_id FROM readings", false),
    ] {
        let divided = info(&mut client, text).await;
        assert_eq!(divided.endpoint.len() > 1, is_divided, "{text}");
        assert!(divided.endpoint.len() <= 4, "{text}");
        let count =
            fetch_apart(&server, divided).await.iter().map(RecordBatch::num_rows).sum::<usize>();
        let mut whole = connect(&server).await;
        let undivided = info(&mut whole, text).await;
        assert_eq!(undivided.endpoint.len(), 1, "{text}");
        assert_eq!(count, fetch(&mut whole, undivided).await.unwrap().num_rows(), "{text}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn parts_bind_parameters_and_expire() {
    let (server, mut client) = served(FlightSettings::default()).await;
    let text = "SELECT city_id FROM readings WHERE city_id >= $1";
    let mut prepared = client.prepare(text.to_owned(), None).await.unwrap();
    let bound = arrow::array::Int32Array::from(vec![1]);
    let bound = RecordBatch::try_from_iter([("$1", std::sync::Arc::new(bound) as _)]).unwrap();
    prepared.set_parameters(bound).unwrap();
    let divided = prepared.execute().await.unwrap();
    assert_eq!(divided.endpoint.len(), 4);
    let parts = fetch_apart(&server, divided).await;
    let count: usize = parts.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, (CITIES as usize - 1) * MINUTES as usize);

    server.stop().await.unwrap();

    let settings = FlightSettings { view_lifetime: Span::millis(1), ..FlightSettings::default() };
    let (server, mut client) = served(settings).await;
    let divided = info(&mut client, ALL).await;
    let ticket = divided.endpoint[0].ticket.clone().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    refused(client.do_get(ticket).await, Code::NotFound, "42P01", &["call GetFlightInfo again"]);
    server.stop().await.unwrap();
}
