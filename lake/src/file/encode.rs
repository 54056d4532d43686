//! How does a sorted hour become a file?

use std::sync::Arc;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, BooleanBufferBuilder, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::file::metadata::{
    FileMetaData, ParquetMetaDataBuilder, RowGroupMetaData, SortingColumn,
};
use parquet::schema::types::SchemaDescPtr;
use zstd::bulk::Compressor;

use super::chunk::{self, ChunkRows};
use super::footer::{self, MAGIC};
use super::layout::Layout;
use super::statistics::{ChunkMetadata, Known, describe};
use super::value::Store;
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::time::format_instant;
use crate::{Error, ErrorKind, FileEntry, FilePath, Key, KeyType, Micros, Result, TableSchema};

/// Parquet's version 2 logical types, data pages of version 1.
const PARQUET_VERSION: i32 = 2;

/// The Parquet bytes and the entry of a file at `path` that holds `rows`.
///
/// The batches, one after the other, have the table's columns and are sorted by (key, time), each (key,
/// time) once, all in the path's hour. The entry's statistics are exact.
///
/// # Errors
/// An internal error if the rows are not so, or none.
pub fn encode(
    schema: &TableSchema,
    rows: &[RecordBatch],
    path: FilePath,
) -> Result<(Bytes, FileEntry)> {
    encode_as(&Layout::default(), schema, rows, path)
}

/// [`encode`] with another layout.
pub fn encode_as(
    layout: &Layout,
    schema: &TableSchema,
    rows: &[RecordBatch],
    path: FilePath,
) -> Result<(Bytes, FileEntry)> {
    let source = Source::check(schema, rows, path, layout.page_rows.max(1))?;
    let parquet = Arc::new(ArrowSchemaConverter::new().convert(schema.arrow())?);
    let mut zstd = Compressor::new(layout.zstd_level)
        .map_err(|e| Error::new(ErrorKind::Internal, "zstd does not start").with_source(e))?;
    let mut file = Vec::with_capacity(source.rows * schema.arrow().fields().len());
    file.extend_from_slice(MAGIC);
    let (mut groups, mut column_indexes, mut offset_indexes) = (Vec::new(), Vec::new(), Vec::new());
    let mut known: Vec<Option<Known>> = vec![None; schema.arrow().fields().len()];
    for pages in source.row_groups(layout.row_group_rows) {
        let mut chunks = Vec::new();
        for (column, known) in known.iter_mut().enumerate() {
            let mut writer = ColumnWriter {
                source: &source,
                column,
                pages,
                parquet: &parquet,
                layout,
                zstd: &mut zstd,
            };
            let chunk = writer.write(&mut file)?;
            *known = Some(known.map_or(chunk.known, |earlier| earlier.and(chunk.known)));
            chunks.push(chunk);
        }
        column_indexes.push(chunks.iter().map(|chunk| chunk.column_index.clone()).collect());
        offset_indexes.push(chunks.iter().map(|chunk| chunk.offset_index.clone()).collect());
        groups.push(row_group(&parquet, chunks, pages, groups.len())?);
    }
    let metadata = FileMetaData::new(
        PARQUET_VERSION,
        source.rows as i64,
        Some("barograph".to_owned()),
        Some(vec![footer::unsealed(file.len() as u64)]),
        parquet,
        None,
    );
    let metadata = ParquetMetaDataBuilder::new(metadata)
        .set_row_groups(groups)
        .set_column_index(Some(column_indexes))
        .set_offset_index(Some(offset_indexes))
        .build();
    let file = footer::append(file, &metadata)?;
    let entry = FileEntry {
        path,
        bytes: file.len() as u64,
        rows: source.rows as u64,
        keys: source.keys,
        times: source.times,
        columns: known
            .iter()
            .zip(schema.arrow().fields())
            .map(|(known, field)| {
                known.map(|known| known.entry(field.data_type())).unwrap_or_default()
            })
            .collect(),
    };
    Ok((file.into(), entry))
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

/// The rows of a file, checked.
struct Source<'a> {
    batches: &'a [RecordBatch],
    /// Row of the file at which each batch starts.
    starts: Vec<usize>,
    rows: usize,
    /// Where pages start, and the number of rows.
    cuts: Vec<usize>,
    keys: (Key, Key),
    times: (Micros, Micros),
}

