//! The execution of a range read: slice by slice of keys, each slice period by period.
//!
//! ```text
//! slice of keys ─► per period: file rows ─filter─┐
//!                              tail rows ────────┴merge (tail wins)─filter─► rows or window states
//!               ─► merge of the periods by (key, time) ─► batch
//! ```
//!
//! Rows of a file may be filtered before the merge, rows of the tail only after it: a tail row that
//! does not match still hides the row it replaces.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use barograph_lake::file::{FileCache, FileRead, PagePredicate, SHORT_TEXT_BYTES, Weight};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{FileEntry, KeySelection, LakeStore, TableSchema, TimeRange};
use futures::{StreamExt, TryStreamExt, stream};

use super::Scan;
use super::merge::merge;
use super::plan::{Slice, Source, Start};
use crate::{Error, Result};

/// Periods of one slice that are read at a time.
const PERIODS_AT_ONCE: usize = 8;

/// The files that rows are read from, with their cache.
#[derive(Debug, Clone)]
pub struct Files {
    pub cache: Arc<FileCache>,
    pub store: LakeStore,
    pub schema: Arc<TableSchema>,
}

/// The state that the slices of one scan share.
#[derive(Debug)]
pub struct Execution {
    pub files: Files,
    pub sources: Vec<Source>,
    pub scan: Scan,
    /// Arrow columns that are read: key, time, then those asked for and those filtered by.
    read: Vec<usize>,
    /// Positions in `read` of the columns that are given (or aggregated).
    given: Vec<usize>,
    pages: Option<Arc<dyn PagePredicate>>,
}

/// Key, time, and the others once each, in the order given.
pub fn read_columns(columns: impl IntoIterator<Item = usize>) -> Vec<usize> {
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

    /// For each of some of its sources, where its rows begin, from page indexes and tail. Rows of long texts count as
    /// many as take as many bytes.
    pub(crate) async fn weights(&self, sources: Vec<&Source>) -> Result<Vec<Vec<Start>>> {
        let (files, scan, read) = (&self.files, &self.scan, &self.read);
        let row_bytes = self.row_bytes().max(1) as u64;
        let start = move |Weight { key, from, rows, text }| {
            let rows = rows + text / row_bytes;
            Start { key, from, rows }
        };
        let of_source = |source: &Source| {
            let source = source.clone();
            async move {
                let mut weights = Vec::new();
                for entry in &source.files {
                    let file = files.cache.open(&files.store, &files.schema, entry).await?;
                    weights.extend(file.weights(&scan.keys, scan.time, read).map(start));
                }
                for tail in &source.tails {
                    weights.extend(tail.weights(&scan.keys, read).into_iter().map(start));
                }
                Ok::<_, Error>(weights)
            }
        };
        stream::iter(sources).map(of_source).buffered(PERIODS_AT_ONCE).try_collect().await
    }

    /// Columns of the answer.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        match &self.scan.aggregation {
            Some(aggregation) => Ok(aggregation.output_schema(&self.files.schema)),
            None => {
                let given: Vec<_> =
                    self.given.iter().filter_map(|&at| self.read.get(at).copied()).collect();
                project(&self.files.schema, &given)
            }
        }
    }

    /// Number of columns that are read.
    pub fn read_columns(&self) -> usize {
        self.read.len()
    }

    /// Whether there are texts among them.
    pub(crate) fn reads_text(&self) -> bool {
        let fields = self.files.schema.arrow().fields();
        let mut read = self.read.iter().filter_map(|&column| fields.get(column));
        read.any(|field| *field.data_type() == DataType::Utf8)
    }

    /// Bytes of a row while it is worked on, roughly, if its texts are short.
    pub fn row_bytes(&self) -> usize {
        let widths = self.read.iter().map(|&column| {
            let field = self.files.schema.arrow().field(column);
            field.data_type().primitive_width().unwrap_or(SHORT_TEXT_BYTES)
        });
        widths.sum()
    }

    /// The whole scan as one slice.
    pub(crate) fn whole(&self) -> Slice {
        Slice { keys: self.scan.keys.clone(), time: self.scan.time }
    }

    /// The answer for a slice of the scan.
    pub async fn slice(&self, slice: &Slice) -> Result<RecordBatch> {
        // A closure over borrowed sources inside the stream would make the future not provably `Send`.
        let Slice { keys, time } = slice;
        let sources = self
            .sources
            .iter()
            .filter(|source| source.period.start() < time.to && time.from < source.period.end());
        let sources: Vec<_> = sources.map(|source| self.source(source, keys, *time)).collect();
        let parts: Vec<RecordBatch> = stream::iter(sources)
            .buffered(PERIODS_AT_ONCE)
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

    /// Rows, or window states, of one period within `time`.
    pub async fn source(
        &self,
        source: &Source,
        keys: &KeySelection,
        time: TimeRange,
    ) -> Result<RecordBatch> {
        let read = FileRead { time, ..self.file_read(keys) };
        let mut runs = Vec::with_capacity(source.files.len() + source.tails.len());
        for file in touched(source, keys, time) {
            runs.push(self.filter(self.files.file(file, &read).await?)?);
        }
        let landed = runs.len();
        for tail in &source.tails {
            let late = tail.read(keys, time, &self.read)?;
            if late.num_rows() > 0 {
                runs.push(late);
            }
        }
        let rows = match (runs.len(), landed) {
            (0, _) => RecordBatch::new_empty(project(&self.files.schema, &self.read)?),
            (all, landed) if all == landed => merge(&runs)?,
            _ => self.filter(merge(&runs)?)?,
        };
        let rows =
            if self.given.len() < rows.num_columns() { rows.project(&self.given)? } else { rows };
        match &self.scan.aggregation {
            Some(aggregation) => aggregation.partial(&self.files.schema, &rows),
            None => Ok(rows),
        }
    }

    /// The part of each file that is read.
    pub fn file_read(&self, keys: &KeySelection) -> FileRead {
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
fn touched<'a>(
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
