//! Fuzz targets of puts and of calls: batches in Arrow IPC up to the tail, and requests to a server that runs.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, NullArray, RecordBatch,
    RunArray, StringArray,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, CommandStatementQuery, ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
use barograph_engine::internal::IpcDecoder;
use barograph_engine::{Durability, Engine, ErrorKind};
use barograph_fuzz::Target;
use barograph_lake::{Size, Span};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::{Code, Status};

use super::{START, batch, channel, open, start};
use crate::FlightSettings;
use crate::call::decode;
use crate::ticket::{PointRequest, Ticket as JsonTicket};

/// Rows as clients send them, in types that tables take.
fn sent() -> Vec<RecordBatch> {
    let times = || barograph_test_support::instants((0..4).map(|i| START + i * 60_000_000));
    let ends = Int32Array::from(vec![1, 4]);
    let runs = RunArray::<Int32Type>::try_new(&ends, &Float64Array::from(vec![1.5, 2.5])).unwrap();
    let words: DictionaryArray<Int32Type> = vec!["a", "b", "a", "a"].into_iter().collect();
    let rows = |columns: Vec<(&str, ArrayRef)>| {
        let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
    };
    vec![
        batch((0..4).map(|city| (city, 0, 1.5))),
        rows(vec![
            ("city_id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
            ("reading_at", times()),
            ("temperature", Arc::new(runs)),
            ("humidity", Arc::new(NullArray::new(4))),
        ]),
        rows(vec![
            ("city_id", Arc::new(Float64Array::from(vec![1.0, 2.5, f64::NAN, -1e300]))),
            ("reading_at", times()),
            ("temperature", Arc::new(words)),
            ("humidity", Arc::new(StringArray::from(vec!["1", "", "x", "9"]))),
        ]),
    ]
}

/// The messages of a put, each behind its length.
async fn put_of(rows: RecordBatch, packed: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(packed).unwrap();
    let path = FlightDescriptor::new_path(vec!["readings".to_owned()]);
    let messages = FlightDataEncoderBuilder::new()
        .with_options(options)
        .with_flight_descriptor(Some(path))
        .with_dictionary_handling(arrow_flight::encode::DictionaryHandling::Resend)
        .build(stream::iter([Ok(rows.clone()), Ok(rows)]));
    let messages: Vec<FlightData> = messages.try_collect().await.unwrap();
    let framed = messages.iter().flat_map(|message| {
        let bytes = message.encode_to_vec();
        [&(bytes.len() as u32).to_le_bytes()[..], &bytes].concat()
    });
    framed.collect()
}

/// The messages of an input; the last takes what is left.
fn messages(mut input: &[u8]) -> impl Iterator<Item = FlightData> {
    std::iter::from_fn(move || {
        let (length, rest) = input.split_first_chunk::<4>()?;
        let (message, rest) = rest.split_at(rest.len().min(u32::from_le_bytes(*length) as usize));
        input = rest;
        FlightData::decode(Bytes::copy_from_slice(message)).ok()
    })
}

/// Puts the batches of an input as a server does.
async fn put(engine: &Arc<Engine>, input: &[u8]) -> Result<(), String> {
    let limit = Size::bytes(64 << 10);
    let mut decoder = IpcDecoder::new(limit.get());
    let mut rows = 0;
    for message in messages(input).take(16) {
        let decoded = decode(&mut decoder, message, limit).map_err(|error| error.to_string())?;
        let Some((_, batch)) = decoded else { continue };
        let refused = |error: barograph_engine::Error| {
            assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
            error.to_string()
        };
        let prepared = engine.prepare("readings", batch, "fuzz").await.map_err(refused)?;
        let submitted = prepared.submit(Durability::Memory).await.map_err(refused)?;
        let ack = submitted.acknowledged().await.map_err(refused)?;
        rows += ack.accepted + ack.rejected;
    }
    if rows == 0 { Err("no rows".to_owned()) } else { Ok(()) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn fuzz_puts() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let engine = runtime.block_on(open(folder.path(), &[]));
    let packed = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];
    let seeds = sent().into_iter().flat_map(|rows| packed.map(|packed| (rows.clone(), packed)));
    let seeds = seeds.map(|(rows, packed)| runtime.block_on(put_of(rows, packed)));
    let target = Target::new("puts", 4_000).seeds(seeds.collect::<Vec<_>>());
    target.memory(32 << 20, 512).run(|input| runtime.block_on(put(&engine, input)));
}

#[test]
fn fuzz_tickets() {
    let seeds = [
        r#"{"v":1,"table":"readings","latest":{"keys":[2988507]},"columns":["temperature","humidity"]}"#,
        r#"{"v":1,"table":"readings","at":{"keys":[-1],"time":"2026-11-22T10:00:00Z"},"after":"00000000000000417792"}"#,
        r#"{"v":1,"table":"readings","range":{"keys":[1],"from":"2026-11-21","to":"2026-11-22T00:00:00+01:00","key_from":1,"key_to":9},
            "filter":"temperature > 30 AND humidity IS NOT NULL","limit":1000,"as_of":42,"view":"a-1"}"#,
        r#"{"v":1,"table":"readings","range":{},"every":"90m","aggregates":{"temperature":["mean","max"],"humidity":["count"]}}"#,
        r#"{"keys":[1850147],"id":2}"#,
        r#"{"at":{"keys":[1],"time":"2026-11-22T10:00:00Z"},"id":"any text"}"#,
    ];
    let tokens = [
        "\"latest\":",
        "\"at\":",
        "\"range\":",
        "\"keys\":[",
        "\"filter\":\"",
        "\"every\":\"1us\"",
        "\"limit\":",
        "\"as_of\":",
        "\"aggregates\":{",
        "null",
        "true",
        "1e999",
        "-0",
        "\\ud800",
        "\\u0000",
        "[[[[",
        "{\"a\":",
        "9223372036854775808",
        "\"9999-12-31T23:59:59.999999Z\"",
        "\"-0001-01-01\"",
        "[",
        "{",
        "}",
        "]",
        ",",
    ];
    let table = barograph_test_support::readings_table(["temperature", "humidity"]);
    let bounds = FlightSettings::default().ticket_bounds();
    let target = Target::new("tickets", 60_000).seeds(seeds).tokens(tokens).bytes_max(4 << 10);
    target.memory(8 << 20, 512).run(|input| {
        let _ = PointRequest::parse(input, 4 << 10);
        let ticket = JsonTicket::parse(input, 4 << 10).map_err(|error| error.to_string())?;
        let again = JsonTicket::parse(ticket.to_json().as_bytes(), usize::MAX).unwrap();
        assert_eq!(again, ticket);
        ticket.bind(&table, bounds).map(drop).map_err(|error| error.to_string())
    });
}

