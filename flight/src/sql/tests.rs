//! Fuzz targets of what Flight SQL reads: commands, handles with bound values, sessions and headers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, ListBuilder, NullArray, RecordBatch,
    RunArray, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use arrow_flight::sql::{
    CommandGetTables, CommandPreparedStatementQuery, CommandStatementIngest, CommandStatementQuery,
    ProstMessageExt,
};
use barograph_access::{AccessSettings, Credentials};
use barograph_engine::{Clock, SystemClock};
use barograph_fuzz::Target;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use prost::Message;

use super::handle::{Handle, Part};
use super::session::Session;
use super::session::messages::{
    OptionValue, SessionOptionValue, SetSessionOptionsRequest, TextList,
};
use super::{command, parameters};
use crate::call::{Caller, Deadline, access_by};
use crate::message::{BatchIds, after, durability};
use crate::metrics::format_of;

/// Values that drivers bind.
fn values() -> RecordBatch {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append(false);
    let ends = Int32Array::from(vec![1, 2]);
    let runs = RunArray::<Int32Type>::try_new(&ends, &StringArray::from(vec!["a", "b"])).unwrap();
    let words: DictionaryArray<Int32Type> = vec!["a", "b"].into_iter().collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None])),
        Arc::new(Float64Array::from(vec![0.5, f64::NAN])),
        Arc::new(StringArray::from(vec!["Gent", ""])),
        Arc::new(TimestampMicrosecondArray::from(vec![0, 1]).with_timezone("UTC")),
        Arc::new(NullArray::new(2)),
        Arc::new(words),
        Arc::new(runs),
        Arc::new(lists.finish()),
    ];
    let named = columns.into_iter().enumerate().map(|(i, column)| (format!("{i}"), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn handle() -> Handle {
    let part = Part {
        table: "readings".to_owned(),
        view: "5f-1".to_owned(),
        now: 1,
        key_from: i64::MIN,
        key_to: 4,
    };
    Handle {
        text: "SELECT $1".to_owned(),
        parameters: parameters::encode(&[values()]).unwrap(),
        session: Session { time_zone: Some("Asia/Tokyo".to_owned()), ..Session::default() },
        name: "5f-0".to_owned(),
        part: Some(part),
    }
}

/// Makes the checksum of a handle that of its content.
fn mend(handle: &mut [u8]) {
    if handle.len() >= 8 {
        let crc = crc32c::crc32c(&handle[8..]).to_le_bytes();
        handle[..4].copy_from_slice(b"bgs1");
        handle[4..8].copy_from_slice(&crc);
    }
}

#[test]
fn fuzz_sql_handles() {
    let whole = handle().encode(1 << 20).unwrap();
    let plain = Handle { parameters: Bytes::new(), part: None, ..handle() };
    let plain = plain.encode(1 << 20).unwrap();
    let target = Target::new("sql-handles", 15_000).seeds([whole, plain]).mend(mend);
    target.memory(8 << 20, 256).run(|input| {
        let handle = Handle::decode(&Bytes::copy_from_slice(input)).map_err(|e| e.to_string())?;
        let again = Handle::decode(&handle.encode(usize::MAX).unwrap()).unwrap();
        assert_eq!(again, handle);
        let rows = parameters::decode(&handle.parameters).map_err(|error| error.to_string())?;
        for row in parameters::rows(rows).take(100) {
            row.map_err(|error| error.to_string())?;
        }
        Ok(())
    });
}

#[test]
fn fuzz_sql_commands() {
    let ticket = handle().encode(1 << 20).unwrap();
    let query = CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
    let prepared = CommandPreparedStatementQuery { prepared_statement_handle: ticket };
    let tables = CommandGetTables {
        catalog: Some("barograph".to_owned()),
        table_types: vec!["TABLE".to_owned()],
        include_schema: true,
        ..CommandGetTables::default()
    };
    let ingest = CommandStatementIngest {
        table: "readings".to_owned(),
        options: [("durability".to_owned(), "memory".to_owned())].into(),
        ..CommandStatementIngest::default()
    };
    let option = |value| SessionOptionValue { option_value: Some(value) };
    let texts = TextList { values: vec!["a".to_owned()] };
    let options = SetSessionOptionsRequest {
        session_options: [
            ("timeout".to_owned(), option(OptionValue::Double(1.5))),
            ("time_zone".to_owned(), option(OptionValue::Text("Europe/Berlin".to_owned()))),
            ("after".to_owned(), option(OptionValue::Texts(texts))),
        ]
        .into(),
    };
    let seeds = [
        query.as_any().encode_to_vec(),
        prepared.as_any().encode_to_vec(),
        tables.as_any().encode_to_vec(),
        ingest.as_any().encode_to_vec(),
        options.encode_to_vec(),
    ];
    let target = Target::new("sql-commands", 60_000).seeds(seeds);
    target.tokens(["type.googleapis.com/arrow.flight.protocol.sql."]).run(|input| {
        if let Ok(options) = SetSessionOptionsRequest::decode(input) {
            let mut session = Session::default();
            for (name, value) in options.session_options {
                let _ = session.set(&name, value);
            }
        }
        let read = command::read(&Bytes::copy_from_slice(input)).map_err(|e| e.to_string())?;
        let command = read.ok_or("not SQL")?;
        assert!(!command::name(&command).is_empty());
        Ok(())
    });
}

/// The headers that an input holds, one a line.
fn headers(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

#[test]
fn fuzz_headers() {
    let seeds = [
        "x-barograph-durability: memory\nx-barograph-after: 00000000000000417792\ngrpc-timeout: 100m",
        "x-barograph-batch-id: 9b2d0c5e7f6a4d1c8e3b5a7f90c1d2e4\ngrpc-timeout: 99999999H",
        "cookie: a=b; arrow_flight_session_id=\"timeout_ms=30000&time_zone=Europe/Berlin&after=7&endpoints=8\"",
        "x-barograph-timeout: 30s\nx-barograph-time-zone: +02:00\nx-barograph-endpoints: 8",
        "accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
    ];
    let tokens = [
        "grpc-timeout: ",
        "x-barograph-timeout: ",
        "x-barograph-time-zone: ",
        "x-barograph-endpoints: ",
        "x-barograph-after: ",
        "cookie: arrow_flight_session_id=",
        "accept: ",
        "%00",
        "%",
        ";q=",
        "&",
        "\n",
    ];
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let access = access_by(&clock, AccessSettings::default()).unwrap();
    let identity = access.identify(&Credentials::default()).unwrap();
    let extensions = Extensions::new();
    let target = Target::new("headers", 40_000).seeds(seeds).tokens(tokens).bytes_max(2 << 10);
    target.run(|input| {
        let headers = headers(input);
        let limit = std::time::Duration::from_secs(30);
        assert!(Deadline::new(&clock, limit, &headers).left() <= limit);
        for accept in headers.get_all("accept").iter().filter_map(|accept| accept.to_str().ok()) {
            assert!(!format_of(accept).media_type().is_empty());
        }
        let wrong = |error: crate::Error| error.to_string();
        durability(&headers).map_err(wrong)?;
        after(&headers).map_err(wrong)?;
        BatchIds::of(&headers).map_err(wrong)?.take(3).for_each(drop);
        let caller = Caller::new(&headers, &extensions, &identity);
        let _ = Session::of(caller).map_err(wrong)?.for_sql();
        Ok(())
    });
}
