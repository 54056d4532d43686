//! Parquet and Arrow files: columns that already have types.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use barograph_engine::internal::{IpcError, IpcFile, IpcStream};

use super::parquet::ParquetInput;
use super::pieces::{pieces, size};
use super::source::{Bytes, open, unpacked, unreadable};
use super::{Chunk, Chunks, Numbers, Originals, Wanted};
use crate::{Error, Result};

const ARROW_FILE: &[u8] = b"ARROW1";
/// Record batches that fit into the memory of an import, in pieces of it.
const BATCH_PIECES: usize = 16;
/// Bytes of a schema, which is read before it is known how much rows may take.
const SCHEMA_BYTES_MAX: usize = 64 << 20;

pub(super) struct TypedInput {
    path: PathBuf,
    reader: TypedReader,
}

enum TypedReader {
    Parquet(ParquetInput),
    File(IpcFile<BufReader<File>>),
    Stream(IpcStream<Bytes>),
}

pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl TypedInput {
    pub(super) fn parquet(path: &Path) -> Result<Self> {
        if unpacked(path, 0)?.packing.is_some() {
            return Err(packed(path, "Parquet"));
        }
        let reader = TypedReader::Parquet(ParquetInput::open(path)?);
        Ok(Self { path: path.to_owned(), reader })
    }

    pub(super) fn arrow(path: &Path) -> Result<Self> {
        let unpacked = unpacked(path, ARROW_FILE.len())?;
        let is_file = unpacked.first == ARROW_FILE;
        if is_file && unpacked.packing.is_some() {
            return Err(packed(path, "Arrow"));
        }
        let reader = if is_file {
            IpcFile::open(BufReader::new(open(path)?), SCHEMA_BYTES_MAX).map(TypedReader::File)
        } else {
            let bytes: Bytes = Box::new(BufReader::new(unpacked.bytes));
            IpcStream::open(bytes, SCHEMA_BYTES_MAX).map(TypedReader::Stream)
        };
        let reader = reader.map_err(|e| unreadable(path, e))?;
        Ok(Self { path: path.to_owned(), reader })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        match &self.reader {
            TypedReader::Parquet(reader) => reader.schema(),
            TypedReader::File(reader) => reader.schema(),
            TypedReader::Stream(reader) => reader.schema(),
        }
    }

    pub(super) fn chunks(self, wanted: &Wanted<'_>) -> Result<Chunks> {
        let path = self.path;
        let failed = move |e: IpcError| match e {
            IpcError::TooLarge(size) => unreadable(&path, too_large(size)),
            other => unreadable(&path, other),
        };
        let most = wanted.bytes.saturating_mul(BATCH_PIECES);
        let (batches, skip): (Batches, u64) = match self.reader {
            // The reader itself skips; the numbers of rows count what it skipped.
            TypedReader::Parquet(reader) => (reader.batches(wanted)?, 0),
            TypedReader::File(mut reader) => {
                reader.bound(most);
                (Box::new(reader.map(move |batch| batch.map_err(&failed))), wanted.skip)
            }
            TypedReader::Stream(mut reader) => {
                reader.bound(most);
                (Box::new(reader.map(move |batch| batch.map_err(&failed))), wanted.skip)
            }
        };
        Ok(Box::new(TypedChunks {
            batches,
            needed: wanted.columns.iter().map(|(name, _)| name.clone()).collect(),
            rows: wanted.rows.min(2 * wanted.bytes / wanted.letter_bytes().max(1)).max(1),
            bytes: wanted.bytes,
            skip,
            number: wanted.skip - skip,
            waiting: VecDeque::new(),
            failed: false,
        }))
    }
}

fn packed(path: &Path, form: &str) -> Error {
    Error::request(format!(
        "{} is {form} inside an archive: unpack it first ({form} is read from its end, and packs its columns itself)",
        path.display()
    ))
}

/// What is said of a batch with so many bytes or rows.
fn too_large(size: usize) -> String {
    format!(
        "a record batch of {} MiB, which is read whole, does not fit into half of the memory of an import: raise --memory, or write smaller batches",
        size >> 20
    )
}

/// Batches cut, or put together, to the wanted size.
struct TypedChunks {
    batches: Batches,
    needed: Vec<String>,
    rows: usize,
    bytes: usize,
    skip: u64,
    number: u64,
    waiting: VecDeque<RecordBatch>,
    failed: bool,
}

impl TypedChunks {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.waiting.is_empty() {
            self.read()?;
        }
        Ok(self.waiting.pop_front())
    }

    fn read(&mut self) -> Result<()> {
        let (mut small, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < self.rows / 2 && bytes < self.bytes / 2 {
            let Some(batch) = self.batches.next().transpose()? else { break };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(batch.num_rows());
            self.skip -= skipped as u64;
            self.number += skipped as u64;
            let batch = batch.slice(skipped, batch.num_rows() - skipped);
            rows += batch.num_rows();
            bytes += size(&batch);
            small.push(batch);
        }
        if let [batch] = small.as_slice() {
            self.waiting = self.cut(batch)?;
        } else if let Some(first) = small.first() {
            let all = concat_batches(&first.schema(), &small)?;
            self.waiting = self.cut(&all)?;
        }
        Ok(())
    }

    fn cut(&self, batch: &RecordBatch) -> Result<VecDeque<RecordBatch>> {
        let pieces = pieces(batch, self.rows, self.bytes);
        Ok(pieces.into_iter().map(|rows| batch.slice(rows.start, rows.len())).collect())
    }

    fn chunk(&mut self) -> Result<Option<Chunk>> {
        let Some(batch) = self.next_batch()? else { return Ok(None) };
        let batch = without_views(&batch)?;
        let schema = batch.schema();
        let projection: Vec<usize> =
            self.needed.iter().map(|name| Ok(schema.index_of(name)?)).collect::<Result<_>>()?;
        let numbers = Numbers::From(self.number + 1);
        self.number += batch.num_rows() as u64;
        Ok(Some(Chunk {
            read: batch.num_rows() as u64,
            columns: batch.project(&projection)?,
            originals: Originals::Columns(batch),
            broken: Vec::new(),
            numbers,
        }))
    }
}

impl Iterator for TypedChunks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let chunk = self.chunk();
        self.failed = chunk.is_err();
        chunk.transpose()
    }
}

/// The same rows with their texts in one place, so that the pages that they are views of can go.
fn without_views(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let is_view = |field: &Arc<Field>| *field.data_type() == DataType::Utf8View;
    if !schema.fields().iter().any(is_view) {
        return Ok(batch.clone());
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let is_view = is_view(field);
        fields.push(match is_view {
            true => Field::clone(field).with_data_type(DataType::Utf8),
            false => Field::clone(field),
        });
        columns.push(if is_view { cast(column, &DataType::Utf8)? } else { Arc::clone(column) });
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
