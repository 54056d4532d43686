//! The floor of a shared log: below it, groups are no longer needed and will be deleted.
//!
//! What the store says of a name below the floor means nothing: that a group was created there, or that there is none.
//! So an answer counts only for a process that knows a floor that lets it, and knows it from less than a minute ago.
//!
//! ```text
//!         deleted          to be deleted            the log
//!  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ group  group  group │ group  group  group ▶ end
//!                                         ▲ floor: moves to groups that hold a checkpoint
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use barograph_lake::{LogPosition, Span, Timestamp};

use crate::clock::Clock;

/// An instant, by two clocks: neither a step of the one nor a suspension that the other does not count makes something
/// look younger than it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Time {
    pub now: Timestamp,
    pub elapsed: Span,
}

/// A floor, and when it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFloor {
    position: LogPosition,
    asked: Time,
}

impl KnownFloor {
    /// Where it is.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Whether it was asked for at most `age` ago.
    pub fn is_within(&self, clock: &dyn Clock, age: Duration) -> bool {
        Time::of(clock).is_within(Span::from_duration(age), self.asked)
    }
}

/// What a process knows of the floor.
#[derive(Debug, Default)]
pub(super) struct Floor {
    known: u64,
    /// When it was asked for.
    asked: Option<Time>,
    /// Positions of the groups that hold a checkpoint, ascending.
    checkpoints: VecDeque<u64>,
}

impl Time {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), elapsed: clock.elapsed() }
    }

    /// Whether no more than `age` has passed since `then`.
    fn is_within(self, age: Span, then: Self) -> bool {
        let by_wall = self.now.since(then.now);
        (Span::ZERO..=age).contains(&by_wall) && self.elapsed.saturating_sub(then.elapsed) <= age
    }
}

impl Floor {
    pub(super) fn known(&self) -> u64 {
        self.known
    }

    /// The same with when it was asked for; `None` before it was.
    pub(super) fn as_asked(&self) -> Option<KnownFloor> {
        let position = LogPosition::new(self.known);
        self.asked.map(|asked| KnownFloor { position, asked })
    }

    /// Notes what a read said that was asked for at `asked`.
    pub(super) fn read(&mut self, floor: u64, asked: Time) {
        self.known = self.known.max(floor);
        self.asked = Some(asked);
        while self.checkpoints.front().is_some_and(|first| *first < self.known) {
            self.checkpoints.pop_front();
        }
    }

    /// Whether it was asked for at most `age` ago.
    pub(super) fn is_fresh(&self, now: Time, age: Span) -> bool {
        self.asked.is_some_and(|asked| now.is_within(age, asked))
    }

    /// The group at `position` holds a checkpoint.
    pub(super) fn add_checkpoint(&mut self, position: u64) {
        self.checkpoints.push_back(position);
    }

    /// To which position the floor can move if nothing below `below` is needed; `None` if it stays.
    pub(super) fn candidate(&self, below: u64) -> Option<u64> {
        let candidate = self.checkpoints.iter().rev().find(|position| **position <= below);
        candidate.copied().filter(|position| *position > self.known)
    }
}
