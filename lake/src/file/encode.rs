//! The encoder of a file: sorted rows become Parquet, row group by row group, as they come.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::file::metadata::{
    FileMetaData, ParquetMetaDataBuilder, RowGroupMetaData, SortingColumn,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::schema::types::SchemaDescPtr;
use zstd::bulk::Compressor;

use super::column_writer::ColumnWriter;
use super::footer::{self, MAGIC};
use super::layout::Layout;
use super::rows::Rows;
use super::statistics::{ChunkMetadata, Described, Known};
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::{Error, ErrorKind, FileEntry, FilePath, Key, Result, TableSchema, priority};

/// Parquet's version 2 logical types, data pages of version 1.
const PARQUET_VERSION: i32 = 2;

/// The Parquet bytes and the entry of a file at `path` that holds `rows`.
///
/// The batches, one after the other, have the table's columns and are sorted by (key, time), each (key,
/// time) once, all in the path's period. The entry's statistics are exact.
///
/// # Errors
/// An internal error if the rows are not so, or none.
pub fn encode(
    schema: &Arc<TableSchema>,
    rows: &[RecordBatch],
    path: FilePath,
) -> Result<(Bytes, FileEntry)> {
    encode_as(&Layout::of(path.period().tier()), schema, rows, path)
}

/// [`encode`] with another layout.
pub fn encode_as(
    layout: &Layout,
    schema: &Arc<TableSchema>,
    rows: &[RecordBatch],
    path: FilePath,
) -> Result<(Bytes, FileEntry)> {
    let mut encoder = FileEncoder::new(layout, schema, path, 1)?;
    for batch in rows {
        encoder.push(batch.clone())?;
    }
    encoder.finish()
}

/// Writes a file of any size while its rows come, holding about a row group of them.
pub(crate) struct FileEncoder {
    layout: Layout,
    schema: Arc<TableSchema>,
    path: FilePath,
    parquet: SchemaDescPtr,
    /// One for each thread.
    zstd: Vec<Compressor<'static>>,
    rows: Rows,
    /// What is written and was not taken yet.
    bytes: Vec<u8>,
    /// Number of bytes that were taken.
    taken: u64,
    groups: Vec<RowGroupMetaData>,
    column_indexes: Vec<Vec<ColumnIndexMetaData>>,
    offset_indexes: Vec<Vec<OffsetIndexMetaData>>,
    known: Vec<Option<Known>>,
}

impl FileEncoder {
    /// An empty file at `path`, encoded by `threads` threads.
    pub(crate) fn new(
        layout: &Layout,
        schema: &Arc<TableSchema>,
        path: FilePath,
        threads: usize,
    ) -> Result<Self> {
        let columns = schema.arrow().fields().len();
        let zstd = (0..threads.min(columns).max(1)).map(|_| Compressor::new(layout.zstd_level));
        let zstd = zstd.collect::<Result<_, _>>().map_err(|e| {
            Error::new(ErrorKind::Internal, "zstd could not be initialized").with_source(e)
        })?;
        Ok(Self {
            layout: *layout,
            schema: Arc::clone(schema),
            path,
            parquet: Arc::new(ArrowSchemaConverter::new().convert(schema.arrow())?),
            zstd,
            rows: Rows::new(layout),
            bytes: MAGIC.to_vec(),
            taken: 0,
            groups: Vec::new(),
            column_indexes: Vec::new(),
            offset_indexes: Vec::new(),
            known: vec![None; schema.arrow().fields().len()],
        })
    }

