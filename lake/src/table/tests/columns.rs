//! Changes of columns: a table that holds rows gains and widens value columns, and everything else is refused.

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Float64Type;

use super::*;
use crate::file::{FileCache, FileRead, encode};
use crate::schema::TableDeclaration;
use crate::table::FindingKind;
use crate::{FilePath, KeySelection, KeyType, LogPosition, Operation, TimeRange};

/// Another declaration.
type Turn = fn(&mut TableDeclaration);

fn schema(declaration: TableDeclaration) -> Arc<TableSchema> {
    Arc::new(TableSchema::new("readings", declaration).unwrap())
}

/// The declaration with wider numbers, a number before the columns that were there, and a text after them.
fn grown() -> TableDeclaration {
    let mut grown = declaration();
    grown.columns[0].value_type = ValueType::Float64;
    grown.columns[1].value_type = ValueType::Int32;
    grown.columns.insert(0, value("humidity", ValueType::Float32));
    grown.columns.push(value("note", ValueType::Utf8));
    grown
}

#[tokio::test]
async fn added_columns_are_null_in_the_rows_that_are_there() {
    let fixture = Fixture::new();
    let (before, base) = fixture.open().await;
    let landed = fixture.land(&before, &base, hour(0), &[(1, 0, Some(1.5)), (2, 0, None)]).await;

    let grown = schema(grown());
    let (table, snapshot) = LakeTable::open(fixture.store().clone(), grown.clone()).await.unwrap();
    assert_eq!(snapshot.version(), TableVersion::new(landed.version().get() + 1));
    let home = snapshot.files_of_hour(hour(0)).first().unwrap();
    let [humidity, temperature, note] =
        ["humidity", "temperature", "note"].map(|name| grown.column(name).unwrap());
    assert_eq!((home.columns[humidity].nulls, home.columns[note].nulls), (2, 2));
    assert_eq!(home.columns[temperature].max, Some(1.5.into()));

    let history = table.history().await.unwrap();
    assert_eq!((history[2].operation.as_str(), &history[2].hours), ("CHANGE COLUMNS", &None));

    let read = FileRead {
        keys: KeySelection::All,
        time: TimeRange::ALL,
        columns: (0..grown.arrow().fields().len()).collect(),
        pages: None,
    };
    let file = FileCache::new(1 << 20).open(table.store(), &grown, home).await.unwrap();
    let rows = file.read(&read).await.unwrap();
    assert_eq!(rows.schema().fields(), grown.arrow().fields());
    assert_eq!((rows.column(humidity).null_count(), rows.column(note).null_count()), (2, 2));
    assert_eq!(rows.column(temperature).as_primitive::<Float64Type>().value(0), 1.5);

    // A file with the new columns beside the old one; all of it from a checkpoint, too, and sound.
    let path = FilePath::new(hour(0), LogPosition::new(9));
    let (bytes, entry) = encode(&grown, &[rows], path).unwrap();
    table.write_file(&entry, bytes).await.unwrap();
    let merged = table
        .commit(&snapshot, snapshot.files(), vec![Arc::new(entry)], Operation::Merge, MIDNIGHT)
        .await
        .unwrap();
    table.checkpoint(&merged).await.unwrap();
    let (again, newest) = LakeTable::open(fixture.store().clone(), grown.clone()).await.unwrap();
    assert_eq!((newest.version(), newest.files()), (merged.version(), merged.files()));
    for version in [snapshot.version(), landed.version()] {
        let earlier = again.snapshot_at(version).await.unwrap();
        assert_eq!(earlier.files(), snapshot.files(), "version {version}");
        let report = again.check(&earlier, &mut |_, _| {}).await.unwrap();
        let of_files = |kind| !matches!(kind, FindingKind::Orphan | FindingKind::Gap);
        let found: Vec<_> = report.findings.iter().filter(|f| of_files(f.kind)).collect();
        assert!(found.is_empty(), "version {version}: {found:?}");
    }
}

