//! The output of rows: a table for people, or CSV, JSON lines, Arrow or Parquet for programs.
//!
//! Rows are written batch by batch as they come, so that an answer of any size takes little memory.

mod csv;
mod table;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, IntervalUnit, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use self::csv::CsvWriter;
pub(crate) use self::table::{header, printable, readable};

use self::table::TableWriter;
use crate::{Error, Result};

/// Writes a line to stdout. It is not a failure if the reader went away.
pub(crate) fn say(text: impl std::fmt::Display) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people: units in the header, city names where the key is a city, times in their zone,
    /// doubles to six digits or three decimals.
    #[default]
    Table,
    /// Comma-separated values with a header: null as nothing, an empty text as "", a list or struct as JSON.
    Csv,
    /// JSON lines: one object per row; NaN and infinities, which JSON does not have, as null.
    Json,
    /// Arrow IPC stream.
    Arrow,
    /// Parquet file; INTERVAL columns are not supported.
    Parquet,
}

impl Format {
    /// The form that the name of a file stands for; `None` if for none.
    pub(crate) fn of_name(file: &Path) -> Option<Self> {
        Some(match file.extension()?.to_str()?.to_lowercase().as_str() {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv,
            "json" | "jsonl" | "ndjson" => Self::Json,
            "arrow" | "arrows" => Self::Arrow,
            _ => return None,
        })
    }
}

/// A writer of the rows of one answer.
pub(crate) struct RowWriter<W: Write + Send> {
    form: Form<W>,
}

enum Form<W: Write + Send> {
    Table(TableWriter<W>),
    Csv(CsvWriter<W>),
    Json(Box<arrow::json::LineDelimitedWriter<W>>),
    Arrow(Box<StreamWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> std::fmt::Debug for RowWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowWriter").finish_non_exhaustive()
    }
}

/// Refuses to write bytes other than text to a terminal.
pub(crate) fn check_terminal(format: Format) -> Result<()> {
    if matches!(format, Format::Arrow | Format::Parquet) && io::stdout().is_terminal() {
        return Err(Error::usage(
            "that format is not for a terminal: send it to a file, as in `barograph … > rows.parquet`",
        ));
    }
    Ok(())
}

impl<W: Write + Send> RowWriter<W> {
    /// A writer of rows of `schema`. `cities` shows the names of the cities that are keys in a table.
    pub(crate) fn new(to: W, format: Format, schema: &SchemaRef, cities: bool) -> Result<Self> {
        let form = match format {
            Format::Table => Form::Table(TableWriter::new(to, cities)?),
            Format::Csv => Form::Csv(CsvWriter::new(to, schema)?),
            Format::Json => Form::Json(Box::new(
                arrow::json::WriterBuilder::new().with_explicit_nulls(true).build(to),
            )),
            Format::Arrow => Form::Arrow(Box::new(StreamWriter::try_new(to, schema)?)),
            Format::Parquet => {
                refuse_intervals(schema)?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
                    .build();
                let writer = ArrowWriter::try_new(to, schema.clone(), Some(properties))?;
                Form::Parquet(Box::new(writer))
            }
        };
        Ok(Self { form })
    }

    /// Writes rows.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        match &mut self.form {
            Form::Table(writer) => writer.write(rows)?,
            Form::Csv(writer) => writer.write(rows)?,
            Form::Json(writer) => writer.write(rows)?,
            Form::Arrow(writer) => writer.write(rows)?,
            Form::Parquet(writer) => writer.write(rows)?,
        }
        Ok(())
    }

    /// Writes the end that tells a reader that the answer is whole, and returns the output.
    pub(crate) fn finish(self) -> Result<W> {
        let mut to = match self.form {
            Form::Table(writer) => writer.finish()?,
            Form::Csv(writer) => writer.finish(),
            Form::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Form::Arrow(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Form::Parquet(writer) => writer.into_inner()?,
        };
        to.flush()?;
        Ok(to)
    }
}

/// Refuses what Parquet has no type for: its INTERVAL counts milliseconds.
fn refuse_intervals(schema: &SchemaRef) -> Result<()> {
    let is_interval = |kind: &DataType| *kind == DataType::Interval(IntervalUnit::MonthDayNano);
    match schema.fields().iter().find(|field| any_type(field.data_type(), &is_interval)) {
        None => Ok(()),
        Some(field) => {
            let name = field.name();
            Err(Error::usage(format!(
                "column {name:?} is an INTERVAL, which Parquet cannot hold to the nanosecond: write its text, \
                 arrow_cast({name:?}, 'Utf8'), or export to csv, json or arrow"
            )))
        }
    }
}

/// Whether a type, or one of those it is made of, is such a one.
fn any_type(kind: &DataType, is: &dyn Fn(&DataType) -> bool) -> bool {
    let any = |field: &Field| any_type(field.data_type(), is);
    is(kind)
        || match kind {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => any(item),
            DataType::Struct(fields) => fields.iter().any(|field| any(field)),
            DataType::Union(fields, _) => fields.iter().any(|(_, field)| any(field)),
            DataType::Dictionary(_, value) => any_type(value, is),
            DataType::RunEndEncoded(_, values) => any(values),
            _ => false,
        }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
