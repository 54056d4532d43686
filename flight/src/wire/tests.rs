#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow_flight::FlightData;
use arrow_flight::utils::flight_data_to_batches;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// What a client reads from gRPC messages.
fn read(schema: &arrow::datatypes::SchemaRef, pieces: Pieces) -> (Vec<FlightData>, RecordBatch) {
    let mut bytes = Shape::new(Arc::clone(schema)).message.to_vec();
    bytes.extend(written(pieces));
    let mut messages = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((prefix, tail)) = rest.split_first_chunk::<5>() {
        let [flag, length @ ..] = prefix;
        assert_eq!(*flag, 0);
        let (message, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(FlightData::decode(message).unwrap());
        rest = tail;
    }
    assert!(rest.is_empty());
    let batches = flight_data_to_batches(&messages).unwrap();
    let rows = concat_batches(schema, &batches).unwrap();
    (messages, rows)
}

fn written(mut pieces: Pieces) -> Vec<u8> {
    let expected = pieces.len();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.pop() {
        assert!(!piece.is_empty());
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len(), expected);
    bytes
}

/// Rows with every type that tables and windows have, with and without nulls.
fn rows(count: usize) -> RecordBatch {
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = [
        ("key", DataType::Int32),
        ("time", utc()),
        ("small", DataType::Int16),
        ("long", DataType::Int64),
        ("single", DataType::Float32),
        ("double", DataType::Float64),
        ("text", DataType::Utf8),
        ("flag", DataType::Boolean),
        ("none", DataType::Float32),
    ];
    let fields: Vec<_> =
        fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    let some = |i: usize, every: usize| !i.is_multiple_of(every);
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..count as i32).collect::<Int32Array>()),
        Arc::new(
            (0..count as i64)
                .map(|i| Some(i * 1_000_001))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new((0..count).map(|i| some(i, 3).then_some(i as i16)).collect::<Int16Array>()),
        Arc::new((0..count).map(|i| some(i, 7).then_some(i as i64)).collect::<Int64Array>()),
        Arc::new((0..count).map(|i| i as f32 / 10.0).collect::<Float32Array>()),
        Arc::new((0..count).map(|i| some(i, 2).then_some(i as f64)).collect::<Float64Array>()),
        Arc::new(
            (0..count).map(|i| some(i, 5).then(|| "é".repeat(i % 11))).collect::<StringArray>(),
        ),
        Arc::new((0..count).map(|i| some(i, 4).then_some(i % 3 == 0)).collect::<BooleanArray>()),
        Arc::new((0..count).map(|_| None::<f32>).collect::<Float32Array>()),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn a_client_reads_the_rows_that_were_sent() {
    for count in [1, 2, 7, 8, 9, 63, 64, 65, 1_000, 70_000] {
        let batch = rows(count);
        let mut out = Pieces::default();
        BatchEncoder { message_bytes: 1 << 20 }.encode(&mut out, &batch).unwrap();
        let (_, read) = read(&batch.schema(), out);
        assert_eq!(read, batch, "{count} rows");
    }
}

#[test]
fn headers_pass_the_flatbuffer_verifier_and_bodies_are_aligned() {
    let batch = rows(100);
    let mut out = Pieces::default();
    encode_rows(&mut out, &batch, 3, 50, b"about").unwrap();
    let (messages, _) = read(&batch.schema(), out);
    let data = &messages[1];
    assert_eq!(data.app_metadata.as_ref(), b"about");
    assert_eq!(data.data_header.len() % 8, 0);
    let message = arrow::ipc::root_as_message(&data.data_header).unwrap();
    assert_eq!(message.version(), arrow::ipc::MetadataVersion::V5);
    assert_eq!(message.bodyLength() as usize, data.data_body.len());
    let header = message.header_as_record_batch().unwrap();
    assert_eq!(header.length(), 50);
    for buffer in header.buffers().unwrap() {
        assert_eq!(buffer.offset() % 8, 0);
        assert!(buffer.offset() + buffer.length() <= message.bodyLength());
    }
}

#[test]
fn no_rows_are_no_message_of_a_range_but_one_of_an_exchange() {
    let batch = rows(0);
    let mut out = Pieces::default();
    BatchEncoder { message_bytes: 1 << 20 }.encode(&mut out, &batch).unwrap();
    assert!(out.is_empty());
    encode_rows(&mut out, &batch, 0, 0, b"{}").unwrap();
    encode_rows(&mut out, &rows(10), 4, 0, b"{}").unwrap();
    let (messages, read) = read(&batch.schema(), out);
    assert_eq!((messages.len(), read.num_rows()), (3, 0));
}

#[test]
fn messages_are_cut_to_size() {
    let batch = rows(100_000);
    let mut out = Pieces::default();
    BatchEncoder { message_bytes: 256 << 10 }.encode(&mut out, &batch).unwrap();
    let (messages, read) = read(&batch.schema(), out);
    assert_eq!(read, batch);
    assert!(messages.len() > 10);
    for data in &messages {
        assert!(data.data_body.len() <= (256 << 10) + 1_024, "{}", data.data_body.len());
    }
}

#[test]
fn uneven_text_is_cut_until_it_fits() {
    let long = "x".repeat(10_000);
    let text: StringArray =
        (0..1_000).map(|i| Some(if i < 900 { "" } else { long.as_str() })).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(text)]).unwrap();
    let mut out = Pieces::default();
    BatchEncoder { message_bytes: 100_000 }.encode(&mut out, &batch).unwrap();
    let (messages, read) = read(&schema, out);
    assert_eq!(read, batch);
    assert!(messages.iter().all(|data| data.data_body.len() < 110_000));
}

