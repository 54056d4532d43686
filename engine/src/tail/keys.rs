//! The map of keys: one 64-bit value per key, found without a lock while the writer changes it.
//!
//! An open-addressing table of atomics that only grows: a value changes in place, a full table is
//! copied into one twice its size. A reader that still probes the old one sees the values as they
//! were when it was replaced, which is later than the view it reads for.

#![expect(
    clippy::indexing_slicing,
    reason = "indexes are below the number of places, a power of two"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use barograph_lake::Key;

use crate::memory::{Budget, Reservation};

/// Value of a place without a key; never the value of a key.
const EMPTY: u64 = u64::MAX;
/// Places of a new table; a power of two.
const FIRST_PLACES: usize = 4;

/// Key to value, as readers see it. Only [`KeyMapWriter`] changes it.
#[derive(Debug)]
pub(super) struct KeyMap {
    table: ArcSwap<Table>,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct KeyMapWriter {
    table: Arc<Table>,
    budget: Arc<Budget>,
    len: usize,
}

#[derive(Debug)]
pub(crate) struct Table {
    /// Hash bits to drop so that the rest numbers a place.
    shift: u32,
    places: Box<[Place]>,
    held: Reservation,
}

/// A key's place. The writer stores `key` before `value` with release order; a reader loads `value`
/// with acquire order first, and what the writer did before is seen with it.
#[derive(Debug)]
pub(super) struct Place {
    key: AtomicI64,
    value: AtomicU64,
}

impl KeyMap {
    /// An empty map with its one writer.
    pub(super) fn new(budget: &Arc<Budget>) -> (Self, KeyMapWriter) {
        Self::with_room(budget, 0)
    }

    /// An empty map that takes `keys` keys without growing.
    pub(super) fn with_room(budget: &Arc<Budget>, keys: usize) -> (Self, KeyMapWriter) {
        let places = (keys * 4).div_ceil(3).next_power_of_two().max(FIRST_PLACES);
        let table = Table::new(budget, places);
        let writer = KeyMapWriter { table: Arc::clone(&table), budget: Arc::clone(budget), len: 0 };
        (Self { table: ArcSwap::new(table) }, writer)
    }

    /// The value of `key`.
    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<u64> {
        self.table.load().get(key)
    }

    /// Calls `visit` with every key and value, in no order.
    pub(super) fn each(&self, mut visit: impl FnMut(Key, u64)) {
        for place in &self.table.load().places {
            let value = place.value();
            if value != EMPTY {
                visit(Key::new(place.key.load(Ordering::Relaxed)), value);
            }
        }
    }
}

impl KeyMapWriter {
    /// The place of `key`, which is made if it has none; a value must be stored in it then.
    #[inline]
    pub(super) fn place(&mut self, map: &KeyMap, key: Key) -> &Place {
        let mut index = match self.table.find(key) {
            Ok(index) => return &self.table.places[index],
            Err(index) => index,
        };
        if (self.len + 1) * 4 > self.table.places.len() * 3 {
            index = self.grow(map, key);
        }
        self.len += 1;
        let place = &self.table.places[index];
        place.key.store(key.get(), Ordering::Relaxed);
        place
    }

    /// Bytes taken from the allocator.
    pub(super) fn bytes(&self) -> usize {
        self.table.held.bytes()
    }

    /// Twice the places; gives the one for `key`.
    #[cold]
    fn grow(&mut self, map: &KeyMap, key: Key) -> usize {
        let larger = Table::new(&self.budget, self.table.places.len() * 2);
        for place in &self.table.places {
            let (key, value) = (Key::new(place.key.load(Ordering::Relaxed)), place.value());
            if let (true, Err(index)) = (value != EMPTY, larger.find(key)) {
                larger.places[index].key.store(key.get(), Ordering::Relaxed);
                larger.places[index].value.store(value, Ordering::Relaxed);
            }
        }
        self.table = Arc::clone(&larger);
        map.table.store(larger);
        match self.table.find(key) {
            Ok(index) | Err(index) => index,
        }
    }
}

impl Place {
    /// The value, or `None` in a place just made.
    #[inline]
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.value()).filter(|&value| value != EMPTY)
    }

    /// Stores the value, which is not `u64::MAX`; a reader of it sees everything that was written before it.
    #[inline]
    pub(super) fn set(&self, value: u64) {
        self.value.store(value, Ordering::Release);
    }

    #[inline]
    fn value(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }
}

impl Table {
    fn new(budget: &Arc<Budget>, places: usize) -> Arc<Self> {
        Arc::new(Self {
            shift: u64::BITS - places.trailing_zeros(),
            held: budget.reserve(places * size_of::<Place>() + size_of::<Self>()),
            places: (0..places)
                .map(|_| Place { key: AtomicI64::new(0), value: AtomicU64::new(EMPTY) })
                .collect(),
        })
    }

    #[inline]
    fn get(&self, key: Key) -> Option<u64> {
        self.find(key).ok().and_then(|index| self.places[index].get())
    }

    /// Index of the key's place, or of the empty one where it would stand. A quarter of the places
    /// stay empty: the search ends.
    #[inline]
    fn find(&self, key: Key) -> Result<usize, usize> {
        let mut index = (mix(key) >> self.shift) as usize;
        loop {
            let place = &self.places[index];
            if place.value() == EMPTY {
                return Err(index);
            }
            if place.key.load(Ordering::Relaxed) == key.get() {
                return Ok(index);
            }
            index = (index + 1) & (self.places.len() - 1);
        }
    }
}

/// Spreads keys that differ in few bits (two rounds of multiply and shift, constants of splitmix64).
#[inline]
fn mix(key: Key) -> u64 {
    let key = (key.get() as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (key ^ key >> 32).wrapping_mul(0x94d0_49bb_1331_11eb)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_of_every_shape_are_found_through_growth() {
        let budget = Budget::new("test", usize::MAX);
        let (map, mut writer) = KeyMap::new(&budget);
        let mut model = BTreeMap::new();
        let shapes = (0..3_000).flat_map(|i| [i, -i, i << 32, i << 48, i64::MAX - i, i64::MIN + i]);
        for (value, key) in (0u64..).zip(shapes.map(Key::new)) {
            let place = writer.place(&map, key);
            assert_eq!(place.get(), model.insert(key, value));
            place.set(value);
        }
        assert_eq!(writer.len, model.len());
        let mut seen = BTreeMap::new();
        map.each(|key, value| assert_eq!(seen.insert(key, value), None));
        assert_eq!(seen, model);
        assert!(model.iter().all(|(&key, &value)| map.get(key) == Some(value)));
        assert_eq!(map.get(Key::new(12_345_678)), None);
        assert_eq!(budget.used(), writer.bytes());
        drop((map, writer));
        assert_eq!(budget.used(), 0);
    }
}
