//! Rows as comma-separated values, after RFC 4180: a null is nothing, an empty text is `""`; a list, a map or a
//! struct is its JSON.
//!
//! ```text
//! station,note,gusts
//! 7,,"[3.5,null]"
//! 8,"",
//! ```

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Result;

/// Writes a header and then rows.
pub(super) struct CsvWriter<W> {
    to: W,
    line: Vec<u8>,
    cell: String,
    nested: Vec<u8>,
    json: EncoderOptions,
}

struct Column<'a> {
    nulls: Option<NullBuffer>,
    cells: Cells<'a>,
}

enum Cells<'a> {
    Plain(ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
}

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(to: W, schema: &SchemaRef) -> Result<Self> {
        let json = EncoderOptions::default().with_explicit_nulls(true);
        let mut writer =
            Self { to, line: Vec::new(), cell: String::new(), nested: Vec::new(), json };
        for (at, field) in schema.fields().iter().enumerate() {
            writer.separate(at);
            quote(field.name().as_bytes(), &mut writer.line);
        }
        writer.end_line()?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let (schema, options) = (rows.schema(), FormatOptions::default());
        let json = self.json.clone();
        let fields = schema.fields().iter().zip(rows.columns());
        let mut columns = fields
            .map(|(field, values)| Column::of(field, values.as_ref(), &options, &json))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..rows.num_rows() {
            for (at, column) in columns.iter_mut().enumerate() {
                self.separate(at);
                if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    continue;
                }
                self.cell.clear();
                match &mut column.cells {
                    Cells::Plain(formatter) => formatter.value(row).write(&mut self.cell)?,
                    Cells::Nested(encoder) => {
                        self.nested.clear();
                        encoder.encode(row, &mut self.nested);
                        quote(&self.nested, &mut self.line);
                        continue;
                    }
                }
                quote(self.cell.as_bytes(), &mut self.line);
            }
            self.end_line()?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> W {
        self.to
    }

    fn separate(&mut self, column: usize) {
        if column > 0 {
            self.line.push(b',');
        }
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.push(b'\n');
        self.to.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
}

impl<'a> Column<'a> {
    fn of(
        field: &'a FieldRef,
        values: &'a dyn Array,
        options: &'a FormatOptions<'a>,
        json: &'a EncoderOptions,
    ) -> Result<Self> {
        let cells = match values.data_type().is_nested() {
            true => Cells::Nested(make_encoder(field, values, json)?),
            false => Cells::Plain(ArrayFormatter::try_new(values, options)?),
        };
        Ok(Self { nulls: values.logical_nulls(), cells })
    }
}

/// Writes a value, in quotes where it would be taken for something else.
fn quote(value: &[u8], line: &mut Vec<u8>) {
    let plain = !value.is_empty() && !value.iter().any(|byte| b",\"\r\n".contains(byte));
    if plain {
        line.extend_from_slice(value);
        return;
    }
    line.push(b'"');
    for &byte in value {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}
