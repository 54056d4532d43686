//! Tests of prepared statements: they are answered with the values that were bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    Int64Builder, ListBuilder, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, Schema};
use arrow_flight::sql::client::PreparedStatement;
use tonic::Code;
use tonic::transport::Channel;

use super::super::{MINUTE, START};
use super::{SqlClient, connect, fetch, refused, served};

fn values(columns: Vec<ArrayRef>) -> RecordBatch {
    let named =
        columns.into_iter().enumerate().map(|(i, column)| (format!("{}", i + 1), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

async fn execute(client: &mut SqlClient, prepared: &mut PreparedStatement<Channel>) -> RecordBatch {
    let info = prepared.execute().await.unwrap();
    fetch(client, info).await.unwrap()
}

const CITY: &str = "SELECT count(*) AS n FROM readings WHERE city_id = $1 AND reading_at >= $2";

#[tokio::test]
async fn one_row_of_values() {
    let (server, mut client) = served().await;
    let mut prepared = client.prepare(CITY.to_owned(), None).await.unwrap();
    let kinds: Vec<_> = prepared
        .parameter_schema()
        .unwrap()
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(kinds, ["Int32", "Timestamp(µs, \"UTC\")"]);
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 1);
    for (minute, expected) in [(0, 4), (2, 2), (9, 0)] {
        let at =
            TimestampMicrosecondArray::from(vec![START + minute * MINUTE]).with_timezone("UTC");
        prepared
            .set_parameters(values(vec![Arc::new(Int32Array::from(vec![1])), Arc::new(at)]))
            .unwrap();
        let answer = execute(&mut client, &mut prepared).await;
        assert_eq!(answer.column(0).as_primitive::<Int64Type>().values(), &[expected]);
    }
    prepared.close().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn many_rows_of_values_are_as_many_executions() {
    let (server, mut client) = served().await;
    let mut prepared = client
        .prepare(
            "SELECT $1 AS city, count(*) AS n FROM readings WHERE city_id = $1".to_owned(),
            None,
        )
        .await
        .unwrap();
    let cities: Vec<i32> = (0..50).rev().collect();
    prepared.set_parameters(values(vec![Arc::new(Int32Array::from(cities.clone()))])).unwrap();
    let answer = execute(&mut client, &mut prepared).await;
    let counts = answer.column(1).as_primitive::<Int64Type>().values().to_vec();
    let expected: Vec<i64> = cities.iter().map(|city| if *city < 3 { 4 } else { 0 }).collect();
    assert_eq!(counts, expected);

    prepared.set_parameters(values(vec![Arc::new(Int32Array::from(Vec::<i32>::new()))])).unwrap();
    assert_eq!(execute(&mut client, &mut prepared).await.num_rows(), 0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn values_of_every_type() {
    let (server, mut client) = served().await;
    let columns: [(&str, ArrayRef); 8] = [
        ("Int64", Arc::new(Int64Array::from(vec![Some(5), None]))),
        ("Float64", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
        ("Utf8", Arc::new(StringArray::from(vec![Some("é'"), None]))),
        ("Utf8", Arc::new(StringViewArray::from(vec![Some("view"), None]))),
        ("Date32", Arc::new(Date32Array::from(vec![Some(20_000), None]))),
        (
            "Timestamp(µs, \"UTC\")",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
        ),
        (
            "Decimal128(10, 2)",
            Arc::new(
                Decimal128Array::from(vec![Some(125), None])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("Boolean", Arc::new(arrow::array::BooleanArray::from(vec![Some(true), None]))),
    ];
    for (kind, column) in columns {
        let mut prepared = client.prepare("SELECT $1 AS v".to_owned(), None).await.unwrap();
        prepared.set_parameters(values(vec![Arc::clone(&column)])).unwrap();
        let answer = execute(&mut client, &mut prepared).await;
        assert_eq!(answer.column(0).data_type().to_string(), kind);
        let expected = arrow::compute::cast(&column, answer.column(0).data_type()).unwrap();
        assert_eq!(answer.column(0).as_ref(), expected.as_ref());
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_value_is_compared_as_it_is() {
    let (server, mut client) = served().await;
    let mut prepared = client
        .prepare("SELECT count(*) AS n FROM readings WHERE city_id = $1".to_owned(), None)
        .await
        .unwrap();
    for (value, expected) in [(1.0, 4), (1.5, 0)] {
        prepared.set_parameters(values(vec![Arc::new(Float64Array::from(vec![value]))])).unwrap();
        let answer = execute(&mut client, &mut prepared).await;
        assert_eq!(answer.column(0).as_primitive::<Int64Type>().values(), &[expected], "{value}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn lists_and_numbers_become_rows() {
    let (server, mut client) = served().await;
    let text = "SELECT x FROM unnest($1) AS t(x) JOIN generate_series(1, $2) AS s(n) ON n = x";
    let mut prepared = client.prepare(text.to_owned(), None).await.unwrap();
    assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 2);
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 1);
    for (last, expected) in [(2, vec![2]), (9, vec![2, 5, 7])] {
        let mut lists = ListBuilder::new(Int64Builder::new());
        lists.append_value([Some(5), None, Some(2), Some(7)]);
        let last = Int64Array::from(vec![last]);
        prepared.set_parameters(values(vec![Arc::new(lists.finish()), Arc::new(last)])).unwrap();
        let answer = execute(&mut client, &mut prepared).await;
        let mut found = answer.column(0).as_primitive::<Int64Type>().values().to_vec();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    prepared.set_parameters(values(vec![Arc::clone(&number), number])).unwrap();
    refused(
        prepared.execute().await,
        Code::InvalidArgument,
        "42000",
        &["parameter $1 is Int64, and unnest takes a list"],
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn question_marks_are_parameters_in_their_order() {
    let (server, mut client) = served().await;
    let text = "SELECT ? AS a, '?' AS q, count(*) AS n FROM readings \
                WHERE city_id BETWEEN ? AND ? -- ?\n GROUP BY 1, 2";
    let mut prepared = client.prepare(text.to_owned(), None).await.unwrap();
    assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 3);
    let numbers = |number: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![number])) };
    prepared.set_parameters(values(vec![numbers(7), numbers(1), numbers(2)])).unwrap();
    let answer = execute(&mut client, &mut prepared).await;
    assert_eq!(answer.column(0).as_primitive::<Int64Type>().values(), &[7]);
    assert_eq!(answer.column(2).as_primitive::<Int64Type>().values(), &[8]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_handle_outlives_the_server_that_made_it() {
    let (first, mut client) = served().await;
    let mut prepared = client.prepare(CITY.to_owned(), None).await.unwrap();
    let at = TimestampMicrosecondArray::from(vec![START]).with_timezone("UTC");
    prepared
        .set_parameters(values(vec![Arc::new(Int32Array::from(vec![1])), Arc::new(at)]))
        .unwrap();
    let info = prepared.execute().await.unwrap();
    first.stop().await.unwrap();
    let (second, mut client) = served().await;
    // What GetFlightInfo was asked with carries the handle with its values.
    let again = client
        .inner_mut()
        .get_flight_info(info.flight_descriptor.clone().unwrap())
        .await
        .unwrap()
        .into_inner();
    for info in [info, again] {
        let answer = fetch(&mut client, info).await.unwrap();
        assert_eq!(answer.column(0).as_primitive::<Int64Type>().values(), &[4]);
    }
    second.stop().await.unwrap();
}

#[tokio::test]
async fn wrong_values_are_told() {
    let (server, mut client) = served().await;
    let mut prepared = client.prepare(CITY.to_owned(), None).await.unwrap();
    refused(
        prepared.execute().await,
        Code::InvalidArgument,
        "07001",
        &["2 parameter(s), 0 value(s)"],
    );
    prepared.set_parameters(values(vec![Arc::new(Int32Array::from(vec![1]))])).unwrap();
    refused(
        prepared.execute().await,
        Code::InvalidArgument,
        "07001",
        &["2 parameter(s), 1 value(s)"],
    );
    let mut large = client.prepare("SELECT $1".to_owned(), None).await.unwrap();
    let text = "x".repeat(2 << 20);
    large.set_parameters(values(vec![Arc::new(StringArray::from(vec![text]))])).unwrap();
    refused(
        large.execute().await,
        Code::InvalidArgument,
        "54000",
        &["flight.ticket_bytes_max", "bind fewer rows"],
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_changed_by_statements() {
    let (server, mut client) = served().await;
    refused(
        client.execute_update("SELECT 1".to_owned(), None).await,
        Code::InvalidArgument,
        "42000",
        &["is a query"],
    );
    refused(
        client.execute_update("DELETE FROM readings".to_owned(), None).await,
        Code::InvalidArgument,
        "42000",
        &["only reads", "ingest"],
    );
    let mut prepared = client.prepare("SELECT 1".to_owned(), None).await.unwrap();
    refused(prepared.execute_update().await, Code::InvalidArgument, "42000", &["is a query"]);
    assert_eq!(prepared.parameter_schema().unwrap(), &Schema::empty());
    let mut other = connect(&server).await;
    refused(
        other.prepare("INSERT INTO readings VALUES (1)".to_owned(), None).await,
        Code::InvalidArgument,
        "42000",
        &["only reads"],
    );
    server.stop().await.unwrap();
}
