//! Tests of statements: their rows, types, tickets, schemas and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow_flight::Ticket;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use barograph_lake::Key;
use futures::TryStreamExt;
use prost::Message;
use tonic::Code;

use super::super::rows;
use super::{connect, count, fetch, query, refused, served, served_with};
use crate::FlightSettings;

#[tokio::test]
async fn a_statement_sees_what_was_acknowledged() {
    let (server, mut client) = served().await;
    let text =
        "SELECT city_id, reading_at, temperature FROM readings WHERE city_id >= 1 ORDER BY 1, 2";
    let answer = query(&mut client, text).await.unwrap();
    let expected: Vec<_> = (1..3).flat_map(|c| (0..4).map(move |m| (c, m, c as f32))).collect();
    assert_eq!(rows(&answer), expected);
    assert_eq!(count(&mut client, "SELECT count(*) FROM readings").await, 12);
    let nothing = query(&mut client, "SELECT * FROM readings WHERE city_id = 9").await.unwrap();
    assert_eq!((nothing.num_rows(), nothing.num_columns()), (0, 5));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_type_that_sql_makes_arrives_as_it_was_made() {
    let (server, mut client) = served().await;
    let values = [
        ("NULL", "Null"),
        ("true", "Boolean"),
        ("arrow_cast(-1, 'Int8')", "Int8"),
        ("arrow_cast(7, 'UInt64')", "UInt64"),
        ("arrow_cast(1.5, 'Float16')", "Float16"),
        ("'text'", "Utf8"),
        ("arrow_cast('text', 'Utf8View')", "Utf8"),
        ("arrow_cast('text', 'LargeUtf8')", "LargeUtf8"),
        ("arrow_cast('text', 'Dictionary(Int32, Utf8)')", "Utf8"),
        ("X'00ff'", "Binary"),
        ("arrow_cast(X'00ff', 'FixedSizeBinary(2)')", "FixedSizeBinary(2)"),
        ("DATE '2026-01-01'", "Date32"),
        ("TIME '12:00:00'", "Time64(ns)"),
        ("TIMESTAMP '2026-01-01 00:00:00'", "Timestamp(ns)"),
        ("INTERVAL '1' DAY", "Interval(MonthDayNano)"),
        ("arrow_cast(3, 'Duration(Second)')", "Duration(s)"),
        ("CAST(1.25 AS DECIMAL(10, 2))", "Decimal128(10, 2)"),
        ("arrow_cast(1.25, 'Decimal256(50, 2)')", "Decimal256(50, 2)"),
        ("make_array(1, NULL, 3)", "List(Int64)"),
        ("make_array(make_array('a'), make_array('b', 'c'))", "List(List(Utf8))"),
        ("arrow_cast(make_array(1, 2), 'FixedSizeList(2, Int64)')", "FixedSizeList(2 x Int64)"),
        ("named_struct('a', 1, 'b', make_array('x'))", "Struct("),
        ("MAP {'a': 1, 'b': 2}", "Map("),
    ];
    for (value, kind) in values {
        let text = format!(
            "SELECT {value} AS v, arrow_typeof({value}) AS t FROM readings WHERE city_id < 2"
        );
        let answer = query(&mut client, &text).await.unwrap_or_else(|e| panic!("{value}: {e}"));
        assert_eq!(answer.num_rows(), 8, "{value}");
        let column = answer.column(0);
        let shown = column.data_type().to_string();
        assert!(shown.starts_with(kind), "{value}: {shown}, not {kind}");
        for row in 1..8 {
            assert_eq!(column.slice(row, 1).to_data(), column.slice(0, 1).to_data(), "{value}");
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rows_of_every_shape_are_cut_into_messages() {
    let settings = FlightSettings {
        message_bytes: barograph_lake::Size::bytes(4 << 10),
        ..Default::default()
    };
    let (server, mut client) = served_with(settings).await;
    let text = "SELECT value AS n, 'text ' || value AS t, make_array(value, value + 1) AS l, \
                named_struct('n', value, 's', repeat('x', CAST(value % 50 AS BIGINT))) AS s, \
                CASE WHEN value % 3 = 0 THEN make_array('a', CAST(value AS VARCHAR)) END AS m \
                FROM generate_series(1, 20000) ORDER BY value";
    let answer = query(&mut client, text).await.unwrap();
    assert_eq!(answer.num_rows(), 20_000);
    let numbers = answer.column(0).as_primitive::<arrow::datatypes::Int64Type>();
    let lists = answer.column(2).as_list::<i32>();
    let inner =
        answer.column(3).as_struct().column(0).as_primitive::<arrow::datatypes::Int64Type>();
    let maybe = answer.column(4).as_list::<i32>();
    for row in 0..answer.num_rows() {
        let n = row as i64 + 1;
        assert_eq!((numbers.value(row), inner.value(row)), (n, n));
        assert_eq!(
            lists.value(row).as_primitive::<arrow::datatypes::Int64Type>().values(),
            &[n, n + 1]
        );
        assert_eq!(maybe.is_valid(row), n % 3 == 0);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_command_itself_is_a_ticket_too() {
    let (server, mut client) = served().await;
    let command = CommandStatementQuery {
        query: "SELECT DISTINCT city_id FROM readings ORDER BY city_id".to_owned(),
        transaction_id: None,
    };
    let ticket = Ticket::new(command.as_any().encode_to_vec());
    let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    let cities: Vec<_> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec())
        .collect();
    assert_eq!(cities, [0, 1, 2]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_ticket_of_an_earlier_process_is_answered() {
    let (first, mut client) = served().await;
    let info = client.execute("SELECT count(*) AS n FROM readings".to_owned(), None).await.unwrap();
    first.stop().await.unwrap();
    let (second, mut client) = served().await;
    let answer = fetch(&mut client, info.clone()).await.unwrap();
    assert_eq!(answer.num_rows(), 1);
    // And again, by another client.
    let mut other = connect(&second).await;
    assert_eq!(fetch(&mut other, info).await.unwrap(), answer);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_schema_is_known_without_an_answer() {
    let (server, mut client) = served().await;
    let command = CommandStatementQuery {
        query: "SELECT city_id, avg(temperature) AS mean FROM readings GROUP BY city_id".to_owned(),
        transaction_id: None,
    };
    let descriptor = arrow_flight::FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let result = client.inner_mut().get_schema(descriptor.clone()).await.unwrap().into_inner();
    let schema: arrow::datatypes::Schema = (&result).try_into().unwrap();
    let names: Vec<_> =
        schema.fields().iter().map(|f| (f.name().as_str(), f.data_type())).collect();
    assert_eq!(names, [("city_id", &DataType::Int32), ("mean", &DataType::Float64)]);
    let poll = client.inner_mut().poll_flight_info(descriptor).await.unwrap().into_inner();
    assert_eq!((poll.progress, poll.flight_descriptor), (Some(1.0), None));
    let answer = fetch(&mut client, poll.info.unwrap()).await.unwrap();
    assert_eq!((answer.num_rows(), answer.schema()), (3, Arc::new(schema)));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_statement_says_what_is_wrong() {
    let (server, mut client) = served().await;
    for (text, code, words) in [
        ("SELEC 1", Code::InvalidArgument, &["SELEC"][..]),
        ("SELECT temprature FROM readings", Code::InvalidArgument, &["temprature", "temperature"]),
        ("SELECT * FROM reedings", Code::InvalidArgument, &["reedings", "readings"]),
        ("DELETE FROM readings", Code::InvalidArgument, &["only reads"]),
        ("", Code::InvalidArgument, &["empty"]),
    ] {
        refused(query(&mut client, text).await, code, "42000", words);
    }
    refused(
        query(&mut client, "SELECT city_id / 0 FROM readings").await,
        Code::InvalidArgument,
        "42000",
        &["zero"],
    );
    refused(
        query(&mut client, "SELECT $1").await,
        Code::InvalidArgument,
        "07001",
        &["1 parameter(s), 0 value(s)"],
    );
    assert_eq!(count(&mut client, "SELECT count(*) FROM readings").await, 12);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn native_calls_and_statements_share_port_and_rows() {
    let (server, mut client) = served().await;
    let native = server.client.latest("readings", Some(&[Key::new(2)]), None).await.unwrap();
    let text = "SELECT * FROM readings WHERE city_id = 2 ORDER BY reading_at DESC LIMIT 1";
    assert_eq!(query(&mut client, text).await.unwrap().columns(), native.columns());
    server.stop().await.unwrap();
}