    /// Appends rows, which sort after those before.
    ///
    /// # Errors
    /// An internal error if they do not sort so, or lie outside the path's period.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let inside = self.path.period().range();
        self.rows.push(&self.schema, inside, batch).map_err(|what| self.fault(&what))?;
        self.write_groups(false)
    }

    /// Takes the bytes written so far. A file is all bytes taken, one after the other, then those of
    /// [`Self::finish`].
    pub(crate) fn take(&mut self) -> Bytes {
        self.taken += self.bytes.len() as u64;
        std::mem::take(&mut self.bytes).into()
    }

    /// Bytes written so far, taken or not.
    pub(crate) fn written(&self) -> u64 {
        self.taken + self.bytes.len() as u64
    }

    /// Ends the file: its last bytes, and its entry.
    ///
    /// # Errors
    /// An internal error if there are no rows.
    pub(crate) fn finish(mut self) -> Result<(Bytes, FileEntry)> {
        self.rows.end();
        self.write_groups(true)?;
        let keys: (Key, Key) = self.rows.keys().ok_or_else(|| self.fault("there are no rows"))?;
        let (rows, pages_end) = (self.rows.count(), self.written());
        let metadata = FileMetaData::new(
            PARQUET_VERSION,
            rows as i64,
            Some("barograph".to_owned()),
            Some(vec![footer::unsealed(pages_end)]),
            self.parquet,
            None,
        );
        let metadata = ParquetMetaDataBuilder::new(metadata)
            .set_row_groups(self.groups)
            .set_column_index(Some(self.column_indexes))
            .set_offset_index(Some(self.offset_indexes))
            .build();
        let end = footer::encode(pages_end, &metadata)?;
        self.bytes.extend_from_slice(&end);
        let entry = FileEntry {
            path: self.path,
            bytes: self.taken + self.bytes.len() as u64,
            rows: rows as u64,
            keys,
            times: self.rows.times(),
            columns: self
                .known
                .iter()
                .zip(self.schema.arrow().fields())
                .map(|(known, field)| {
                    known.map(|known| known.entry(field.data_type())).unwrap_or_default()
                })
                .collect(),
        };
        Ok((self.bytes.into(), entry))
    }

    fn write_groups(&mut self, ended: bool) -> Result<()> {
        while let Some(pages) = self.rows.group(&self.layout, ended) {
            let mut chunks = Vec::new();
            for (column, (bytes, described)) in self.write_columns(&pages)?.into_iter().enumerate()
            {
                let chunk = described.at(self.written())?;
                self.bytes.extend_from_slice(&bytes);
                let known = self.known.get_mut(column).ok_or_else(|| {
                    Error::new(ErrorKind::Internal, "a row group has more columns than its table")
                })?;
                *known = Some(known.map_or(chunk.known, |earlier| earlier.and(chunk.known)));
                chunks.push(chunk);
            }
            self.column_indexes.push(chunks.iter().map(|of| of.column_index.clone()).collect());
            self.offset_indexes.push(chunks.iter().map(|of| of.offset_index.clone()).collect());
            self.groups.push(row_group(&self.parquet, chunks, &pages, self.groups.len())?);
            self.rows.written(pages.last().copied().unwrap_or_default());
        }
        Ok(())
    }

    /// The columns of a row group, as many at a time as there are threads for.
    fn write_columns(&mut self, pages: &[usize]) -> Result<Vec<(Vec<u8>, Described)>> {
        let columns = self.known.len();
        let (rows, parquet, layout) = (&self.rows, &self.parquet, &self.layout);
        let write = |column, zstd: &mut Compressor<'static>| {
            ColumnWriter { rows, column, pages, parquet, layout, zstd }.write()
        };
        let next = AtomicUsize::new(0);
        let work = |zstd: &mut Compressor<'static>| {
            let mut written = Vec::new();
            loop {
                let column = next.fetch_add(1, Ordering::Relaxed);
                if column >= columns {
                    return Ok::<_, Error>(written);
                }
                written.push((column, write(column, zstd)?));
            }
        };
        let Some((zstd, others)) = self.zstd.split_first_mut() else { return Ok(Vec::new()) };
        let low_priority = priority::has_low_priority();
        let work_beside = |zstd: &mut Compressor<'static>| {
            priority::inherit(low_priority);
            work(zstd)
        };
        let written = thread::scope(|scope| {
            let beside: Vec<_> =
                others.iter_mut().map(|zstd| scope.spawn(|| work_beside(zstd))).collect();
            let mut written = vec![work(zstd)];
            let panicked = |_| Error::new(ErrorKind::Internal, "writing a column ended early");
            written.extend(beside.into_iter().map(|t| t.join().map_err(panicked).flatten()));
            written.into_iter().collect::<Result<Vec<_>>>()
        })?;
        let mut all: Vec<_> = written.into_iter().flatten().collect();
        all.sort_unstable_by_key(|(column, _)| *column);
        Ok(all.into_iter().map(|(_, written)| written).collect())
    }

    fn fault(&self, what: &str) -> Error {
        let name = self.schema.name();
        Error::new(ErrorKind::Internal, format!("table {name:?}, file {}: {what}", self.path))
    }
}

impl fmt::Debug for FileEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FileEncoder");
        shown.field("path", &self.path).field("rows", &self.rows.count()).finish_non_exhaustive()
    }
}

fn row_group(
    parquet: &SchemaDescPtr,
    chunks: Vec<ChunkMetadata>,
    pages: &[usize],
    ordinal: usize,
) -> Result<RowGroupMetaData> {
    let chunks: Vec<_> = chunks.into_iter().map(|chunk| chunk.chunk).collect();
    let sorting = [KEY_COLUMN, TIME_COLUMN].map(|column| SortingColumn {
        column_idx: column as i32,
        descending: false,
        nulls_first: false,
    });
    let rows = pages.last().zip(pages.first()).map_or(0, |(end, start)| end - start);
    let mut group = RowGroupMetaData::builder(Arc::clone(parquet))
        .set_num_rows(rows as i64)
        .set_total_byte_size(chunks.iter().map(|chunk| chunk.uncompressed_size()).sum())
        .set_sorting_columns(Some(sorting.into()));
    if let Ok(ordinal) = i16::try_from(ordinal) {
        group = group.set_ordinal(ordinal);
    }
    if let Some(first) = chunks.first() {
        group = group.set_file_offset(first.byte_range().0 as i64);
    }
    Ok(group.set_column_metadata(chunks).build()?)
}