/// The same for `tests/outside.py`: two hours without the new columns, and one with them.
#[tokio::test]
async fn a_table_for_other_engines_with_added_columns() {
    let fixture = Fixture::outside("grown");
    let (before, mut base) = fixture.open().await;
    for n in 0..2 {
        base = fixture.land(&before, &base, hour(n), &[(1, 0, Some(1.5)), (2, 0, None)]).await;
    }
    let grown = schema(grown());
    let (table, snapshot) = LakeTable::open(fixture.store().clone(), grown.clone()).await.unwrap();
    let time = |late: i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_value(hour(2).start().as_micros() + late, 2);
        Arc::new(times.with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 2])),
        time(0),
        Arc::new(Float32Array::from(vec![Some(70.5), None])),
        Arc::new(Float64Array::from(vec![None, Some(-2.1)])),
        Arc::new(Int32Array::from(vec![Some(70_000), None])),
        Arc::new(StringArray::from(vec![None, Some("fog")])),
        time(1),
    ];
    let rows = RecordBatch::try_new(grown.arrow().clone(), columns).unwrap();
    let (bytes, entry) =
        encode(&grown, &[rows], FilePath::new(hour(2), LogPosition::new(2))).unwrap();
    table.write_file(&entry, bytes).await.unwrap();
    let last = table
        .commit(&snapshot, &[], vec![Arc::new(entry)], Operation::Land, MIDNIGHT)
        .await
        .unwrap();
    assert_eq!(last.version(), TableVersion::new(4));
    assert!(table.check(&last, &mut |_, _| {}).await.unwrap().is_sound());
}

#[tokio::test]
async fn a_process_with_the_earlier_columns_stops_and_says_so() {
    let fixture = Fixture::new();
    let (before, base) = fixture.open().await;
    let landed = fixture.land(&before, &base, hour(0), &[(1, 0, Some(1.5))]).await;
    LakeTable::open(fixture.store().clone(), schema(grown())).await.unwrap();

    let (entry, bytes) = fixture.file(hour(1), &[(1, 0, None)]);
    before.write_file(&entry, bytes).await.unwrap();
    let late = before
        .commit(&landed, &[], vec![Arc::new(entry)], Operation::Land, MIDNIGHT)
        .await
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    let refused = before.refresh().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Request);
    let told = "humidity, note added, temperature, wind_direction widened";
    assert!(refused.to_string().contains(told), "{refused}");
    let refused =
        LakeTable::open(fixture.store().clone(), schema(declaration())).await.unwrap_err();
    assert!(refused.to_string().contains("column humidity Float32 holds values"), "{refused}");
}

#[tokio::test]
async fn columns_in_another_order_are_the_same_columns() {
    let fixture = Fixture::new();
    let (before, base) = fixture.open().await;
    fixture.land(&before, &base, hour(0), &[(1, 0, Some(1.5))]).await;
    let mut turned = declaration();
    turned.columns.reverse();
    let turned = schema(turned);
    let (_, snapshot) = LakeTable::open(fixture.store().clone(), turned.clone()).await.unwrap();
    let home = snapshot.files_of_hour(hour(0)).first().unwrap();
    let temperature = turned.column("temperature").unwrap();
    assert_eq!(home.columns[temperature].min, Some(1.5.into()));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    fixture.land(&table, &base, hour(0), &[(1, 0, Some(1.5))]).await;
    let cases: [(&str, Turn); 8] = [
        ("column wind_direction is Int16 and declared as Float32, which cannot", |declared| {
            declared.columns[1].value_type = ValueType::Float32
        }),
        ("column temperature is Float32 and declared as Utf8, which cannot", |declared| {
            declared.columns[0] = value("temperature", ValueType::Utf8)
        }),
        ("column wind_direction Int16 holds values and is not declared", |declared| {
            declared.columns.truncate(1)
        }),
        ("column temperature is Float32 and declared as Int32", |declared| {
            declared.columns[0].value_type = ValueType::Int32
        }),
        ("column temperature Float32 holds values", |declared| {
            declared.columns[0].name = "temp".to_owned()
        }),
        ("key column is city_id Int32 and declared as city_id Int64", |declared| {
            declared.key_type = KeyType::Int64
        }),
        ("key column is city_id Int32 and declared as station Int32", |declared| {
            declared.key = "station".to_owned()
        }),
        ("time column is reading_at", |declared| declared.time = "measured_at".to_owned()),
    ];
    for (reason, change) in cases {
        let mut declared = declaration();
        change(&mut declared);
        let opened = LakeTable::open(fixture.store().clone(), schema(declared)).await;
        let refused = opened.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Request);
        assert!(refused.to_string().contains(reason), "{reason}: {refused}");
        assert_eq!(table.refresh().await.unwrap().version(), TableVersion::new(1));
    }
}

