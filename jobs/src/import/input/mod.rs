//! The input of an import: files of any form, read piece by piece.
//!
//! Every form of file is read into [`Chunk`]s of bounded size: the needed columns, the rows as they
//! were, and the rows that could not be read at all. Nothing of a file is skipped in silence.

mod csv;
pub(super) mod format;
mod header;
mod json;
mod lines;
pub(super) mod names;
mod parquet;
mod pieces;
mod records;
mod source;
mod split;
mod typed;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use barograph_engine::validate::Rejected;

use self::format::Format;
use self::names::Keys;
use super::mapping::{Columns, Mapping};
use crate::{Error, Result};

/// The form of a file.
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

/// A chunk of a file: some of its rows.
#[derive(Debug)]
pub(crate) struct Chunk {
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
pub(crate) enum Originals {
    /// In these columns.
    Columns(RecordBatch),
    /// In these lines of JSON.
    Lines(StringArray),
}

/// Numbers of the rows of a chunk.
#[derive(Debug, Clone)]
pub(crate) enum Numbers {
    /// From this one on without a gap.
    From(u64),
    /// These.
    List(Vec<u64>),
}

impl Numbers {
    /// The number of row `row` of the chunk.
    pub(crate) fn get(&self, row: usize) -> u64 {
        match self {
            Self::From(first) => first + row as u64,
            Self::List(numbers) => numbers.get(row).copied().unwrap_or_default(),
        }
    }
}

/// The kind of cells that is wanted of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Text, as it stands.
    Text,
    /// Numbers or times.
    Values,
}

/// The part of a file that is wanted, and the size of its pieces.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// The columns, in this order.
    pub columns: &'a [(String, Cells)],
    /// Most rows of a piece.
    pub rows: usize,
    /// Bytes after which a piece is full. It exceeds them by a single row at most.
    pub bytes: usize,
    /// Rows to skip at the beginning.
    pub skip: u64,
}

impl Wanted<'_> {
    /// Bytes of names that a row takes in a dead letter.
    fn letter_bytes(&self) -> usize {
        self.columns.iter().map(|(name, _)| name.len() + 6).sum()
    }
}

/// A file that is open for reading.
pub(crate) struct Input(Opened);

enum Opened {
    Csv(csv::CsvInput),
    Json(json::JsonInput),
    Typed(typed::TypedInput),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("columns", &self.columns()).finish_non_exhaustive()
    }
}

/// The chunks of a file, in order.
pub(crate) type Chunks = Box<dyn Iterator<Item = Result<Chunk>> + Send>;

impl FileForm {
    /// The form of a file by its name, for an archive without `.gz` or `.zst`; where the name says nothing, by its
    /// first bytes, or by the format that is stated for text.
    pub fn of(path: &Path, format: &Format) -> Result<Self> {
        Ok(match extension(path).as_deref() {
            Some("csv" | "tsv" | "psv") => Self::Csv,
            Some("json" | "jsonl" | "ndjson") => Self::Json,
            Some("parquet" | "pq") => Self::Parquet,
            Some("arrow" | "arrows" | "ipc" | "feather") => Self::Arrow,
            _ => match source::unpacked(path, 6)?.first.as_slice() {
                b"ARROW1" => Self::Arrow,
                first if first.starts_with(b"PAR1") => Self::Parquet,
                _ if format.is_stated() => Self::Csv,
                first if is_object(first) => Self::Json,
                _ => {
                    return Err(Error::request(format!(
                        "{}: its name does not tell its form; name the form (csv, json, parquet, arrow)",
                        path.display()
                    )));
                }
            },
        })
    }
}

/// Whether a text begins with an object of JSON.
fn is_object(first: &[u8]) -> bool {
    let text = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(first);
    text.trim_ascii_start().starts_with(b"{")
}

/// The ending of a file's name that tells its form, in lower case.
fn extension(path: &Path) -> Option<String> {
    let lower = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match lower(path)?.as_str() {
        "gz" | "gzip" | "zst" | "zstd" => lower(Path::new(path.file_stem()?)),
        other => Some(other.to_owned()),
    }
}

impl Input {
    /// Opens a file and reads its header or schema.
    pub(crate) fn open(path: &Path, form: FileForm, mapping: &Mapping) -> Result<Self> {
        let mut format = mapping.format.clone();
        format.delimiter = format.delimiter.or(mapping.delimiter);
        Ok(Self(match form {
            FileForm::Csv => Opened::Csv(csv::CsvInput::open(path, &format)?),
            FileForm::Json => Opened::Json(json::JsonInput::open(path, &format)?),
            FileForm::Parquet => Opened::Typed(typed::TypedInput::parquet(path)?),
            FileForm::Arrow => Opened::Typed(typed::TypedInput::arrow(path)?),
        }))
    }

    /// The file's columns.
    pub(crate) fn columns(&self) -> Columns {
        match &self.0 {
            Opened::Csv(input) => Columns::Known(input.schema()),
            Opened::Json(_) => Columns::Open,
            Opened::Typed(input) => Columns::Known(input.schema()),
        }
    }

    /// The names that are found in its rows, if there is no header.
    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        match &self.0 {
            Opened::Json(input) => Some(input.keys()),
            Opened::Csv(_) | Opened::Typed(_) => None,
        }
    }

    /// Reads the wanted columns and rows in chunks.
    pub(crate) fn chunks(self, wanted: &Wanted<'_>) -> Result<Chunks> {
        match self.0 {
            Opened::Csv(input) => input.chunks(wanted),
            Opened::Json(input) => Ok(input.chunks(wanted)),
            Opened::Typed(input) => input.chunks(wanted),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
