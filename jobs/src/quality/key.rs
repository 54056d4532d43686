//! The checks of one key, step and persistence: one pass over its readings in order of time.

use std::collections::VecDeque;

use barograph_lake::{Span, Timestamp};

use super::{Check, NEIGHBOUR, PERSISTENCE, STEP};

/// Tenths in single precision differ by a hair less than a tenth.
const ROUNDING: f64 = 1e-3;

/// What the pass over one column of one key knows.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    check: &'a Check,
    step_within: Span,
    persistence_over: Span,
    /// What the neighbours say, reduced to the height of the key.
    near: Option<f64>,
    /// The last reading that did not jump.
    good: Option<(Timestamp, f64)>,
    /// Candidates for the least and the greatest of the last readings, each ascending in time.
    least: VecDeque<(Timestamp, f64)>,
    greatest: VecDeque<(Timestamp, f64)>,
    /// Since when there are readings without a gap of `persistence_over`.
    since: Option<Timestamp>,
    last: Timestamp,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        check: &'a Check,
        step_within: Span,
        persistence_over: Span,
        near: Option<f64>,
    ) -> Self {
        Self {
            check,
            step_within,
            persistence_over,
            near,
            good: None,
            least: VecDeque::new(),
            greatest: VecDeque::new(),
            since: None,
            last: Timestamp::MIN,
        }
    }

    /// The flags of the next reading.
    pub(super) fn next(&mut self, at: Timestamp, value: f64) -> i16 {
        let mut flags = 0;
        let known = self.good.filter(|(then, _)| at.since(*then) <= self.step_within);
        let jumps = |step: f64| known.is_some_and(|(_, good)| (value - good).abs() > step);
        if self.check.step.is_some_and(jumps) {
            flags |= STEP;
        } else {
            self.good = Some((at, value));
        }
        if self.check.persistence.is_some_and(|varies| self.stands_still(at, value, varies)) {
            flags |= PERSISTENCE;
        }
        let differs = |most: f64| self.near.is_some_and(|near| (value - near).abs() > most);
        if self.check.neighbour.is_some_and(differs) {
            flags |= NEIGHBOUR;
        }
        flags
    }

    fn stands_still(&mut self, at: Timestamp, value: f64, varies: f64) -> bool {
        if self.since.is_none() || at.since(self.last) >= self.persistence_over {
            self.since = Some(at);
        }
        self.last = at;
        let from = at.saturating_sub(self.persistence_over);
        keep(&mut self.least, (at, value), from, |before, now| before >= now);
        keep(&mut self.greatest, (at, value), from, |before, now| before <= now);
        let whole = self.since.is_some_and(|since| since <= from);
        match (self.least.front(), self.greatest.front()) {
            (Some((_, least)), Some((_, greatest))) => {
                whole && greatest - least < varies * (1.0 - ROUNDING)
            }
            _ => false,
        }
    }
}

/// Adds a reading to the candidates of an extreme and drops those that can be it no more.
fn keep(
    candidates: &mut VecDeque<(Timestamp, f64)>,
    reading: (Timestamp, f64),
    from: Timestamp,
    yields: impl Fn(f64, f64) -> bool,
) {
    while candidates.back().is_some_and(|(_, before)| yields(*before, reading.1)) {
        candidates.pop_back();
    }
    candidates.push_back(reading);
    while candidates.front().is_some_and(|(at, _)| *at < from) {
        candidates.pop_front();
    }
}
