//! The header of a page: Parquet's page header in Thrift's compact protocol, written and read as one exact sequence of
//! fields, so that damage to any byte of it is found.
//!
//! ```text
//! 1 type   2 uncompressed size   3 stored size   4 CRC-32 of the stored bytes
//! 5 data page: 1 values  2 encoding  3, 4 level encodings          (type 0)
//! 7 dictionary page: 1 values  2 encoding  3 sorted                (type 2)
//! ```

use super::bits::{put_varint, take_varint};
use crate::{Error, Result};

/// Parquet's numbers of the encodings in use.
pub(super) const PLAIN: i32 = 0;
pub(super) const RLE: i32 = 3;
pub(super) const DELTA_BINARY_PACKED: i32 = 5;
pub(super) const RLE_DICTIONARY: i32 = 8;

const I32: u8 = 5;
const TRUE: u8 = 1;
const STRUCT: u8 = 12;
const STOP: u8 = 0;

/// Header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// A dictionary page rather than a data page.
    pub(super) dictionary: bool,
    /// Bytes of the page's content before compression.
    pub(super) uncompressed: i32,
    /// Bytes of the page's content as stored.
    pub(super) stored: i32,
    /// CRC-32 of those.
    pub(super) crc: u32,
    /// Rows of a data page (nulls counted), entries of a dictionary page.
    pub(super) values: i32,
    /// Parquet's number of the encoding.
    pub(super) encoding: i32,
}

impl PageHeader {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let field = |step: u8, value: i32, out: &mut Vec<u8>| {
            out.push(step << 4 | I32);
            put_varint(u64::from((value << 1 ^ value >> 31) as u32), out);
        };
        field(1, if self.dictionary { 2 } else { 0 }, out);
        field(1, self.uncompressed, out);
        field(1, self.stored, out);
        field(1, self.crc as i32, out);
        out.push(if self.dictionary { 3 } else { 1 } << 4 | STRUCT);
        field(1, self.values, out);
        field(1, self.encoding, out);
        if self.dictionary {
            out.push(1 << 4 | TRUE);
        } else {
            field(1, RLE, out);
            field(1, RLE, out);
        }
        out.extend([STOP, STOP]);
    }

    /// Takes a header from the front of `bytes`.
    pub(super) fn take(bytes: &mut &[u8]) -> Result<Self> {
        Self::parse(bytes)
            .ok_or_else(|| Error::damage("a Parquet page header is not as this program writes it"))
    }

    fn parse(bytes: &mut &[u8]) -> Option<Self> {
        let dictionary = match field(bytes, 1)? {
            0 => false,
            2 => true,
            _ => return None,
        };
        let uncompressed = size(bytes)?;
        let stored = size(bytes)?;
        let crc = field(bytes, 1)? as u32;
        exactly(bytes, if dictionary { 3 } else { 1 } << 4 | STRUCT)?;
        let values = size(bytes)?;
        let encoding = field(bytes, 1)?;
        if dictionary {
            exactly(bytes, 1 << 4 | TRUE)?;
        } else if field(bytes, 1)? != RLE || field(bytes, 1)? != RLE {
            return None;
        }
        exactly(bytes, STOP)?;
        exactly(bytes, STOP)?;
        Some(Self { dictionary, uncompressed, stored, crc, values, encoding })
    }
}

fn exactly(bytes: &mut &[u8], expected: u8) -> Option<()> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    (byte == expected).then_some(())
}

fn field(bytes: &mut &[u8], step: u8) -> Option<i32> {
    exactly(bytes, step << 4 | I32)?;
    let value = u32::try_from(take_varint(bytes)?).ok()?;
    Some((value >> 1) as i32 ^ -((value & 1) as i32))
}

fn size(bytes: &mut &[u8]) -> Option<i32> {
    field(bytes, 1).filter(|&size| size >= 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn headers_round_trip_and_every_flipped_bit_shows() {
        for dictionary in [false, true] {
            let encoding = if dictionary { PLAIN } else { RLE_DICTIONARY };
            let header = PageHeader {
                dictionary,
                uncompressed: 4_099,
                stored: 2_731,
                crc: 0xdead_beef,
                values: 2_048,
                encoding,
            };
            let mut bytes = Vec::new();
            header.put(&mut bytes);
            assert_eq!(PageHeader::take(&mut bytes.as_slice()).unwrap(), header);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let mut rest = flipped.as_slice();
                let read = PageHeader::take(&mut rest);
                assert!(read.is_err() || read.unwrap() != header || !rest.is_empty());
            }
        }
    }
}