#[test]
fn a_type_that_does_not_travel_is_refused_with_its_name() {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Utf8View, true)]));
    let batch =
        RecordBatch::try_new(schema, vec![Arc::new(StringViewArray::from(vec!["x"]))]).unwrap();
    let error = encode_rows(&mut Pieces::default(), &batch, 0, 1, &[]).unwrap_err();
    assert_eq!(error.to_string(), "a column of type Utf8View cannot be sent");
}

#[test]
fn pieces_keep_their_order_when_joined() {
    let piece = |text: &str, shared: bool| {
        let mut pieces = Pieces::default();
        pieces.copy(b"<");
        if shared {
            pieces.share(bytes::Bytes::copy_from_slice(text.as_bytes()));
        } else {
            pieces.copy(text.as_bytes());
        }
        pieces.copy(b">");
        pieces
    };
    let mut all = Pieces::default();
    for (text, shared) in [("a", false), ("b", true), ("c", false), ("d", false), ("e", true)] {
        all.append(piece(text, shared));
    }
    assert_eq!(written(all), b"<a><b><c><d><e>");
}

proptest! {
    #[test]
    fn any_part_of_any_slice_is_read_as_it_is(
        count in 0..200_usize,
        cuts in any::<[prop::sample::Index; 4]>(),
        metadata in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let batch = rows(count);
        let part = |rows: usize, a: &prop::sample::Index, b: &prop::sample::Index| {
            let (a, b) = (a.index(rows + 1), b.index(rows + 1));
            (a.min(b), a.abs_diff(b))
        };
        let (offset, length) = part(count, &cuts[0], &cuts[1]);
        let slice = batch.slice(offset, length);
        let (offset, length) = part(length, &cuts[2], &cuts[3]);
        let mut out = Pieces::default();
        encode_rows(&mut out, &slice, offset, length, &metadata).unwrap();
        let (messages, read) = read(&batch.schema(), out);
        prop_assert_eq!(&messages[1].app_metadata[..], &metadata[..]);
        prop_assert_eq!(read, slice.slice(offset, length));
    }
}
