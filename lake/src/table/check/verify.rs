//! Verification of a file against its entry with the standard Parquet reader alone, apart from the code that serves
//! queries, so that each finds the errors of the other.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Int64Type, Schema, TimestampMicrosecondType,
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::bounds::Bounds;
use super::{FileCheck, FindingKind};
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::table::sizes::batch_rows;
use crate::{FileEntry, Key, Result, TableSchema, Timestamp};

/// Rows decoded at a time, at most.
const BATCH_ROWS: usize = 65_536;

/// Adds to `check` whatever in `bytes` is not as `entry` and the table's rules say.
pub(super) fn verify(schema: &TableSchema, entry: &FileEntry, bytes: Bytes, check: &mut FileCheck) {
    if let Err(e) = decode(schema, entry, bytes, check) {
        check.find(FindingKind::Unreadable, e.to_string());
    }
}

fn decode(
    schema: &TableSchema,
    entry: &FileEntry,
    bytes: Bytes,
    check: &mut FileCheck,
) -> Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let fields = schema.arrow().fields();
    if let Some(detail) = unlike(fields, builder.schema().fields()) {
        check.find(FindingKind::ColumnsDiffer, detail);
        return Ok(());
    }
    let mut order = Order::default();
    let mut bounds: Vec<Bounds> =
        schema.arrow().fields().iter().map(|_| Bounds::default()).collect();
    let rows = batch_rows(builder.metadata(), BATCH_ROWS);
    for batch in builder.with_batch_size(rows).build()? {
        let batch = under(schema, &batch?)?;
        check.rows += batch.num_rows() as u64;
        order.add(&batch, entry);
        for (bounds, column) in bounds.iter_mut().zip(batch.columns()) {
            bounds.add(column);
        }
    }
    if check.rows != entry.rows {
        let detail = format!("{} rows expected, {} found", entry.rows, check.rows);
        check.find(FindingKind::RowCountDiffers, detail);
    }
    order.report(check);
    for ((field, stats), bounds) in schema.arrow().fields().iter().zip(&entry.columns).zip(&bounds)
    {
        for difference in bounds.differences(stats) {
            check.find(FindingKind::StatisticDiffers, format!("{}: {difference}", field.name()));
        }
    }
    Ok(())
}

/// How the columns of a file differ from those of the table, by name. A value column may be missing, or narrower.
fn unlike(expected: &Fields, found: &Fields) -> Option<String> {
    let named = |fields: &Fields, name: &str| fields.find(name).map(|(_, field)| Arc::clone(field));
    let readable = |field: &Field| match named(found, field.name()) {
        Some(stored) => {
            let same = stored.data_type() == field.data_type();
            same || (field.is_nullable() && widens(stored.data_type(), field.data_type()))
        }
        None => field.is_nullable(),
    };
    let known = |field: &Field| named(expected, field.name()).is_some();
    if expected.iter().all(|field| readable(field)) && found.iter().all(|field| known(field)) {
        return None;
    }
    let columns = |fields: &Fields| -> String {
        let columns = fields.iter().map(|f| format!("{} {}", f.name(), f.data_type()));
        columns.collect::<Vec<_>>().join(", ")
    };
    Some(format!("[{}] expected, [{}] found", columns(expected), columns(found)))
}

fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float32, Float64, Int16, Int32, Int64};
    matches!((from, to), (Int16, Int32 | Int64) | (Int32, Int64) | (Float32, Float64))
}

/// `rows` with the columns of the table; those that the file has not are null.
fn under(schema: &TableSchema, rows: &RecordBatch) -> Result<RecordBatch> {
    let columns =
        schema.arrow().fields().iter().map(|field| match rows.column_by_name(field.name()) {
            Some(column) => Ok(cast(column, field.data_type())?),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
    let fields: Vec<_> = schema.arrow().fields().iter().map(nullable).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Whether rows are sorted, distinct and inside the file's period.
#[derive(Default)]
struct Order {
    last: Option<(Key, Timestamp)>,
    out_of_order: Faults,
    repeated: Faults,
    outside: Faults,
}

/// How often something was wrong, and where first.
#[derive(Default)]
struct Faults {
    count: u64,
    first: Option<(Key, Timestamp)>,
}

impl Faults {
    fn add(&mut self, row: (Key, Timestamp)) {
        self.count += 1;
        self.first.get_or_insert(row);
    }
}

impl Order {
    fn add(&mut self, batch: &RecordBatch, entry: &FileEntry) {
        let period = entry.path.period().range();
        let (key, time) = (batch.column(KEY_COLUMN), batch.column(TIME_COLUMN));
        let times = time.as_primitive::<TimestampMicrosecondType>().values();
        let keys: Vec<Key> = match key.data_type() {
            DataType::Int32 => {
                key.as_primitive::<Int32Type>().values().iter().map(|k| Key::from(*k)).collect()
            }
            _ => key.as_primitive::<Int64Type>().values().iter().map(|k| Key::new(*k)).collect(),
        };
        for row in keys.into_iter().zip(times.iter().map(|time| Timestamp::from_micros(*time))) {
            match self.last {
                Some(last) if row < last => self.out_of_order.add(row),
                Some(last) if row == last => self.repeated.add(row),
                _ => {}
            }
            if !period.contains(row.1) {
                self.outside.add(row);
            }
            self.last = Some(row);
        }
    }

    fn report(&self, check: &mut FileCheck) {
        for (kind, faults) in [
            (FindingKind::OutOfOrder, &self.out_of_order),
            (FindingKind::RepeatedKey, &self.repeated),
            (FindingKind::OutsidePeriod, &self.outside),
        ] {
            if let Some((key, time)) = faults.first {
                let detail = format!("{} rows, the first of key {key} at {time}", faults.count);
                check.find(kind, detail);
            }
        }
    }
}