#[tokio::test]
async fn a_number_is_widened_in_the_files_that_are_there() {
    use ValueType::{Float32, Float64, Int16, Int32, Int64};
    for (from, to) in [(Int16, Int32), (Int16, Int64), (Int32, Int64), (Float32, Float64)] {
        let fixture = Fixture::new();
        let narrow = |of: ValueType| {
            let mut declared = declaration();
            declared.columns = vec![value("level", of)];
            schema(declared)
        };
        let (store, before) = (fixture.store().clone(), narrow(from));
        let (table, base) = LakeTable::open(store.clone(), before.clone()).await.unwrap();
        let values: Vec<Option<f64>> =
            (0..5_000).map(|n| (n % 7 != 0).then_some(f64::from(n) - 2_500.0)).collect();
        let times = TimestampMicrosecondArray::from_iter_values(
            (0..5_000).map(|n| hour(0).start().as_micros() + n),
        );
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        let wide: ArrayRef = Arc::new(Float64Array::from(values.clone()));
        let columns = vec![
            Arc::new(Int32Array::from_value(1, 5_000)) as ArrayRef,
            times.clone(),
            arrow::compute::cast(&wide, &from.arrow()).unwrap(),
            times,
        ];
        let rows = RecordBatch::try_new(before.arrow().clone(), columns).unwrap();
        let (bytes, entry) =
            encode(&before, &[rows], FilePath::new(hour(0), LogPosition::new(2))).unwrap();
        table.write_file(&entry, bytes).await.unwrap();
        table.commit(&base, &[], vec![Arc::new(entry)], Operation::Land, MIDNIGHT).await.unwrap();

        let after = narrow(to);
        let (table, snapshot) = LakeTable::open(store.clone(), after.clone()).await.unwrap();
        let home = snapshot.files_of_hour(hour(0)).first().unwrap();
        let read = FileRead {
            keys: KeySelection::All,
            time: TimeRange::ALL,
            columns: vec![0, 1, 2],
            pages: None,
        };
        let file = FileCache::new(1 << 20).open(table.store(), &after, home).await.unwrap();
        let rows = file.read(&read).await.unwrap();
        assert_eq!(*rows.column(2).data_type(), to.arrow());
        let found = arrow::compute::cast(rows.column(2), &wide.data_type().clone()).unwrap();
        assert_eq!(found.as_primitive::<Float64Type>(), &Float64Array::from(values), "{from:?}");
        let report = table.check(&snapshot, &mut |_, _| {}).await.unwrap();
        assert!(report.is_sound(), "{from:?}: {:?}", report.findings);
        let history = table.history().await.unwrap();
        assert_eq!(
            (history[2].operation.as_str(), &history[2].hours),
            ("CHANGE COLUMNS", &Some(Vec::new()))
        );

        let refused = LakeTable::open(store, before).await.unwrap_err();
        assert!(refused.to_string().contains("cannot hold the same values"), "{refused}");
    }
}
