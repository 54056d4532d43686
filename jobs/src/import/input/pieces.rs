//! The pieces of a batch: its rows cut to a bounded size, whatever a single row takes.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes that a view of a text takes besides it.
pub(super) const VIEW_BYTES: usize = 16;

/// Ranges of rows, each of at most `rows` rows and `bytes` bytes, or of one row.
pub(super) fn pieces(batch: &RecordBatch, rows: usize, bytes: usize) -> Vec<Range<usize>> {
    let sizes = Sizes::of(batch.columns(), batch.num_rows());
    let (mut pieces, mut start, mut size) = (Vec::new(), 0, 0);
    for row in 0..batch.num_rows() {
        let bytes_of_row = sizes.row(row);
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
    let Sizes { each, own } = Sizes::of(batch.columns(), batch.num_rows());
    each * batch.num_rows() + own.into_iter().sum::<usize>()
}

/// What rows take as columns of their own, dictionaries unpacked.
struct Sizes {
    /// Each of them.
    each: usize,
    /// And one more than another; of none if all take the same.
    own: Vec<usize>,
}

impl Sizes {
    fn of(columns: &[ArrayRef], rows: usize) -> Self {
        let mut sizes = Self { each: 0, own: Vec::new() };
        columns.iter().for_each(|column| sizes.add(column, rows));
        sizes
    }

    fn row(&self, row: usize) -> usize {
        self.each + self.own.get(row).copied().unwrap_or_default()
    }

    fn add(&mut self, column: &ArrayRef, rows: usize) {
        let mut own = |size: &dyn Fn(usize) -> usize| {
            self.own.resize(rows, 0);
            self.own.iter_mut().enumerate().for_each(|(row, sum)| *sum += size(row));
        };
        match column.data_type() {
            DataType::Utf8 => {
                let offsets = column.as_string::<i32>().offsets();
                own(&|row| lengths(offsets, row) + 4);
            }
            DataType::LargeUtf8 => {
                let offsets = column.as_string::<i64>().offsets();
                own(&|row| lengths(offsets, row) + 8);
            }
            DataType::Binary => {
                let offsets = column.as_binary::<i32>().offsets();
                own(&|row| lengths(offsets, row) + 4);
            }
            DataType::LargeBinary => {
                let offsets = column.as_binary::<i64>().offsets();
                own(&|row| lengths(offsets, row) + 8);
            }
            DataType::Utf8View => {
                let views = column.as_string_view().views();
                own(&|row| views.get(row).map_or(0, |view| *view as u32 as usize) + VIEW_BYTES);
            }
            DataType::BinaryView => {
                let views = column.as_binary_view().views();
                own(&|row| views.get(row).map_or(0, |view| *view as u32 as usize) + VIEW_BYTES);
            }
            DataType::Dictionary(..) => {
                let dictionary = column.as_any_dictionary();
                let values = dictionary.values();
                let sizes = Self::of(std::slice::from_ref(values), values.len());
                let keys = match values.is_empty() {
                    true => Vec::new(),
                    false => dictionary.normalized_keys(),
                };
                own(&|row| keys.get(row).map_or(4, |key| sizes.row(*key)));
            }
            _ => {
                let bytes = column.to_data().get_slice_memory_size().unwrap_or_default();
                self.each += bytes.div_ceil(rows.max(1));
            }
        }
    }
}

fn lengths<O: Copy + TryInto<usize>>(offsets: &[O], row: usize) -> usize {
    let at = |row: usize| offsets.get(row).and_then(|at| (*at).try_into().ok()).unwrap_or(0);
    at(row + 1).saturating_sub(at(row))
}