impl<'a> Source<'a> {
    fn check(
        schema: &TableSchema,
        batches: &'a [RecordBatch],
        path: FilePath,
        page_rows: usize,
    ) -> Result<Self> {
        let fault = |what: String| {
            Err(Error::new(
                ErrorKind::Internal,
                format!("table {:?}, file {path}: {what}", schema.name()),
            ))
        };
        let mut cutter = Cutter::new(page_rows);
        let mut starts = Vec::with_capacity(batches.len());
        for batch in batches {
            starts.push(cutter.rows);
            let columns = batch.columns().iter().map(|column| column.data_type());
            if !columns.eq(schema.arrow().fields().iter().map(|field| field.data_type())) {
                return fault("the rows do not have the table's columns".to_owned());
            }
            for (field, column) in schema.arrow().fields().iter().zip(batch.columns()) {
                if !field.is_nullable() && column.null_count() > 0 {
                    return fault(format!("column {:?} holds a null", field.name()));
                }
            }
            let times =
                batch.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>().values();
            let keys = batch.column(KEY_COLUMN);
            let disorder = match schema.key_type() {
                KeyType::Int32 => cutter.batch(keys.as_primitive::<Int32Type>().values(), times),
                KeyType::Int64 => cutter.batch(keys.as_primitive::<Int64Type>().values(), times),
            };
            if let Err((key, time)) = disorder {
                return fault(format!(
                    "the row of key {key} at {} does not come after the row before it",
                    format_instant(time)
                ));
            }
        }
        let (Some((last, _)), hour) = (cutter.last, path.hour().range()) else {
            return fault("there are no rows".to_owned());
        };
        if !hour.covers(cutter.times.0, cutter.times.1) {
            return fault(format!(
                "the rows reach from {} to {}, outside its hour",
                format_instant(cutter.times.0),
                format_instant(cutter.times.1)
            ));
        }
        cutter.cuts.push(cutter.rows);
        let (rows, times) = (cutter.rows, cutter.times);
        Ok(Self { batches, starts, rows, cuts: cutter.cuts, keys: (cutter.first_key, last), times })
    }

    /// The cuts of each row group: where its pages start, and where the last one ends.
    fn row_groups(&self, rows_max: usize) -> Vec<&[usize]> {
        let mut groups = Vec::new();
        let mut first = 0;
        while first + 1 < self.cuts.len() {
            let limit = self.cuts[first].saturating_add(rows_max);
            let last = self.cuts.partition_point(|&cut| cut <= limit).max(first + 2) - 1;
            groups.push(&self.cuts[first..=last]);
            first = last;
        }
        groups
    }

    /// Rows `from..to` of a column, batch by batch.
    fn slices(
        &self,
        column: usize,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = arrow::array::ArrayRef> {
        let first = self.starts.partition_point(|&start| start <= from).saturating_sub(1);
        self.batches[first..]
            .iter()
            .zip(&self.starts[first..])
            .take_while(move |(_, start)| **start < to)
            .filter_map(move |(batch, &start)| {
                let (begin, end) = (from.max(start), to.min(start + batch.num_rows()));
                (begin < end).then(|| batch.column(column).slice(begin - start, end - begin))
            })
    }
}

/// Walks over the sorted rows, checks their order and decides where pages end.
struct Cutter {
    page_rows: usize,
    rows: usize,
    cuts: Vec<usize>,
    /// First row of the last key.
    key_start: usize,
    first_key: Key,
    last: Option<(Key, Micros)>,
    times: (Micros, Micros),
}

impl Cutter {
    fn new(page_rows: usize) -> Self {
        Self {
            page_rows,
            rows: 0,
            cuts: vec![0],
            key_start: 0,
            first_key: 0,
            last: None,
            times: (Micros::MAX, Micros::MIN),
        }
    }

