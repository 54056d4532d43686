//! What one caller was given, tried by another: values that were bound, endpoints, and views that they hold.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow_flight::{FlightClient, FlightInfo};
use barograph_engine::Durability;
use futures::TryStreamExt;
use tonic::Code;

use super::super::sql::{fetch, query, status};
use super::super::{batch, channel, rows};
use super::sql::clients;
use super::{Guarded, guarded};
use crate::Ticket;
use crate::ticket::RangeRead;

/// A native client that shows the token of a role.
async fn client(served: &Guarded, role: &str) -> FlightClient {
    let mut client = FlightClient::new(channel(served.server.addr).await);
    client.add_header("authorization", &format!("Bearer {}", served.token(role))).unwrap();
    client
}

fn number(rows: &RecordBatch) -> i64 {
    rows.column(0).as_primitive::<Int64Type>().value(0)
}

/// More rows, so that dividing them is worth it.
async fn many(served: &Guarded) {
    let all =
        (0..700).flat_map(|city| (0..59).map(move |minute| (city, 600 + minute, city as f32)));
    served.client("admin").put_batch("readings", batch(all), Durability::Memory).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_another_has_bound_are_values_and_no_rights() {
    let served = guarded().await;
    let (mut reader, mut admin) = clients(&served).await;
    let text = "SELECT count(*) AS n FROM readings WHERE city_id = $1".to_owned();
    let mut prepared = admin.prepare(text, None).await.unwrap();
    for (city, all, given) in [(1, 12, 11), (3, 12, 0)] {
        let value: ArrayRef = Arc::new(Int32Array::from(vec![city]));
        prepared.set_parameters(RecordBatch::try_from_iter([("1", value)]).unwrap()).unwrap();
        let info = prepared.execute().await.unwrap();
        assert_eq!(number(&fetch(&mut reader, info.clone()).await.unwrap()), given);
        assert_eq!(number(&fetch(&mut admin, info.clone()).await.unwrap()), all);
        // The handle itself, with which the reader asks anew.
        let asked = info.flight_descriptor.clone().unwrap();
        let anew = client(&served, "reader").await.get_flight_info(asked).await.unwrap();
        assert_eq!(number(&fetch(&mut reader, anew).await.unwrap()), given);
    }
    let mut hidden =
        admin.prepare("SELECT count(*) AS n FROM secrets".to_owned(), None).await.unwrap();
    let info = hidden.execute().await.unwrap();
    let error = fetch(&mut reader, info).await.unwrap_err().to_string();
    assert!(error.contains("there is no table secrets"), "{error}");
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_another_give_their_fetcher_its_own_part() {
    let served = guarded().await;
    many(&served).await;
    let (mut reader, mut admin) = clients(&served).await;
    let text = "SELECT city_id, reading_at, temperature FROM readings \
                ORDER BY city_id, reading_at";
    let own = query(&mut reader, text).await.unwrap();
    admin.set_header("x-barograph-endpoints", "4");
    let info: FlightInfo = admin.execute(text.to_owned(), None).await.unwrap();
    assert_eq!(info.endpoint.len(), 4);
    assert_eq!(rows(&fetch(&mut reader, info).await.unwrap()), rows(&own));
    assert_eq!(own.num_rows(), 2 * (11 + 59));
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_endpoints_of_another_hold_show_their_fetcher_its_own_part() {
    let served = guarded().await;
    many(&served).await;
    let (admin, mut reader) = (served.client("admin"), client(&served, "reader").await);
    let endpoints = async |table: &str| {
        admin.info(&Ticket::range(table, RangeRead::default())).await.unwrap().endpoints
    };
    let mut count = 0;
    for ticket in endpoints("readings").await {
        let batches: Vec<RecordBatch> =
            reader.do_get(ticket).await.unwrap().try_collect().await.unwrap();
        for rows_of in batches {
            assert_eq!(rows_of.num_columns(), 4);
            assert!(rows(&rows_of).iter().all(|(city, ..)| [1, 2].contains(city)));
            count += rows_of.num_rows();
        }
    }
    assert_eq!(count, 2 * (11 + 59));
    for ticket in endpoints("secrets").await {
        let error = reader.do_get(ticket).await.map(drop).unwrap_err();
        assert_eq!(status::<()>(Err(error)).code(), Code::PermissionDenied);
    }
    served.server.stop().await.unwrap();
}
