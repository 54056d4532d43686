//! Tests of puts: batches with many dead letters, rows larger than a record, wide tables, dictionaries, and a full
//! disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{
    ArrayRef, AsArray, Float32Array, Int32Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float32Type, Int32Type};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{Key, LakeStore, Size, TableSchema, Timestamp};

use super::size::column_bytes;
use super::*;
use crate::log::{MemoryDisk, MemoryLog};
use crate::{EngineSettings, ErrorKind, LogSource, ManualClock, Point, PointQuery};

const AT: i64 = 1_767_225_600_000_000;

fn table(columns: usize) -> TableSchema {
    let mut values: Vec<_> = (0..columns)
        .map(|at| ValueColumn::new(&format!("value_{at}"), ValueType::Float32).range(0.0, 60.0))
        .collect();
    values.push(ValueColumn::new("note", ValueType::Utf8));
    let declaration = TableDeclaration::new("id", "at").columns(values);
    TableSchema::new("readings", declaration).unwrap()
}

async fn engine(
    columns: usize,
    settings: EngineSettings,
) -> (Arc<Engine>, MemoryDisk, tempfile::TempDir) {
    let (folder, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::default());
    let log = MemoryLog::open(&disk, &settings.log, LogPosition::new(0)).unwrap();
    (
        Engine::builder(LakeStore::local(folder.path()).unwrap())
            .settings(settings)
            .log(LogSource::Ready(Box::new(log)))
            .clock(Arc::new(ManualClock::new(Timestamp::from_micros(AT))))
            .table(table(columns))
            .open()
            .await
            .unwrap(),
        disk,
        folder,
    )
}

fn settings(record: Size) -> EngineSettings {
    let mut settings = EngineSettings::default();
    settings.log.record_bytes_max = record;
    settings
}

fn rows(count: usize, first: i32, value: f32) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_value(AT, count).with_timezone("UTC");
    RecordBatch::try_from_iter([
        ("id", Arc::new((first..).take(count).collect::<Int32Array>()) as ArrayRef),
        ("at", Arc::new(times)),
        ("value_0", Arc::new(Float32Array::from_value(value, count))),
    ])
    .unwrap()
}

