//! The replacement of the rows of a window: those that are not there yet or differ are put, and empty ones in place
//! of those that are computed no more.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use barograph_engine::validate::logged_schema;
use barograph_engine::{Durability, Engine, ErrorKind, Scan, View, retry};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN};
use barograph_lake::{Key, KeySelection, TimeRange};
use futures::{StreamExt, TryStreamExt};

use super::DerivedTable;
use crate::schedule::Context;
use crate::{Error, Result};

/// Computed rows that are compared at a time, at least.
const ROWS_AT_ONCE: usize = 8_192;

/// Makes a window of a table hold, for some keys, the rows that are computed from `view`; gives the number of rows
/// put. Rows are put in the name of `by`.
pub(super) async fn replace(
    engine: &Arc<Engine>,
    derived: &dyn DerivedTable,
    view: Arc<View>,
    keys: &KeySelection,
    window: TimeRange,
    context: &Context,
    by: &str,
) -> Result<u64> {
    let table = derived.table();
    let kept = engine.view(table.name())?;
    let schema = logged_schema(table);
    let mut computed = derived.compute(engine, view, keys.clone(), window).await?.batches;
    let (mut held, mut rows, mut from, mut put) = (Vec::new(), 0, Key::MIN, 0);
    loop {
        let batch = computed.next().await.transpose()?;
        let ended = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            rows += batch.num_rows();
            held.push(batch);
        }
        if !ended && rows < ROWS_AT_ONCE {
            continue;
        }
        context.check()?;
        let given = concat_batches(&schema, &held)?;
        let to = match ended {
            true => Key::MAX,
            false => last_key(&given)?,
        };
        let there = there(engine, &kept, &schema, keys.within(from, to), window).await?;
        for changed in changes(derived, &given, &there)? {
            put += store(engine, table.name(), &changed, context, by).await?;
        }
        if ended {
            return Ok(put);
        }
        (held, rows, from) = (Vec::new(), 0, to.next().unwrap_or(Key::MAX));
    }
}

/// Rows of a table without `ingested_at`.
async fn there(
    engine: &Engine,
    view: &Arc<View>,
    schema: &SchemaRef,
    keys: KeySelection,
    time: TimeRange,
) -> Result<RecordBatch> {
    let columns = (FIRST_VALUE_COLUMN..schema.fields().len()).collect();
    let scan = Scan { keys, time, columns, filter: None, aggregation: None, limit: None };
    let rows = engine.scan(Arc::clone(view), scan).await?;
    let batches: Vec<RecordBatch> = rows.batches.try_collect().await?;
    let batches = batches.into_iter().map(|batch| with_schema(schema, &batch));
    Ok(concat_batches(schema, &batches.collect::<Result<Vec<_>>>()?)?)
}

fn with_schema(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?)
}

/// The rows to put: of `given` those that are not among `there`, and empty ones for the others of `there`.
pub(super) fn changes(
    derived: &dyn DerivedTable,
    given: &RecordBatch,
    there: &RecordBatch,
) -> Result<[RecordBatch; 2]> {
    let converter = |columns: &RecordBatch, places: std::ops::Range<usize>| {
        let schema = columns.schema();
        let fields = schema.fields().iter().skip(places.start).take(places.len());
        RowConverter::new(fields.map(|field| SortField::new(field.data_type().clone())).collect())
    };
    let values = FIRST_VALUE_COLUMN..given.num_columns();
    let places = converter(given, 0..FIRST_VALUE_COLUMN)?;
    let contents = converter(given, values)?;
    let rows = |batch: &RecordBatch| -> Result<(Rows, Rows)> {
        let (place, content) = batch.columns().split_at(FIRST_VALUE_COLUMN);
        Ok((places.convert_columns(place)?, contents.convert_columns(content)?))
    };
    let (ours, theirs) = (rows(given)?, rows(there)?);
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    let (mut new, mut old) = (0, 0);
    while new < given.num_rows() || old < there.num_rows() {
        let order = match (new < given.num_rows(), old < there.num_rows()) {
            (true, true) => ours.0.row(new).cmp(&theirs.0.row(old)),
            (true, false) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        let same = order.is_eq() && ours.1.row(new) == theirs.1.row(old);
        if order.is_le() {
            if !same {
                changed.push(new as u32);
            }
            new += 1;
        }
        if order.is_ge() {
            if order.is_gt() {
                gone.push(old as u32);
            }
            old += 1;
        }
    }
    let changed = take_record_batch(given, &UInt32Array::from(changed))?;
    let gone = take_record_batch(there, &UInt32Array::from(gone))?;
    let [keys, times] = [0, 1].map(|at| Arc::clone(gone.column(at)));
    let emptied = derived.emptied(keys, times)?;
    let (before, after) = (rows(&gone)?.1, rows(&emptied)?.1);
    let filled = (0..gone.num_rows()).filter(|&row| before.row(row) != after.row(row));
    let filled: UInt32Array = filled.map(|row| row as u32).collect();
    Ok([changed, take_record_batch(&emptied, &filled)?])
}

/// Puts rows, durably; waits where the engine has no room for them.
async fn store(
    engine: &Arc<Engine>,
    table: &str,
    rows: &RecordBatch,
    context: &Context,
    by: &str,
) -> Result<u64> {
    let mut at = 0;
    while at < rows.num_rows() {
        let part = rows.slice(at, ROWS_AT_ONCE.min(rows.num_rows() - at));
        let count = part.num_rows();
        let ack = match engine.put(table, part, by, Durability::Disk).await {
            Err(error) if error.kind() == ErrorKind::Resources => {
                context.pause(retry::wait(error.retry_after())).await;
                context.check()?;
                continue;
            }
            ack => ack?,
        };
        if ack.rejected > 0 {
            let refused = ack.rejected;
            return Err(Error::internal(format!(
                "{refused} rows computed for {table} were rejected: dead_letters holds them, each with its reason"
            )));
        }
        at += count;
    }
    Ok(rows.num_rows() as u64)
}

fn last_key(rows: &RecordBatch) -> Result<Key> {
    let keys = rows.column(KEY_COLUMN);
    let last = rows.num_rows().checked_sub(1);
    let key = match (keys.as_primitive_opt::<Int32Type>(), keys.as_primitive_opt::<Int64Type>()) {
        (Some(keys), _) => last.map(|last| Key::from(keys.value(last))),
        (_, Some(keys)) => last.map(|last| Key::from(keys.value(last))),
        _ => None,
    };
    key.ok_or_else(|| Error::internal("computed rows without a key"))
}
