//! Tests of data files: a file holds what was written, and a read finds exactly what a filter over all rows finds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema};
use tempfile::TempDir;

use super::*;
use crate::schema::{KeyType, TableDeclaration, ValueColumn, ValueType};
use crate::store::LakeStore;
use crate::{FileEntry, FilePath, Hour, LogPosition, TableSchema, Timestamp};

mod damage;
mod fuzz;
mod memory;
mod model;
mod parquet;
mod predicate;

const HOUR_START: i64 = 1_795_341_600_000_000;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn hour() -> Hour {
    Hour::of(at(HOUR_START)).unwrap()
}

fn path() -> FilePath {
    FilePath::new(hour(), LogPosition::new(7))
}

fn schema(key_type: KeyType, values: &[(&str, ValueType)]) -> Arc<TableSchema> {
    let columns = values.iter().map(|&(name, value_type)| ValueColumn::new(name, value_type));
    let declaration =
        TableDeclaration::new("city_id", "reading_at").key_type(key_type).columns(columns);
    Arc::new(TableSchema::new("readings", declaration).unwrap())
}

/// A batch of all columns; `values` are the value columns.
fn batch(
    schema: &TableSchema,
    keys: ArrayRef,
    times: Vec<i64>,
    values: Vec<ArrayRef>,
) -> RecordBatch {
    let ingested = times.iter().map(|time| time + 1_000_000).collect::<Vec<_>>();
    let instants =
        |times: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
    let mut columns: Vec<ArrayRef> = vec![keys, instants(times)];
    columns.extend(values);
    columns.push(instants(ingested));
    RecordBatch::try_new(Arc::clone(schema.arrow()), columns).unwrap()
}

/// A file in a folder of its own.
struct Fixture {
    _folder: TempDir,
    store: LakeStore,
    schema: Arc<TableSchema>,
    entry: Arc<FileEntry>,
    bytes: Vec<u8>,
}

impl Fixture {
    fn new(schema: &Arc<TableSchema>, layout: &Layout, rows: &[RecordBatch]) -> Self {
        let (bytes, entry) = encode_as(layout, schema, rows, path()).unwrap();
        let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
        let store = LakeStore::local(folder.path()).unwrap();
        let fixture = Self {
            _folder: folder,
            store,
            schema: Arc::clone(schema),
            entry: Arc::new(entry),
            bytes: bytes.to_vec(),
        };
        fixture.put(&fixture.bytes);
        fixture
    }

    fn put(&self, bytes: &[u8]) {
        let path = self.store.local_path(&self.entry.path.to_string()).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    async fn open(&self) -> crate::Result<Arc<OpenFile>> {
        FileCache::new(1 << 20).open(&self.store, &self.schema, &self.entry).await
    }
}

fn everything(schema: &TableSchema) -> FileRead {
    FileRead {
        keys: KeySelection::All,
        time: TimeRange::ALL,
        columns: (0..schema.arrow().fields().len()).collect(),
        pages: None,
    }
}

/// The rows that a read must find, by looking at every one.
fn filtered(rows: &RecordBatch, read: &FileRead) -> RecordBatch {
    let keys = arrow::compute::cast(rows.column(0), &DataType::Int64).unwrap();
    let keys = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&keys);
    let times = arrow::array::AsArray::as_primitive::<arrow::datatypes::TimestampMicrosecondType>(
        rows.column(1),
    );
    let wanted: BooleanArray = (0..rows.num_rows())
        .map(|row| {
            Some(
                read.keys.contains(Key::new(keys.value(row)))
                    && read.time.contains(at(times.value(row))),
            )
        })
        .collect();
    let rows = filter_record_batch(rows, &wanted).unwrap();
    rows.project(&read.columns).unwrap()
}

fn project(schema: &Schema, columns: &[usize]) -> Arc<Schema> {
    Arc::new(schema.project(columns).unwrap())
}

/// `keys` keys with a reading every `step`, all the value types a column can have.
fn hour_of_rows(schema: &TableSchema, keys: i32, rows_per_key: i64) -> RecordBatch {
    let step = crate::time::MICROS_PER_HOUR / rows_per_key;
    let count = keys as usize * rows_per_key as usize;
    let row_key = |row: usize| row as i32 / rows_per_key as i32 * 3 + 100;
    let times = (0..count).map(|row| HOUR_START + row as i64 % rows_per_key * step).collect();
    let noise = |row: usize, scale: usize| (row.wrapping_mul(0x9e37_79b9) >> 7) % scale;
    let values = schema
        .values()
        .iter()
        .enumerate()
        .map(|(column, declared)| {
            let value =
                |row: usize| (noise(row + column, 61) != 0).then(|| noise(row * 3 + column, 400));
            let rows = 0..count;
            match declared.value_type {
                ValueType::Int16 => Arc::new(
                    rows.map(|r| value(r).map(|v| v as i16)).collect::<arrow::array::Int16Array>(),
                ) as ArrayRef,
                ValueType::Int32 => {
                    Arc::new(rows.map(|r| value(r).map(|v| v as i32 - 200)).collect::<Int32Array>())
                }
                ValueType::Int64 => Arc::new(
                    rows.map(|r| value(r).map(|v| v as i64 * 1_000_003))
                        .collect::<arrow::array::Int64Array>(),
                ),
                ValueType::Float32 => Arc::new(
                    rows.map(|r| value(r).map(|v| v as f32 / 10.0))
                        .collect::<arrow::array::Float32Array>(),
                ),
                ValueType::Float64 => Arc::new(
                    rows.map(|r| value(r).map(|v| v as f64 * 1.1 + r as f64))
                        .collect::<arrow::array::Float64Array>(),
                ),
                ValueType::Utf8 => Arc::new(
                    rows.map(|r| value(r).map(|v| format!("text {v}")))
                        .collect::<arrow::array::StringArray>(),
                ),
                ValueType::Timestamp => Arc::new(
                    rows.map(|r| value(r).map(|v| HOUR_START + v as i64))
                        .collect::<TimestampMicrosecondArray>()
                        .with_timezone("UTC"),
                ),
            }
        })
        .collect();
    let keys = match schema.key_type() {
        KeyType::Int32 => Arc::new((0..count).map(row_key).collect::<Int32Array>()) as ArrayRef,
        KeyType::Int64 => Arc::new(
            (0..count).map(|r| Some(i64::from(row_key(r)))).collect::<arrow::array::Int64Array>(),
        ),
    };
    batch(schema, keys, times, values)
}

const ALL_TYPES: [(&str, ValueType); 7] = [
    ("small", ValueType::Int16),
    ("medium", ValueType::Int32),
    ("large", ValueType::Int64),
    ("single", ValueType::Float32),
    ("double", ValueType::Float64),
    ("words", ValueType::Utf8),
    ("instant", ValueType::Timestamp),
];
