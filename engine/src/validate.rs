//! Which rows of a batch may go into a table, and what is wrong with the others?
//!
//! ```text
//! batch as sent ──match by name, cast──► columns of the table ──row rules──► accepted rows
//!                                                                      └───► rejected rows + reason
//! ```
//!
//! A fault of the whole batch (a missing key column, an unknown column, a type that cannot be read) is
//! an error; a fault of one row rejects that row alone.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef,
    TimestampMicrosecondType,
};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::time::format_instant;
use barograph_lake::{Key, Micros, TableSchema, ValueColumn};
use hashbrown::HashSet;

use crate::{Error, Result};

/// Earliest instant taken for a reading: the year 1.
const EARLIEST: Micros = -62_135_596_800_000_000;
/// First instant no longer taken: the year 10,000.
const LATEST: Micros = 253_402_300_800_000_000;

/// What is known about valid rows besides the table's declaration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Rows at or after this instant come from a clock gone wrong.
    pub future: Micros,
    /// The only valid keys, if they are known.
    pub known_keys: Option<Arc<HashSet<Key>>>,
}

/// A batch that was looked at row by row.
#[derive(Debug)]
pub struct Validated {
    /// Rows for the table: all its columns but `ingested_at`.
    pub accepted: RecordBatch,
    /// The others.
    pub rejected: Vec<Rejected>,
}

/// A row that may not go into its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What is wrong with it.
    pub reason: String,
    /// The row as it was sent, as a JSON object.
    pub row: String,
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
    let logged = logged_schema(schema);
    let rows = batch.num_rows();
    let mut faults = Faults::new(rows);
    let mut columns = Vec::with_capacity(logged.fields().len());
    for (index, field) in logged.fields().iter().enumerate() {
        let column = match batch.schema().index_of(field.name()) {
            Ok(sent) => cast_column(schema, batch.column(sent), field, &mut faults)?,
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
    check_keys(schema, &columns[KEY_COLUMN], rules, &mut faults);
    check_times(schema, &columns[TIME_COLUMN], rules, &mut faults);
    for (column, values) in schema.values().iter().zip(&columns[FIRST_VALUE_COLUMN..]) {
        check_plausible(column, values, &mut faults);
    }
    let rejected = faults.rejected(batch)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let accepted = if rejected.is_empty() {
        RecordBatch::try_new_with_options(logged, columns, &options)?
    } else {
        let nullable: Vec<_> = logged
            .fields()
            .iter()
            .map(|f| Arc::new(f.as_ref().clone().with_nullable(true)))
            .collect();
        let all =
            RecordBatch::try_new_with_options(Arc::new(Schema::new(nullable)), columns, &options)?;
        let kept = filter_record_batch(&all, &faults.accepted())?;
        RecordBatch::try_new(logged, kept.columns().to_vec())?
    };
    Ok(Validated { accepted, rejected })
}

/// Accepted rows with their `ingested_at`: all columns of the table.
pub fn complete(
    schema: &TableSchema,
    rows: &RecordBatch,
    ingested_at: Micros,
) -> Result<RecordBatch> {
    let zone = rows.column(TIME_COLUMN).data_type().clone();
    let assigned = TimestampMicrosecondArray::from_value(ingested_at, rows.num_rows());
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(assigned.with_data_type(zone)));
    Ok(RecordBatch::try_new(Arc::clone(schema.arrow()), columns)?)
}

/// Which rows have a fault, and the first one each has.
struct Faults {
    reasons: Vec<Option<String>>,
    rows: usize,
}

impl Faults {
    fn new(rows: usize) -> Self {
        Self { reasons: Vec::new(), rows }
    }

    fn add(&mut self, row: usize, reason: impl FnOnce() -> String) {
        if self.reasons.is_empty() {
            self.reasons.resize(self.rows, None);
        }
        if let Some(slot @ None) = self.reasons.get_mut(row) {
            *slot = Some(reason());
        }
    }

    fn accepted(&self) -> BooleanArray {
        self.reasons.iter().map(|reason| Some(reason.is_none())).collect()
    }

    fn rejected(&self, batch: &RecordBatch) -> Result<Vec<Rejected>> {
        let faulty = self.reasons.iter().enumerate().filter_map(|(i, r)| Some((i, r.as_ref()?)));
        faulty
            .map(|(row, reason)| {
                Ok(Rejected { reason: reason.clone(), row: row_as_json(&batch.slice(row, 1))? })
            })
            .collect()
    }
}

fn row_as_json(row: &RecordBatch) -> Result<String> {
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(row)?;
    writer.finish()?;
    Ok(String::from_utf8_lossy(&writer.into_inner()).trim_end().to_owned())
}

