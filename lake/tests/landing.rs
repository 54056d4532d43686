//! The path of rows into the lake: encoded, written, committed and reopened they are the same rows, and a check agrees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use barograph_lake::file::{FileCache, FileRead, encode};
use barograph_lake::schema::TableDeclaration;
use barograph_lake::store::LakeStore;
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{
    Change, FilePath, Hour, KeySelection, KeyType, LakeTable, LogPosition, Operation, Size,
    TableSchema, TimeRange, Timestamp, ValueColumn, ValueType,
};
use proptest::prelude::*;

/// Values of a row after its key: µs after the start of the hour, then one of each type.
type Row = (i64, Option<i16>, Option<i32>, Option<i64>, Option<f32>, Option<f64>, Option<String>);

fn schema() -> TableSchema {
    let types = [
        ("short", ValueType::Int16),
        ("middle", ValueType::Int32),
        ("long", ValueType::Int64),
        ("single", ValueType::Float32),
        ("double", ValueType::Float64),
        ("text", ValueType::Utf8),
        ("seen_at", ValueType::Timestamp),
    ];
    let columns = types.map(|(name, value_type)| ValueColumn::new(name, value_type));
    let declaration = TableDeclaration::new("id", "at").key_type(KeyType::Int64).columns(columns);
    TableSchema::new("samples", declaration).unwrap()
}

fn row() -> impl Strategy<Value = Row> {
    (
        0..MICROS_PER_HOUR,
        any::<Option<i16>>(),
        any::<Option<i32>>(),
        any::<Option<i64>>(),
        proptest::option::of(any::<f32>()),
        proptest::option::of(any::<f64>()),
        proptest::option::of("[a-zä ]{0,5}"),
    )
}

/// Rows of one hour by key and time, as the table wants them.
fn batch(schema: &TableSchema, hour: Hour, rows: &[(i64, Row)]) -> RecordBatch {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(key, row)| (*key, row.0));
    rows.dedup_by_key(|(key, row)| (*key, row.0));
    let start = hour.start().as_micros();
    let times: Vec<i64> = rows.iter().map(|(_, row)| start + row.0).collect();
    let instants = |times: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    };
    let seen =
        rows.iter().map(|(_, row)| row.3).map(|v| v.map(|v| v % 1_000_000_000_000)).collect();
    RecordBatch::try_new(
        schema.arrow().clone(),
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|(key, _)| *key))),
            instants(times.iter().map(|time| Some(*time)).collect()),
            Arc::new(Int16Array::from_iter(rows.iter().map(|(_, row)| row.1))),
            Arc::new(Int32Array::from_iter(rows.iter().map(|(_, row)| row.2))),
            Arc::new(Int64Array::from_iter(rows.iter().map(|(_, row)| row.3))),
            Arc::new(Float32Array::from_iter(rows.iter().map(|(_, row)| row.4))),
            Arc::new(Float64Array::from_iter(rows.iter().map(|(_, row)| row.5))),
            Arc::new(StringArray::from_iter(rows.iter().map(|(_, row)| row.6.clone()))),
            instants(seen),
            instants(times.iter().map(|time| Some(time + 1)).collect()),
        ],
    )
    .unwrap()
}

async fn lands(hours: Vec<Vec<(i64, Row)>>) {
    let folder = tempfile::tempdir().unwrap();
    let store = LakeStore::local(folder.path()).unwrap().child("samples");
    let schema = Arc::new(schema());
    let (table, mut held) = LakeTable::open(store.clone(), schema.clone()).await.unwrap();
    let mut landed = Vec::new();
    for (n, rows) in hours.iter().enumerate() {
        let hour =
            Hour::of(Timestamp::from_micros((495_000 + n as i64) * MICROS_PER_HOUR)).unwrap();
        let rows = batch(&schema, hour, rows);
        let path = FilePath::new(hour, LogPosition::new(1 + n as u64));
        let (bytes, entry) = encode(&schema, std::slice::from_ref(&rows), path).unwrap();
        table.write_file(&entry, bytes).await.unwrap();
        let landing = table.transaction(&held, Operation::Land, Change::Moved);
        let outcome =
            landing.add(vec![Arc::new(entry)]).commit(Timestamp::UNIX_EPOCH).await.unwrap();
        held = outcome.committed().unwrap();
        landed.push(rows);
    }
    table.checkpoint(&held).await.unwrap();

    let (table, read) = LakeTable::open_existing(store.clone()).await.unwrap();
    assert_eq!(read.files(), held.files(), "statistics come back exactly");
    let report = table.check(&read, &mut |_, _| {}).await.unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);

    let cache = FileCache::new(Size::mebibytes(16).get());
    for (entry, rows) in read.files().iter().zip(&landed) {
        let file = cache.open(&store, table.schema(), entry).await.unwrap();
        let all = FileRead {
            keys: KeySelection::All,
            time: TimeRange::ALL,
            columns: (0..schema.arrow().fields().len()).collect(),
            pages: None,
        };
        let got = file.read(&all).await.unwrap();
        assert_eq!(format!("{:?}", got.columns()), format!("{:?}", rows.columns()));
    }

    let expiry = table.transaction(&read, Operation::Expire, Change::Moved);
    let empty = expiry
        .remove(read.files())
        .commit(Timestamp::UNIX_EPOCH)
        .await
        .unwrap()
        .committed()
        .unwrap();
    let known = table.landed_through(&empty).await.unwrap();
    assert_eq!(known.len(), landed.len(), "a log may still hold the rows of files that went");
    for file in read.files() {
        let hour = Hour::of(file.times.0).unwrap();
        assert_eq!(known[&hour], file.path.through());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_lands_is_read_back(
        hours in proptest::collection::vec(proptest::collection::vec((any::<i64>(), row()), 1..40), 1..4),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(lands(hours));
    }
}

#[tokio::test]
async fn extreme_values_land() {
    let some = |short, long, single, double| {
        (
            7,
            Some(short),
            Some(i32::MIN),
            Some(long),
            Some(single),
            Some(double),
            Some(String::new()),
        )
    };
    let nothing = (0, None, None, None, None, None, None);
    lands(vec![
        vec![(i64::MIN, nothing.clone()), (i64::MAX, nothing)],
        vec![
            (-1, some(i16::MIN, i64::MIN, f32::MIN, f64::MIN)),
            (1, some(i16::MAX, i64::MAX, f32::MAX, f64::MAX)),
        ],
        vec![(1, some(0, 0, -0.0, 0.0)), (2, some(0, 0, f32::MIN_POSITIVE, f64::EPSILON))],
        vec![(1, some(0, 0, f32::NAN, f64::INFINITY)), (2, some(0, 0, 1.5, f64::NEG_INFINITY))],
        vec![(1, some(0, 0, f32::INFINITY, f64::NAN)), (2, some(0, 0, 0.1, 0.1))],
    ])
    .await;
}
