//! The end of a file: its page indexes and Parquet's footer, with a checksum of both.
//!
//! ```text
//! … pages │ column indexes, offset indexes, footer │ length, "PAR1"
//!         ▲ start ─────────── CRC-32 ──────────────────────────────▶ end
//! key-value metadata of the footer: barograph.checksum = "<CRC-32, 8 hex digits>:<start, 20 digits>"
//! ```
//! The checksum is taken with its own eight digits as zeros. Parquet itself checks only the pages.

use std::io::{self, Read, Write};
use std::ops::Range;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use parquet::file::writer::TrackedWrite;

use crate::{Error, Result};

/// First and last bytes of a Parquet file.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";

const CHECKSUM: &str = "barograph.checksum";
const UNSET: &str = "00000000";
/// Thrift's header of a string field that follows another, and the length of the checksum's value.
const VALUE_HEADER: [u8; 2] = [0x18, VALUE_LEN as u8];
const VALUE_LEN: usize = UNSET.len() + 1 + 20;

/// The footer of a file and where its pages end.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) metadata: ParquetMetaData,
    pub(super) pages_end: u64,
}

/// What reading the end of a file led to.
#[derive(Debug)]
pub(super) enum Parsed {
    Done(Box<Footer>),
    /// The end of the file from this offset on is needed.
    From(u64),
}

/// The key-value metadata that a footer to be sealed must carry, if the pages end at `pages_end`.
pub(super) fn unsealed(pages_end: u64) -> KeyValue {
    KeyValue::new(CHECKSUM.to_owned(), format!("{UNSET}:{pages_end:020}"))
}

/// Page indexes and footer of a file whose pages end at `pages_end`, sealed with their checksum.
pub(super) fn encode(pages_end: u64, metadata: &ParquetMetaData) -> Result<Vec<u8>> {
    let mut end = After { skipped: pages_end, bytes: Vec::new() };
    let mut writer = TrackedWrite::new(&mut end);
    // The writer takes offsets from what it has written.
    io::copy(&mut io::repeat(0).take(pages_end), &mut writer).map_err(ParquetError::from)?;
    ParquetMetaDataWriter::new_with_tracked(writer, metadata).finish()?;
    let mut end = end.bytes;
    let crc = format!("{:08x}", crc32fast::hash(&end));
    let sealed = digits(&end).and_then(|digits| {
        end.get_mut(digits)?.copy_from_slice(crc.as_bytes());
        Some(())
    });
    sealed.ok_or_else(|| {
        Error::new(crate::ErrorKind::Internal, "the Parquet footer lacks its checksum")
    })?;
    Ok(end)
}

/// Keeps what is written after so many bytes.
struct After {
    skipped: u64,
    bytes: Vec<u8>,
}

impl Write for After {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skipped.min(bytes.len() as u64);
        self.skipped -= skipped;
        self.bytes.extend_from_slice(bytes.get(skipped as usize..).unwrap_or_default());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks and parses `end`, the last bytes of a file of `file_bytes`.
pub(super) fn parse(end: &Bytes, file_bytes: u64) -> Result<Parsed> {
    let bad = |what: &str| Error::damage(format!("Parquet footer: {what}"));
    let from = file_bytes.checked_sub(end.len() as u64).ok_or_else(|| bad("too long"))?;
    let footer_len = end
        .strip_suffix(MAGIC)
        .and_then(|end| end.last_chunk::<4>())
        .map(|len| u64::from(u32::from_le_bytes(*len)))
        .ok_or_else(|| bad("the file does not end with PAR1"))?;
    let footer_at = file_bytes
        .checked_sub(footer_len + 8)
        .filter(|&at| at >= MAGIC.len() as u64)
        .ok_or_else(|| bad("it is longer than the file"))?;
    if footer_at < from {
        return Ok(Parsed::From(footer_at.saturating_sub(footer_at / 32)));
    }
    let footer_start = (footer_at - from) as usize;
    let digits_at = end
        .get(footer_start..)
        .and_then(digits)
        .map(|digits| footer_start + digits.start)
        .ok_or_else(|| bad("it has no checksum of this program"))?;
    let value = end.get(digits_at..digits_at + VALUE_LEN).unwrap_or_default();
    let text = std::str::from_utf8(value).unwrap_or_default();
    let (crc, pages_end) = text
        .split_once(':')
        .and_then(|(crc, start)| {
            Some((u32::from_str_radix(crc, 16).ok()?, start.parse::<u64>().ok()?))
        })
        .filter(|&(_, start)| start <= footer_at)
        .ok_or_else(|| bad("its checksum is malformed"))?;
    if pages_end < from {
        return Ok(Parsed::From(pages_end));
    }
    let sealed =
        end.get((pages_end - from) as usize..digits_at).zip(end.get(digits_at + UNSET.len()..));
    let (before, behind) = sealed.ok_or_else(|| bad("its checksum is malformed"))?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before);
    hasher.update(UNSET.as_bytes());
    hasher.update(behind);
    if hasher.finalize() != crc {
        return Err(bad("its checksum does not match"));
    }
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse_sized(end, file_bytes)?;
    Ok(Parsed::Done(Box::new(Footer { metadata: reader.finish()?, pages_end })))
}

/// Where the digits of the checksum stand.
fn digits(end: &[u8]) -> Option<Range<usize>> {
    let mark: Vec<u8> = [CHECKSUM.as_bytes(), &VALUE_HEADER].concat();
    let at = end.windows(mark.len()).rposition(|window| window == mark)? + mark.len();
    (at + VALUE_LEN <= end.len()).then_some(at..at + UNSET.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_no_footer_but_no_panic_either(
            mut end in prop::collection::vec(any::<u8>(), 0..300),
            mark in prop::option::of(any::<prop::sample::Index>()),
            footer_len in 0..400u32,
            before in 0..500u64,
        ) {
            if let Some(at) = mark {
                let at = at.index(end.len() + 1);
                let mark = [CHECKSUM.as_bytes(), &VALUE_HEADER, b"0000000a:00000000000000000007"].concat();
                end.splice(at..at, mark);
            }
            end.extend(footer_len.to_le_bytes());
            end.extend(MAGIC);
            let bytes = before + end.len() as u64;
            let parsed = parse(&end.into(), bytes);
            prop_assert!(!matches!(parsed, Ok(Parsed::Done(_))));
        }
    }
}
