//! The size of batches: the bytes of their rows, and pieces that the tail and the log can take at a time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RunArray};
use arrow::datatypes::{
    ArrowNativeType, DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType,
};

use super::entry;
use crate::Result;
use crate::table::Table;
use crate::writer::Entry;

/// The batch, cut where its rows take many times more memory in the table's types than as they were sent: its first
/// part, and those after it.
pub(super) fn parts(
    table: &Table,
    batch: RecordBatch,
    bytes: usize,
    most: usize,
) -> (RecordBatch, Vec<RecordBatch>) {
    let widths = table.schema.arrow().fields().iter();
    let width: usize = widths.map(|f| f.data_type().primitive_width().unwrap_or(4)).sum();
    let rows = batch.num_rows();
    let held = rows.saturating_mul(width).saturating_add(bytes);
    let count = held.div_ceil(most.saturating_mul(2).max(1));
    if count <= 1 {
        return (batch, Vec::new());
    }
    let step = rows.div_ceil(count).max(1);
    let part = |from| batch.slice(from, step.min(rows - from));
    (part(0), (step..rows).step_by(step).map(part).collect())
}

/// Rows with their encoded form, in as many records as the bound of one asks for.
pub(super) fn entries_within(
    table: &Arc<Table>,
    rows: RecordBatch,
    source: &str,
    most: usize,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let count = rows.num_rows();
    if count > 1 && batch_bytes(&rows) > most / 4 * 3 {
        let half = count / 2;
        entries_within(table, rows.slice(0, half), source, most, entries)?;
        return entries_within(table, rows.slice(half, count - half), source, most, entries);
    }
    entries.push(entry(table, rows, source)?);
    Ok(())
}

/// Rows of a dictionary that are looked at together: their indexes take memory of their own.
const INDEXED_ROWS: usize = 1 << 16;

/// Bytes that the rows of a batch take, without what else their buffers may hold, and with what dictionaries and runs
/// stand for.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(column_bytes).fold(0, usize::saturating_add)
}

pub(super) fn column_bytes(column: &ArrayRef) -> usize {
    if let DataType::Dictionary(..) = column.data_type() {
        let starts = (0..column.len()).step_by(INDEXED_ROWS);
        let pieces =
            starts.map(|start| column.slice(start, INDEXED_ROWS.min(column.len() - start)));
        return pieces.map(|piece| indexed_bytes(&piece)).fold(0, usize::saturating_add);
    }
    if let DataType::RunEndEncoded(ends, values) = column.data_type() {
        return match (values.data_type().primitive_width(), ends.data_type()) {
            (Some(width), _) => column.len().saturating_mul(width),
            (None, DataType::Int16) => run_bytes(column.as_run::<Int16Type>()),
            (None, DataType::Int32) => run_bytes(column.as_run::<Int32Type>()),
            (None, _) => run_bytes(column.as_run::<Int64Type>()),
        };
    }
    let data = column.to_data();
    data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

/// Bytes of what runs stand for.
fn run_bytes<E: RunEndIndexType>(runs: &RunArray<E>) -> usize {
    let (values, mut before) = (runs.values_slice(), 0);
    let ends = runs.run_ends().sliced_values().map(|end| end.as_usize());
    let bytes = ends.take(values.len()).enumerate().map(|(run, end)| {
        let rows = end.saturating_sub(std::mem::replace(&mut before, end));
        column_bytes(&values.slice(run, 1)).saturating_mul(rows)
    });
    bytes.fold(0, usize::saturating_add)
}

/// Bytes of what a column of a dictionary stands for.
fn indexed_bytes(column: &ArrayRef) -> usize {
    let Some(dictionary) = column.as_any_dictionary_opt() else { return 0 };
    let values = dictionary.values();
    if values.is_empty() {
        return 0;
    }
    let each = column_bytes(values) / values.len();
    let of_texts = |lengths: &dyn Fn(usize) -> usize| {
        let keys = dictionary.normalized_keys();
        keys.into_iter().filter(|&key| key < values.len()).map(lengths).sum::<usize>()
    };
    match values.data_type() {
        DataType::Utf8 => {
            let texts = values.as_string::<i32>();
            of_texts(&|key| texts.value_length(key) as usize + size_of::<i32>())
        }
        DataType::LargeUtf8 => {
            let texts = values.as_string::<i64>();
            of_texts(&|key| texts.value_length(key) as usize + size_of::<i32>())
        }
        DataType::Utf8View => {
            let texts = values.as_string_view();
            of_texts(&|key| texts.value(key).len() + size_of::<i32>())
        }
        _ => each.max(1).saturating_mul(column.len()),
    }
}
