//! Tests of frames: every value and null of random batches in both directions, buffers that are shared, and a view whose
//! rows lie in lake and tail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use arrow::array::{
    AsArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use barograph_engine::{Clock, Durability, LogSource, ManualClock};
use barograph_lake::schema::KeyType;
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{
    Key, KeySelection, LakeStore, TableDeclaration, TableSchema, TimeRange, Timestamp, ValueColumn,
    ValueType,
};
use polars::prelude::{DataType as Type, TimeUnit as Unit, TimeZone};
use proptest::prelude::*;

use super::*;

/// 2026-11-20T00:00:00Z.
const START: i64 = 1_795_132_800_000_000;
/// Names of sensors; the second is too long to lie within a view.
const NAMES: [&str; 3] = ["vane", "anemometer of the roof", ""];

/// A row with a column of each type that tables have, and a dictionary.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    id: i64,
    at: i64,
    short: Option<i16>,
    whole: Option<i32>,
    single: Option<f32>,
    double: Option<f64>,
    note: Option<String>,
    sensor: Option<usize>,
}

fn row() -> impl Strategy<Value = Row> {
    let numbers = (any::<Option<i16>>(), any::<Option<i32>>(), any::<Option<f32>>());
    let others = (any::<Option<f64>>(), any::<Option<String>>(), proptest::option::of(0..3_usize));
    (any::<i64>(), any::<i64>(), numbers, others).prop_map(|(id, at, numbers, others)| {
        let ((short, whole, single), (double, note, sensor)) = (numbers, others);
        Row { id, at, short, whole, single, double, note, sensor }
    })
}

fn batch(rows: &[Row]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.at));
    let notes: StringArray = rows.iter().map(|row| row.note.as_deref()).collect();
    let sensors = rows.iter().map(|row| row.sensor.map(|sensor| sensor as i32));
    let sensors = DictionaryArray::<Int32Type>::new(
        Int32Array::from_iter(sensors),
        Arc::new(StringArray::from_iter_values(NAMES)),
    );
    RecordBatch::try_from_iter_with_nullable([
        (
            "id",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id))) as ArrayRef,
            false,
        ),
        ("at", Arc::new(times.with_timezone("UTC")), false),
        ("short", Arc::new(Int16Array::from_iter(rows.iter().map(|row| row.short))), true),
        ("whole", Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.whole))), true),
        ("single", Arc::new(Float32Array::from_iter(rows.iter().map(|row| row.single))), true),
        ("double", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.double))), true),
        ("note", Arc::new(notes), true),
        ("sensor", Arc::new(sensors), true),
    ])
    .unwrap()
}

/// The rows that a frame has, by the methods of polars.
fn rows_of(frame: &DataFrame) -> Vec<Row> {
    let column = |name: &str| frame.column(name).unwrap().as_materialized_series().clone();
    let (id, at, short) = (column("id"), column("at"), column("short"));
    let (whole, single, double) = (column("whole"), column("single"), column("double"));
    let (note, sensor) = (column("note"), column("sensor"));
    let place = |sensor: &str| NAMES.iter().position(|name| *name == sensor).unwrap();
    (0..frame.height())
        .map(|row| Row {
            id: id.i64().unwrap().get(row).unwrap(),
            at: at.datetime().unwrap().physical().get(row).unwrap(),
            short: short.i16().unwrap().get(row),
            whole: whole.i32().unwrap().get(row),
            single: single.f32().unwrap().get(row),
            double: double.f64().unwrap().get(row),
            note: note.str().unwrap().get(row).map(str::to_owned),
            sensor: sensor.str().unwrap().get(row).map(place),
        })
        .collect()
}