    /// Takes the next rows; the row that is out of order, if one is.
    fn batch<K: Copy + Into<Key>>(
        &mut self,
        keys: &[K],
        times: &[Micros],
    ) -> Result<(), (Key, Micros)> {
        let mut page_start = self.cuts.last().copied().unwrap_or_default();
        for (&key, &time) in keys.iter().zip(times) {
            let row = (key.into(), time);
            match self.last {
                Some(last) if last >= row => return Err(row),
                Some(last) if last.0 == row.0 => {}
                Some(_) => self.key_start = self.rows,
                None => self.first_key = row.0,
            }
            if self.rows - page_start == self.page_rows {
                // A page that ends with a key spares a read of that key the next page.
                let whole_keys = self.key_start > page_start + self.page_rows * 3 / 4;
                page_start = if whole_keys { self.key_start } else { self.rows };
                self.cuts.push(page_start);
            }
            self.times = (self.times.0.min(time), self.times.1.max(time));
            self.last = Some(row);
            self.rows += 1;
        }
        Ok(())
    }
}

/// Writes one column of one row group.
struct ColumnWriter<'a, 'z> {
    source: &'a Source<'a>,
    column: usize,
    pages: &'a [usize],
    parquet: &'a SchemaDescPtr,
    layout: &'a Layout,
    zstd: &'a mut Compressor<'z>,
}

impl ColumnWriter<'_, '_> {
    fn write(&mut self, file: &mut Vec<u8>) -> Result<ChunkMetadata> {
        match self.parquet_type() {
            DataType::Int16 => self.numbers::<Int16Type>(file),
            DataType::Int32 => self.numbers::<Int32Type>(file),
            DataType::Int64 => self.numbers::<Int64Type>(file),
            DataType::Float32 => self.numbers::<Float32Type>(file),
            DataType::Float64 => self.numbers::<Float64Type>(file),
            DataType::Timestamp(..) => self.numbers::<TimestampMicrosecondType>(file),
            _ => self.texts(file),
        }
    }

    fn parquet_type(&self) -> DataType {
        self.source
            .batches
            .first()
            .map_or(DataType::Null, |batch| batch.column(self.column).data_type().clone())
    }

    fn numbers<T: ArrowPrimitiveType>(&mut self, file: &mut Vec<u8>) -> Result<ChunkMetadata>
    where
        T::Native: Store,
    {
        let mut values = Vec::with_capacity(self.rows());
        for slice in self.slices() {
            let slice = slice.as_primitive::<T>();
            match slice.nulls() {
                Some(nulls) => {
                    for (from, to) in nulls.valid_slices() {
                        values.extend_from_slice(&slice.values()[from..to]);
                    }
                }
                None => values.extend_from_slice(slice.values()),
            }
        }
        self.chunk(values, file)
    }

    fn texts(&mut self, file: &mut Vec<u8>) -> Result<ChunkMetadata> {
        let slices: Vec<_> = self.slices().collect();
        let values =
            slices.iter().flat_map(|slice| slice.as_string::<i32>().iter().flatten()).collect();
        self.chunk(values, file)
    }

    fn chunk<V: Store>(&mut self, values: Vec<V>, file: &mut Vec<u8>) -> Result<ChunkMetadata> {
        let start = self.pages.first().copied().unwrap_or_default();
        let descriptor = self.parquet.column(self.column);
        let rows = ChunkRows {
            values,
            valid: (descriptor.max_def_level() > 0).then(|| self.valid()),
            page_ends: self.pages.iter().skip(1).map(|end| end - start).collect(),
        };
        let written = chunk::write(&rows, self.layout, self.zstd, file)?;
        describe(written, descriptor, self.column == KEY_COLUMN)
    }

    fn valid(&self) -> arrow::buffer::BooleanBuffer {
        let mut valid = BooleanBufferBuilder::new(self.rows());
        for slice in self.slices() {
            match slice.nulls() {
                Some(nulls) => valid.append_buffer(nulls.inner()),
                None => valid.append_n(slice.len(), true),
            }
        }
        valid.finish()
    }

    fn rows(&self) -> usize {
        self.pages.last().zip(self.pages.first()).map_or(0, |(end, start)| end - start)
    }

    fn slices(&self) -> impl Iterator<Item = arrow::array::ArrayRef> {
        let range =
            self.pages.first().zip(self.pages.last()).map_or((0, 0), |(&from, &to)| (from, to));
        self.source.slices(self.column, range.0, range.1)
    }
}
