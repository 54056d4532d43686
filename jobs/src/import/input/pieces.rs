//! How are the rows of a batch cut into pieces of bounded size, whatever a single row takes?

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes that a view of a text takes besides it.
pub(super) const VIEW_BYTES: usize = 16;

/// Ranges of rows, each of at most `rows` rows and `bytes` bytes, or of one row.
pub(super) fn pieces(batch: &RecordBatch, rows: usize, bytes: usize) -> Vec<Range<usize>> {
    let mut sizes = vec![0; batch.num_rows()];
    for column in batch.columns() {
        add(column, &mut sizes);
    }
    let (mut pieces, mut start, mut size) = (Vec::new(), 0, 0);
    for (row, bytes_of_row) in sizes.into_iter().enumerate() {
        if row > start && (row - start >= rows || size + bytes_of_row > bytes) {
            pieces.push(start..row);
            (start, size) = (row, 0);
        }
        size += bytes_of_row;
    }
    if start < batch.num_rows() {
        pieces.push(start..batch.num_rows());
    }
    pieces
}

/// Bytes of the rows, about.
pub(super) fn size(batch: &RecordBatch) -> usize {
    let mut sizes = vec![0; batch.num_rows()];
    for column in batch.columns() {
        add(column, &mut sizes);
    }
    sizes.into_iter().sum()
}

/// Adds what each cell takes as a column of its own, dictionaries unpacked.
fn add(column: &ArrayRef, sizes: &mut [usize]) {
    let rows = sizes.len().max(1);
    let mut each = |size: &dyn Fn(usize) -> usize| {
        sizes.iter_mut().enumerate().for_each(|(row, sum)| *sum += size(row));
    };
    match column.data_type() {
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().offsets();
            each(&|row| lengths(offsets, row) + 4);
        }
        DataType::LargeUtf8 => {
            let offsets = column.as_string::<i64>().offsets();
            each(&|row| lengths(offsets, row) + 8);
        }
        DataType::Binary => {
            let offsets = column.as_binary::<i32>().offsets();
            each(&|row| lengths(offsets, row) + 4);
        }
        DataType::LargeBinary => {
            let offsets = column.as_binary::<i64>().offsets();
            each(&|row| lengths(offsets, row) + 8);
        }
        DataType::Utf8View => {
            let views = column.as_string_view().views();
            each(&|row| views.get(row).map_or(0, |view| *view as u32 as usize) + VIEW_BYTES);
        }
        DataType::BinaryView => {
            let views = column.as_binary_view().views();
            each(&|row| views.get(row).map_or(0, |view| *view as u32 as usize) + VIEW_BYTES);
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let mut values = vec![0; dictionary.values().len()];
            add(dictionary.values(), &mut values);
            let keys = match dictionary.values().is_empty() {
                true => Vec::new(),
                false => dictionary.normalized_keys(),
            };
            each(&|row| keys.get(row).and_then(|key| values.get(*key)).copied().unwrap_or(4));
        }
        _ => {
            let bytes = column.to_data().get_slice_memory_size().unwrap_or_default();
            each(&|_| bytes.div_ceil(rows));
        }
    }
}

fn lengths<O: Copy + TryInto<usize>>(offsets: &[O], row: usize) -> usize {
    let at = |row: usize| offsets.get(row).and_then(|at| (*at).try_into().ok()).unwrap_or(0);
    at(row + 1).saturating_sub(at(row))
}
