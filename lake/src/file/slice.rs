//! A slice of a page: the values of the rows that a read asks for, decoded.
//!
//! ```text
//! rows of the page   0 1 2 3 4 5 6 7 8      runs: not null      0..2 3..6 7..9
//! rows asked for         └───┘   └─┘        ranges              2..5 7..9
//! values in page     a b   c d e   f g      pieces              1 null, c d; f g
//! ```

use std::ops::Range;

use super::bits::{Piece, unpack, visit_hybrid};
use super::dictionary::{Dictionary, take_text};
use super::page::Page;
use super::value::Load;
use super::{delta, header};
use crate::{Error, ErrorKind, Result};

/// Indexes unpacked at a time.
const BATCH: usize = 256;

/// The rows asked for of a page.
pub(super) struct Slice<'a> {
    pub(super) page: &'a Page<'a>,
    /// Values before the first run.
    pub(super) before: usize,
    /// Rows that are not null, from the first to the last row asked for.
    pub(super) runs: &'a [Range<usize>],
    pub(super) ranges: &'a [Range<usize>],
}

impl Slice<'_> {
    /// The values of the runs, counted from the start of the page without nulls.
    pub(super) fn values(&self) -> Range<usize> {
        self.before..self.before + self.runs.iter().map(|run| run.len()).sum::<usize>()
    }

    /// Appends the texts of the rows asked for; `ends` starts with 0.
    #[expect(
        clippy::indexing_slicing,
        reason = "`start` is where the indexes ended before they grew"
    )]
    pub(super) fn texts(
        &self,
        dictionary: Option<&Dictionary>,
        ends: &mut Vec<i32>,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let values = self.values();
        let mut texts: Vec<&[u8]> = Vec::with_capacity(values.len());
        match (self.page.encoding, dictionary) {
            (header::RLE_DICTIONARY, Some(Dictionary::Text(entries))) => {
                let mut indexes: Vec<u32> = Vec::with_capacity(values.len());
                let (&width, stream) = self.page.values.split_first().ok_or_else(malformed)?;
                visit_hybrid(stream, usize::from(width), values.start, values.end, |piece| {
                    match piece {
                        Piece::Repeat { value, len } => indexes.resize(indexes.len() + len, value),
                        Piece::Packed { bytes, from, len } => {
                            let start = indexes.len();
                            indexes.resize(start + len, 0);
                            unpack(bytes, usize::from(width), from, &mut indexes[start..]);
                        }
                    }
                    Ok(())
                })?;
                for index in indexes {
                    texts.push(entries.get(index as usize).ok_or_else(malformed)?);
                }
            }
            (header::PLAIN, _) => {
                let mut plain = self.page.values;
                for _ in 0..values.start {
                    take_text(&mut plain)?;
                }
                for _ in values {
                    texts.push(take_text(&mut plain)?);
                }
            }
            _ => return Err(malformed()),
        }
        let mut fits = true;
        pieces(self.runs, self.ranges, |nulls, values| {
            let end = ends.last().copied().unwrap_or_default();
            ends.resize(ends.len() + nulls, end);
            for text in texts.get(values).unwrap_or_default() {
                bytes.extend_from_slice(text);
                match i32::try_from(bytes.len()) {
                    Ok(end) => ends.push(end),
                    Err(_) => fits = false,
                }
            }
        });
        if fits {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Request,
                "more than 2 GiB of text in one read: ask for fewer keys at once",
            ))
        }
    }
}

/// Walks over the rows `ranges`, of which those in `runs` are not null. Shows `visit`, in turn, a number of
/// nulls and which values come after them, counted from the first run.
pub(super) fn pieces(
    runs: &[Range<usize>],
    ranges: &[Range<usize>],
    mut visit: impl FnMut(usize, Range<usize>),
) {
    let mut passed = 0;
    let mut left = runs.iter();
    let mut run = left.next();
    for range in ranges {
        let mut row = range.start;
        while let Some(valid) = run.filter(|valid| valid.start < range.end) {
            let (from, to) = (valid.start.max(row), valid.end.min(range.end));
            if from < to {
                visit(from - row, passed + from - valid.start..passed + to - valid.start);
                row = to;
            }
            if valid.end > range.end {
                break;
            }
            passed += valid.len();
            run = left.next();
        }
        if row < range.end {
            visit(range.end - row, 0..0);
        }
    }
}

/// Appends the values `range`, counted without nulls, of a page.
#[expect(
    clippy::indexing_slicing,
    reason = "the last entry stands for those beyond it, and a batch is no longer than its buffer"
)]
pub(super) fn dense<V: Load>(
    page: &Page<'_>,
    entries: &[V],
    range: Range<usize>,
    out: &mut Vec<V>,
) -> Result<()> {
    match page.encoding {
        header::RLE_DICTIONARY => {
            let (&width, stream) = page.values.split_first().ok_or_else(malformed)?;
            let (width, Some(last)) = (usize::from(width), entries.len().checked_sub(1)) else {
                return if range.is_empty() { Ok(()) } else { Err(malformed()) };
            };
            let mut largest = 0;
            let mut indexes = [0; BATCH];
            visit_hybrid(stream, width, range.start, range.end, |piece| {
                match piece {
                    Piece::Repeat { value, len } => {
                        largest = largest.max(value);
                        let value = entries[(value as usize).min(last)];
                        out.resize(out.len() + len, value);
                    }
                    Piece::Packed { bytes, from, len } => {
                        for start in (0..len).step_by(BATCH) {
                            let indexes = &mut indexes[..(len - start).min(BATCH)];
                            unpack(bytes, width, from + start, indexes);
                            largest = largest.max(take(entries, indexes, out));
                        }
                    }
                }
                Ok(())
            })?;
            if largest as usize > last { Err(malformed()) } else { Ok(()) }
        }
        header::DELTA_BINARY_PACKED => delta::read(page.values, range, out),
        header::PLAIN => {
            let bytes = page
                .values
                .get(range.start * V::BYTES..range.end * V::BYTES)
                .ok_or_else(malformed)?;
            for bytes in bytes.chunks_exact(V::BYTES) {
                out.push(V::load(bytes).ok_or_else(malformed)?);
            }
            Ok(())
        }
        _ => Err(malformed()),
    }
}

/// Appends `entries[index]` for each index, the last entry for indexes beyond it; returns the largest index.
#[expect(clippy::indexing_slicing, reason = "the largest index is that of an entry")]
fn take<V: Copy>(entries: &[V], indexes: &[u32], out: &mut Vec<V>) -> u32 {
    let largest = indexes.iter().copied().fold(0, u32::max);
    if (largest as usize) < entries.len() {
        out.extend(indexes.iter().map(|&index| entries[index as usize]));
    } else if let Some(&last) = entries.last() {
        out.extend(indexes.iter().map(|&index| *entries.get(index as usize).unwrap_or(&last)));
    }
    largest
}

pub(super) fn malformed() -> Error {
    Error::damage("a Parquet page holds values that its column cannot have")
}
