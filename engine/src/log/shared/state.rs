//! The state of a shared log at a position: a pure function of the groups before it, and so the same in every process.
//!
//! It decides which batches count: one whose id stands in the log already is dropped, and so is one with offsets of a
//! source that are in it already, by every process alike.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use barograph_lake::{LogPosition, Timestamp};
use bytes::Bytes;

use super::super::batch::{BatchId, Origin, Place};
use super::super::frame::Flaw;
use super::cursor::{Cursor, put_text};
use super::group::{Group, Kind, LoggedBatch, Writer};

/// Batches whose ids are remembered: part of the format, as it decides which batches count.
const BATCHES_MAX: usize = 32_768;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    end: u64,
    /// The largest `ingested_at`.
    ingested_at: Timestamp,
    /// Checksum of the newest group; 0 before the first.
    tip: u32,
    /// The writer of the newest group.
    leader: Option<Writer>,
    recent: Recent,
    /// Next offset of each source's partitions.
    offsets: BTreeMap<(Arc<str>, u32), u64>,
    /// Groups and bytes since the newest checkpoint.
    since_checkpoint: (u64, u64),
    /// The first group has to say what the state was before it.
    awaits_checkpoint: bool,
}

/// The newest batches, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Recent {
    places: HashMap<BatchId, Place>,
    order: VecDeque<BatchId>,
}

/// Whether a batch counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Counts,
    /// Its id stands in the log already.
    Duplicate(Place),
    /// Its source is in the log up to `next`.
    Stale {
        next: u64,
    },
}

impl State {
    /// Before the first group of all, at `first`.
    pub(super) fn fresh(first: u64) -> Self {
        Self { end: first, ingested_at: Timestamp::MIN, ..Self::default() }
    }

    /// Before the group at `first`, which holds a checkpoint.
    pub(super) fn awaiting(first: u64) -> Self {
        Self { awaits_checkpoint: true, ..Self::fresh(first) }
    }

