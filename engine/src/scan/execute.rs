//! How is a range read answered? Slice by slice of keys, each slice hour by hour.
//!
//! ```text
//! slice of keys ─► per hour: file rows ─filter─┐
//!                            tail rows ────────┴merge (tail wins)─filter─► rows or window states
//!               ─► merge of the hours by (key, time) ─► batch
//! ```
//!
//! Rows of a file may be filtered before the merge, rows of the tail only after it: a tail row that
//! does not match still hides the row it replaces.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use barograph_lake::file::{FileCache, FileRead, PagePredicate};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{KeySelection, LakeStore, TableSchema, TimeRange};
use futures::{StreamExt, TryStreamExt, stream};

use super::Scan;
use super::merge::merge;
use super::plan::Source;
use crate::Result;

/// Lake files of one slice that are read at a time.
const FILES_AT_ONCE: usize = 8;

/// Where rows are read from, apart from the tail.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) cache: Arc<FileCache>,
    pub(crate) store: LakeStore,
    pub(crate) schema: Arc<TableSchema>,
}

/// Everything that the slices of one scan share.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) files: Files,
    pub(crate) sources: Vec<Source>,
    pub(crate) scan: Scan,
    /// Arrow columns that are read: key, time, then those asked for and those filtered by.
    read: Vec<usize>,
    /// Positions in `read` of the columns that are given (or aggregated).
    given: Vec<usize>,
    pages: Option<Arc<dyn PagePredicate>>,
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

impl Execution {
    pub(crate) fn new(files: Files, sources: Vec<Source>, scan: Scan) -> Self {
        let asked = match &scan.aggregation {
            Some(aggregation) => aggregation.columns(),
            None => scan.columns.clone(),
        };
        let mut read = read_columns(asked);
        let given = (0..read.len()).collect();
        if let Some(filter) = &scan.filter {
            read = read_columns(
                read.into_iter().skip(FIRST_VALUE_COLUMN).chain(filter.columns().iter().copied()),
            );
        }
        let pages =
            scan.filter.as_ref().map(|filter| Arc::new(filter.clone()) as Arc<dyn PagePredicate>);
        Self { files, sources, scan, read, given, pages }
    }

    /// Columns of the answer.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        match &self.scan.aggregation {
            Some(aggregation) => Ok(aggregation.output_schema(&self.files.schema)),
            None => {
                let given: Vec<_> = self.given.iter().map(|&at| self.read[at]).collect();
                project(&self.files.schema, &given)
            }
        }
    }

    /// How many columns are read.
    pub(crate) fn read_columns(&self) -> usize {
        self.read.len()
    }

    /// Bytes of a row while it is worked on, roughly.
    pub(crate) fn row_bytes(&self) -> usize {
        let widths = self.read.iter().map(|&column| {
            let field = self.files.schema.arrow().field(column);
            field.data_type().primitive_width().unwrap_or(32)
        });
        widths.sum()
    }

    /// The answer for some of the scan's keys.
    pub(crate) async fn slice(&self, keys: &KeySelection) -> Result<RecordBatch> {
        // A closure over borrowed sources inside the stream would make the future not provably `Send`.
        let hours: Vec<_> = self.sources.iter().map(|source| self.hour(source, keys)).collect();
        let parts: Vec<RecordBatch> = stream::iter(hours)
            .buffered(FILES_AT_ONCE)
            .try_filter(|rows| std::future::ready(rows.num_rows() > 0))
            .try_collect()
            .await?;
        let schema = self.schema()?;
        if parts.is_empty() {
            return Ok(RecordBatch::new_empty(schema));
        }
        let table = &self.files.schema;
        match &self.scan.aggregation {
            Some(aggregation) => aggregation.finish(table, &aggregation.combine(table, &parts)?),
            None => merge(&parts),
        }
    }

    /// Rows, or window states, of one hour.
    pub(crate) async fn hour(&self, source: &Source, keys: &KeySelection) -> Result<RecordBatch> {
        let time = self.scan.time;
        let landed = async || self.filter(self.files.read(source, &self.file_read(keys)).await?);
        let rows = match (&source.file, &source.tail) {
            (None, None) => RecordBatch::new_empty(project(&self.files.schema, &self.read)?),
            (Some(_), None) => landed().await?,
            (None, Some(tail)) => self.filter(tail.read(keys, time, &self.read)?)?,
            (Some(_), Some(tail)) => {
                let late = tail.read(keys, time, &self.read)?;
                let landed = landed().await?;
                if late.num_rows() == 0 { landed } else { self.filter(merge(&[landed, late])?)? }
            }
        };
        let rows =
            if self.given.len() < rows.num_columns() { rows.project(&self.given)? } else { rows };
        match &self.scan.aggregation {
            Some(aggregation) => aggregation.partial(&self.files.schema, &rows),
            None => Ok(rows),
        }
    }

    /// What is read of each file.
    pub(crate) fn file_read(&self, keys: &KeySelection) -> FileRead {
        FileRead {
            keys: keys.clone(),
            time: self.scan.time,
            columns: self.read.clone(),
            pages: self.pages.clone(),
        }
    }

    fn filter(&self, rows: RecordBatch) -> Result<RecordBatch> {
        match &self.scan.filter {
            Some(filter) if rows.num_rows() > 0 => {
                let selected = filter.select(&rows, &self.read)?;
                Ok(filter_record_batch(&rows, &BooleanArray::new(selected, None))?)
            }
            _ => Ok(rows),
        }
    }
}

impl Files {
    /// Rows of a source's file; none if it has no file.
    pub(crate) async fn read(&self, source: &Source, read: &FileRead) -> Result<RecordBatch> {
        match &source.file {
            None => Ok(RecordBatch::new_empty(project(&self.schema, &read.columns)?)),
            Some(entry) => {
                let file = self.cache.open(&self.store, &self.schema, entry).await?;
                Ok(file.read(read).await?)
            }
        }
    }

    /// Rows of one hour, file and tail merged.
    pub(crate) async fn hour(
        &self,
        source: &Source,
        keys: &KeySelection,
        time: TimeRange,
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let read = FileRead { keys: keys.clone(), time, columns: columns.to_vec(), pages: None };
        let landed = self.read(source, &read).await?;
        match &source.tail {
            None => Ok(landed),
            Some(tail) => {
                let late = tail.read(keys, time, columns)?;
                if landed.num_rows() == 0 { Ok(late) } else { merge(&[landed, late]) }
            }
        }
    }
}

/// The first `rows` rows, sharing memory.
pub(crate) fn head(batch: RecordBatch, rows: usize) -> RecordBatch {
    if batch.num_rows() <= rows { batch } else { batch.slice(0, rows) }
}

/// `batch` under the names and order of `schema`, which it fits.
pub(crate) fn with_schema(schema: &SchemaRef, batch: RecordBatch) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let (_, columns, _) = batch.into_parts();
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