/// Methods that are called.
const METHODS: u8 = 6;

/// Calls: a method in the first byte, then its message.
fn calls() -> Vec<Vec<u8>> {
    let sql = |text: &str| {
        let query = CommandStatementQuery { query: text.to_owned(), transaction_id: None };
        query.as_any().encode_to_vec()
    };
    let latest = br#"{"v":1,"table":"readings","latest":{"keys":[1,2]}}"#;
    let range =
        br#"{"v":1,"table":"readings","range":{"keys":[1]},"filter":"temperature > 1","limit":9}"#;
    let delete = br#"{"table":"readings","keys":[99],"reason":"a test"}"#;
    let redrive = br#"{"table":"readings","from":"2026-01-01"}"#;
    let create = ActionCreatePreparedStatementRequest {
        query: "SELECT $1 + temperature FROM readings".to_owned(),
        transaction_id: None,
    };
    let create = create.as_any().encode_to_vec();
    let with = |method: u8, message: &[u8]| [&[method], message].concat();
    vec![
        with(0, latest),
        with(0, range),
        with(1, range),
        with(1, &sql("SELECT count(*) FROM readings WHERE temperature > 1.5")),
        with(2, &[b"plan\n", &range[..]].concat()),
        with(2, &[b"delete\n", &delete[..]].concat()),
        with(2, &[b"redrive\n", &redrive[..]].concat()),
        with(2, b"kill\n7"),
        with(2, b"forward\n\x0a\x16\x0a\x10aaaaaaaaaaaaaaaa\x12\x02\x0a\x00"),
        with(2, &[b"CreatePreparedStatement\n", &create[..]].concat()),
        with(3, &sql("SELECT 1 AS n")),
        with(4, latest),
        with(5, &sql("DELETE FROM readings")),
    ]
}

/// Makes a call; what it is told, if it is refused.
async fn call(
    client: &mut FlightServiceClient<tonic::transport::Channel>,
    input: &[u8],
) -> Result<(), Status> {
    let Some((&method, message)) = input.split_first() else { return Ok(()) };
    let bytes = message.to_vec();
    match method % METHODS {
        0 => {
            let ticket = Ticket::new(bytes);
            client.do_get(ticket).await?.into_inner().try_for_each(async |_| Ok(())).await
        }
        1 => client.get_flight_info(FlightDescriptor::new_cmd(bytes)).await.map(drop),
        2 => {
            let name = message.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let body = message.get(name.len() + 1..).unwrap_or_default().to_vec();
            let name = String::from_utf8_lossy(name).into_owned();
            let action = Action { r#type: name, body: body.into() };
            client.do_action(action).await?.into_inner().try_for_each(async |_| Ok(())).await
        }
        3 => client.get_schema(FlightDescriptor::new_cmd(bytes)).await.map(drop),
        4 => {
            let data = FlightData { app_metadata: bytes.into(), ..FlightData::default() };
            let answers = client.do_exchange(stream::iter([data])).await?.into_inner();
            answers.take(4).try_for_each(async |_| Ok(())).await
        }
        _ => {
            let first = FlightData {
                flight_descriptor: Some(FlightDescriptor::new_cmd(bytes)),
                ..FlightData::default()
            };
            client
                .do_put(stream::iter([first]))
                .await?
                .into_inner()
                .try_for_each(async |_| Ok(()))
                .await
        }
    }
}

#[test]
fn fuzz_calls() {
    let runtime = runtime();
    let settings = FlightSettings { after_wait_max: Span::from_micros(1), ..Default::default() };
    let server = runtime.block_on(start(settings));
    runtime.block_on(async {
        let rows = batch((0..3).map(|city| (city, 0, 1.5)));
        server.client.put_batch("readings", rows, Durability::Memory).await.unwrap();
    });
    let mut client = FlightServiceClient::new(runtime.block_on(channel(server.addr)));
    let target = Target::new("calls", 1_500).seeds(calls()).bytes_max(4 << 10);
    target.memory(64 << 20, 1_024).run(|input| {
        let done = runtime.block_on(call(&mut client, input));
        done.map_err(|status| {
            let is_defect =
                matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss);
            assert!(!is_defect, "{status:?}");
            format!("{:?}: {}", status.code(), status.message())
        })
    });
    runtime.block_on(server.stop()).unwrap();
}
