//! The statistics of a file as the JSON document in its Delta entry, encoded and decoded exactly.
//!
//! ```text
//! {"numRecords":2,"minValues":{"city_id":1,"reading_at":"2026-11-22T10:00:00Z","temperature":-3.5},
//!                 "maxValues":{…},"nullCount":{"city_id":0,"reading_at":0,"temperature":1}}
//! ```
//!
//! Numbers are written with the digits that tell them apart from every other double, and read by Arrow's
//! JSON decoder, which rounds correctly (serde_json may be off by one in the last place).

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use serde_json::{Map, Value, json};

use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::snapshot::ColumnStats;
use crate::{Error, FileEntry, Key, Result, TableSchema, Timestamp};

const ROWS: &str = "numRecords";
const MIN: &str = "minValues";
const MAX: &str = "maxValues";
const NULLS: &str = "nullCount";

/// What statistics say of one file.
pub(super) struct FileStats {
    pub(super) rows: u64,
    pub(super) keys: (Key, Key),
    pub(super) times: (Timestamp, Timestamp),
    pub(super) columns: Vec<ColumnStats>,
}

/// Statistics of `entry` as a JSON document.
///
/// # Errors
/// A request error if the entry contradicts itself: nobody could read it back.
pub(super) fn encode(schema: &TableSchema, entry: &FileEntry) -> Result<String> {
    let fields = schema.arrow().fields();
    let wrong = |what: &str| Error::request(format!("entry of {}: {what}", entry.path));
    if entry.columns.len() != fields.len() {
        return Err(wrong("its statistics do not cover every column of the table"));
    }
    if entry.rows == 0 {
        return Err(wrong("it has no rows"));
    }
    let (keys, times) =
        bounds(&entry.columns).ok_or_else(|| wrong("it has no key or time range"))?;
    if keys != entry.keys || times != entry.times {
        return Err(wrong("its key or time range differs from its statistics"));
    }
    if !entry.path.period().range().covers(times.0, times.1) {
        return Err(wrong("it has rows outside its period"));
    }
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (field, stats) in fields.iter().zip(&entry.columns) {
        let name = field.name();
        min.extend(stats.min.iter().map(|low| (name.clone(), low.clone())));
        max.extend(stats.max.iter().map(|high| (name.clone(), high.clone())));
        nulls.insert(name.clone(), stats.nulls.into());
    }
    Ok(json!({ ROWS: entry.rows, MIN: min, MAX: max, NULLS: nulls }).to_string())
}

/// Reads the statistics documents of many files at once; `paths` names them in errors.
pub(super) fn decode(
    schema: &TableSchema,
    documents: &[&str],
    paths: &[&str],
) -> Result<Vec<FileStats>> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let damaged = |file: usize, what: &str| {
        let path = paths.get(file).copied().unwrap_or_default();
        Error::damage(format!("statistics in the Delta entry of {path}: {what}"))
    };
    let mut decoder = ReaderBuilder::new(document_schema(schema))
        .with_batch_size(documents.len())
        .build_decoder()?;
    for (file, document) in documents.iter().enumerate() {
        let used = decoder
            .decode(document.as_bytes())
            .map_err(|e| damaged(file, "not JSON of the expected form").with_source(e))?;
        if used != document.len() || decoder.has_partial_record() {
            return Err(damaged(file, "not one whole JSON document"));
        }
    }
    let batch = decoder
        .flush()
        .map_err(|e| damaged(0, "or of a later file are not of the expected form").with_source(e))?
        .filter(|batch| batch.num_rows() == documents.len())
        .ok_or_else(|| damaged(0, "or of a later file are empty"))?;
    let parts = Parts::of(schema, &batch)?;
    (0..documents.len())
        .map(|file| parts.read(file).ok_or_else(|| damaged(file, "incomplete")))
        .collect()
}

/// The columns of decoded documents.
struct Parts<'a> {
    schema: &'a TableSchema,
    rows: &'a dyn Array,
    min: &'a StructArray,
    max: &'a StructArray,
    nulls: &'a StructArray,
}

impl<'a> Parts<'a> {
    fn of(schema: &'a TableSchema, batch: &'a RecordBatch) -> Result<Self> {
        match batch.columns() {
            [rows, min, max, nulls] => Ok(Self {
                schema,
                rows,
                min: min.as_struct(),
                max: max.as_struct(),
                nulls: nulls.as_struct(),
            }),
            _ => Err(Error::damage("statistics have unexpected parts")),
        }
    }

    fn read(&self, file: usize) -> Option<FileStats> {
        let rows = count(self.rows, file)?;
        let bounds_of = self.min.columns().iter().zip(self.max.columns());
        let columns = self
            .schema
            .arrow()
            .fields()
            .iter()
            .zip(self.nulls.columns())
            .zip(bounds_of)
            .map(|((field, nulls), (min, max))| {
                let (min, max) = (value(min, file), value(max, file));
                // A column that was added after the file was written is null in all of it.
                let is_later = field.is_nullable() && min.is_none() && max.is_none();
                let nulls = count(nulls, file).or(is_later.then_some(rows))?;
                Some(ColumnStats { min, max, nulls })
            })
            .collect::<Option<Vec<_>>>()?;
        let (keys, times) = bounds(&columns)?;
        (rows > 0).then_some(FileStats { rows, keys, times, columns })
    }
}

/// Key and time range as the statistics of those columns tell them.
fn bounds(columns: &[ColumnStats]) -> Option<((Key, Key), (Timestamp, Timestamp))> {
    let key = columns.get(KEY_COLUMN)?;
    let time = columns.get(TIME_COLUMN)?;
    let instant = |value: &Option<Value>| value.as_ref()?.as_str()?.parse::<Timestamp>().ok();
    Some((
        (Key::new(key.min.as_ref()?.as_i64()?), Key::new(key.max.as_ref()?.as_i64()?)),
        (instant(&time.min)?, instant(&time.max)?),
    ))
}

fn count(array: &dyn Array, row: usize) -> Option<u64> {
    array.is_valid(row).then(|| array.as_primitive::<Int64Type>().value(row).try_into().ok())?
}

fn value(array: &dyn Array, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        _ => array.as_string::<i32>().value(row).into(),
    })
}

/// Arrow schema of a statistics document: numbers widened, instants as text.
fn document_schema(schema: &TableSchema) -> SchemaRef {
    let part = |to: fn(&DataType) -> DataType| -> DataType {
        let fields = schema.arrow().fields().iter();
        DataType::Struct(Fields::from_iter(
            fields.map(|f| Field::new(f.name(), to(f.data_type()), true)),
        ))
    };
    let values = |data_type: &DataType| match data_type {
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        _ => DataType::Utf8,
    };
    Arc::new(Schema::new(vec![
        Field::new(ROWS, DataType::Int64, true),
        Field::new(MIN, part(values), true),
        Field::new(MAX, part(values), true),
        Field::new(NULLS, part(|_| DataType::Int64), true),
    ]))
}
