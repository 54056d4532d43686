//! Tests of long texts: the rows in memory at a time are bounded by bytes.

use arrow::array::StringArray;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const ROWS: i32 = 5_200;
/// Of a text; together they are more than is held at once when an hour lands.
const TEXT: usize = 20_000;
/// Of a batch of an answer.
const BATCH_BYTES_MAX: usize = 8 << 20;

fn notes() -> TableSchema {
    let note = ValueColumn::new("note", ValueType::Utf8);
    let declaration = TableDeclaration::new("id", "at").column(note);
    TableSchema::new("notes", declaration).unwrap()
}

/// Half of the rows are of one key.
fn key(row: i32) -> i32 {
    if row % 2 == 0 { 7 } else { row }
}

fn text(row: i32) -> String {
    format!("{row:08}").repeat(TEXT / 8)
}

fn texts(rows: std::ops::Range<i32>) -> RecordBatch {
    let times: TimestampMicrosecondArray =
        rows.clone().map(|row| Some(START + i64::from(row))).collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(rows.clone().map(key).collect::<Int32Array>()) as _),
        ("at", Arc::new(times.with_timezone("UTC")) as _),
        ("note", Arc::new(rows.map(|row| Some(text(row))).collect::<StringArray>()) as _),
    ])
    .unwrap()
}

/// Reads everything, or one key; every row has to be there once, in order, in batches of few bytes.
async fn check(engine: &Arc<Engine>, keys: KeySelection) {
    let mut expected: Vec<i32> = (0..ROWS).filter(|row| keys.contains(key(*row).into())).collect();
    expected.sort_by_key(|row| (key(*row), *row));
    let scan = Scan {
        keys,
        time: TimeRange::ALL,
        columns: vec![2],
        filter: None,
        aggregation: None,
        limit: None,
    };
    let answer = engine.scan(engine.view("notes").unwrap(), scan).await.unwrap();
    let mut expected = expected.into_iter();
    let mut batches = answer.batches;
    while let Some(batch) = batches.try_next().await.unwrap() {
        let notes = batch.column(2).as_string::<i32>();
        let bytes = notes.value_offsets().last().unwrap() - notes.value_offsets()[0];
        assert!(bytes as usize <= BATCH_BYTES_MAX, "{} rows, {bytes} bytes", batch.num_rows());
        for note in notes {
            assert!(note.unwrap() == text(expected.next().unwrap()));
        }
    }
    assert_eq!(expected.next(), None);
}

#[tokio::test]
async fn an_hour_of_long_texts_is_read_and_lands_in_slices_of_few_bytes() {
    let bed = Bed::new(EngineSettings::default());
    bed.set(START + HOUR);
    let engine = bed.try_open(vec![notes()]).await.unwrap();
    for from in (0..ROWS).step_by(200) {
        let rows = texts(from..from + 200);
        engine.put("notes", rows, "test", Durability::Disk).await.unwrap();
    }
    check(&engine, KeySelection::All).await;
    check(&engine, KeySelection::list(vec![7])).await;
    for late in [false, true] {
        engine.flush().await.unwrap();
        let view = engine.view("notes").unwrap();
        assert!(view.tail.hours().is_empty());
        let [file] = view.snapshot.files() else { panic!("{:?}", view.snapshot.files()) };
        assert_eq!(file.rows, ROWS as u64);
        let path = Path::from(format!("lake/notes/{}", file.path));
        let bytes = bed.objects.get(&path).await.unwrap().bytes().await.unwrap();
        let metadata =
            Arc::clone(ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().metadata());
        for group in metadata.row_groups() {
            let bytes = group.column(2).unencoded_byte_array_data_bytes().unwrap();
            assert!(bytes as usize <= BATCH_BYTES_MAX + TEXT, "{bytes} bytes in a row group");
        }
        check(&engine, KeySelection::All).await;
        check(&engine, KeySelection::list(vec![7])).await;
        if !late {
            // The same rows again: they replace those of the file.
            engine.put("notes", texts(0..200), "test", Durability::Disk).await.unwrap();
            check(&engine, KeySelection::All).await;
        }
    }
}
