//! The newest hours: for each key the last hour of the tail that may have a row of it.
//!
//! A hint for `latest` where the newest hour does not have the key: no hour after the one named here
//! has a row of it. Within one map the hours only grow, also while an old view reads it; when rows
//! leave the tail, a new map is made and old views keep theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_lake::{Hour, Key, Timestamp};

use super::hour::HourWriter;
use super::keys::{KeyMap, KeyMapWriter};
use super::layout::time_of_word;
use crate::memory::Budget;

/// Key to the start of the last hour that has rows of it.
#[derive(Debug)]
pub(super) struct NewestHours {
    map: Arc<KeyMap>,
    writer: KeyMapWriter,
}

impl NewestHours {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        let (map, writer) = KeyMap::new(budget);
        Self { map: Arc::new(map), writer }
    }

    /// What views read.
    pub(super) fn map(&self) -> &Arc<KeyMap> {
        &self.map
    }

    /// Notes that `hour` has a row of `key`.
    pub(super) fn raise(&mut self, key: Key, hour: Hour) {
        let place = self.writer.place(&self.map, key);
        if place.get().is_none_or(|start| start_of(start) < hour.start()) {
            place.set(hour.start().as_micros() as u64);
        }
    }

    /// Notes that rows left `hour`; `hours` are what the tail holds now.
    pub(super) fn left(
        &mut self,
        budget: &Arc<Budget>,
        hour: Hour,
        hours: &BTreeMap<Hour, HourWriter>,
    ) {
        let holds = |writer: &HourWriter, key| writer.shared().heads.get(key).is_some();
        let still = |key| hours.get(&hour).is_some_and(|writer| holds(writer, key));
        let mut stands = true;
        self.map.each(|key, start| {
            stands &= start_of(start) != hour.start() || still(key);
        });
        if stands {
            return;
        }
        let mut rest = Vec::new();
        self.map.each(|key, start| {
            let last = match start_of(start) == hour.start() {
                false => Hour::of(start_of(start)),
                true => hours.range(..=hour).rev().find(|(_, w)| holds(w, key)).map(|(&h, _)| h),
            };
            rest.extend(last.map(|last| (key, last)));
        });
        let (map, writer) = KeyMap::with_room(budget, rest.len());
        *self = Self { map: Arc::new(map), writer };
        for (key, last) in rest {
            self.raise(key, last);
        }
    }
}

/// The start of an hour as it stands in the map. Never `u64::MAX`: that would be an instant 1 µs
/// before an hour's start.
pub(super) fn start_of(value: u64) -> Timestamp {
    time_of_word(value)
}
