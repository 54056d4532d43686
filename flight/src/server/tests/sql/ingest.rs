//! Tests of bulk ingestion: rows are appended, counted, cut into parts, or refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow_flight::FlightDescriptor;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{
    CommandStatementIngest, ProstMessageExt, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use barograph_lake::Key;
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use prost::Message;
use tonic::Code;

use super::{SqlClient, batch, count, refused, served};

pub(super) fn append(table: &str) -> CommandStatementIngest {
    command(table, TableNotExistOption::Fail, TableExistsOption::Append)
}

pub(super) fn create(table: &str) -> CommandStatementIngest {
    command(table, TableNotExistOption::Create, TableExistsOption::Fail)
}

fn command(
    table: &str,
    absent: TableNotExistOption,
    present: TableExistsOption,
) -> CommandStatementIngest {
    CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: absent.into(),
            if_exists: present.into(),
        }),
        table: table.to_owned(),
        schema: None,
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: HashMap::new(),
    }
}

async fn ingest(
    client: &mut SqlClient,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> arrow_flight::error::Result<i64> {
    client.execute_ingest(command, stream::iter(batches.into_iter().map(Ok))).await
}

#[tokio::test]
async fn rows_go_in_and_are_seen_at_once() {
    let (server, mut client) = served().await;
    let batches =
        vec![batch([(7, 0, 1.0), (7, 1, 2.0)]), batch([(8, 0, 3.0)]), batch([(7, 0, 9.0)])];
    assert_eq!(ingest(&mut client, append("readings"), batches).await.unwrap(), 4);
    let seen = count(&mut client, "SELECT count(*) FROM readings WHERE city_id IN (7, 8)").await;
    assert_eq!(seen, 3);
    let latest = server.client.latest("readings", Some(&[7, 8].map(Key::new)), None).await.unwrap();
    assert_eq!(super::super::rows(&latest), [(7, 1, 2.0), (8, 0, 3.0)]);
    let named = CommandStatementIngest {
        catalog: Some("barograph".to_owned()),
        schema: Some("public".to_owned()),
        options: HashMap::from([("durability".to_owned(), "memory".to_owned())]),
        ..append("readings")
    };
    assert_eq!(ingest(&mut client, named, vec![batch([(9, 0, 1.0)])]).await.unwrap(), 1);
    assert_eq!(ingest(&mut client, append("readings"), vec![batch([])]).await.unwrap(), 0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rejected_rows_are_counted_apart() {
    let (server, mut client) = served().await;
    // An hour after now is a clock gone wrong.
    let future =
        (server.state().engine.now().as_micros() - super::super::START) / super::super::MINUTE + 60;
    let rows = batch([(7, 0, 1.0), (7, future, 1.0)]);
    let descriptor = FlightDescriptor::new_cmd(append("readings").as_any().encode_to_vec());
    let messages: Vec<_> = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .build(stream::iter([Ok(rows)]))
        .try_collect()
        .await
        .unwrap();
    let response = client.inner_mut().do_put(stream::iter(messages)).await.unwrap();
    assert_eq!(response.metadata().get("x-barograph-accepted").unwrap(), "1");
    assert_eq!(response.metadata().get("x-barograph-rejected").unwrap(), "1");
    assert_eq!(count(&mut client, "SELECT count(*) FROM dead_letters").await, 1);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_larger_than_the_engine_takes_is_cut() {
    let (server, mut client) = served().await;
    let most = server.state().engine.settings().batch_bytes_max.get();
    let large = batch((0..2_200_000).map(|city| (city, 0, 0.5)));
    assert!(large.get_array_memory_size() > most);
    let count = ingest(&mut client, append("readings"), vec![large]).await.unwrap();
    assert_eq!(count, 2_200_000);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_done_is_told() {
    let (server, mut client) = served().await;
    let options = |absent: TableNotExistOption, present: TableExistsOption| {
        Some(TableDefinitionOptions { if_not_exist: absent.into(), if_exists: present.into() })
    };
    let create = options(TableNotExistOption::Create, TableExistsOption::Fail);
    let replace = options(TableNotExistOption::Create, TableExistsOption::Replace);
    let cases = [
        (append("reedings"), Code::NotFound, "42P01", "reedings"),
        (
            CommandStatementIngest { table_definition_options: create, ..append("readings") },
            Code::AlreadyExists,
            "42P07",
            "append",
        ),
        (
            CommandStatementIngest { table_definition_options: create, ..append("new") },
            Code::Unimplemented,
            "0A000",
            "[tables.new]",
        ),
        (
            CommandStatementIngest { table_definition_options: replace, ..append("readings") },
            Code::Unimplemented,
            "0A000",
            "does not replace tables",
        ),
        (
            CommandStatementIngest { table_definition_options: None, ..append("readings") },
            Code::InvalidArgument,
            "42000",
            "if_exists = APPEND",
        ),
        (
            CommandStatementIngest { temporary: true, ..append("readings") },
            Code::Unimplemented,
            "0A000",
            "temporary",
        ),
        (
            CommandStatementIngest {
                transaction_id: Some(Bytes::from_static(b"t")),
                ..append("readings")
            },
            Code::Unimplemented,
            "0A000",
            "transactions",
        ),
        (
            CommandStatementIngest { schema: Some("system".to_owned()), ..append("readings") },
            Code::NotFound,
            "3F000",
            "barograph.public",
        ),
        (
            CommandStatementIngest {
                options: HashMap::from([("speed".to_owned(), "high".to_owned())]),
                ..append("readings")
            },
            Code::InvalidArgument,
            "42000",
            "\"speed\"",
        ),
    ];
    for (command, code, state, word) in cases {
        let rows = vec![batch([(7, 0, 1.0)])];
        refused(ingest(&mut client, command, rows).await, code, state, &[word]);
    }
    assert_eq!(count(&mut client, "SELECT count(*) FROM readings WHERE city_id = 7").await, 0);
    server.stop().await.unwrap();
}
