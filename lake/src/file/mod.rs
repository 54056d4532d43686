//! The data files of a table: how their rows are laid out, written, and found again.
//!
//! A file is Parquet, sorted by (key, time), cut into row groups and pages at the same rows in every
//! column. A read goes from the page index in memory to the pages, and decodes only the rows asked for:
//!
//! ```text
//! keys, time, predicate ─► select: pages ─► source: bytes ─► keys: rows ─► column: values ─► RecordBatch
//!                          (page index,     (one range a     (runs of the   (dictionary,
//!                           in memory)       column)          key pages)     delta, plain)
//! ```
//!
//! The encodings are Parquet's own, so every Parquet reader reads the files; the reader here reads what
//! [`encode`] writes (docs/adr/0004-parquet-layout.md). Pages and footer carry checksums, and each is
//! checked whenever it is read.

use std::fmt::Debug;
use std::sync::Arc;

use crate::{Key, KeySelection, TimeRange};

mod bits;
mod cache;
mod chunk;
mod column;
mod column_writer;
mod delta;
mod dictionary;
mod encode;
mod footer;
mod header;
mod index;
mod keys;
mod layout;
mod open;
mod page;
mod page_cache;
pub(crate) mod places;
mod read;
mod rows;
mod select;
mod slice;
mod source;
mod statistics;
#[cfg(test)]
mod tests;
mod value;
mod verify;

pub use cache::FileCache;
pub(crate) use encode::FileEncoder;
pub use encode::{encode, encode_as};
pub use layout::{Layout, SHORT_TEXT_BYTES};
pub use open::OpenFile;
pub use select::Weight;

/// A read of a file: its keys, times and columns.
#[derive(Debug, Clone)]
pub struct FileRead {
    /// The keys asked for.
    pub keys: KeySelection,
    /// The instants asked for.
    pub time: TimeRange,
    /// Columns of the answer, as indexes in the table's Arrow schema; the first two are 0 (key), 1 (time).
    pub columns: Vec<usize>,
    /// Skips pages that can hold no row of interest; rows of the pages that stay are not filtered by it.
    pub pages: Option<Arc<dyn PagePredicate>>,
}

/// Lets a filter skip pages by their statistics.
pub trait PagePredicate: Send + Sync + Debug {
    /// The columns whose statistics [`Self::may_match`] looks at, as indexes in the table's Arrow schema.
    fn columns(&self) -> &[usize];

    /// Whether any row of the page may match. Saying `true` is always right, only slower.
    fn may_match(&self, page: &PageStats<'_>) -> bool;
}

/// Statistics of one page of rows, the same rows in every column.
#[derive(Debug, Clone, Copy)]
pub struct PageStats<'a> {
    file: &'a OpenFile,
    page: usize,
}

impl<'a> PageStats<'a> {
    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.file.page_rows(self.page)
    }

    /// The statistics of a column, by its index in the table's Arrow schema.
    pub fn column(&self, column: usize) -> PageColumn<'a> {
        self.file.page_column(self.page, column)
    }
}

/// Statistics of one column in one page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PageColumn<'a> {
    /// Exact smallest and largest value; `None` if all are null or if they are not known (a column that
    /// holds NaN or long texts).
    pub bounds: Option<(PageValue<'a>, PageValue<'a>)>,
    /// Number of nulls, if known; it is whenever the bounds are.
    pub nulls: Option<u32>,
}

/// A value in page statistics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PageValue<'a> {
    /// Integers and timestamps (µs).
    Int(i64),
    /// Floats; single precision widened without loss.
    Float(f64),
    /// Text.
    Text(&'a str),
}

/// Keys and size of one page of rows, in file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKeys {
    /// Key of its first row.
    pub first: Key,
    /// Key of its last row.
    pub last: Key,
    /// Number of rows.
    pub rows: u32,
}

/// The cost of a read, from metadata alone: what it touches at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Row groups.
    pub row_groups: u32,
    /// Data pages, over all columns.
    pub pages: u32,
    /// Rows at most.
    pub rows: u64,
    /// Stored bytes of those pages.
    pub bytes: u64,
}