proptest! {
    #[test]
    fn every_value_and_null_of_every_type_arrives_and_returns(
        rows in prop::collection::vec(prop::collection::vec(row(), 0..30), 1..5),
        skipped in 0..9_usize,
    ) {
        let cut = |rows: &Vec<Row>| {
            let whole = batch(rows);
            let skipped = skipped.min(rows.len());
            whole.slice(skipped, rows.len() - skipped)
        };
        let batches: Vec<_> = rows.iter().map(cut).collect();
        let expected = rows.iter().flat_map(|rows| rows.iter().skip(skipped)).cloned();
        let frame = from_batches(batches[0].schema_ref(), &batches).unwrap();
        prop_assert_eq!(rows_of(&frame), expected.collect::<Vec<_>>());

        let returned = to_batches(&frame).unwrap();
        let all = concat_batches(batches[0].schema_ref(), &batches).unwrap();
        let back = concat_batches(returned[0].schema_ref(), &returned).unwrap();
        for (field, sent) in all.schema_ref().fields().iter().zip(all.columns()) {
            let back = cast(back.column_by_name(field.name()).unwrap(), field.data_type()).unwrap();
            let plain = |array: &ArrayRef| match field.data_type() {
                DataType::Dictionary(_, values) => cast(array, values).unwrap(),
                _ => Arc::clone(array),
            };
            prop_assert_eq!(&plain(&back), &plain(sent));
        }
    }
}

fn example() -> Row {
    let (single, note) = (Some(-1.5), Some("longer than twelve bytes".to_owned()));
    let (whole, double, sensor) = (Some(-7), Some(2.5), Some(1));
    Row { id: 1, at: START, short: Some(270), whole, single, double, note, sensor }
}

#[test]
fn buffers_are_shared_in_both_directions() {
    let rows = [example(), Row { id: 2, single: None, note: None, ..example() }, example()];
    let sent = batch(&rows);
    let frame = from_batch(&sent.slice(1, 2)).unwrap();
    let column = |name: &str| frame.column(name).unwrap().as_materialized_series().clone();

    let ids = column("id").i64().unwrap().cont_slice().unwrap().as_ptr();
    assert_eq!(ids, sent.column(0).as_primitive::<Int64Type>().values()[1..].as_ptr());
    let times = column("at").datetime().unwrap().physical().cont_slice().unwrap().as_ptr();
    let sent_times = sent.column(1).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times, sent_times.values()[1..].as_ptr());
    let notes = column("note");
    let notes = notes.str().unwrap().downcast_iter().next().unwrap();
    let sent_texts = sent.column(6).as_string::<i32>().values();
    let texts = sent_texts.as_ptr_range();
    assert!(texts.contains(&notes.data_buffers()[0].as_ptr()));

    let whole = from_batch(&sent).unwrap();
    let singles = whole.column("single").unwrap().f32().unwrap().downcast_iter().next().unwrap();
    let sent_singles = sent.column(4).as_primitive::<Float32Type>();
    assert_eq!(singles.values().as_ptr(), sent_singles.values().as_ptr());
    let validity = singles.validity().unwrap().as_slice().0.as_ptr();
    assert_eq!(validity, sent_singles.nulls().unwrap().buffer().as_ptr());

    let back = to_batches(&frame).unwrap().remove(0);
    assert_eq!(back.column(0).as_primitive::<Int64Type>().values().as_ptr(), ids);
    assert_eq!(back.column(1).as_primitive::<TimestampMicrosecondType>().values().as_ptr(), times);
    let views = back.column(6).as_string_view();
    assert!(texts.contains(&views.data_buffers()[0].as_ptr()));
}

#[test]
fn frames_and_batches_outlive_what_they_came_from() {
    let frame = from_batch(&batch(&[example(), example()])).unwrap();
    assert_eq!(rows_of(&frame), [example(), example()]);
    let batches = to_batches(&frame).unwrap();
    drop(frame);
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().values(), &[1, 1]);
    assert_eq!(batches[0].column(6).as_string_view().value(1), "longer than twelve bytes");
}

#[test]
fn times_keep_unit_and_zone() {
    let zoned = |zone: &str| {
        let times = TimestampNanosecondArray::from(vec![7]).with_timezone(zone);
        from_batch(&RecordBatch::try_from_iter([("at", Arc::new(times) as ArrayRef)]).unwrap())
    };
    let of = |frame: &DataFrame| frame.column("at").unwrap().dtype().clone();
    let zone = |zone: &'static str| TimeZone::opt_try_new(Some(zone)).unwrap();
    let brussels = zoned("Europe/Brussels").unwrap();
    assert_eq!(of(&brussels), Type::Datetime(Unit::Nanoseconds, zone("Europe/Brussels")));
    let back = to_batches(&brussels).unwrap().remove(0);
    let expected = DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Brussels".into()));
    assert_eq!(back.column(0).data_type(), &expected);
    assert_eq!(of(&zoned("+00:00").unwrap()), Type::Datetime(Unit::Nanoseconds, zone("UTC")));
    assert!(zoned("nowhere").is_err());
    let frame = from_batch(&batch(&[example()])).unwrap();
    assert_eq!(of(&frame), Type::Datetime(Unit::Microseconds, zone("UTC")));
}

