//! The places of the column chunks of a Parquet file, as its footer says them: readers of arrow take them for true.

use parquet::file::metadata::ParquetMetaData;

use crate::{Error, Result};

/// Checks that all column chunks of a file of `bytes` lie in it, and that nothing is counted below zero.
///
/// # Errors
/// Damage that names the row group and the column.
pub fn check_places(file: &ParquetMetaData, bytes: u64) -> Result<()> {
    for (number, group) in file.row_groups().iter().enumerate() {
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(i64::MAX);
            let start = u64::try_from(start.min(column.data_page_offset())).ok();
            let size = u64::try_from(column.compressed_size()).ok();
            let end = start.zip(size).and_then(|(start, size)| start.checked_add(size));
            let is_counted = column.num_values() >= 0 && group.num_rows() >= 0;
            if !is_counted || end.is_none_or(|end| end > bytes) {
                return Err(Error::damage(format!(
                    "Parquet footer: column {:?} of row group {number} lies outside of the file",
                    column.column_path().string()
                )));
            }
        }
    }
    Ok(())
}
