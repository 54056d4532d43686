//! Folds of values over windows that only move forward, where nothing can be subtracted from a fold.
//!
//! Two runs of rows meet in the middle of the window. For every row before the middle, the fold from it to the middle
//! is kept; for the rows after it, one fold of all rows so far:
//!
//! ```text
//! rows     a    b    c  |  d   e
//! front   abc   bc   c  |                 window b…e  =  bc + de
//! back                  |  de
//! ```
//!
//! When the window leaves the middle behind, its rows are folded anew from the right, and its end is the next middle.
//! Every row is folded twice, whatever the length of the window; a sum has the rounding error of adding up its own
//! rows, and no other.

use barograph_engine::scan::kernel::Step;

/// The rows of a partition that a later window may hold, by their number in it.
#[derive(Debug)]
pub(super) struct Windows<S: Step> {
    /// Number of the first row that is kept.
    first: usize,
    values: Vec<S::Value>,
    /// For each row before the middle, the fold from it to the middle.
    front: Vec<S::Value>,
    /// Fold of the rows from the middle to before `taken`.
    back: S::Value,
    taken: usize,
}

impl<S: Step> Default for Windows<S> {
    fn default() -> Self {
        Self { first: 0, values: Vec::new(), front: Vec::new(), back: S::NOTHING, taken: 0 }
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "rows are kept from the first that a later window may hold"
)]
impl<S: Step> Windows<S> {
    /// Begins a partition.
    pub(super) fn clear(&mut self) {
        self.first = 0;
        self.values.clear();
        self.front.clear();
        (self.back, self.taken) = (S::NOTHING, 0);
    }

    pub(super) fn append(&mut self, values: impl Iterator<Item = S::Value>) {
        self.values.extend(values);
    }

    /// The fold of rows `from` to before `to`, of which there is at least one. Neither may be less than in the call
    /// before.
    pub(super) fn fold(&mut self, from: usize, to: usize) -> S::Value {
        let (from, to) = (from.saturating_sub(self.first), to - self.first);
        if from >= self.front.len() {
            self.front.resize(to, S::NOTHING);
            let mut sum = S::NOTHING;
            for (front, &value) in self.front[from..to].iter_mut().zip(&self.values[from..to]).rev()
            {
                sum = S::both(value, sum);
                *front = sum;
            }
            (self.back, self.taken) = (S::NOTHING, to);
            return sum;
        }
        if self.taken < to {
            let behind = self.values[self.taken..to].iter();
            self.back = behind.fold(self.back, |sum, &value| S::both(sum, value));
            self.taken = to;
        }
        S::both(self.front[from], self.back)
    }

    /// Drops the rows before `from`, which is not after the beginning of the last window, if they are the greater part:
    /// the rest has to be moved.
    pub(super) fn forget(&mut self, from: usize) {
        let gone = (from - self.first).min(self.front.len());
        if 2 * gone >= self.values.len() {
            self.values.drain(..gone);
            self.front.drain(..gone);
            self.taken -= gone;
            self.first += gone;
        }
    }

    /// Collapses all rows before `done` into one, for windows that begin with the partition.
    pub(super) fn collapse(&mut self, done: usize) {
        if done > self.first + 1 {
            let all = self.fold(0, done);
            let last = done - self.first;
            self.values.drain(..last - 1);
            self.values[0] = all;
            self.front.clear();
            self.front.push(all);
            (self.back, self.taken) = (S::NOTHING, 1);
            self.first = done - 1;
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        (self.values.capacity() + self.front.capacity()) * size_of::<S::Value>()
    }
}
