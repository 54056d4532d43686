//! Parquet files, read in batches of as many rows as fit into a piece by the sizes that the file gives for its pages.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use barograph_engine::internal::schema_of;
use barograph_lake::internal::check_places;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ProjectionMask};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::Wanted;
use super::pieces::VIEW_BYTES;
use super::source::{open, unreadable};
use super::typed::Batches;
use crate::Result;

/// Rows of a batch where nothing is said of pages and some rows may be much larger than others.
const UNKNOWN_ROWS: usize = 1_024;
/// A row group of fewer pieces than this is no larger in one place than in another.
const FEW_PIECES: usize = 4;

pub(super) struct ParquetInput {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
}

impl ParquetInput {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let options =
            || ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let without = options().with_skip_arrow_metadata(true);
        let mut metadata =
            ArrowReaderMetadata::load(&file, without).map_err(|e| unreadable(path, e))?;
        let bytes = file.metadata().map_err(|e| unreadable(path, e))?.len();
        check_places(metadata.metadata(), bytes).map_err(|e| unreadable(path, e))?;
        if let Some(schema) = arrow_schema(metadata.metadata()) {
            check(schema).map_err(|e| unreadable(path, e))?;
            metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options())
                .map_err(|e| unreadable(path, e))?;
        }
        Ok(Self { path: path.to_owned(), file, metadata })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(self.metadata.schema())
    }

    /// The wanted columns from the wanted row on, row group by row group.
    pub(super) fn batches(self, wanted: &Wanted<'_>) -> Result<Batches> {
        let Self { path, file, metadata } = self;
        let failed = {
            let path = path.clone();
            move |e: parquet::errors::ParquetError| unreadable(&path, e)
        };
        let schema = metadata.schema();
        let roots: Vec<usize> = (wanted.columns.iter())
            .map(|(name, _)| Ok(schema.index_of(name)?))
            .collect::<Result<_>>()?;
        // A view of a page or a dictionary takes a few bytes, however long its text is.
        let options = ArrowReaderOptions::new().with_schema(Arc::new(with_views(schema, &roots)));
        let parquet = Arc::clone(metadata.metadata());
        let viewed = ArrowReaderMetadata::try_new(Arc::clone(&parquet), options);
        let metadata = viewed.unwrap_or(metadata);
        let mask = ProjectionMask::roots(parquet.file_metadata().schema_descr(), roots);
        let (rows, bytes, mut skip) = (wanted.rows.max(1), wanted.bytes, wanted.skip);
        let mut groups = Vec::new();
        for group in 0..parquet.num_row_groups() {
            let held = parquet.row_group(group).num_rows().max(0) as u64;
            let skipped = skip.min(held);
            skip -= skipped;
            if skipped < held {
                groups.push((group, usize::try_from(skipped).unwrap_or(usize::MAX)));
            }
        }
        let batches = groups.into_iter().flat_map(move |(group, skipped)| -> Batches {
            let batch_rows = batch_rows(&parquet, group, &mask, bytes).clamp(1, rows);
            let reader = file.try_clone().map_err(|e| unreadable(&path, e)).and_then(|file| {
                ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                    .with_row_groups(vec![group])
                    .with_projection(mask.clone())
                    .with_batch_size(batch_rows)
                    .with_offset(skipped)
                    .build()
                    .map_err(&failed)
            });
            let path = path.clone();
            match reader {
                Ok(reader) => {
                    let mut reader = Some(reader);
                    Box::new(std::iter::from_fn(move || {
                        let batch = next(&mut reader)?;
                        Some(batch.map_err(|e| unreadable(&path, e)))
                    }))
                }
                Err(e) => Box::new(std::iter::once(Err(e))),
            }
        });
        Ok(Box::new(batches))
    }
}

/// The next batch of a reader. Its decoders panic at some pages that are damaged, which cannot be told before; such a reader
/// is not asked again.
fn next(
    reader: &mut Option<ParquetRecordBatchReader>,
) -> Option<Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>>> {
    let mut asked = reader.take()?;
    match catch_unwind(AssertUnwindSafe(|| asked.next())) {
        Ok(batch) => {
            *reader = Some(asked);
            Some(batch?.map_err(Into::into))
        }
        Err(_) => Some(Err("its pages are damaged".into())),
    }
}

/// The schema of Arrow that the writer of a file left in it.
fn arrow_schema(file: &ParquetMetaData) -> Option<&str> {
    let values = file.file_metadata().key_value_metadata()?;
    values.iter().find(|value| value.key == ARROW_SCHEMA_META_KEY)?.value.as_deref()
}

/// Checks such a schema: the reader takes it for true.
fn check(schema: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let bytes = BASE64_STANDARD.decode(schema).map_err(|e| e.to_string())?;
    // A message may stand behind a mark and its length.
    let message = bytes.strip_prefix(&[0xff; 4]).and_then(|rest| rest.get(4..)).unwrap_or(&bytes);
    schema_of(message)?;
    Ok(())
}

/// The schema with views in place of texts.
fn with_views(schema: &Schema, columns: &[usize]) -> Schema {
    let viewed = |(index, field): (usize, &Arc<Field>)| {
        let is_text = match field.data_type() {
            DataType::Dictionary(_, values) => is_text(values),
            other => is_text(other),
        };
        match is_text && columns.contains(&index) {
            true => Field::clone(field).with_data_type(DataType::Utf8View),
            false => Field::clone(field),
        }
    };
    let fields: Vec<_> = schema.fields().iter().enumerate().map(viewed).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
}

/// Rows of a row group that take `bytes` where they are largest.
fn batch_rows(file: &ParquetMetaData, group: usize, mask: &ProjectionMask, bytes: usize) -> usize {
    let of = file.row_group(group);
    let rows = of.num_rows().max(1) as usize;
    let (mut all, mut largest, mut is_known) = (0, 0, true);
    for (index, column) in of.columns().iter().enumerate() {
        if !mask.leaf_included(index) {
            continue;
        }
        let packed = column.compressed_size().max(1) as usize;
        let unpacked = column.uncompressed_size().max(0) as usize;
        let texts = column.unencoded_byte_array_data_bytes().unwrap_or(0).max(0) as usize;
        let size = unpacked.max(texts);
        let offsets = file.offset_index().and_then(|index_of| index_of.get(group)?.get(index));
        let mut row = size.div_ceil(rows);
        match offsets {
            None => is_known = false,
            Some(offsets) => {
                let pages = offsets.page_locations();
                let ends = pages.iter().skip(1).map(|page| page.first_row_index);
                let ends = ends.chain([of.num_rows()]);
                for (page, end) in pages.iter().zip(ends) {
                    let rows = (end - page.first_row_index).max(1) as usize;
                    let bytes = page.compressed_page_size.max(0) as usize;
                    row = row.max((bytes as f64 * size as f64 / packed as f64) as usize / rows);
                }
            }
        }
        all += size;
        largest += row + VIEW_BYTES;
    }
    let rows = bytes / largest.max(1);
    if is_known || all < FEW_PIECES * bytes { rows } else { rows.min(UNKNOWN_ROWS) }
}
