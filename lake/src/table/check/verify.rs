//! Is a file what its entry says? Decodes it with the Parquet reader alone, apart from the code that serves
//! queries, so that the one can find what the other gets wrong.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Fields, Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::bounds::Bounds;
use super::{FileCheck, FindingKind};
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::time::format_instant;
use crate::{FileEntry, Key, Micros, Result, TableSchema};

/// Rows decoded at a time.
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
    let columns = |fields: &Fields| -> Vec<String> {
        fields.iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect()
    };
    let (expected, found) = (columns(schema.arrow().fields()), columns(builder.schema().fields()));
    if expected != found {
        let detail = format!("[{}] expected, [{}] found", expected.join(", "), found.join(", "));
        check.find(FindingKind::ColumnsDiffer, detail);
        return Ok(());
    }
    let mut order = Order::default();
    let mut bounds: Vec<Bounds> =
        schema.arrow().fields().iter().map(|_| Bounds::default()).collect();
    for batch in builder.with_batch_size(BATCH_ROWS).build()? {
        let batch = batch?;
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

/// Whether rows are sorted, distinct and inside the file's period.
#[derive(Default)]
struct Order {
    last: Option<(Key, Micros)>,
    out_of_order: Faults,
    repeated: Faults,
    outside: Faults,
}

/// How often something was wrong, and where first.
#[derive(Default)]
struct Faults {
    count: u64,
    first: Option<(Key, Micros)>,
}

impl Faults {
    fn add(&mut self, row: (Key, Micros)) {
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
            _ => key.as_primitive::<Int64Type>().values().to_vec(),
        };
        for row in keys.into_iter().zip(times.iter().copied()) {
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
                let detail = format!(
                    "{} rows, the first of key {key} at {}",
                    faults.count,
                    format_instant(time)
                );
                check.find(kind, detail);
            }
        }
    }
}
