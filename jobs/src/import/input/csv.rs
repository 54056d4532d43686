//! Text files with one row per line: separated values, or columns of fixed width.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use barograph_engine::validate::Rejected;

use super::format::{Decimal, Format};
use super::header;
use super::records::Records;
use super::split::Split;
use super::{Cells, Chunk, Chunks, Numbers, Originals, Wanted};
use crate::Result;

pub(super) struct CsvInput {
    records: Records,
    schema: SchemaRef,
    decimal: Decimal,
}

impl CsvInput {
    pub(super) fn open(path: &Path, format: &Format) -> Result<Self> {
        let otherwise = match super::extension(path).as_deref() {
            Some("tsv") => b'\t',
            Some("psv") => b'|',
            _ => b',',
        };
        let (records, names) = header::open(path, format, otherwise)?;
        let fields: Vec<_> =
            names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { records, schema, decimal: format.decimal.unwrap_or_default() })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(super) fn chunks(mut self, wanted: &Wanted<'_>) -> Result<Chunks> {
        let projection: Vec<(usize, Cells)> = (wanted.columns.iter())
            .map(|(name, cells)| Ok((self.schema.index_of(name)?, *cells)))
            .collect::<Result<_>>()?;
        if let Some(shape) = &mut self.records.shape {
            for (column, _) in projection.iter().filter(|(_, cells)| *cells == Cells::Values) {
                if let Some(plain) = shape.plain.get_mut(*column) {
                    *plain = true;
                }
            }
        }
        let names = self.schema.fields().iter().map(|field| field.name().len() + 6);
        let mut chunks = CsvChunks {
            letter_bytes: names.sum(),
            input: self,
            projection,
            rows: wanted.rows,
            bytes: wanted.bytes,
            number: 0,
            ended: false,
        };
        for _ in 0..wanted.skip {
            if !chunks.advance()? {
                break;
            }
        }
        Ok(Box::new(chunks))
    }
}

struct CsvChunks {
    input: CsvInput,
    projection: Vec<(usize, Cells)>,
    rows: usize,
    bytes: usize,
    /// Bytes of names that a row takes in a dead letter.
    letter_bytes: usize,
    number: u64,
    ended: bool,
}

/// A column of text on its way. Rows without fault are UTF-8, so it is looked at once, as a whole.
struct Column {
    offsets: Vec<i32>,
    text: Vec<u8>,
}

impl Column {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, text: Vec::with_capacity(rows * 8) }
    }

    fn push(&mut self, field: &[u8]) {
        self.text.extend_from_slice(field);
        // A piece is full long before.
        self.offsets.push(self.text.len() as i32);
    }

    fn finish(self) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(self.offsets.into());
        Ok(Arc::new(StringArray::try_new(offsets, self.text.into(), None)?))
    }
}

impl CsvChunks {
    fn advance(&mut self) -> Result<bool> {
        let more = self.input.records.advance()?;
        self.number += u64::from(more);
        self.ended = !more;
        Ok(more)
    }

    fn chunk(&mut self) -> Result<Option<Chunk>> {
        let width = self.input.schema.fields().len();
        let room = self.rows.min(self.bytes / (16 * width.max(1))).max(16);
        let mut columns: Vec<Column> = (0..width).map(|_| Column::with_capacity(room)).collect();
        let (mut broken, mut numbers, mut bytes) = (Vec::new(), Vec::new(), 0);
        let before = self.number;
        while numbers.len() + broken.len() < self.rows
            && bytes < self.bytes
            // Every row may become a dead letter, with the names of the columns.
            && bytes + (self.number - before) as usize * self.letter_bytes < 2 * self.bytes
        {
            if !self.advance()? {
                break;
            }
            let records = &self.input.records;
            // A column of few characters takes its offsets too.
            bytes += records.raw().len() + 4 * width;
            if let Some(fault) = records.fault() {
                let at = match records.is_misquoted() {
                    false => format!("(row {})", self.number),
                    true => format!("(row {}, line {})", self.number, records.line()),
                };
                broken.push(Rejected { reason: format!("{fault} {at}"), row: letter(records) });
                continue;
            }
            if let Some(fault) = self.grouped() {
                let reason = format!("{fault} (row {})", self.number);
                broken.push(Rejected { reason, row: letter(records) });
                continue;
            }
            for (column, field) in columns.iter_mut().zip(records.fields()) {
                column.push(field);
            }
            numbers.push(self.number);
        }
        let read = self.number - before;
        if read == 0 {
            return Ok(None);
        }
        let arrays = columns.into_iter().map(Column::finish).collect::<Result<_>>()?;
        let all = RecordBatch::try_new(self.input.schema(), arrays)?;
        let numbers = match broken.is_empty() {
            true => Numbers::From(before + 1),
            false => Numbers::List(numbers),
        };
        Ok(Some(Chunk {
            columns: self.wanted(&all)?,
            originals: Originals::Columns(all),
            broken,
            numbers,
            read,
        }))
    }

