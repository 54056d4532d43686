//! Tests of messages: what arrow writes comes back whatever its types, and what contradicts itself is refused before arrow
//! sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, UnionFields};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};

use super::*;

const MOST: usize = 1 << 20;

/// Rows of a type of each layout.
fn rows(count: usize) -> RecordBatch {
    let some = |i: usize| (!i.is_multiple_of(3)).then_some(i as i64);
    let text = |i: usize| some(i).map(|i| format!("a text of some length, {i}"));
    let mut lists = ListBuilder::new(Int64Builder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for i in 0..count {
        (0..i % 3).for_each(|j| lists.values().append_option(some(j)));
        lists.append(i % 4 != 0);
        maps.keys().append_value(format!("{i}"));
        maps.values().append_value(i as i32);
        maps.append(true).unwrap();
    }
    let numbers: ArrayRef = Arc::new((0..count).map(some).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new((0..count).map(text).collect::<StringArray>());
    let words: DictionaryArray<Int32Type> =
        (0..count).map(|i| if i % 2 == 0 { Some("even") } else { None }).collect();
    let ends = Int32Array::from_iter_values([count as i32 / 2, count as i32]);
    let runs = RunArray::<Int32Type>::try_new(&ends, &StringArray::from(vec!["a", "b"])).unwrap();
    let fields = || {
        UnionFields::from_fields(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
        ])
    };
    let ids: Vec<i8> = (0..count).map(|i| (i % 2) as i8).collect();
    let children = || vec![Arc::clone(&numbers), Arc::clone(&texts)];
    let sparse = UnionArray::try_new(fields(), ids.clone().into(), None, children()).unwrap();
    let places: Vec<i32> = (0..count as i32).collect();
    let dense = UnionArray::try_new(fields(), ids.into(), Some(places.into()), children()).unwrap();
    let inner = StructArray::try_from(vec![("n", Arc::clone(&numbers)), ("t", texts.clone())]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("numbers", numbers),
        ("texts", texts),
        ("views", Arc::new((0..count).map(text).collect::<StringViewArray>())),
        ("bits", Arc::new((0..count).map(|i| some(i).map(|_| true)).collect::<BooleanArray>())),
        ("lists", Arc::new(lists.finish())),
        ("maps", Arc::new(maps.finish())),
        ("inner", Arc::new(inner.unwrap())),
        ("words", Arc::new(words)),
        ("runs", Arc::new(runs)),
        ("sparse", Arc::new(sparse)),
        ("dense", Arc::new(dense)),
        ("nothing", Arc::new(NullArray::new(count))),
        (
            "decimal",
            Arc::new((0..count).map(|i| some(i).map(i128::from)).collect::<Decimal128Array>()),
        ),
        (
            "bytes",
            Arc::new(
                (0..count)
                    .map(text)
                    .map(|t| t.map(String::into_bytes))
                    .collect::<LargeBinaryArray>(),
            ),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn options(packed: Option<CompressionType>) -> IpcWriteOptions {
    IpcWriteOptions::default().try_with_compression(packed).unwrap()
}

fn stream(rows: &[RecordBatch], packed: Option<CompressionType>) -> Vec<u8> {
    let schema = rows[0].schema();
    let mut writer =
        StreamWriter::try_new_with_options(Vec::new(), &schema, options(packed)).unwrap();
    rows.iter().for_each(|rows| writer.write(rows).unwrap());
    writer.into_inner().unwrap()
}

fn file(rows: &[RecordBatch], packed: Option<CompressionType>) -> Vec<u8> {
    let schema = rows[0].schema();
    let mut writer =
        FileWriter::try_new_with_options(Vec::new(), &schema, options(packed)).unwrap();
    rows.iter().for_each(|rows| writer.write(rows).unwrap());
    writer.into_inner().unwrap()
}

const PACKED: [Option<CompressionType>; 3] =
    [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];

#[test]
fn all_that_arrow_writes_comes_back() {
    let sent = [rows(100), rows(7), rows(100)];
    for packed in PACKED {
        let (schema, read) = read_stream(&stream(&sent, packed), MOST).unwrap();
        assert_eq!(schema, sent[0].schema());
        assert_eq!(read, sent);
        let mut read = IpcFile::open(Cursor::new(file(&sent, packed)), MOST).unwrap();
        assert_eq!(read.schema(), sent[0].schema());
        assert!(read.by_ref().map(Result::unwrap).eq(sent.iter().cloned()));
    }
}

/// A column of numbers, which takes `8 * count` bytes.
fn numbers(count: usize) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7; count]));
    RecordBatch::try_from_iter([("n", numbers)]).unwrap()
}

