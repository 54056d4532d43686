//! The files of a table in the lake with their cache, and the rows of one period in them and in the tail.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use barograph_lake::file::{FileCache, FileRead};
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{FileEntry, KeySelection, LakeStore, TableSchema, TimeRange};

use super::merge::merge;
use super::plan::Source;
use crate::Result;

/// The files that rows are read from, with their cache.
#[derive(Debug, Clone)]
pub struct Files {
    pub(crate) cache: Arc<FileCache>,
    pub(crate) store: LakeStore,
    pub(crate) schema: Arc<TableSchema>,
}

/// Key, time, and the others once each, in the order given.
pub(crate) fn read_columns(columns: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut read = vec![KEY_COLUMN, TIME_COLUMN];
    for column in columns {
        if !read.contains(&column) {
            read.push(column);
        }
    }
    read
}

/// The Arrow schema of some columns of a table.
pub(crate) fn project(schema: &TableSchema, columns: &[usize]) -> Result<SchemaRef> {
    Ok(Arc::new(schema.arrow().project(columns)?))
}

impl Files {
    /// Rows of a file.
    pub(crate) async fn file(
        &self,
        entry: &Arc<FileEntry>,
        read: &FileRead,
    ) -> Result<RecordBatch> {
        let file = self.cache.open(&self.store, &self.schema, entry).await?;
        Ok(file.read(read).await?)
    }

    /// Rows of one period, files and tail merged.
    pub async fn source(
        &self,
        source: &Source,
        keys: &KeySelection,
        time: TimeRange,
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let read = FileRead { keys: keys.clone(), time, columns: columns.to_vec(), pages: None };
        let mut runs = Vec::with_capacity(source.files.len() + source.tails.len());
        for file in touched(source, keys, time) {
            runs.push(self.file(file, &read).await?);
        }
        for tail in &source.tails {
            runs.push(tail.read(keys, time, columns)?);
        }
        if runs.is_empty() {
            return Ok(RecordBatch::new_empty(project(&self.schema, columns)?));
        }
        merge(&runs)
    }
}

/// The files of a source that may hold rows of `keys` in `time`.
pub(super) fn touched<'a>(
    source: &'a Source,
    keys: &'a KeySelection,
    time: TimeRange,
) -> impl Iterator<Item = &'a Arc<FileEntry>> {
    source.files.iter().filter(move |file| {
        keys.touches(file.keys.0, file.keys.1) && time.touches(file.times.0, file.times.1)
    })
}

/// The first `rows` rows, sharing memory.
pub fn head(batch: RecordBatch, rows: usize) -> RecordBatch {
    if batch.num_rows() <= rows { batch } else { batch.slice(0, rows) }
}

/// `batch` under the names and order of `schema`, which it fits.
pub fn with_schema(schema: &SchemaRef, batch: RecordBatch) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let (_, columns, _) = batch.into_parts();
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
