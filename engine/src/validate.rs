//! The validation of a batch: which of its rows may go into a table, and what is wrong with the others.
//!
//! ```text
//! batch as sent ──match by name, cast──► columns of the table ──row rules──► accepted rows
//!                                                                      └───► rejected rows + reason
//! ```
//!
//! A fault of the whole batch (a missing key column, an unknown column, a type that cannot be read) is
//! an error; a fault of one row rejects that row alone.

mod cast;
mod rejections;
pub(crate) mod row;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef,
    TimestampMicrosecondType,
};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, TableSchema, Timestamp, ValueColumn};
use hashbrown::HashSet;

pub use rejections::{Rejected, Rejections};
pub use row::{ROW_BYTES_MAX, bounded};

use crate::{Error, Result};
use rejections::{Fault, Faults};

/// Earliest instant taken for a reading: the year 1.
const EARLIEST: Timestamp = Timestamp::from_micros(-62_135_596_800_000_000);
/// First instant no longer taken: the year 10,000.
const LATEST: Timestamp = Timestamp::from_micros(253_402_300_800_000_000);

/// Rules for valid rows besides the table's declaration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Rows at or after this instant come from a clock gone wrong.
    pub future: Timestamp,
    /// The only valid keys, if they are known.
    pub known_keys: Option<Arc<KnownKeys>>,
}

/// The valid keys of a dimension.
#[derive(Debug, Clone, Default)]
pub struct KnownKeys(HashSet<Key>);

impl KnownKeys {
    /// Whether `key` is one of them.
    #[inline]
    pub fn contains(&self, key: Key) -> bool {
        self.0.contains(&key)
    }
}

impl FromIterator<Key> for KnownKeys {
    fn from_iter<T: IntoIterator<Item = Key>>(keys: T) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// A batch that was checked row by row.
#[derive(Debug)]
pub struct Validated {
    /// Rows for the table: all its columns but `ingested_at`.
    pub accepted: RecordBatch,
    /// The rows that were rejected.
    pub rejected: Rejections,
}

/// The table's columns without `ingested_at`, which the engine adds: what the log holds.
pub fn logged_schema(schema: &TableSchema) -> SchemaRef {
    let fields: Vec<_> =
        schema.arrow().fields().iter().take(schema.ingested_at()).cloned().collect();
    Arc::new(Schema::new(fields))
}

/// Matches, casts and checks `batch` for a table.
pub fn validate(schema: &TableSchema, batch: &RecordBatch, rules: &Rules) -> Result<Validated> {
    check_names(schema, batch)?;
    let batch = cast::plain(batch)?;
    let logged = logged_schema(schema);
    let rows = batch.num_rows();
    let mut faults = Faults::new(rows);
    let mut columns = Vec::with_capacity(logged.fields().len());
    for (index, field) in logged.fields().iter().enumerate() {
        let column = match batch.schema().index_of(field.name()) {
            Ok(sent) => cast::cast_column(schema, index, batch.column(sent), &mut faults)?,
            Err(_) if index < FIRST_VALUE_COLUMN => {
                return Err(Error::request(format!(
                    "table {:?}: the batch has no column {:?}, which every row needs",
                    schema.name(),
                    field.name()
                )));
            }
            Err(_) => new_null_array(field.data_type(), rows),
        };
        columns.push(column);
    }
    let [keys, times, values @ ..] = columns.as_slice() else {
        return Err(Error::internal("a table has no key or no time"));
    };
    check_keys(keys, rules, &mut faults);
    check_times(times, rules, &mut faults);
    for (index, (column, values)) in schema.values().iter().zip(values).enumerate() {
        check_plausible(column, values, FIRST_VALUE_COLUMN + index, &mut faults);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let accepted = match faults.accepted() {
        None => RecordBatch::try_new_with_options(logged, columns.clone(), &options)?,
        Some(kept) => {
            let nullable = logged.fields().iter();
            let nullable = nullable.map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
            let nullable = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
            let all = RecordBatch::try_new_with_options(nullable, columns.clone(), &options)?;
            let kept = filter_record_batch(&all, &kept)?;
            RecordBatch::try_new(logged, kept.columns().to_vec())?
        }
    };
    Ok(Validated { accepted, rejected: faults.rejections(schema, batch, columns) })
}

/// Accepted rows with their `ingested_at`: all columns of the table.
pub fn complete(
    schema: &TableSchema,
    rows: &RecordBatch,
    ingested_at: Timestamp,
) -> Result<RecordBatch> {
    let zone = rows.column(TIME_COLUMN).data_type().clone();
    let assigned = TimestampMicrosecondArray::from_value(ingested_at.as_micros(), rows.num_rows());
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(assigned.with_data_type(zone)));
    Ok(RecordBatch::try_new(Arc::clone(schema.arrow()), columns)?)
}

fn check_names(schema: &TableSchema, batch: &RecordBatch) -> Result<()> {
    let sent = batch.schema();
    for (i, field) in sent.fields().iter().enumerate() {
        schema
            .column(field.name())
            .map_err(|e| Error::request(format!("{e}; drop or rename it")))?;
        if sent.fields().iter().take(i).any(|earlier| earlier.name() == field.name()) {
            return Err(Error::request(format!(
                "table {:?}: the batch has the column {:?} twice",
                schema.name(),
                field.name()
            )));
        }
    }
    Ok(())
}

/// The keys of a column, widened.
#[inline]
pub fn key_at(keys: &ArrayRef, row: usize) -> Key {
    match keys.data_type() {
        DataType::Int32 => Key::from(keys.as_primitive::<Int32Type>().value(row)),
        _ => Key::new(keys.as_primitive::<Int64Type>().value(row)),
    }
}

fn check_keys(keys: &ArrayRef, rules: &Rules, faults: &mut Faults) {
    for row in 0..keys.len() {
        if keys.is_null(row) {
            faults.add(row, KEY_COLUMN, Fault::Null);
        } else if let Some(known) = &rules.known_keys
            && !known.contains(key_at(keys, row))
        {
            faults.add(row, KEY_COLUMN, Fault::Unknown);
        }
    }
}

fn check_times(times: &ArrayRef, rules: &Rules, faults: &mut Faults) {
    let times = times.as_primitive::<TimestampMicrosecondType>();
    for (row, &time) in times.values().iter().enumerate() {
        let time = Timestamp::from_micros(time);
        if times.is_null(row) {
            faults.add(row, TIME_COLUMN, Fault::Null);
        } else if !(EARLIEST..LATEST).contains(&time) {
            faults.add(row, TIME_COLUMN, Fault::Outside);
        } else if time >= rules.future {
            faults.add(row, TIME_COLUMN, Fault::Future);
        }
    }
}

/// NaN and infinities are outside every range.
fn check_plausible(column: &ValueColumn, values: &ArrayRef, index: usize, faults: &mut Faults) {
    let Some([min, max]) = column.range else { return };
    macro_rules! check {
        ($type:ty) => {{
            let values = values.as_primitive::<$type>();
            let fits = |value: f64| value >= min && value <= max;
            let all = values.values().iter().fold(true, |all, &value| all & fits(value as f64));
            if all {
                return;
            }
            for (row, &value) in values.values().iter().enumerate() {
                if values.is_valid(row) && !fits(value as f64) {
                    faults.add(row, index, Fault::Implausible);
                }
            }
        }};
    }
    match values.data_type() {
        DataType::Int16 => check!(Int16Type),
        DataType::Int32 => check!(Int32Type),
        DataType::Int64 => check!(Int64Type),
        DataType::Float32 => check!(Float32Type),
        DataType::Float64 => check!(Float64Type),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
