//! A table in a temporary folder, and files of given rows for it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float32Array, Int16Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::file::encode;
use crate::schema::TableDeclaration;
use crate::snapshot::ColumnStats;
use crate::store::LakeStore;
use crate::{
    Change, FileEntry, FilePath, Hour, Key, KeyType, LakeTable, LogPosition, Operation, Result,
    Snapshot, Span, TableSchema, Timestamp, ValueColumn, ValueType,
};

/// 2026-11-22T00:00:00Z.
pub(crate) const MIDNIGHT: Timestamp = Timestamp::from_micros(1_795_305_600_000_000);

/// A row: key, µs after the start of its hour, temperature.
pub(crate) type Row = (i32, i64, Option<f32>);

impl LakeTable {
    /// Commits a change of nobody's rows.
    pub(crate) async fn commit(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        added: Vec<Arc<FileEntry>>,
        operation: Operation,
        at: Timestamp,
    ) -> Result<Snapshot> {
        let transaction = self.transaction(base, operation, Change::Moved);
        transaction.remove(removed).add(added).commit(at).await?.committed()
    }
}

/// A table of temperatures in a folder of its own.
pub(crate) struct Fixture {
    _folder: tempfile::TempDir,
    store: LakeStore,
    schema: Arc<TableSchema>,
}

/// The `n`-th hour of the test's day.
pub(crate) fn hour(n: i64) -> Hour {
    Hour::of(MIDNIGHT + n * Span::HOUR).unwrap()
}

pub(crate) fn value(name: &str, value_type: ValueType) -> ValueColumn {
    ValueColumn::new(name, value_type)
}

/// A table with a column of every type.
pub(crate) fn wide_schema() -> TableSchema {
    let columns = vec![
        value("short", ValueType::Int16),
        value("long", ValueType::Int64),
        value("single", ValueType::Float32),
        value("double", ValueType::Float64),
        value("text", ValueType::Utf8),
        value("seen_at", ValueType::Timestamp),
    ];
    let time = "at".to_owned();
    let declaration = TableDeclaration {
        key: "id".to_owned(),
        key_type: KeyType::Int64,
        time,
        columns,
        dimension: None,
    };
    TableSchema::new("wide", declaration).unwrap()
}

pub(crate) fn declaration() -> TableDeclaration {
    let mut temperature = value("temperature", ValueType::Float32);
    temperature.unit = Some("°C".to_owned());
    temperature.range = Some([-90.0, 60.0]);
    TableDeclaration::new("city_id", "reading_at")
        .column(temperature)
        .column(value("wind_direction", ValueType::Int16))
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LakeStore::local(&folder.path().join("a lake #1")).unwrap().child("readings");
        let schema = Arc::new(TableSchema::new("readings", declaration()).unwrap());
        Self { _folder: folder, store, schema }
    }

    /// The same table as `name` in the place that `BAROGRAPH_OUTSIDE` names, if it does, which stays.
    pub(crate) fn outside(name: &str) -> Self {
        match std::env::var("BAROGRAPH_OUTSIDE") {
            Ok(location) => {
                Self { store: LakeStore::open(&location).unwrap().child(name), ..Self::new() }
            }
            Err(_) => Self::new(),
        }
    }

    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    pub(crate) fn store(&self) -> &LakeStore {
        &self.store
    }

    pub(crate) async fn open(&self) -> (LakeTable, Snapshot) {
        LakeTable::open(self.store.clone(), self.schema.clone()).await.unwrap()
    }

    /// A file of `rows` for `hour`, and the entry that tells the truth about it. Rows that no table may hold
    /// (unsorted, repeated, of another hour) are written by a writer that does not mind.
    pub(crate) fn file(&self, hour: Hour, rows: &[Row]) -> (FileEntry, Bytes) {
        let path = FilePath::new(hour, LogPosition::new(rows.len() as u64));
        let batch = self.batch(hour, rows);
        match encode(&self.schema, std::slice::from_ref(&batch), path) {
            Ok((bytes, entry)) => (entry, bytes),
            Err(_) => self.wrong_file(path, &batch),
        }
    }

    fn batch(&self, hour: Hour, rows: &[Row]) -> RecordBatch {
        let start = hour.start().as_micros();
        let times: Vec<i64> = rows.iter().map(|row| start + row.1).collect();
        let instants = |late: i64| -> ArrayRef {
            let instants = times.iter().map(|time| time + late);
            Arc::new(TimestampMicrosecondArray::from_iter_values(instants).with_timezone("UTC"))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
            instants(0),
            Arc::new(Float32Array::from_iter(rows.iter().map(|row| row.2))),
            Arc::new(Int16Array::from_iter(rows.iter().map(|_| None::<i16>))),
            instants(1),
        ];
        RecordBatch::try_new(self.schema.arrow().clone(), columns).unwrap()
    }

    fn wrong_file(&self, path: FilePath, batch: &RecordBatch) -> (FileEntry, Bytes) {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        let bytes = Bytes::from(writer.into_inner().unwrap());
        let keys = batch.column(0).as_primitive::<Int32Type>().values();
        let keys: Vec<i64> = keys.iter().map(|key| i64::from(*key)).collect();
        let times = |column: usize| -> Vec<i64> {
            batch.column(column).as_primitive::<TimestampMicrosecondType>().values().to_vec()
        };
        let bounds =
            |values: &[i64]| (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        let instants = |(min, max)| (Timestamp::from_micros(min), Timestamp::from_micros(max));
        let times_of = |column: usize| {
            let (min, max) = instants(bounds(&times(column)));
            stats(Some((min.to_string().into(), max.to_string().into())), 0)
        };
        let floats: Vec<f64> =
            batch.column(2).as_primitive::<Float32Type>().iter().flatten().map(f64::from).collect();
        let range =
            (floats.iter().copied().reduce(f64::min)).zip(floats.iter().copied().reduce(f64::max));
        let (first, last) = bounds(&keys);
        let entry = FileEntry {
            path,
            bytes: bytes.len() as u64,
            rows: batch.num_rows() as u64,
            keys: (Key::new(first), Key::new(last)),
            times: instants(bounds(&times(1))),
            columns: vec![
                stats(Some((first.into(), last.into())), 0),
                times_of(1),
                stats(
                    range.map(|(min, max)| (min.into(), max.into())),
                    batch.num_rows() - floats.len(),
                ),
                stats(None, batch.num_rows()),
                times_of(4),
            ],
        };
        (entry, bytes)
    }

    /// Writes a file of `rows` and commits it in place of what the hour had.
    pub(crate) async fn land(
        &self,
        table: &LakeTable,
        base: &Snapshot,
        hour: Hour,
        rows: &[Row],
    ) -> Snapshot {
        let (entry, bytes) = self.file(hour, rows);
        table.write_file(&entry, bytes).await.unwrap();
        let removed: Vec<_> = base.files_of_hour(hour).to_vec();
        table
            .commit(base, &removed, vec![Arc::new(entry)], Operation::Land, MIDNIGHT)
            .await
            .unwrap()
    }
}

fn stats(range: Option<(Value, Value)>, nulls: usize) -> ColumnStats {
    let (min, max) = range.unzip();
    ColumnStats { min, max, nulls: nulls as u64 }
}
