//! Parquet and Arrow files: columns that have their types already.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Chunk, Chunks, Numbers, Originals, open, unreadable};
use crate::Result;

const ARROW_FILE: &[u8] = b"ARROW1";

pub(super) struct TypedInput {
    path: PathBuf,
    reader: TypedReader,
}

enum TypedReader {
    Parquet(ParquetRecordBatchReaderBuilder<File>),
    File(FileReader<BufReader<File>>),
    Stream(StreamReader<BufReader<File>>),
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl TypedInput {
    pub(super) fn parquet(path: &Path) -> Result<Self> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(open(path)?)
            .map_err(|e| unreadable(path, e))?;
        Ok(Self { path: path.to_owned(), reader: TypedReader::Parquet(reader) })
    }

    pub(super) fn arrow(path: &Path) -> Result<Self> {
        let mut file = open(path)?;
        let mut first = [0; ARROW_FILE.len()];
        let read = file.read(&mut first).and_then(|read| file.rewind().map(|()| read));
        let read = read.map_err(|e| unreadable(path, e))?;
        let file = BufReader::new(file);
        let reader = if first.get(..read) == Some(ARROW_FILE) {
            FileReader::try_new(file, None).map(TypedReader::File)
        } else {
            StreamReader::try_new(file, None).map(TypedReader::Stream)
        };
        let reader = reader.map_err(|e| unreadable(path, e))?;
        Ok(Self { path: path.to_owned(), reader })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        match &self.reader {
            TypedReader::Parquet(reader) => reader.schema().clone(),
            TypedReader::File(reader) => reader.schema(),
            TypedReader::Stream(reader) => reader.schema(),
        }
    }

    pub(super) fn chunks(self, needed: &[String], rows: usize, skip: u64) -> Result<Chunks> {
        let path = self.path;
        let failed = {
            let path = path.clone();
            move |e: arrow::error::ArrowError| unreadable(&path, e)
        };
        let (batches, skip): (Batches, u64) = match self.reader {
            TypedReader::Parquet(reader) => {
                let roots: Vec<usize> = needed
                    .iter()
                    .map(|name| Ok(reader.schema().index_of(name)?))
                    .collect::<Result<_>>()?;
                let mask = ProjectionMask::roots(reader.parquet_schema(), roots);
                let reader = reader
                    .with_projection(mask)
                    .with_batch_size(rows)
                    .with_offset(usize::try_from(skip).unwrap_or(usize::MAX))
                    .build()
                    .map_err(|e| unreadable(&path, e))?;
                // The reader itself skips; the numbers of rows count what it skipped.
                let reader = reader.map(move |batch| batch.map_err(&failed));
                return Ok(Box::new(TypedChunks::new(Box::new(reader), needed, rows, 0, skip)));
            }
            TypedReader::File(reader) => (Box::new(reader.map(move |b| b.map_err(&failed))), skip),
            TypedReader::Stream(reader) => {
                (Box::new(reader.map(move |b| b.map_err(&failed))), skip)
            }
        };
        Ok(Box::new(TypedChunks::new(batches, needed, rows, skip, 0)))
    }
}

/// Batches cut to the wanted size.
struct TypedChunks {
    batches: Batches,
    needed: Vec<String>,
    rows: usize,
    skip: u64,
    number: u64,
    waiting: VecDeque<RecordBatch>,
    failed: bool,
}

impl TypedChunks {
    fn new(batches: Batches, needed: &[String], rows: usize, skip: u64, number: u64) -> Self {
        let (needed, waiting) = (needed.to_vec(), VecDeque::new());
        Self { batches, needed, rows, skip, number, waiting, failed: false }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.waiting.pop_front() {
                return Ok(Some(batch));
            }
            let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(batch.num_rows());
            self.skip -= skipped as u64;
            self.number += skipped as u64;
            let batch = batch.slice(skipped, batch.num_rows() - skipped);
            for from in (0..batch.num_rows()).step_by(self.rows.max(1)) {
                let length = self.rows.min(batch.num_rows() - from);
                self.waiting.push_back(batch.slice(from, length));
            }
        }
    }

    fn chunk(&mut self) -> Result<Option<Chunk>> {
        let Some(batch) = self.next_batch()? else { return Ok(None) };
        let schema = batch.schema();
        let projection: Vec<usize> =
            self.needed.iter().map(|name| Ok(schema.index_of(name)?)).collect::<Result<_>>()?;
        let numbers = Numbers::From(self.number + 1);
        self.number += batch.num_rows() as u64;
        Ok(Some(Chunk {
            columns: batch.project(&projection)?,
            read: batch.num_rows() as u64,
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
