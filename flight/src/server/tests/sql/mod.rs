//! Tests of Flight SQL over a real socket, asked by the client of the Flight crate.

mod bind;
mod catalog;
mod conformance;
mod control;
mod division;
mod info;
mod ingest;
mod session;
mod statement;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow_flight::FlightInfo;
use arrow_flight::error::{FlightError, Result};
use arrow_flight::sql::client::FlightSqlServiceClient;
use barograph_engine::Durability;
use futures::TryStreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Running, batch, channel, start};
use crate::FlightSettings;

type SqlClient = FlightSqlServiceClient<Channel>;

/// A server with the rows of three cities, and a client of it.
async fn served() -> (Running, SqlClient) {
    served_with(FlightSettings::default()).await
}

async fn served_with(settings: FlightSettings) -> (Running, SqlClient) {
    let server = start(settings).await;
    let rows = (0..3).flat_map(|city| (0..4).map(move |minute| (city, minute, city as f32)));
    server.client.put_batch("readings", batch(rows), Durability::Memory).await.unwrap();
    let client = connect(&server).await;
    (server, client)
}

async fn connect(server: &Running) -> SqlClient {
    FlightSqlServiceClient::new(channel(server.addr).await)
}

/// All rows of all endpoints, under the schema that the info promised.
pub(super) async fn fetch(client: &mut SqlClient, info: FlightInfo) -> Result<RecordBatch> {
    let schema = std::sync::Arc::new(info.clone().try_decode_schema()?);
    let mut batches = Vec::new();
    for endpoint in info.endpoint {
        let mut stream = client.do_get(endpoint.ticket.unwrap()).await?;
        while let Some(batch) = stream.try_next().await? {
            batches.push(batch);
        }
        assert_eq!(stream.schema(), Some(&schema));
    }
    Ok(concat_batches(&schema, &batches)?)
}

pub(super) async fn query(client: &mut SqlClient, text: &str) -> Result<RecordBatch> {
    let info = client.execute(text.to_owned(), None).await?;
    fetch(client, info).await
}

/// The one number of an answer of one row.
async fn count(client: &mut SqlClient, text: &str) -> i64 {
    let rows = query(client, text).await.unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (1, 1), "{text}");
    let column = rows.column(0);
    match column.as_any().downcast_ref::<UInt64Array>() {
        Some(counts) => counts.value(0) as i64,
        None => {
            let numbers = arrow::compute::cast(column, &arrow::datatypes::DataType::Int64).unwrap();
            numbers.as_any().downcast_ref::<arrow::array::Int64Array>().unwrap().value(0)
        }
    }
}

/// The texts of a column.
pub(super) fn texts(rows: &RecordBatch, column: &str) -> Vec<String> {
    use arrow::array::AsArray;
    let column = rows.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap_or("null").to_owned()).collect()
}

/// The status of an error that came over the wire.
pub(super) fn status<T: std::fmt::Debug>(result: Result<T>) -> Status {
    match result {
        Err(FlightError::Tonic(status)) => *status,
        other => panic!("expected a status, got {other:?}"),
    }
}

/// Fails unless an error has the code, the SQLSTATE (in metadata and message) and the words.
fn refused<T: std::fmt::Debug>(result: Result<T>, code: Code, state: &str, words: &[&str]) {
    let status = status(result);
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(status.metadata().get("sqlstate").unwrap(), state, "{status:?}");
    let said = format!("(SQLSTATE {state})");
    for word in words.iter().chain([&said.as_str()]) {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
}
