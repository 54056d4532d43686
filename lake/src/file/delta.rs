//! How are integers stored that change little from row to row? Parquet's DELTA_BINARY_PACKED.
//!
//! ```text
//! page    varint 128, varint 4, varint count, zigzag first value, block, block, …
//! block   zigzag smallest delta, 4 bit widths, 4 × 32 packed (delta - smallest)
//! ```
//! Differences wrap at the width of the column's type, so that every value can be stored.

use super::bits::{pack, put_varint, take, take_varint, unpack, value_at, width_of};
use crate::{Error, Result};

const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Appends `values` of a type of `type_bits` (32 or 64) bits.
pub(super) fn put(values: &[i64], type_bits: usize, out: &mut Vec<u8>) {
    let wrap = |value: i64| if type_bits == 32 { i64::from(value as i32) } else { value };
    put_varint(BLOCK as u64, out);
    put_varint(MINIBLOCKS as u64, out);
    put_varint(values.len() as u64, out);
    put_zigzag(values.first().copied().unwrap_or_default(), out);
    let mut deltas = [0i64; BLOCK];
    for start in (1..values.len()).step_by(BLOCK) {
        let len = (values.len() - start).min(BLOCK);
        for (delta, pair) in deltas.iter_mut().zip(values[start - 1..start + len].windows(2)) {
            *delta = wrap(pair[1].wrapping_sub(pair[0]));
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

/// The first `upto` values.
pub(super) fn read(mut bytes: &[u8], type_bits: usize, upto: usize) -> Result<Vec<i64>> {
    let varint = |bytes: &mut &[u8]| take_varint(bytes).ok_or_else(damaged);
    let header = [varint(&mut bytes)?, varint(&mut bytes)?, varint(&mut bytes)?];
    if header[..2] != [BLOCK as u64, MINIBLOCKS as u64] || header[2] < upto as u64 {
        return Err(damaged());
    }
    // Whole miniblocks are written, so that the loops have fixed lengths; what lies beyond `upto` is cut.
    let mut values = Vec::with_capacity((upto + MINIBLOCK).next_multiple_of(MINIBLOCK));
    let mut value = unzigzag(varint(&mut bytes)?);
    values.push(value);
    let mut left = upto.saturating_sub(1);
    while left > 0 {
        let smallest = unzigzag(varint(&mut bytes)?);
        let widths = take(&mut bytes, MINIBLOCKS).ok_or_else(damaged)?;
        for &width in widths {
            if left == 0 {
                break;
            }
            let width = usize::from(width);
            if width > type_bits {
                return Err(damaged());
            }
            // What follows the miniblock stays in the slice, so that whole words can be read to its end.
            let packed = bytes;
            take(&mut bytes, MINIBLOCK / 8 * width).ok_or_else(damaged)?;
            let mut out = [value; MINIBLOCK];
            if width == 0 {
                // A steady pace, and no value waits for the one before it.
                for (steps, out) in (1..).zip(&mut out) {
                    *out = out.wrapping_add(smallest.wrapping_mul(steps));
                }
            } else if width <= 32 {
                let mut above = [0; MINIBLOCK];
                unpack(packed, width, 0, &mut above);
                for (out, above) in out.iter_mut().zip(above) {
                    value = value.wrapping_add(smallest.wrapping_add(i64::from(above)));
                    *out = value;
                }
            } else {
                for (i, out) in out.iter_mut().enumerate() {
                    let above = value_at(packed, width, i) as i64;
                    value = value.wrapping_add(smallest.wrapping_add(above));
                    *out = value;
                }
            }
            value = out[MINIBLOCK - 1];
            values.extend_from_slice(&out);
            left = left.saturating_sub(MINIBLOCK);
        }
    }
    values.truncate(upto);
    if type_bits == 32 {
        values.iter_mut().for_each(|value| *value = i64::from(*value as i32));
    }
    Ok(values)
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

    use super::*;

    proptest! {
        #[test]
        fn all_values_round_trip(wide: bool, values in prop::collection::vec(prop_oneof![any::<i64>(), -40..40i64, Just(i64::MIN), Just(i64::MAX)], 1..400), upto: prop::sample::Index) {
            let bits = if wide { 64 } else { 32 };
            let values: Vec<_> = values.into_iter().map(|v| if wide { v } else { i64::from(v as i32) }).collect();
            let mut bytes = Vec::new();
            put(&values, bits, &mut bytes);
            let upto = upto.index(values.len()) + 1;
            prop_assert_eq!(&read(&bytes, bits, upto).unwrap()[..], &values[..upto]);
            prop_assert!(read(&bytes, bits, values.len() + 1).is_err());
        }
    }
}