#[test]
fn no_rows_have_columns_and_other_types_are_refused() {
    let none = batch(&[]);
    let frame = from_batches(none.schema_ref(), &[]).unwrap();
    assert_eq!(frame.shape(), (0, 8));
    assert_eq!(frame.column("single").unwrap().dtype(), &Type::Float32);
    let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![1]));
    let error = from_batch(&RecordBatch::try_from_iter([("price", decimals)]).unwrap());
    let error = error.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Request);
    assert!(error.to_string().contains("\"price\""), "{error}");
}

/// Of keys and times, as they were put last.
type Model = BTreeMap<(i64, i64), Option<f32>>;

async fn put(engine: &Arc<Engine>, model: &mut Model, readings: &[(i64, i64, Option<f32>)]) {
    let times = TimestampMicrosecondArray::from_iter_values(readings.iter().map(|row| row.1));
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(readings.iter().map(|row| row.0))) as _),
        ("at", Arc::new(times.with_timezone("UTC")) as _),
        ("single", Arc::new(Float32Array::from_iter(readings.iter().map(|row| row.2))) as _),
    ]);
    engine.put("readings", batch.unwrap(), "test", Durability::Memory).await.unwrap();
    model.extend(readings.iter().map(|&(id, at, single)| ((id, at), single)));
}

#[tokio::test]
async fn a_frame_has_the_rows_of_lake_and_tail_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let single = ValueColumn::new("single", ValueType::Float32);
    let declaration = TableDeclaration::new("id", "at").key_type(KeyType::Int64).column(single);
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(START + 2 * MICROS_PER_HOUR)));
    let engine = Engine::builder(LakeStore::local(&folder.path().join("lake")).unwrap())
        .log(LogSource::folder(folder.path().join("log")))
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .table(TableSchema::new("readings", declaration).unwrap())
        .open()
        .await
        .unwrap();
    let mut model = Model::new();
    let minute = |minute: i64| START + minute * 60_000_000;
    let value = |id: i64, at: i64| (at % 7 != 0).then_some((id * 100 + at) as f32);
    for id in 0..200 {
        let landed: Vec<_> = (0..60).map(|at| (id, minute(at), value(id, at))).collect();
        put(&engine, &mut model, &landed).await;
    }
    engine.flush().await.unwrap();
    // Rows of the lake that the tail replaces, and rows of the next hour.
    for id in (0..200).step_by(3) {
        let late = (50..70).map(|at| (id, minute(at), value(id + 1, at)));
        put(&engine, &mut model, &late.collect::<Vec<_>>()).await;
    }

    let time = TimeRange {
        from: Timestamp::from_micros(minute(5)),
        to: Timestamp::from_micros(minute(65)),
    };
    let keys = KeySelection::Range { from: Key::new(3), to: Key::new(190) };
    let scan = Scan { columns: vec![2], ..Scan::of(keys, time) };
    let frame = read(&engine, engine.view("readings").unwrap(), scan).await.unwrap();
    let (id, at) = (frame.column("id").unwrap(), frame.column("at").unwrap());
    let (ids, times) = (id.i64().unwrap(), at.datetime().unwrap().physical());
    let found =
        ids.iter().zip(times.iter()).zip(frame.column("single").unwrap().f32().unwrap().iter());
    let found: Vec<_> =
        found.map(|((id, at), single)| ((id.unwrap(), at.unwrap()), single)).collect();
    let expected = model.into_iter();
    let expected = expected.filter(|((id, at), _)| {
        (3..=190).contains(id) && time.contains(Timestamp::from_micros(*at))
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert!(engine.view("readings").unwrap().tail.rows() > 0, "some rows are in the tail");

    let nothing = Scan::of(KeySelection::list(vec![999]), TimeRange::ALL);
    let none = read(&engine, engine.view("readings").unwrap(), nothing).await.unwrap();
    assert_eq!(none.shape(), (0, 2));
    engine.shutdown().await.unwrap();
}
