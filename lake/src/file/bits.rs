//! Packing of small integers as in Parquet: its hybrid of runs and bit-packing, and the varints of its headers.
//!
//! ```text
//! stream   run, run, …                  (parquet-format, Encodings.md, RLE)
//! run      varint 2·n     , value       the value n times, in ⌈width/8⌉ bytes
//!          varint 2·g + 1 , g·width B   8·g values of `width` bits, lowest bit first
//! ```

use crate::{Error, Result};

/// A part of a hybrid stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    /// `value` stands `len` times.
    Repeat { value: u32, len: usize },
    /// Values `from .. from + len` of those packed from the start of `bytes`, which goes on to the end of the
    /// stream: whole words can be read almost to the end.
    Packed { bytes: &'a [u8], from: usize, len: usize },
}

/// Number of bits that hold `value`, at least one: some readers stumble over a width of zero.
pub(super) fn width_of(value: u64) -> usize {
    (64 - value.leading_zeros() as usize).max(1)
}

/// Appends `value` as a varint.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a varint from the front of `bytes`.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes `len` bytes from the front of `bytes`.
pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(head)
}

/// Appends `values`, each below `2^width`, as a hybrid stream.
#[expect(
    clippy::indexing_slicing,
    reason = "`packed` is at most `at`, and `at` at most the number of values"
)]
pub(super) fn put_hybrid(values: &[u32], width: usize, out: &mut Vec<u8>) {
    // A run costs about four bytes with the header of the packed values after it.
    let worthwhile = 32usize.div_ceil(width).next_multiple_of(8);
    let mut packed = 0;
    let mut at = 0;
    // Packed values come in groups of eight, so a run starts where a group does.
    while let Some(group) = values.get(at..).and_then(<[u32]>::first_chunk::<8>) {
        let value = group[0];
        if group[7] == value && group.iter().all(|&next| next == value) {
            let run = values[at..].iter().take_while(|&&next| next == value).count();
            if run >= worthwhile {
                put_packed(&values[packed..at], width, out);
                put_varint((run as u64) << 1, out);
                out.extend(value.to_le_bytes().into_iter().take(width.div_ceil(8)));
                packed = at + run;
                at = packed;
                continue;
            }
            at += run / 8 * 8;
        } else {
            at += 8;
        }
    }
    put_packed(&values[packed..], width, out);
}

fn put_packed(values: &[u32], width: usize, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    put_varint((groups as u64) << 1 | 1, out);
    let end = out.len() + groups * width;
    out.reserve(groups * width + 8);
    pack(values.iter().map(|&value| u64::from(value)), width, out);
    out.resize(end, 0);
}

/// Appends `values`, each below `2^width`, lowest bit first; the last byte is filled with zeros.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: usize, out: &mut Vec<u8>) {
    let mut word = 0u128;
    let mut used = 0;
    for value in values {
        word |= u128::from(value) << used;
        used += width;
        if used >= 64 {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= 64;
            used -= 64;
        }
    }
    out.extend((word as u64).to_le_bytes().into_iter().take(used.div_ceil(8)));
}

/// Shows `visit` the values `from..to` of a hybrid stream.
pub(super) fn visit_hybrid<'a>(
    mut bytes: &'a [u8],
    width: usize,
    from: usize,
    to: usize,
    mut visit: impl FnMut(Piece<'a>) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    while at < to {
        let header = take_varint(&mut bytes).ok_or_else(short)? as usize;
        let count = if header & 1 == 0 { header >> 1 } else { (header >> 1).saturating_mul(8) };
        let body =
            if header & 1 == 0 { width.div_ceil(8) } else { (header >> 1).saturating_mul(width) };
        let rest = bytes;
        let body = take(&mut bytes, body).ok_or_else(short)?;
        if count == 0 {
            return Err(short());
        }
        let (start, end) = (from.max(at), to.min(at.saturating_add(count)));
        if start < end && header & 1 == 0 {
            let value = body.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
            visit(Piece::Repeat { value, len: end - start })?;
        } else if start < end {
            visit(Piece::Packed { bytes: rest, from: start - at, len: end - start })?;
        }
        at = at.saturating_add(count);
    }
    Ok(())
}

fn short() -> Error {
    Error::damage("a Parquet page has fewer values than its header says")
}

/// Unpacks values `from ..` of `width` bits (at most 32) from `bytes` until `out` is full; values beyond
/// the end of `bytes` are zero.
pub(super) fn unpack(bytes: &[u8], width: usize, from: usize, out: &mut [u32]) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                8 => unpack_bytes(bytes.get(from..).unwrap_or_default(), out),
                16 => unpack_pairs(bytes.get(from * 2..).unwrap_or_default(), out),
                $($width => unpack_groups::<$width>(bytes, from, out),)*
                _ => out.fill(0),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 9 10 11 12 13 14 15 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
}

fn unpack_bytes(bytes: &[u8], out: &mut [u32]) {
    let len = bytes.len().min(out.len());
    let (values, beyond) = out.split_at_mut(len);
    values.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = u32::from(byte));
    beyond.fill(0);
}

