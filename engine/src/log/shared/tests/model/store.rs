//! The modelled object store: groups and floors, put if absent.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::super::message::FloorRead;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Store {
    groups: BTreeMap<u64, Bytes>,
    /// Number to floor, and when it was put.
    floors: BTreeMap<u64, (u64, i64)>,
}

impl Store {
    pub(super) fn new(first: u64) -> Self {
        Self { groups: BTreeMap::new(), floors: BTreeMap::from([(0, (first, 0))]) }
    }

    /// Whether it was created.
    pub(super) fn put(&mut self, position: u64, object: &Bytes) -> bool {
        let is_new = !self.groups.contains_key(&position);
        self.groups.entry(position).or_insert_with(|| object.clone());
        is_new
    }

    pub(super) fn get(&self, position: u64) -> Option<Bytes> {
        self.groups.get(&position).cloned()
    }

    pub(super) fn list(&self, from: u64) -> Vec<u64> {
        self.groups.range(from..).map(|(position, _)| *position).take(20).collect()
    }

    pub(super) fn floor(&self) -> (u64, u64) {
        let (number, (floor, _)) = self.floors.last_key_value().unwrap();
        (*number, *floor)
    }

    pub(super) fn read_floor(&self) -> FloorRead {
        let (number, floor) = self.floor();
        FloorRead { floor, fresh: number == 0 }
    }

    pub(super) fn put_floor(&mut self, number: u64, floor: u64, time: i64) -> bool {
        let is_new = number > self.floor().0;
        if is_new {
            self.floors.insert(number, (floor, time));
        }
        is_new
    }

    /// Groups below a floor that was put before `time`, ascending.
    pub(super) fn garbage(&self, time: i64) -> Vec<u64> {
        let floors = self.floors.values().filter(|(_, put)| *put < time);
        let floor = floors.map(|(floor, _)| *floor).max().unwrap_or(0);
        self.groups.range(..floor).map(|(position, _)| *position).collect()
    }

    pub(super) fn delete(&mut self, position: u64) {
        self.groups.remove(&position);
    }
}