    /// What is wrong with a number whose point may stand between thousands.
    fn grouped(&self) -> Option<String> {
        if self.input.decimal == Decimal::Point {
            return None;
        }
        let fields: Vec<_> = self.input.records.fields().collect();
        let mut wanted = self.projection.iter().filter(|(_, cells)| *cells != Cells::Text);
        wanted.find_map(|(column, _)| {
            let cell = fields.get(*column).filter(|cell| is_grouped(cell))?;
            let (cell, field) = (String::from_utf8_lossy(cell), self.input.schema.field(*column));
            Some(format!(
                "{}: {cell:?} may be a number with a point between thousands; decimals stand behind a comma",
                field.name()
            ))
        })
    }

    /// The wanted columns, with points for the decimal commas of numbers.
    fn wanted(&self, all: &RecordBatch) -> Result<RecordBatch> {
        let indices: Vec<_> = self.projection.iter().map(|(column, _)| *column).collect();
        let columns = all.project(&indices)?;
        if self.input.decimal == Decimal::Point {
            return Ok(columns);
        }
        let cells = self.projection.iter().map(|(_, cells)| *cells);
        let arrays = columns.columns().iter().zip(cells).map(|(column, cells)| match cells {
            Cells::Text => Arc::clone(column),
            Cells::Values => Arc::new(with_points(column.as_string())),
        });
        Ok(RecordBatch::try_new(columns.schema(), arrays.collect())?)
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

/// A row that cannot be read: `{"fields": ["EWR", "2013"]}`, or `{"line": "…"}` where it has no fields.
fn letter(records: &Records) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match records.rules.split {
        Split::Delimiter(_) if !records.is_misquoted() => {
            let fields: Vec<_> = records.fields().map(text).collect();
            serde_json::json!({ "fields": fields }).to_string()
        }
        _ => serde_json::json!({ "line": text(records.raw()) }).to_string(),
    }
}

/// `1.013`, `-1.013.250`
fn is_grouped(cell: &[u8]) -> bool {
    let cell = cell.trim_ascii();
    let digits = cell.strip_prefix(b"-").or(cell.strip_prefix(b"+")).unwrap_or(cell);
    let mut groups = digits.split(|byte| *byte == b'.');
    let is_number = |group: &[u8]| group.iter().all(u8::is_ascii_digit);
    let first =
        groups.next().is_some_and(|first| (1..=3).contains(&first.len()) && is_number(first));
    let mut behind = groups.peekable();
    first && behind.peek().is_some() && behind.all(|group| group.len() == 3 && is_number(group))
}

/// `18,8` as `18.8`; everything else as it is.
fn with_points(cells: &StringArray) -> StringArray {
    let mut made = StringBuilder::with_capacity(cells.len(), cells.value_data().len());
    for cell in cells {
        match cell.and_then(with_point) {
            Some(number) => made.append_value(number),
            None => made.append_option(cell),
        }
    }
    made.finish()
}

fn with_point(cell: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | 'e' | 'E' | ' ');
    let (whole, decimals) = cell.split_once(',')?;
    let is_number = whole.chars().chain(decimals.chars()).all(is_part);
    is_number.then(|| format!("{whole}.{decimals}"))
}
