//! Tests of the wire format: clients read the rows that were sent, in messages of the size that was asked for.

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

/// Rows with the types that statements make besides, one below another.
fn nested(count: usize) -> RecordBatch {
    let some = |i: usize, every: usize| !i.is_multiple_of(every);
    let mut lists = ListBuilder::new(StringBuilder::new());
    let mut large = LargeListBuilder::new(Int64Builder::new());
    let mut fixed = FixedSizeListBuilder::new(Float64Builder::new(), 3);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for i in 0..count {
        for j in 0..i % 5 {
            lists.values().append_option(some(j, 3).then(|| "é".repeat(i % 7)));
            large.values().append_value((i * j) as i64);
            maps.keys().append_value(format!("{j}"));
            maps.values().append_option(some(i, 2).then_some(j as i32));
        }
        (0..3).for_each(|j| fixed.values().append_option(some(i + j, 4).then_some(j as f64)));
        lists.append(some(i, 3));
        large.append(true);
        fixed.append(some(i, 6));
        maps.append(some(i, 4)).unwrap();
    }
    let text = (0..count).map(|i| some(i, 2).then(|| "t".repeat(i % 9)));
    let binary = (0..count).map(|i| some(i, 9).then(|| vec![i as u8; i % 4]));
    let inner: ArrayRef = Arc::new(lists.finish());
    let rows = StructArray::try_from(vec![
        ("lists", Arc::clone(&inner)),
        ("text", Arc::new(text.clone().collect::<LargeStringArray>()) as ArrayRef),
    ]);
    let numbers = (0..count as i128).map(|i| Some(i * 100_000_000_000_000_000));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("lists", inner),
        ("large", Arc::new(large.finish())),
        ("fixed", Arc::new(fixed.finish())),
        ("maps", Arc::new(maps.finish())),
        ("rows", Arc::new(rows.unwrap())),
        ("binary", Arc::new(binary.clone().collect::<BinaryArray>())),
        ("large binary", Arc::new(binary.collect::<LargeBinaryArray>())),
        ("decimal", Arc::new(numbers.collect::<Decimal128Array>())),
        ("date", Arc::new((0..count as i32).map(Some).collect::<Date32Array>())),
        ("unsigned", Arc::new((0..count as u64).collect::<UInt64Array>())),
        ("nothing", Arc::new(NullArray::new(count))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// A dense union of numbers and text, of which every third row is text.
fn union(count: usize) -> UnionArray {
    let is_text = |i: &usize| i.is_multiple_of(3);
    let ids: Vec<i8> = (0..count).map(|i| i8::from(is_text(&i))).collect();
    let offsets = (0..count).map(|i| if is_text(&i) { i / 3 } else { i - i / 3 - 1 } as i32);
    let numbers: Int64Array = (0..count as i64).filter(|i| i % 3 != 0).collect();
    let texts: StringArray =
        (0..count).filter(is_text).map(|i| Some(format!("text {i}"))).collect();
    let fields = arrow::datatypes::UnionFields::from_fields(vec![
        Field::new("number", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]);
    let children: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(texts)];
    UnionArray::try_new(fields, ids.into(), Some(offsets.collect()), children).unwrap()
}

#[test]
fn a_part_of_a_union_takes_only_its_own_values_along() {
    let whole = union(1_000);
    let batch = RecordBatch::try_from_iter([("u", Arc::new(whole.clone()) as ArrayRef)]).unwrap();
    for (offset, length) in [(0, 1_000), (0, 1), (500, 7), (999, 1), (3, 0)] {
        let mut out = Pieces::default();
        encode_rows(&mut out, &batch, offset, length, &[]).unwrap();
        let (messages, read) = read(&batch.schema(), out);
        assert!(messages[1].data_body.len() < 64 + 32 * length);
        let sent = read.column(0).as_union();
        assert_eq!(sent.len(), length);
        for row in 0..length {
            assert_eq!(sent.value(row).as_ref(), whole.value(offset + row).as_ref());
        }
    }
}

#[test]
fn what_saves_memory_inside_travels_as_the_values_it_stands_for() {
    let words: DictionaryArray<arrow::datatypes::Int32Type> =
        vec!["a", "b", "a"].into_iter().collect();
    let views: ArrayRef =
        Arc::new(StringViewArray::from(vec!["x", "y", "a text that is not inlined"]));
    let inner: StructArray = vec![
        (
            Arc::new(Field::new("w", words.data_type().clone(), true)),
            Arc::new(words.clone()) as ArrayRef,
        ),
        (Arc::new(Field::new("v", DataType::Utf8View, true)), Arc::clone(&views)),
    ]
    .into();
    let batch = RecordBatch::try_from_iter([
        ("words", Arc::new(words) as ArrayRef),
        ("views", views),
        ("inner", Arc::new(inner) as ArrayRef),
    ])
    .unwrap();
    let schema = plain_schema(&batch.schema());
    let types: Vec<_> = schema.fields().iter().map(|field| field.data_type().to_string()).collect();
    assert_eq!(types[..2], ["Utf8", "Utf8"]);
    let plain = plain_batch(batch, &schema).unwrap();
    assert_eq!(plain.column(0).as_ref(), &StringArray::from(vec!["a", "b", "a"]) as &dyn Array);
    let mut out = Pieces::default();
    encode_rows(&mut out, &plain, 1, 2, &[]).unwrap();
    let (_, read) = read(&schema, out);
    assert_eq!(read, plain.slice(1, 2));
    assert_eq!(plain_schema(&schema), schema);
    let error = plain_batch(plain.project(&[0]).unwrap(), &schema).unwrap_err();
    assert!(error.to_string().contains("1 columns where 3 were promised"), "{error}");
}

#[test]
fn times_travel_in_nanoseconds_if_they_are_asked_for_and_fit() {
    let times =
        |micros: Vec<Option<i64>>| TimestampMicrosecondArray::from(micros).with_timezone("UTC");
    let of = |micros: Vec<Option<i64>>| {
        let at: ArrayRef = Arc::new(times(micros));
        let inner = Field::new("at", at.data_type().clone(), true);
        let inner = StructArray::from(vec![(Arc::new(inner), Arc::clone(&at))]);
        let rows = [("at", at), ("inner", Arc::new(inner) as ArrayRef)];
        RecordBatch::try_from_iter_with_nullable(rows.map(|(name, of)| (name, of, true))).unwrap()
    };
    let batch = of(vec![Some(1), None]);
    let schema = timed_schema(&batch.schema(), Times::Nanoseconds);
    let sent = plain_batch(batch.clone(), &schema).unwrap();
    let expected = TimestampNanosecondArray::from(vec![Some(1_000), None]).with_timezone("UTC");
    assert_eq!(sent.column(0).as_ref(), &expected as &dyn Array);
    assert_eq!(sent.column(1).as_struct().column(0).as_ref(), &expected as &dyn Array);
    let error = plain_batch(of(vec![Some(i64::MAX / 2)]), &schema).unwrap_err().to_string();
    assert!(error.contains("\"at\"") && error.contains("2262-04-11"), "{error}");
    assert_eq!(timed_schema(&batch.schema(), Times::AsTheyAre), batch.schema());
}

#[test]
fn a_client_reads_the_rows_that_were_sent() {
    for count in [1, 2, 7, 8, 9, 63, 64, 65, 1_000, 70_000] {
        let batch = rows(count);
        let mut out = Pieces::default();
        BatchEncoder { message_bytes: 1 << 20 }.encode(&mut out, &batch).unwrap();
        let (_, read) = read(&batch.schema(), out);
        assert_eq!(read, batch, "{count} rows");
        let batch = nested(count.min(3_000));
        let mut out = Pieces::default();
        BatchEncoder { message_bytes: 10_000 }.encode(&mut out, &batch).unwrap();
        let (messages, read) = self::read(&batch.schema(), out);
        assert_eq!(read, batch, "{count} rows");
        assert!(messages.iter().all(|data| data.data_body.len() < 20_000));
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

        let slice = nested(count).slice(part(count, &cuts[0], &cuts[1]).0, slice.num_rows());
        let mut out = Pieces::default();
        encode_rows(&mut out, &slice, offset, length, &[]).unwrap();
        let (_, read) = self::read(&slice.schema(), out);
        prop_assert_eq!(read, slice.slice(offset, length));
    }
}
