//! JSON lines: one object a line, each with the columns it likes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use barograph_engine::validate::Rejected;
use serde_json::{Map, Value};

use super::{Chunk, Chunks, Numbers, Originals, open, unreadable};
use crate::{Error, Result};

/// Longest line taken; a longer one is a file of another form.
const LINE_BYTES: u64 = 16 << 20;
/// Bytes of lines after which a chunk is full, whatever its number of rows.
const CHUNK_BYTES: usize = 16 << 20;

pub(super) struct LinesInput {
    path: PathBuf,
    reader: BufReader<File>,
}

impl LinesInput {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut reader = BufReader::with_capacity(256 << 10, open(path)?);
        let first = reader.fill_buf().map_err(|e| unreadable(path, e))?;
        if first.trim_ascii_start().starts_with(b"[") {
            return Err(Error::input(format!(
                "{} is a JSON array: write one object a line (jq -c '.[]')",
                path.display()
            )));
        }
        Ok(Self { path: path.to_owned(), reader })
    }

    pub(super) fn chunks(self, needed: &[String], rows: usize, skip: u64) -> Chunks {
        let line = Vec::new();
        let chunks =
            LineChunks { input: self, needed: needed.to_vec(), rows, number: 0, skip, line };
        let mut ended = false;
        let mut chunks = chunks;
        Box::new(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let chunk = chunks.chunk();
            ended = !matches!(chunk, Ok(Some(_)));
            chunk.transpose()
        }))
    }
}

struct LineChunks {
    input: LinesInput,
    needed: Vec<String>,
    rows: usize,
    number: u64,
    skip: u64,
    line: Vec<u8>,
}

impl LineChunks {
    /// Reads the next line that is not blank into `line`.
    fn advance(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            let mut limited = self.input.reader.by_ref().take(LINE_BYTES);
            let read = limited.read_until(b'\n', &mut self.line);
            let read = read.map_err(|e| unreadable(&self.input.path, e))?;
            if read == 0 {
                return Ok(false);
            }
            if read as u64 == LINE_BYTES {
                return Err(Error::input(format!(
                    "{}, row {}: a line of more than {LINE_BYTES} bytes; is this JSON lines?",
                    self.input.path.display(),
                    self.number + 1
                )));
            }
            if !self.line.trim_ascii().is_empty() {
                self.number += 1;
                return Ok(true);
            }
        }
    }

    fn chunk(&mut self) -> Result<Option<Chunk>> {
        while self.number < self.skip {
            if !self.advance()? {
                return Ok(None);
            }
        }
        let mut columns: Vec<StringBuilder> =
            self.needed.iter().map(|_| StringBuilder::new()).collect();
        let (mut lines, mut broken) = (StringBuilder::new(), Vec::new());
        let (mut numbers, mut bytes) = (Vec::new(), 0);
        let before = self.number;
        while numbers.len() + broken.len() < self.rows && bytes < CHUNK_BYTES {
            if !self.advance()? {
                break;
            }
            let line = self.line.trim_ascii();
            bytes += line.len();
            match object(line) {
                Ok((text, object)) => {
                    for (name, column) in self.needed.iter().zip(&mut columns) {
                        append(column, object.get(name));
                    }
                    lines.append_value(text);
                    numbers.push(self.number);
                }
                Err(reason) => {
                    let text = String::from_utf8_lossy(line);
                    let row = serde_json::json!({ "line": text }).to_string();
                    broken
                        .push(Rejected { reason: format!("{reason} (row {})", self.number), row });
                }
            }
        }
        let read = self.number - before;
        if read == 0 {
            return Ok(None);
        }
        let fields: Vec<_> =
            self.needed.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let arrays = columns.into_iter().map(|mut c| Arc::new(c.finish()) as ArrayRef).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        let schema = Arc::new(Schema::new(fields));
        Ok(Some(Chunk {
            columns: RecordBatch::try_new_with_options(schema, arrays, &options)?,
            originals: Originals::Lines(lines.finish()),
            broken,
            numbers: Numbers::List(numbers),
            read,
        }))
    }
}

fn object(line: &[u8]) -> std::result::Result<(&str, Map<String, Value>), String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok((text, object)),
        Ok(_) => Err("the line is not a JSON object".to_owned()),
        Err(e) => Err(format!("the line is not JSON: {e}")),
    }
}

fn append(column: &mut StringBuilder, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => column.append_null(),
        Some(Value::String(text)) => column.append_value(text),
        Some(other) => column.append_value(other.to_string()),
    }
}
