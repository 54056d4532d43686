//! The one order, as the store was the first to see it: what every process has to apply, and every acknowledgement to
//! agree with.

use std::collections::HashMap;

use barograph_lake::Timestamp;
use bytes::Bytes;

use super::super::super::group::{Group, Kind};
use super::super::super::message::Published;
use super::super::super::state::{State, Verdict};
use crate::log::batch::{BatchId, Placement};

/// See the module.
#[derive(Debug)]
pub(super) struct Canon {
    pub(super) state: State,
    groups: HashMap<u64, (Group, Vec<Verdict>)>,
    /// Each batch that counts, with the positions of its records.
    counted: HashMap<BatchId, Vec<u64>>,
    /// Next offset by source.
    offsets: HashMap<String, u64>,
    newest: Timestamp,
}

impl Canon {
    pub(super) fn new(first: u64) -> Self {
        Self {
            state: State::fresh(first),
            groups: HashMap::new(),
            counted: HashMap::new(),
            offsets: HashMap::new(),
            newest: Timestamp::MIN,
        }
    }

    /// A group was created.
    pub(super) fn created(&mut self, position: u64, object: &Bytes, floor: u64) {
        if position < self.state.end() {
            assert!(
                position < floor,
                "a group was created at {position}, where one was deleted above the floor"
            );
            return;
        }
        assert_eq!(position, self.state.end(), "a hole before a group");
        let group = Group::decode(position, object).unwrap();
        let verdicts = self.state.apply(&group).unwrap();
        for (batch, verdict) in group.batches.iter().zip(&verdicts) {
            if batch.kind != Kind::Rows || *verdict != Verdict::Counts {
                continue;
            }
            let positions = batch.records.iter().map(|(position, _)| position.get()).collect();
            assert!(
                self.counted.insert(batch.id, positions).is_none(),
                "{} counts twice",
                batch.id
            );
            for (_, record) in &batch.records {
                assert!(record.ingested_at >= self.newest, "ingested_at steps back at {position}");
                self.newest = record.ingested_at;
            }
            if let Some(origin) = &batch.origin {
                let next = self.offsets.entry(origin.source.to_string()).or_default();
                assert_eq!(
                    origin.first, *next,
                    "offsets of {} are doubled or left out",
                    origin.source
                );
                *next = origin.next;
            }
        }
        self.groups.insert(position, (group, verdicts));
    }

    /// A process applied a group.
    pub(super) fn check(&self, published: &Published) {
        let position = published.group.position;
        let (group, verdicts) = self.groups.get(&position).expect("a group that never was");
        assert_eq!(group.crc, published.group.crc, "another group at {position}");
        assert_eq!(*verdicts, published.verdicts, "other verdicts at {position}");
    }

    /// A batch was acknowledged.
    pub(super) fn check_acknowledged(&self, id: BatchId, placement: &Placement) {
        let stands = self.counted.get(&id);
        match placement {
            Placement::Appended(positions) => {
                let positions: Vec<u64> = positions.iter().map(|position| position.get()).collect();
                assert_eq!(stands, Some(&positions), "{id} was acknowledged and lost");
            }
            Placement::Duplicate(place) => {
                let last = stands.and_then(|positions| positions.last());
                assert_eq!(last, Some(&place.position.get()), "{id} was called known and is not");
            }
            Placement::Stale { next } => {
                assert!(self.offsets.values().any(|known| known >= next), "{id} was called stale");
            }
        }
    }

    pub(super) fn counts(&self, id: BatchId) -> bool {
        self.counted.contains_key(&id)
    }

    pub(super) fn offset(&self, source: &str) -> u64 {
        self.offsets.get(source).copied().unwrap_or_default()
    }
}