fn check_names(schema: &TableSchema, batch: &RecordBatch) -> Result<()> {
    let sent = batch.schema();
    for (i, field) in sent.fields().iter().enumerate() {
        schema
            .column(field.name())
            .map_err(|e| Error::request(format!("{e}; drop or rename it")))?;
        if sent.fields()[..i].iter().any(|earlier| earlier.name() == field.name()) {
            return Err(Error::request(format!(
                "table {:?}: the batch has the column {:?} twice",
                schema.name(),
                field.name()
            )));
        }
    }
    Ok(())
}

/// Casts a column to the table's type. A value that cannot be held exactly enough is a fault of its
/// row: numbers may lose precision from double to single, but never their size or, for integers and
/// times, any part.
fn cast_column(
    schema: &TableSchema,
    sent: &ArrayRef,
    field: &Field,
    faults: &mut Faults,
) -> Result<ArrayRef> {
    if sent.data_type() == field.data_type() {
        return Ok(Arc::clone(sent));
    }
    let to = field.data_type();
    if !can_take(to, sent.data_type()) {
        return Err(Error::request(format!(
            "table {:?}, column {:?}: cannot take {} where {to} is declared",
            schema.name(),
            field.name(),
            sent.data_type()
        )));
    }
    let options = CastOptions { safe: true, ..Default::default() };
    let cast = cast_with_options(sent, to, &options)?;
    let exact = !matches!(to, DataType::Float32 | DataType::Float64 | DataType::Utf8);
    let back =
        if exact { Some(cast_with_options(&cast, sent.data_type(), &options)?) } else { None };
    let sent_nulls = sent.logical_nulls();
    let lost = |row: usize| {
        sent_nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) && cast.is_null(row)
    };
    let differs = match &back {
        Some(back) if back.data_type() == sent.data_type() => {
            Some(arrow::compute::kernels::cmp::distinct(sent, back)?)
        }
        _ => None,
    };
    if cast.null_count() > sent_nulls.as_ref().map_or(0, |n| n.null_count())
        || differs.as_ref().is_some_and(|d| d.true_count() > 0)
    {
        for row in 0..sent.len() {
            if lost(row) || differs.as_ref().is_some_and(|d| d.value(row)) {
                faults.add(row, || {
                    let value = arrow::util::display::array_value_to_string(sent, row)
                        .unwrap_or_else(|_| "value".to_owned());
                    format!("{} = {value} does not fit {to}", field.name())
                });
            }
        }
    }
    Ok(cast)
}

fn can_take(to: &DataType, from: &DataType) -> bool {
    let from = match from {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    if *from == DataType::Null {
        return true;
    }
    match to {
        DataType::Timestamp(..) => matches!(from, DataType::Timestamp(..)),
        DataType::Utf8 => {
            matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        _ => {
            from.is_numeric()
                && !matches!(from, DataType::Decimal128(..) | DataType::Decimal256(..))
        }
    }
}

/// The keys of a column, widened.
pub fn key_at(keys: &ArrayRef, row: usize) -> Key {
    match keys.data_type() {
        DataType::Int32 => Key::from(keys.as_primitive::<Int32Type>().value(row)),
        _ => keys.as_primitive::<Int64Type>().value(row),
    }
}

fn check_keys(schema: &TableSchema, keys: &ArrayRef, rules: &Rules, faults: &mut Faults) {
    let name = &schema.declaration().key;
    for row in 0..keys.len() {
        if keys.is_null(row) {
            faults.add(row, || format!("{name} is null"));
        } else if let Some(known) = &rules.known_keys
            && !known.contains(&key_at(keys, row))
        {
            faults.add(row, || format!("{name} = {} is not known", key_at(keys, row)));
        }
    }
}

fn check_times(schema: &TableSchema, times: &ArrayRef, rules: &Rules, faults: &mut Faults) {
    let name = &schema.declaration().time;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    for (row, &time) in times.values().iter().enumerate() {
        if times.is_null(row) {
            faults.add(row, || format!("{name} is null"));
        } else if !(EARLIEST..LATEST).contains(&time) {
            faults.add(row, || format!("{name} = {time} µs is outside the years 1 to 9999"));
        } else if time >= rules.future {
            faults
                .add(row, || format!("{name} = {} is too far in the future", format_instant(time)));
        }
    }
}

fn check_plausible(column: &ValueColumn, values: &ArrayRef, faults: &mut Faults) {
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
                    faults.add(row, || {
                        let unit = column.unit.iter().map(|unit| format!(" {unit}"));
                        let unit = unit.collect::<String>();
                        format!("{} = {value}{unit} is outside {min} to {max}", column.name)
                    });
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