fn with_note(value: f32, note: &str) -> RecordBatch {
    let one = rows(1, 0, value);
    let names = one.schema();
    let names = names.fields().iter().map(|field| field.name().as_str());
    let columns = names.zip(one.columns().iter().cloned());
    let note: ArrayRef = Arc::new(StringArray::from(vec![note]));
    RecordBatch::try_from_iter(columns.chain([("note", note)])).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_many_letters_goes_in_beside_others_and_every_letter_is_there() {
    const BAD: usize = 60_000;
    let (engine, _disk, _folder) = engine(1, settings(Size::mebibytes(5))).await;
    let mut bad = rows(BAD + 1, 0, 70.0);
    let mut values = vec![70.0; BAD + 1];
    values[BAD] = 20.0;
    let columns = vec![
        bad.column(0).clone(),
        bad.column(1).clone(),
        Arc::new(Float32Array::from(values)) as _,
    ];
    bad = RecordBatch::try_new(bad.schema(), columns).unwrap();
    let large = engine.put("readings", bad, "test", Durability::Disk);
    let small =
        (0..50).map(|at| engine.put("readings", rows(1, -1 - at, 20.0), "test", Durability::Disk));
    let (large, small) = tokio::join!(large, futures::future::join_all(small));
    let large = large.unwrap();
    assert_eq!((large.accepted, large.rejected), (1, BAD as u64));
    small.into_iter().for_each(|ack| assert_eq!(ack.unwrap().accepted, 1));
    assert_eq!(engine.view("dead_letters").unwrap().rows(), BAD as u64);
    assert_eq!(engine.view("readings").unwrap().rows(), 51);
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_larger_than_a_record_is_refused_alone_and_a_batch_of_such_is_split() {
    let (engine, _disk, _folder) = engine(1, settings(Size::mebibytes(1))).await;
    let long = "x".repeat(2 << 20);
    for _ in 0..5 {
        let huge = engine.put("readings", with_note(20.0, &long), "test", Durability::Disk);
        let small = (0..20)
            .map(|at| engine.put("readings", rows(1, 1 + at, 20.0), "test", Durability::Disk));
        let (huge, small) = tokio::join!(huge, futures::future::join_all(small));
        let error = huge.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
        assert!(error.to_string().contains("record_bytes_max"), "{error}");
        small.into_iter().for_each(|ack| assert_eq!(ack.unwrap().accepted, 1));
    }
    let many = rows(200_000, 1, 30.0);
    let ack = engine.put("readings", many, "test", Durability::Disk).await.unwrap();
    assert_eq!(ack.accepted, 200_000);
    // Implausible, its letter is cut.
    let ack =
        engine.put("readings", with_note(70.0, &long), "test", Durability::Disk).await.unwrap();
    assert_eq!(ack.rejected, 1);
    let letters = engine.view("dead_letters").unwrap();
    assert!(letters.tail.bytes() < 1 << 20, "{}", letters.tail.bytes());
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_wide_table_are_checked_in_parts() {
    let columns = 240;
    let mut settings = settings(Size::mebibytes(64));
    settings.batch_bytes_max = Size::mebibytes(1);
    let (engine, _disk, _folder) = engine(columns, settings).await;
    let ack =
        engine.put("readings", rows(20_000, 0, 20.0), "test", Durability::Disk).await.unwrap();
    assert_eq!(ack.accepted, 20_000);
    assert!(engine.log_gauge().records.load(std::sync::atomic::Ordering::Relaxed) > 5);
    engine.shutdown().await.unwrap();
}

/// The newest value of a key.
async fn newest(engine: &Engine, key: i64) -> f32 {
    let query =
        PointQuery { keys: Some(vec![Key::new(key)]), point: Point::Latest, columns: vec![2] };
    let row = engine.point(&engine.view("readings").unwrap(), &query).await.unwrap();
    row.column(2).as_primitive::<Float32Type>().value(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_rows_is_that_of_submitting_them_whenever_they_were_prepared() {
    let (engine, _disk, _folder) = engine(1, settings(Size::mebibytes(64))).await;
    let prepare = |count, value| engine.prepare("readings", rows(count, 0, value), "test");
    let (small, large) = (prepare(10, 10.0).await.unwrap(), prepare(40_000, 20.0).await.unwrap());
    assert_eq!(engine.view("readings").unwrap().rows(), 0);
    let large = large.submit(Durability::Disk).await.unwrap();
    let small = small.submit(Durability::Disk).await.unwrap();
    let (small, large) = tokio::join!(small.acknowledged(), large.acknowledged());
    let (small, large) = (small.unwrap(), large.unwrap());
    assert_eq!((large.accepted, small.accepted), (40_000, 10));
    assert!(large.position < small.position, "{large:?} {small:?}");
    assert_eq!((newest(&engine, 9).await, newest(&engine, 10).await), (10.0, 20.0));
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_batch_overtakes_the_last_part_of_the_one_before() {
    let mut settings = settings(Size::mebibytes(64));
    settings.batch_bytes_max = Size::mebibytes(1);
    let (engine, _disk, _folder) = engine(240, settings).await;
    let large = engine.prepare("readings", rows(20_000, 0, 10.0), "test").await.unwrap();
    let small = engine.prepare("readings", rows(1, 19_999, 20.0), "test").await.unwrap();
    let large = large.submit(Durability::Disk).await.unwrap();
    let small = small.submit(Durability::Disk).await.unwrap();
    let (small, large) = tokio::join!(small.acknowledged(), large.acknowledged());
    assert_eq!((large.unwrap().accepted, small.unwrap().accepted), (20_000, 1));
    assert_eq!((newest(&engine, 19_998).await, newest(&engine, 19_999).await), (10.0, 20.0));
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_put_of_a_batch_that_is_only_prepared_and_its_room_is_given_back() {
    let (engine, _disk, _folder) = engine(1, settings(Size::mebibytes(64))).await;
    let before = engine.tail_bytes();
    let prepared = engine.prepare("readings", rows(1_000, 0, 20.0), "test").await.unwrap();
    assert!(engine.tail_bytes() > before + 12_000);
    drop(prepared);
    assert_eq!((engine.tail_bytes(), engine.view("readings").unwrap().rows()), (before, 0));
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_dictionary_stands_for_counts() {
    use arrow::array::{DictionaryArray, Int32Array as Keys};
    let values = Arc::new(StringArray::from(vec!["x".repeat(1 << 20)]));
    let keys = Keys::from_value(0, 1_000);
    let note = DictionaryArray::<Int32Type>::new(keys, values);
    let one: ArrayRef = Arc::new(note);
    assert!(column_bytes(&one) > 1_000 << 20);
    assert!(column_bytes(&one.slice(0, 1)) < 2 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_refuses_and_takes_again() {
    let (engine, disk, _folder) = engine(1, settings(Size::mebibytes(1))).await;
    disk.set_full(true);
    let puts =
        (0..20).map(|at| engine.put("readings", rows(1, at, 20.0), "test", Durability::Disk));
    for ack in futures::future::join_all(puts).await {
        assert_eq!(ack.unwrap_err().kind(), ErrorKind::Resources);
    }
    disk.set_full(false);
    engine.put("readings", rows(1, 1, 20.0), "test", Durability::Disk).await.unwrap();
    assert_eq!(engine.view("readings").unwrap().rows(), 1);
    engine.shutdown().await.unwrap();
}
