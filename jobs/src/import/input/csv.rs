//! Separated values: a header, then a row a line, every field text.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use barograph_engine::validate::Rejected;
use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{Chunk, Chunks, Numbers, Originals, open, unreadable};
use crate::{Error, Result};

/// Bytes read from the file at a time.
const BUFFER: usize = 256 << 10;
/// Bytes of text after which a chunk is full, whatever its number of rows.
const CHUNK_BYTES: usize = 16 << 20;

pub(super) struct CsvInput {
    path: PathBuf,
    reader: Reader<File>,
    schema: SchemaRef,
}

impl CsvInput {
    pub(super) fn open(path: &Path, delimiter: Option<char>) -> Result<Self> {
        let tabs = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
        let delimiter = delimiter.unwrap_or(if tabs { '\t' } else { ',' });
        let delimiter = u8::try_from(delimiter).map_err(|_| {
            Error::request(format!("delimiter {delimiter:?}: only a single byte can be one"))
        })?;
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .buffer_capacity(BUFFER)
            .from_reader(open(path)?);
        let header = reader.byte_headers().map_err(|e| unreadable(path, e))?;
        let mut fields: Vec<Field> = Vec::with_capacity(header.len());
        for name in header {
            let name = String::from_utf8_lossy(name);
            let name = name.trim_start_matches('\u{feff}').trim();
            if fields.iter().any(|field| field.name() == name) {
                return Err(Error::input(format!(
                    "{}: the header has {name:?} twice",
                    path.display()
                )));
            }
            fields.push(Field::new(name, DataType::Utf8, true));
        }
        Ok(Self { path: path.to_owned(), reader, schema: Arc::new(Schema::new(fields)) })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(super) fn chunks(self, needed: &[String], rows: usize, skip: u64) -> Result<Chunks> {
        let projection: Vec<usize> =
            needed.iter().map(|name| Ok(self.schema.index_of(name)?)).collect::<Result<_>>()?;
        let mut chunks = CsvChunks {
            input: self,
            projection,
            rows,
            record: ByteRecord::new(),
            number: 0,
            ended: false,
        };
        for _ in 0..skip {
            if !chunks.advance()? {
                break;
            }
        }
        Ok(Box::new(chunks))
    }
}

struct CsvChunks {
    input: CsvInput,
    projection: Vec<usize>,
    rows: usize,
    record: ByteRecord,
    number: u64,
    ended: bool,
}

impl CsvChunks {
    fn advance(&mut self) -> Result<bool> {
        let read = self.input.reader.read_byte_record(&mut self.record);
        let more = read.map_err(|e| unreadable(&self.input.path, e))?;
        self.number += u64::from(more);
        self.ended = !more;
        Ok(more)
    }

    fn chunk(&mut self) -> Result<Option<Chunk>> {
        let width = self.input.schema.fields().len();
        let mut columns: Vec<StringBuilder> =
            (0..width).map(|_| StringBuilder::with_capacity(self.rows, self.rows * 8)).collect();
        let (mut broken, mut numbers, mut bytes) = (Vec::new(), Vec::new(), 0);
        let before = self.number;
        while numbers.len() + broken.len() < self.rows && bytes < CHUNK_BYTES {
            if !self.advance()? {
                break;
            }
            bytes += self.record.as_slice().len();
            if let Some(reason) = fault(&self.record, width) {
                let reason = format!("{reason} (row {})", self.number);
                broken.push(Rejected { reason, row: fields_as_json(&self.record) });
                continue;
            }
            for (column, field) in columns.iter_mut().zip(&self.record) {
                // `fault` has made sure that it is UTF-8.
                column.append_value(std::str::from_utf8(field).unwrap_or_default());
            }
            numbers.push(self.number);
        }
        let read = self.number - before;
        if read == 0 {
            return Ok(None);
        }
        let arrays = columns.into_iter().map(|mut c| Arc::new(c.finish()) as ArrayRef).collect();
        let all = RecordBatch::try_new(self.input.schema(), arrays)?;
        let numbers = match broken.is_empty() {
            true => Numbers::From(before + 1),
            false => Numbers::List(numbers),
        };
        Ok(Some(Chunk {
            columns: all.project(&self.projection)?,
            originals: Originals::Columns(all),
            broken,
            numbers,
            read,
        }))
    }
}

impl Iterator for CsvChunks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let chunk = self.chunk();
        self.ended |= chunk.is_err();
        chunk.transpose()
    }
}

fn fault(record: &ByteRecord, width: usize) -> Option<String> {
    if record.len() != width {
        return Some(format!("the row has {} fields, the header {width}", record.len()));
    }
    std::str::from_utf8(record.as_slice()).is_err().then(|| "the row is not UTF-8".to_owned())
}

/// A row that does not fit its header: `{"fields": ["EWR", "2013"]}`.
fn fields_as_json(record: &ByteRecord) -> String {
    let fields: Vec<_> = record.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect();
    serde_json::json!({ "fields": fields }).to_string()
}
