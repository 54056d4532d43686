//! Delta encoding of integers that change little from row to row: Parquet's DELTA_BINARY_PACKED.
//!
//! ```text
//! page    varint 128, varint 4, varint count, zigzag first value, block, block, …
//! block   zigzag smallest delta, 4 bit widths, 4 × 32 packed (delta - smallest)
//! ```
//! Differences wrap at the width of the column's type, so that every value can be stored.

use std::ops::Range;

use super::bits::{pack, put_varint, take, take_varint, unpack, value_at, width_of};
use super::value::Load;
use crate::{Error, Result};

const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Appends `values` of a type of `type_bits` (32 or 64) bits.
#[expect(
    clippy::indexing_slicing,
    reason = "a block ends with the values, and its widths were made room for"
)]
pub(super) fn put(values: &[i64], type_bits: usize, out: &mut Vec<u8>) {
    let wrap = |value: i64| if type_bits == 32 { i64::from(value as i32) } else { value };
    put_varint(BLOCK as u64, out);
    put_varint(MINIBLOCKS as u64, out);
    put_varint(values.len() as u64, out);
    put_zigzag(values.first().copied().unwrap_or_default(), out);
    let mut deltas = [0i64; BLOCK];
    for start in (1..values.len()).step_by(BLOCK) {
        let len = (values.len() - start).min(BLOCK);
        for (delta, [before, after]) in
            deltas.iter_mut().zip(values[start - 1..start + len].array_windows())
        {
            *delta = wrap(after.wrapping_sub(*before));
        }
        let deltas = &deltas[..len];
        let smallest = deltas.iter().copied().min().unwrap_or_default();
        let above = |delta: i64| delta.wrapping_sub(smallest) as u64;
        put_zigzag(smallest, out);
        let widths = out.len();
        out.resize(widths + MINIBLOCKS, 0);
        for (i, miniblock) in deltas.chunks(MINIBLOCK).enumerate() {
            let largest = miniblock.iter().map(|&delta| above(delta)).max().unwrap_or_default();
            let width = if largest == 0 { 0 } else { width_of(largest) };
            out[widths + i] = width as u8;
            let end = out.len() + MINIBLOCK / 8 * width;
            pack(miniblock.iter().map(|&delta| above(delta)), width, out);
            out.resize(end, 0);
        }
    }
}

/// Appends the values `range`.
#[expect(
    clippy::indexing_slicing,
    reason = "rows before and behind the values are taken for their beginning and end"
)]
pub(super) fn read<V: Load>(mut bytes: &[u8], range: Range<usize>, out: &mut Vec<V>) -> Result<()> {
    let varint = |bytes: &mut &[u8]| take_varint(bytes).ok_or_else(damaged);
    let type_bits = V::INTEGER_BITS.ok_or_else(damaged)?;
    let header = [varint(&mut bytes)?, varint(&mut bytes)?, varint(&mut bytes)?];
    if header[..2] != [BLOCK as u64, MINIBLOCKS as u64] || header[2] < range.end as u64 {
        return Err(damaged());
    }
    let (mut at, mut fit) = (0, true);
    let mut append = |values: &[i64]| {
        let within = |row: usize| row.saturating_sub(at).min(values.len());
        out.extend(values[within(range.start)..within(range.end)].iter().map(|&value| {
            let wrapped = if type_bits == 32 { i64::from(value as i32) } else { value };
            let value = V::from_integer(wrapped);
            fit &= value.is_some();
            value.unwrap_or_default()
        }));
        at += values.len();
        at < range.end
    };
    let mut value = unzigzag(varint(&mut bytes)?);
    let mut more = append(&[value]);
    while more {
        let smallest = unzigzag(varint(&mut bytes)?);
        let widths = take(&mut bytes, MINIBLOCKS).ok_or_else(damaged)?;
        for &width in widths {
            if !more {
                break;
            }
            let width = usize::from(width);
            if width > type_bits {
                return Err(damaged());
            }
            // What follows the miniblock stays in the slice, so that whole words can be read to its end.
            let packed = bytes;
            take(&mut bytes, MINIBLOCK / 8 * width).ok_or_else(damaged)?;
            let mut values = [value; MINIBLOCK];
            if width == 0 {
                // A steady pace, and no value waits for the one before it.
                for (steps, value) in (1..).zip(&mut values) {
                    *value = value.wrapping_add(smallest.wrapping_mul(steps));
                }
            } else if width <= 32 {
                let mut above = [0; MINIBLOCK];
                unpack(packed, width, 0, &mut above);
                for (next, above) in values.iter_mut().zip(above) {
                    value = value.wrapping_add(smallest.wrapping_add(i64::from(above)));
                    *next = value;
                }
            } else {
                for (i, next) in values.iter_mut().enumerate() {
                    let above = value_at(packed, width, i) as i64;
                    value = value.wrapping_add(smallest.wrapping_add(above));
                    *next = value;
                }
            }
            value = values[MINIBLOCK - 1];
            more = append(&values);
        }
    }
    if fit { Ok(()) } else { Err(damaged()) }
}

fn put_zigzag(value: i64, out: &mut Vec<u8>) {
    put_varint((value << 1 ^ value >> 63) as u64, out);
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn damaged() -> Error {
    Error::damage("a delta-encoded Parquet page is malformed")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::value::Store;
    use super::*;

    proptest! {
        #[test]
        fn all_values_round_trip(values in prop::collection::vec(prop_oneof![any::<i64>(), -40..40i64, Just(i64::MIN), Just(i64::MAX)], 1..400), from: prop::sample::Index, to: prop::sample::Index) {
            let (from, to) = (from.index(values.len()), to.index(values.len()) + 1);
            let range = from.min(to)..to;
            check(&values, range.clone());
            let narrow: Vec<_> = values.into_iter().map(|value| value as i32).collect();
            check(&narrow, range);
        }
    }

    fn check<V: Load + Store + PartialEq>(values: &[V], range: Range<usize>) {
        let mut bytes = Vec::new();
        let integers: Vec<_> = values.iter().map(|value| value.integer()).collect();
        put(&integers, <V as Load>::INTEGER_BITS.unwrap(), &mut bytes);
        let mut out = vec![V::default()];
        read(&bytes, range.clone(), &mut out).unwrap();
        assert_eq!(&out[1..], &values[range.clone()]);
        assert!(read(&bytes, range.start..values.len() + 1, &mut out).is_err());
    }

    #[test]
    fn a_value_that_does_not_fit_is_damage() {
        let mut bytes = Vec::new();
        put(&[1, 40_000, 2], 32, &mut bytes);
        assert!(read::<i16>(&bytes, 0..3, &mut Vec::new()).is_err());
        let mut out = Vec::new();
        read::<i16>(&bytes, 2..3, &mut out).unwrap();
        assert_eq!(out, [2]);
    }
}
