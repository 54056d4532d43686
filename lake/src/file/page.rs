//! A stored page: checked against its checksum, decompressed, and split into levels and values.

use std::cell::RefCell;
use std::ops::Range;

use zstd::bulk::Decompressor;

use super::bits::{Piece, visit_hybrid};
use super::dictionary::{Dictionary, TextDictionary, load_numbers};
use super::header::{self, PageHeader};
use super::page_cache::DecompressedPage;
use super::value::Kind;
use crate::priority::yield_if_background;
use crate::{Error, ErrorKind, Result};

thread_local! {
    /// A context is 100 kB and takes longer to make than a page to unpack.
    static ZSTD: RefCell<Decompressor<'static>> = RefCell::new(Decompressor::default());
}

/// A data page, unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) rows: usize,
    pub(super) encoding: i32,
    /// Hybrid stream of which rows are not null; `None` if the column has no nulls.
    levels: Option<&'a [u8]>,
    /// The values that are not null.
    pub(super) values: &'a [u8],
}

impl<'a> Page<'a> {
    /// Opens a page of `rows` rows; `page_cache` holds its content if it is compressed.
    pub(super) fn open(
        stored: &'a [u8],
        rows: u32,
        compressed: bool,
        nullable: bool,
        decompressed: &'a mut Vec<u8>,
    ) -> Result<Self> {
        let (header, content) = unpack(stored, compressed, decompressed)?;
        if header.dictionary {
            return Err(not_indexed());
        }
        Self::of(header.encoding, i64::from(header.values), content, rows, nullable)
    }

    /// A page that was decompressed before.
    pub(super) fn again(
        decompressed: &'a DecompressedPage,
        rows: u32,
        nullable: bool,
    ) -> Result<Self> {
        let DecompressedPage { encoding, rows: has, content } = decompressed;
        Self::of(*encoding, i64::from(*has), content, rows, nullable)
    }

    fn of(
        encoding: i32,
        has: i64,
        mut content: &'a [u8],
        rows: u32,
        nullable: bool,
    ) -> Result<Self> {
        if has != i64::from(rows) {
            return Err(not_indexed());
        }
        let mut levels = None;
        if nullable {
            let (len, rest) = content.split_first_chunk::<4>().ok_or_else(short)?;
            let (bits, rest) =
                rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(short)?;
            (levels, content) = (Some(bits), rest);
        }
        Ok(Self { rows: rows as usize, encoding, levels, values: content })
    }

    /// Puts into `runs` the rows of `span` that are not null, as runs; returns how many values stand before
    /// them.
    pub(super) fn valid(&self, span: Range<usize>, runs: &mut Vec<Range<usize>>) -> Result<usize> {
        runs.clear();
        let Some(levels) = self.levels else {
            runs.push(span.clone());
            return Ok(span.start);
        };
        let (mut row, mut before) = (0, 0);
        let mut valid = |from: usize, to: usize| {
            before += to.min(span.start).saturating_sub(from);
            let from = from.max(span.start);
            match runs.last_mut() {
                Some(run) if run.end == from => run.end = to,
                _ if from < to => runs.push(from..to),
                _ => {}
            }
        };
        visit_hybrid(levels, 1, 0, span.end, |piece| {
            match piece {
                Piece::Repeat { value, len } => {
                    if value != 0 {
                        valid(row, row + len);
                    }
                    row += len;
                }
                // The stream is walked from its start, so packed levels are shown from theirs.
                Piece::Packed { bytes, len, .. } => {
                    for (byte, first) in bytes.iter().zip((0..len).step_by(8)) {
                        let mut bits = u32::from(*byte) & ((1 << (len - first).min(8)) - 1);
                        let mut at = row + first;
                        while bits != 0 {
                            let gap = bits.trailing_zeros();
                            let run = (bits >> gap).trailing_ones();
                            at += gap as usize;
                            valid(at, at + run as usize);
                            at += run as usize;
                            bits >>= gap + run;
                        }
                    }
                    row += len;
                }
            }
            Ok(())
        })?;
        Ok(before)
    }
}

/// Decodes a stored dictionary page.
pub(super) fn dictionary(stored: &[u8], kind: Kind, compressed: bool) -> Result<Dictionary> {
    let mut decompressed = Vec::new();
    let (header, content) = unpack(stored, compressed, &mut decompressed)?;
    if !header.dictionary || header.encoding != header::PLAIN {
        return Err(damaged("a dictionary page is not the one its index names"));
    }
    let entries = usize::try_from(header.values).map_err(|_| short())?;
    Ok(match kind {
        Kind::Int16 => Dictionary::Int16(load_numbers(content, entries)?),
        Kind::Int32 => Dictionary::Int32(load_numbers(content, entries)?),
        Kind::Int64 => Dictionary::Int64(load_numbers(content, entries)?),
        Kind::Float32 => Dictionary::Float32(load_numbers(content, entries)?),
        Kind::Float64 => Dictionary::Float64(load_numbers(content, entries)?),
        Kind::Text => Dictionary::Text(TextDictionary::load(content, entries)?),
    })
}

fn unpack<'a>(
    mut stored: &'a [u8],
    compressed: bool,
    decompressed: &'a mut Vec<u8>,
) -> Result<(PageHeader, &'a [u8])> {
    yield_if_background();
    let header = PageHeader::take(&mut stored)?;
    if i64::from(header.stored) != stored.len() as i64 {
        return Err(damaged("a page is not as long as its header says"));
    }
    if crc32fast::hash(stored) != header.crc {
        return Err(damaged("the checksum of a page does not match"));
    }
    let size = header.uncompressed as usize;
    let content = if compressed {
        // The frame's own size is under the checksum, the header's is not.
        if zstd::zstd_safe::get_frame_content_size(stored).ok().flatten() != Some(size as u64) {
            return Err(damaged("a page decompresses to another size than its header says"));
        }
        decompressed.clear();
        decompressed.reserve(size);
        let written = ZSTD
            .with_borrow_mut(|zstd| zstd.decompress_to_buffer(stored, decompressed))
            .map_err(|e| damaged("a page cannot be decompressed").with_source(e))?;
        decompressed.get(..written).ok_or_else(short)?
    } else {
        stored
    };
    if content.len() != size {
        return Err(damaged("a page decompresses to another size than its header says"));
    }
    Ok((header, content))
}

impl DecompressedPage {
    /// Checks and unpacks a stored data page.
    pub(super) fn new(stored: &[u8], compressed: bool) -> Result<Self> {
        let mut decompressed = Vec::new();
        let (header, content) = unpack(stored, compressed, &mut decompressed)?;
        let rows = u32::try_from(header.values).ok().filter(|_| !header.dictionary);
        let (encoding, rows) = (header.encoding, rows.ok_or_else(not_indexed)?);
        let content = if compressed { decompressed } else { content.to_vec() };
        Ok(Self { encoding, rows, content })
    }
}

fn not_indexed() -> Error {
    damaged("a data page is not the one its index names")
}

fn short() -> Error {
    damaged("a page is shorter than its header says")
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Damage, format!("Parquet page: {what}"))
}
