//! The decoded size of the rows of a Parquet file, estimated from its footer, and the number of rows to decode at a
//! time.

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

/// Bytes of rows that are decoded at a time, about.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes of a row group without compression, and its texts without a dictionary where the file says so.
pub(super) fn decoded_bytes(group: &RowGroupMetaData) -> i64 {
    let size = |column: &ColumnChunkMetaData| {
        let texts = column.unencoded_byte_array_data_bytes().unwrap_or_default();
        column.uncompressed_size().max(texts)
    };
    group.columns().iter().map(size).sum()
}

/// Rows to decode at a time: `most`, or as many as take [`BATCH_BYTES`] in the row group whose rows are largest.
pub(super) fn batch_rows(file: &ParquetMetaData, most: usize) -> usize {
    let row = |group: &RowGroupMetaData| decoded_bytes(group) / group.num_rows().max(1);
    let largest = file.row_groups().iter().map(row).max().unwrap_or_default();
    let largest = usize::try_from(largest).unwrap_or_default();
    (BATCH_BYTES / largest.max(1)).clamp(1, most)
}
