//! Groups ahead of the end: those that a listing named and are got beside each other, and those that came before their
//! turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    gets_max: usize,
    /// Named, and not asked for yet; ascending.
    wanted: VecDeque<u64>,
    coming: BTreeSet<u64>,
    here: BTreeMap<u64, Bytes>,
}

impl Ahead {
    pub(super) fn new(gets_max: usize) -> Self {
        Self { gets_max, ..Self::default() }
    }

    /// Groups stand at `positions`, ascending.
    pub(super) fn want(&mut self, positions: Vec<u64>, end: u64) {
        let last = self.wanted.back().copied();
        let new = positions.into_iter().filter(|position| {
            *position >= end
                && last.is_none_or(|last| *position > last)
                && !self.coming.contains(position)
                && !self.here.contains_key(position)
        });
        self.wanted.extend(new);
    }

    /// What to get next.
    pub(super) fn gets(&mut self) -> impl Iterator<Item = u64> + use<> {
        let held = self.coming.len() + self.here.len();
        let some = self.gets_max.saturating_sub(held).min(self.wanted.len());
        let gets: Vec<u64> = self.wanted.drain(..some).collect();
        self.coming.extend(&gets);
        gets.into_iter()
    }

    /// A get was answered. Whether it was one of these.
    pub(super) fn came(&mut self, position: u64) -> bool {
        self.coming.remove(&position)
    }

    /// A group is here before its turn, if it is ahead of `end` and there is room.
    pub(super) fn offer(&mut self, position: u64, object: Bytes, end: u64) {
        if position >= end && self.here.len() < self.gets_max {
            self.here.insert(position, object);
        }
    }

    pub(super) fn take(&mut self, position: u64) -> Option<Bytes> {
        self.here.remove(&position)
    }

    pub(super) fn is_coming(&self, position: u64) -> bool {
        self.coming.contains(&position)
    }

    /// Forgets what lies before `end`. A group that was named and is not reached by the others never will be.
    pub(super) fn reach(&mut self, end: u64) {
        self.here = self.here.split_off(&end);
        while self.wanted.front().is_some_and(|first| *first < end) {
            self.wanted.pop_front();
        }
    }
}
