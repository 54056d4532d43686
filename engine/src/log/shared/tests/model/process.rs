//! A process of the model: the machine, its clocks, and the batches it was given.

use std::collections::VecDeque;

use barograph_lake::{Span, Timestamp};

use super::super::super::floor::Time;
use super::super::super::group::Writer;
use super::super::super::message::{Append, Event};
use super::super::super::protocol::{Limits, Protocol};
use super::clients::Wanted;

/// See the module.
#[derive(Debug)]
pub(super) struct Process {
    pub protocol: Protocol,
    /// Tells the answers to this life of the process from those to earlier ones.
    pub life: u64,
    /// It has reached the end since it started.
    pub is_ready: bool,
    /// The end of what was published; `None` before the first group.
    pub published: Option<u64>,
    pub queue: VecDeque<usize>,
    /// Batches of the append that runs.
    pub running: Option<Vec<usize>>,
    pub paused: bool,
    /// Nothing happens in it before this instant.
    pub stalled_until: i64,
    /// Its wall clock is ahead of the true one by this much.
    pub skew: i64,
    /// Its other clock stood still for so long.
    pub suspended: i64,
    /// Its machine is one that is suspended, and whose wall clock is right; or one that is not.
    pub suspends: bool,
}

impl Process {
    pub(super) fn new(life: u64, suspends: bool) -> Self {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&life.to_le_bytes());
        let writer = Writer { id, address: format!("http://{life}") };
        let limits = Limits {
            floor_age_max: Span::MINUTE,
            checkpoint_groups: 5,
            checkpoint_bytes: 1 << 20,
            gets_max: 4,
        };
        Self {
            protocol: Protocol::new(writer, limits),
            life,
            is_ready: false,
            published: None,
            queue: VecDeque::new(),
            running: None,
            paused: false,
            stalled_until: 0,
            skew: 0,
            suspended: 0,
            suspends,
        }
    }

    pub(super) fn time(&self, time: i64) -> Time {
        Time {
            now: Timestamp::from_micros(time + self.skew),
            elapsed: Span::from_micros(time - self.suspended),
        }
    }

    /// Stalls for a while, which one of its clocks may not notice.
    pub(super) fn stall(&mut self, time: i64, length: i64, is_set_back: bool) {
        self.stalled_until = time + length;
        if self.suspends {
            self.suspended += length;
        } else if is_set_back {
            self.skew -= length;
        }
    }

    /// The next append, if it is time for one.
    pub(super) fn append(&mut self, time: i64, wanted: &[Wanted], most: usize) -> Option<Event> {
        if !self.is_ready || self.running.is_some() || self.queue.is_empty() {
            return None;
        }
        let some: Vec<usize> = self.queue.drain(..most.min(self.queue.len())).collect();
        let state = self.protocol.state();
        let ingested_at = self.time(time).now.max(state.ingested_at());
        let batches = some.iter().map(|index| wanted[*index].batch(ingested_at)).collect();
        self.running = Some(some);
        Some(Event::Append(Append { at: state.end(), batches, ..Append::default() }))
    }
}