    /// The position of the next group.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn ingested_at(&self) -> Timestamp {
        self.ingested_at
    }

    pub(super) fn tip(&self) -> u32 {
        self.tip
    }

    pub(super) fn leader(&self) -> Option<&Writer> {
        self.leader.as_ref()
    }

    pub(super) fn awaits_checkpoint(&self) -> bool {
        self.awaits_checkpoint
    }

    /// Next offset of a source's partition; `None` if nothing of it is in the log.
    pub(super) fn offset(&self, source: &str, partition: u32) -> Option<u64> {
        self.offsets.get(&(Arc::from(source), partition)).copied()
    }

    /// Groups and bytes since the newest checkpoint.
    pub(super) fn since_checkpoint(&self) -> (u64, u64) {
        self.since_checkpoint
    }

    /// Whether a batch would count if it stood next in the log.
    pub(super) fn judge(&self, id: BatchId, origin: Option<&Origin>) -> Verdict {
        if let Some(place) = self.recent.places.get(&id) {
            return Verdict::Duplicate(*place);
        }
        let known = origin.and_then(|of| self.offsets.get(&(Arc::clone(&of.source), of.partition)));
        match (origin, known) {
            (Some(origin), Some(&next)) if origin.first < next => Verdict::Stale { next },
            _ => Verdict::Counts,
        }
    }

    /// Goes past `group`, and says of each of its batches whether it counts.
    ///
    /// # Errors
    /// The group does not follow on what came before. The state is of no use then.
    pub(super) fn apply(&mut self, group: &Group) -> Result<Vec<Verdict>, Flaw> {
        if group.position != self.end {
            return Err("a group stands where none should");
        }
        let checkpoint = group.batches.iter().find(|batch| batch.kind == Kind::Checkpoint);
        self.check(checkpoint)?;
        if group.previous != self.tip {
            return Err("a group does not follow on the one before it");
        }
        let verdicts = group.batches.iter().map(|batch| self.count(batch, group.position));
        let verdicts = verdicts.collect();
        self.end = group.end;
        self.tip = group.crc;
        self.leader = Some(group.writer.clone());
        let (groups, bytes) = match checkpoint {
            Some(_) => (0, 0),
            None => self.since_checkpoint,
        };
        self.since_checkpoint = (groups + 1, bytes + group.bytes);
        Ok(verdicts)
    }

    /// Compares the state with what a checkpoint says of it, or takes it from there.
    fn check(&mut self, checkpoint: Option<&LoggedBatch>) -> Result<(), Flaw> {
        let body = checkpoint.and_then(|batch| batch.records.first()).map(|(_, it)| &it.body);
        match body {
            None if self.awaits_checkpoint => Err("the first group of the log has no checkpoint"),
            None => Ok(()),
            Some(body) if self.awaits_checkpoint => {
                *self = Self::read(self.end, body).ok_or("a checkpoint cannot be read")?;
                Ok(())
            }
            Some(body) if *body == self.checkpoint() => Ok(()),
            Some(_) => Err("a checkpoint disagrees with the groups before it"),
        }
    }

    fn count(&mut self, batch: &LoggedBatch, group: u64) -> Verdict {
        if batch.kind != Kind::Rows {
            return Verdict::Counts;
        }
        let verdict = self.judge(batch.id, batch.origin.as_ref());
        let newest = batch.records.iter().map(|(_, record)| record.ingested_at).max();
        self.ingested_at = self.ingested_at.max(newest.unwrap_or(Timestamp::MIN));
        if verdict == Verdict::Counts {
            let last = batch.records.last();
            let place = last.map(|(position, record)| Place {
                position: *position,
                ingested_at: record.ingested_at,
            });
            let nowhere =
                Place { position: LogPosition::new(group), ingested_at: self.ingested_at };
            self.recent.add(batch.id, place.unwrap_or(nowhere));
            if let Some(origin) = &batch.origin {
                let key = (Arc::clone(&origin.source), origin.partition);
                self.offsets.insert(key, origin.next);
            }
        }
        verdict
    }

    /// The state as the body of a checkpoint:
    /// `tip u32 │ ingested_at i64 │ leader u8 │ ([16] │ address text) × leader │ batches u32 │ (id [16] │ position u64
    /// │ ingested_at i64) × batches │ offsets u32 │ (source text │ partition u32 │ next u64) × offsets`.
    pub(super) fn checkpoint(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(64 + 32 * self.recent.order.len());
        bytes.extend_from_slice(&self.tip.to_le_bytes());
        bytes.extend_from_slice(&self.ingested_at.as_micros().to_le_bytes());
        bytes.push(u8::from(self.leader.is_some()));
        if let Some(leader) = &self.leader {
            bytes.extend_from_slice(&leader.id);
            put_text(&mut bytes, &leader.address);
        }
        bytes.extend_from_slice(&(self.recent.order.len() as u32).to_le_bytes());
        for id in &self.recent.order {
            let place = self.recent.places.get(id).copied().unwrap_or_default();
            bytes.extend_from_slice(&id.bytes());
            bytes.extend_from_slice(&place.position.get().to_le_bytes());
            bytes.extend_from_slice(&place.ingested_at.as_micros().to_le_bytes());
        }
        bytes.extend_from_slice(&(self.offsets.len() as u32).to_le_bytes());
        for ((source, partition), next) in &self.offsets {
            put_text(&mut bytes, source);
            bytes.extend_from_slice(&partition.to_le_bytes());
            bytes.extend_from_slice(&next.to_le_bytes());
        }
        bytes.into()
    }

    fn read(end: u64, checkpoint: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(checkpoint);
        let mut state = Self { tip: cursor.u32()?, ..Self::fresh(end) };
        state.ingested_at = cursor.instant()?;
        if cursor.u8()? != 0 {
            let id = cursor.array()?;
            state.leader = Some(Writer { id, address: cursor.text()?.to_owned() });
        }
        for _ in 0..cursor.u32()? {
            let id = BatchId::of(cursor.array()?);
            let position = LogPosition::new(cursor.u64()?);
            state.recent.add(id, Place { position, ingested_at: cursor.instant()? });
        }
        for _ in 0..cursor.u32()? {
            let (source, partition) = (Arc::from(cursor.text()?), cursor.u32()?);
            state.offsets.insert((source, partition), cursor.u64()?);
        }
        cursor.0.is_empty().then_some(state)
    }
}

impl Recent {
    fn add(&mut self, id: BatchId, place: Place) {
        self.places.insert(id, place);
        self.order.push_back(id);
        if self.order.len() > BATCHES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }
}
