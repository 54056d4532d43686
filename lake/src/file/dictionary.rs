//! The dictionary of a column chunk: its distinct values.
//!
//! A dictionary is written sorted: neighbouring values get neighbouring indexes, which compress better, and the
//! smallest and largest value of a page follow from its indexes. A dictionary that was read stays decoded in memory.

use parquet::errors::ParquetError;

use super::value::{Load, Store};
use crate::priority::yield_if_background;
use crate::{Error, Result};

/// Most entries of a dictionary: indexes stay within two bytes.
const ENTRIES_MAX: usize = 1 << 16;
/// Values that are looked up before others may run.
const BLOCK: usize = 8_192;

/// Distinct values in ascending order, and for each value its index among them; `None` if a dictionary
/// cannot pay because most values occur once or there are too many.
#[expect(
    clippy::indexing_slicing,
    reason = "indexes are those of entries, each of which has a rank"
)]
pub(super) fn build<V: Store>(values: &[V]) -> Option<(Vec<V>, Vec<u32>)> {
    let entries_max = ENTRIES_MAX.min(values.len() / 2 + 16);
    let mut table = Table { slots: vec![0; 1_024], shift: 64 - 10 };
    let mut entries: Vec<V> = Vec::new();
    let mut indexes = Vec::with_capacity(values.len());
    let mut last: Option<(V, u32)> = None;
    for block in values.chunks(BLOCK) {
        yield_if_background();
        for &value in block {
            let index = match last {
                Some((earlier, index)) if earlier.same(value) => index,
                _ => table.index_of(value, &mut entries),
            };
            if entries.len() > entries_max {
                return None;
            }
            last = Some((value, index));
            indexes.push(index);
        }
    }
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| entries[a as usize].order(entries[b as usize]));
    let mut rank = vec![0; entries.len()];
    for (place, &entry) in order.iter().enumerate() {
        rank[entry as usize] = place as u32;
    }
    for index in &mut indexes {
        *index = rank[*index as usize];
    }
    Some((order.into_iter().map(|entry| entries[entry as usize]).collect(), indexes))
}

/// Open addressing; a slot holds an entry's index plus one, or 0. At most half full.
struct Table {
    slots: Vec<u32>,
    shift: u32,
}

#[expect(
    clippy::indexing_slicing,
    reason = "places are below the number of slots, a power of two, and slots hold numbers of entries"
)]
impl Table {
    fn index_of<V: Store>(&mut self, value: V, entries: &mut Vec<V>) -> u32 {
        let mut at = (value.hash() >> self.shift) as usize;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                entries.push(value);
                self.slots[at] = entries.len() as u32;
                if entries.len() * 2 > self.slots.len() {
                    self.grow(entries);
                }
                return entries.len() as u32 - 1;
            }
            if entries[slot as usize - 1].same(value) {
                return slot - 1;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn grow<V: Store>(&mut self, entries: &[V]) {
        let len = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(len, 0);
        self.shift -= 1;
        for (i, entry) in entries.iter().enumerate() {
            let mut at = (entry.hash() >> self.shift) as usize;
            while self.slots[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.slots[at] = i as u32 + 1;
        }
    }
}

/// The decoded dictionary of a column chunk.
#[derive(Debug)]
pub(super) enum Dictionary {
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Text(TextDictionary),
}

/// Texts one after the other; text `i` is `bytes[ends[i - 1]..ends[i]]`.
#[derive(Debug)]
pub(super) struct TextDictionary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Dictionary {
    /// Size in memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Int16(values) => size_of_val(values.as_slice()),
            Self::Int32(values) => size_of_val(values.as_slice()),
            Self::Int64(values) => size_of_val(values.as_slice()),
            Self::Float32(values) => size_of_val(values.as_slice()),
            Self::Float64(values) => size_of_val(values.as_slice()),
            Self::Text(texts) => texts.bytes.len() + size_of_val(texts.ends.as_slice()),
        }
    }
}

impl TextDictionary {
    /// Decodes `entries` texts in PLAIN encoding.
    pub(super) fn load(mut plain: &[u8], entries: usize) -> Result<Self> {
        let mut texts = Self {
            bytes: Vec::with_capacity(plain.len()),
            ends: Vec::with_capacity(entries.min(plain.len())),
        };
        for _ in 0..entries {
            let text = take_text(&mut plain)?;
            texts.bytes.extend_from_slice(text);
            texts.ends.push(u32::try_from(texts.bytes.len()).map_err(|_| malformed())?);
        }
        Ok(texts)
    }

    /// The text at `index`.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? as usize };
        self.bytes.get(start..end)
    }
}

/// Decodes `entries` numbers in PLAIN encoding.
pub(super) fn load_numbers<V: Load>(plain: &[u8], entries: usize) -> Result<Vec<V>> {
    if plain.len() != entries.saturating_mul(V::BYTES) {
        return Err(malformed());
    }
    plain.chunks_exact(V::BYTES).map(|bytes| V::load(bytes).ok_or_else(malformed)).collect()
}

/// Takes a text in PLAIN encoding from the front of `plain`.
pub(super) fn take_text<'a>(plain: &mut &'a [u8]) -> Result<&'a [u8]> {
    let (len, rest) = plain.split_first_chunk::<4>().ok_or_else(malformed)?;
    let (text, rest) =
        rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(malformed)?;
    *plain = rest;
    Ok(text)
}

fn malformed() -> Error {
    Error::from(ParquetError::General("values in PLAIN encoding are malformed".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_are_sorted_and_indexes_lead_back(values in prop::collection::vec(-600..600i32, 0..3_000)) {
            let mut distinct = values.clone();
            distinct.sort_unstable();
            distinct.dedup();
            match build(&values) {
                Some((entries, indexes)) => {
                    prop_assert_eq!(&entries, &distinct);
                    let back: Vec<_> = indexes.iter().map(|&i| entries[i as usize]).collect();
                    prop_assert_eq!(back, values);
                }
                None => prop_assert!(distinct.len() > values.len() / 2),
            }
        }
    }

    #[test]
    fn zeros_of_both_signs_and_nan_stay_apart() {
        let values = [0.0, -0.0, f32::NAN, 0.0];
        let (entries, indexes) = build(&values).unwrap();
        assert_eq!(entries.len(), 3);
        for (value, index) in values.iter().zip(indexes) {
            assert_eq!(entries[index as usize].to_bits(), value.to_bits());
        }
    }
}