fn unpack_pairs(bytes: &[u8], out: &mut [u32]) {
    let (pairs, _) = bytes.as_chunks::<2>();
    let len = pairs.len().min(out.len());
    let (values, beyond) = out.split_at_mut(len);
    values
        .iter_mut()
        .zip(pairs)
        .for_each(|(value, &pair)| *value = u32::from(u16::from_le_bytes(pair)));
    beyond.fill(0);
}

#[expect(
    clippy::indexing_slicing,
    reason = "the window ends eight bytes behind the byte in which its last value begins"
)]
fn unpack_groups<const WIDTH: usize>(bytes: &[u8], from: usize, out: &mut [u32]) {
    let mask = u32::MAX >> (32 - WIDTH);
    // Whole groups start at a byte; the values before and after them are taken one at a time.
    let head = (from.next_multiple_of(8) - from).min(out.len());
    let (head, rest) = out.split_at_mut(head);
    let first = from + head.len();
    for (i, value) in head.iter_mut().enumerate() {
        *value = value_at(bytes, WIDTH, from + i) as u32;
    }
    let mut done = 0;
    for group in rest.chunks_exact_mut(8) {
        let start = (first + done) / 8 * WIDTH;
        let Some(window) = bytes.get(start..start + (7 * WIDTH) / 8 + 8) else { break };
        for (i, value) in group.iter_mut().enumerate() {
            let byte = i * WIDTH / 8;
            let mut word = [0; 8];
            word.copy_from_slice(&window[byte..byte + 8]);
            *value = (u64::from_le_bytes(word) >> (i * WIDTH % 8)) as u32 & mask;
        }
        done += 8;
    }
    for (i, value) in rest.iter_mut().enumerate().skip(done) {
        *value = value_at(bytes, WIDTH, first + i) as u32;
    }
}

/// Value `index` of those packed at `width` bits (at most 64) in `bytes`.
#[expect(clippy::indexing_slicing, reason = "`len` is at most the length of both")]
pub(super) fn value_at(bytes: &[u8], width: usize, index: usize) -> u64 {
    let bit = index * width;
    let rest = bytes.get(bit / 8..).unwrap_or_default();
    let mut word = [0; 16];
    let len = rest.len().min(9);
    word[..len].copy_from_slice(&rest[..len]);
    (u128::from_le_bytes(word) >> (bit % 8)) as u64 & (u64::MAX >> (64 - width.clamp(1, 64)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], width: usize, from: usize, to: usize) -> Vec<u32> {
        let mut values = Vec::new();
        visit_hybrid(bytes, width, from, to, |piece| {
            match piece {
                Piece::Repeat { value, len } => values.extend(std::iter::repeat_n(value, len)),
                Piece::Packed { bytes, from, len } => {
                    let start = values.len();
                    values.resize(start + len, 0);
                    unpack(bytes, width, from, &mut values[start..]);
                }
            }
            Ok(())
        })
        .unwrap();
        values
    }

    fn runs(width: usize) -> impl Strategy<Value = Vec<u32>> {
        let value = any::<u32>().prop_map(move |value| value & (u32::MAX >> (32 - width)));
        let len = prop_oneof![4 => 1..3usize, 2 => 3..40usize, 1 => 40..300usize];
        prop::collection::vec((value, len), 1..60).prop_map(|runs| {
            runs.into_iter().flat_map(|(v, n)| std::iter::repeat_n(v, n)).collect()
        })
    }

    proptest! {
        #[test]
        fn hybrid_round_trips((width, values) in (1..=32usize).prop_flat_map(|w| (Just(w), runs(w))), cut: (prop::sample::Index, prop::sample::Index)) {
            let mut bytes = Vec::new();
            put_hybrid(&values, width, &mut bytes);
            prop_assert_eq!(&read(&bytes, width, 0, values.len()), &values);
            let (a, b) = (cut.0.index(values.len()), cut.1.index(values.len()));
            let (from, to) = (a.min(b), a.max(b));
            prop_assert_eq!(&read(&bytes, width, from, to)[..], &values[from..to]);
            prop_assert!(visit_hybrid(&bytes[..bytes.len() - 1], width, 0, values.len(), |_| Ok(())).is_err());
        }

        #[test]
        fn wide_values_round_trip(width in 1..=64usize, values in prop::collection::vec(any::<u64>(), 1..100)) {
            let values: Vec<_> = values.into_iter().map(|v| v & (u64::MAX >> (64 - width))).collect();
            let mut bytes = Vec::new();
            pack(values.iter().copied(), width, &mut bytes);
            for (i, &value) in values.iter().enumerate() {
                prop_assert_eq!(value_at(&bytes, width, i), value);
            }
        }

        #[test]
        fn varints_round_trip(value: u64) {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            prop_assert_eq!(take_varint(&mut bytes.as_slice()), Some(value));
        }
    }

    #[test]
    fn long_runs_take_few_bytes() {
        let mut bytes = Vec::new();
        put_hybrid(&[1; 2_048], 1, &mut bytes);
        assert_eq!(bytes, [0x80, 0x20, 1]);
    }
}
