//! Tables, rows and engines that tests and benches share. The unit tests of `lake` and `engine` have their own: this
//! crate stands on both.
#![allow(clippy::unwrap_used, reason = "what a test is given is right, or the test fails")]

mod certificates;
pub mod store_proxy;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::TimestampMicrosecondType;
use barograph_engine::{Engine, EngineBuilder, EngineSettings, LogSource};
use barograph_lake::{LakeStore, Span, TableDeclaration, TableSchema, ValueColumn, ValueType};

pub use certificates::{Authority, Identity};

/// The table `readings` with columns of single precision, keyed by `city_id` and `reading_at`.
pub fn readings_table<'a>(columns: impl IntoIterator<Item = &'a str>) -> TableSchema {
    let columns = columns.into_iter().map(|name| ValueColumn::new(name, ValueType::Float32));
    let declaration = TableDeclaration::new("city_id", "reading_at").columns(columns);
    TableSchema::new("readings", declaration).unwrap()
}

/// The table `readings` with the six columns of the demonstration's weather.
pub fn weather_table() -> TableSchema {
    let columns = [
        ("temperature", ValueType::Float32),
        ("humidity", ValueType::Float32),
        ("pressure", ValueType::Float32),
        ("wind_speed", ValueType::Float32),
        ("wind_direction", ValueType::Int16),
        ("precipitation", ValueType::Float32),
    ];
    let columns = columns.map(|(name, value_type)| ValueColumn::new(name, value_type));
    let declaration = TableDeclaration::new("city_id", "reading_at").columns(columns);
    TableSchema::new("readings", declaration).unwrap()
}

/// A column of instants.
pub fn instants(times: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
}

/// Readings of cities: `city_id`, `reading_at` and `temperature`.
pub fn temperatures(rows: impl IntoIterator<Item = (i32, i64, f32)>) -> RecordBatch {
    let rows: Vec<_> = rows.into_iter().collect();
    let cities = Int32Array::from_iter_values(rows.iter().map(|row| row.0));
    let values = Float32Array::from_iter_values(rows.iter().map(|row| row.2));
    RecordBatch::try_from_iter([
        ("city_id", Arc::new(cities) as ArrayRef),
        ("reading_at", instants(rows.iter().map(|row| row.1))),
        ("temperature", Arc::new(values)),
    ])
    .unwrap()
}

/// An engine yet to be opened, with its store and its log in a folder.
pub fn engine_in(folder: &Path) -> EngineBuilder {
    Engine::builder(LakeStore::local(&folder.join("lake")).unwrap())
        .log(LogSource::folder(folder.join("log")))
}

/// Settings under which no hour lands before it is told to.
pub fn landing_on_request() -> EngineSettings {
    let never = Span::seconds(1_000_000_000);
    EngineSettings { lateness: never, late_merge_every: never, ..EngineSettings::default() }
}

/// The same rows, later: their times are in the second column.
pub fn later(batch: &RecordBatch, by: Span) -> RecordBatch {
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    let moved: TimestampMicrosecondArray = times.unary(|time| time + by.micros());
    let moved: ArrayRef = Arc::new(moved.with_data_type(times.data_type().clone()));
    let columns = batch.columns().iter().enumerate();
    let columns = columns.map(|(at, column)| Arc::clone(if at == 1 { &moved } else { column }));
    RecordBatch::try_new(batch.schema(), columns.collect()).unwrap()
}
