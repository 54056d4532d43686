//! What does a file hold, and how is it read piece by piece?
//!
//! Every form of file is read into [`Chunk`]s of bounded size: the needed columns, the rows as they
//! were, and the rows that could not be read at all. Nothing of a file is skipped in silence.

mod csv;
mod lines;
mod typed;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow::array::{RecordBatch, StringArray};
use barograph_engine::validate::Rejected;

use super::mapping::{Columns, Mapping};
use crate::{Error, Result};

/// Form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// Separated values with a header.
    Csv,
    /// JSON lines: one object a line.
    Json,
    /// Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
}

/// Some rows of a file.
#[derive(Debug)]
pub struct Chunk {
    /// The needed columns, in their order; text for CSV and JSON.
    pub columns: RecordBatch,
    /// The rows of `columns` as they stood in the file.
    pub originals: Originals,
    /// Rows that could not be read.
    pub broken: Vec<Rejected>,
    /// Number in the file, from 1, of each row of `columns`.
    pub numbers: Numbers,
    /// Rows read: those of `columns` and the broken ones.
    pub read: u64,
}

/// Rows as they stood in the file.
#[derive(Debug)]
pub enum Originals {
    /// In these columns.
    Columns(RecordBatch),
    /// In these lines of JSON.
    Lines(StringArray),
}

/// Numbers of the rows of a chunk.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// From this one on without a gap.
    From(u64),
    /// These.
    List(Vec<u64>),
}

impl Numbers {
    /// The number of row `row` of the chunk.
    pub fn get(&self, row: usize) -> u64 {
        match self {
            Self::From(first) => first + row as u64,
            Self::List(numbers) => numbers.get(row).copied().unwrap_or_default(),
        }
    }
}

/// A file that is open for reading.
pub struct Input(Opened);

enum Opened {
    Csv(csv::CsvInput),
    Lines(lines::LinesInput),
    Typed(typed::TypedInput),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("columns", &self.columns()).finish_non_exhaustive()
    }
}

/// The chunks of a file, in order.
pub type Chunks = Box<dyn Iterator<Item = Result<Chunk>> + Send>;

impl FileForm {
    /// The form of a file by its name, or where that says nothing by its first bytes.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        Ok(match extension.as_deref() {
            Some("csv" | "tsv") => Self::Csv,
            Some("json" | "jsonl" | "ndjson") => Self::Json,
            Some("parquet" | "pq") => Self::Parquet,
            Some("arrow" | "arrows" | "ipc" | "feather") => Self::Arrow,
            _ => {
                let mut first = [0; 6];
                let read = open(path)?.read(&mut first).map_err(|e| unreadable(path, e))?;
                match first.get(..read).unwrap_or_default() {
                    b"ARROW1" => Self::Arrow,
                    bytes if bytes.starts_with(b"PAR1") => Self::Parquet,
                    bytes if bytes.starts_with(b"{") => Self::Json,
                    _ => {
                        return Err(Error::request(format!(
                            "{}: its name does not say what it is; name the form (csv, json, parquet, arrow)",
                            path.display()
                        )));
                    }
                }
            }
        })
    }
}

impl Input {
    /// Opens a file and reads its header or schema.
    pub fn open(path: &Path, form: FileForm, mapping: &Mapping) -> Result<Self> {
        Ok(Self(match form {
            FileForm::Csv => Opened::Csv(csv::CsvInput::open(path, mapping.delimiter)?),
            FileForm::Json => Opened::Lines(lines::LinesInput::open(path)?),
            FileForm::Parquet => Opened::Typed(typed::TypedInput::parquet(path)?),
            FileForm::Arrow => Opened::Typed(typed::TypedInput::arrow(path)?),
        }))
    }

    /// The file's columns.
    pub fn columns(&self) -> Columns {
        match &self.0 {
            Opened::Csv(input) => Columns::Known(input.schema()),
            Opened::Lines(_) => Columns::Open,
            Opened::Typed(input) => Columns::Known(input.schema()),
        }
    }

    /// Reads the `needed` columns in chunks of about `rows` rows, the first `skip` rows left out.
    pub fn chunks(self, needed: &[String], rows: usize, skip: u64) -> Result<Chunks> {
        match self.0 {
            Opened::Csv(input) => input.chunks(needed, rows, skip),
            Opened::Lines(input) => Ok(input.chunks(needed, rows, skip)),
            Opened::Typed(input) => input.chunks(needed, rows, skip),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::request(path.display().to_string()).with_source(e))
}

fn unreadable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::input(format!("{} cannot be read", path.display())).with_source(error)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