/// The stream with the bytes that a packed column says it unpacks to changed to `to`.
fn stating(packed: CompressionType, count: usize, to: i64) -> Vec<u8> {
    let mut stream = stream(&[numbers(count)], Some(packed));
    let stated = (8 * count as i64).to_le_bytes();
    let at = stream.windows(8).rposition(|window| window == stated).unwrap();
    stream[at..at + 8].copy_from_slice(&to.to_le_bytes());
    stream
}

#[test]
fn what_unpacks_to_more_than_it_may_or_says_is_refused() {
    for packed in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let large = stream(&[numbers(MOST / 4)], Some(packed));
        assert!(large.len() < MOST / 50);
        assert!(matches!(read_stream(&large, MOST), Err(IpcError::TooLarge(size)) if size > MOST));
        for lie in [1 << 40, i64::MAX, i64::MIN, -2, 100, 0, 8 * 10_000 - 1, 8 * 10_000 + 1] {
            let error = read_stream(&stating(packed, 10_000, lie), MOST).unwrap_err();
            let is_named = matches!(
                error,
                IpcError::TooLarge(_) | IpcError::Malformed(_) | IpcError::Arrow(_)
            );
            assert!(is_named, "{lie}: {error}");
        }
    }
}

#[test]
fn rows_without_bytes_are_bounded_too() {
    let nothing: ArrayRef = Arc::new(NullArray::new(MOST + 1));
    let many = RecordBatch::try_from_iter_with_nullable([("n", nothing, true)]).unwrap();
    let error = read_stream(&stream(&[many], None), MOST).unwrap_err();
    assert!(matches!(error, IpcError::TooLarge(rows) if rows == MOST + 1), "{error}");
}

/// A batch for each number of words, of which each is a quarter of the most.
fn worded(counts: &[usize], handling: DictionaryHandling) -> Vec<u8> {
    let word = |i: usize| "w".repeat(MOST / 4) + &i.to_string();
    let batches = counts.iter().map(|&count| {
        let words: Vec<String> = (0..count).map(word).collect();
        let words: DictionaryArray<Int32Type> = words.iter().map(|w| Some(w.as_str())).collect();
        RecordBatch::try_from_iter([("w", Arc::new(words) as ArrayRef)]).unwrap()
    });
    let batches: Vec<_> = batches.collect();
    let options = IpcWriteOptions::default().with_dictionary_handling(handling);
    let schema = batches[0].schema();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    batches.iter().for_each(|rows| writer.write(rows).unwrap());
    writer.into_inner().unwrap()
}

#[test]
fn dictionaries_of_a_stream_are_bounded_together() {
    let rows = |stream: &[u8]| read_stream(stream, MOST).map(|(_, rows)| rows.len());
    assert_eq!(rows(&worded(&[1, 2, 3], DictionaryHandling::Delta)).unwrap(), 3);
    let adding = worded(&[1, 2, 3, 4], DictionaryHandling::Delta);
    assert!(matches!(rows(&adding), Err(IpcError::TooLarge(_))));
    let again = worded(&[3, 2, 3, 1, 3, 3], DictionaryHandling::Resend);
    assert_eq!(rows(&again).unwrap(), 6);
}

#[test]
fn a_cut_file_or_stream_is_no_shorter_one() {
    let sent = [rows(20), rows(20)];
    let whole = stream(&sent, None);
    for length in (1..whole.len() - 8).step_by(41) {
        match read_stream(&whole[..length], MOST) {
            Ok((_, read)) => assert!(read.len() < 2),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let whole = file(&sent, None);
    for length in (0..whole.len()).step_by(41) {
        IpcFile::open(Cursor::new(&whole[..length]), MOST).unwrap_err();
    }
}

/// The rows of a stream, or of a file if it begins as one.
fn read(bytes: &[u8], most: usize) -> Result<Vec<RecordBatch>> {
    match bytes.starts_with(b"ARROW1") {
        true => IpcFile::open(Cursor::new(bytes), most)?.collect(),
        false => read_stream(bytes, most).map(|(_, rows)| rows),
    }
}

#[test]
fn fuzz_arrow_messages() {
    const MOST: usize = 64 << 10;
    let wide = [rows(9)];
    let seeds = PACKED.into_iter().flat_map(|packed| {
        let narrow = [wide[0].project(&[0, 1, 7, 8]).unwrap()];
        [stream(&wide, packed), file(&wide, packed), stream(&narrow, packed)]
    });
    let target = barograph_fuzz::Target::new("arrow-messages", 12_000).seeds(seeds);
    target.memory(8 << 20, 64).run(|input| {
        let rows = read(input, MOST).map_err(|error| error.to_string())?;
        for rows in &rows {
            rows.columns().iter().for_each(|column| column.to_data().validate_full().unwrap());
        }
        Ok(())
    });
}
