//! The naive model that the engine is held against: a sorted map from (key, instant) to reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Int16Array, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Float32Type, Int16Type, Int32Type, TimestampMicrosecondType};
use barograph_lake::TableSchema;
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};

/// The values of one reading: temperature, direction, note.
pub(crate) type Reading = (Option<f32>, Option<i16>, Option<String>);

/// The readings that are expected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(pub BTreeMap<(i32, i64), Reading>);

/// One row to be put.
pub(crate) type Row = (i32, i64, Reading);

/// The table of the tests: one column of each kind.
pub(crate) fn schema(name: &str) -> TableSchema {
    let declaration = TableDeclaration::new("city_id", "reading_at")
        .column(ValueColumn::new("temperature", ValueType::Float32).range(-90.0, 60.0))
        .column(ValueColumn::new("direction", ValueType::Int16).range(0.0, 360.0))
        .column(ValueColumn::new("note", ValueType::Utf8));
    TableSchema::new(name, declaration).unwrap()
}

/// Rows as a batch that can be put.
pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.1)).collect();
    RecordBatch::try_from_iter_with_nullable([
        (
            "city_id",
            Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int32Array>()) as ArrayRef,
            false,
        ),
        ("reading_at", Arc::new(times.with_timezone("UTC")), false),
        ("temperature", Arc::new(rows.iter().map(|r| r.2.0).collect::<Float32Array>()), true),
        ("direction", Arc::new(rows.iter().map(|r| r.2.1).collect::<Int16Array>()), true),
        ("note", Arc::new(rows.iter().map(|r| r.2.2.clone()).collect::<StringArray>()), true),
    ])
    .unwrap()
}

/// A batch of the engine's answer, back as rows. Columns in the order key, time, values.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let keys = batch.column(0).as_primitive::<Int32Type>();
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    let temperatures = batch.column(2).as_primitive::<Float32Type>();
    let directions = batch.column(3).as_primitive::<Int16Type>();
    let notes = batch.column(4).as_string::<i32>();
    (0..batch.num_rows())
        .map(|i| {
            let reading = (
                temperatures.is_valid(i).then(|| temperatures.value(i)),
                directions.is_valid(i).then(|| directions.value(i)),
                notes.is_valid(i).then(|| notes.value(i).to_owned()),
            );
            (keys.value(i), times.value(i), reading)
        })
        .collect()
}

impl Model {
    /// Later rows win.
    pub(crate) fn put(&mut self, rows: &[Row]) {
        for (key, time, reading) in rows {
            self.0.insert((*key, *time), reading.clone());
        }
    }

    /// Rows of some keys and times, ordered by (key, time).
    pub(crate) fn range(&self, keys: Option<&[i32]>, from: i64, to: i64) -> Vec<Row> {
        self.0
            .iter()
            .filter(|((key, time), _)| {
                keys.is_none_or(|keys| keys.contains(key)) && (from..to).contains(time)
            })
            .map(|((key, time), reading)| (*key, *time, reading.clone()))
            .collect()
    }

    /// The newest row at or before `at` of each key.
    pub(crate) fn newest(&self, keys: Option<&[i32]>, at: i64) -> Vec<Row> {
        let mut newest: BTreeMap<i32, Row> = BTreeMap::new();
        for row in self.range(keys, i64::MIN, at.saturating_add(1)) {
            newest.insert(row.0, row);
        }
        newest.into_values().collect()
    }
}
