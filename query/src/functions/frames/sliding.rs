//! The accumulator of a moving frame: rows enter at one end and leave at the other.

use std::fmt::Debug;
use std::mem::size_of_val;

use arrow::array::{Array, ArrayRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::Accumulator;
use datafusion::scalar::ScalarValue;

/// The states of rows, and how two are joined. Joining is associative except for rounding; the order of rows is kept.
pub(in crate::functions) trait Fold: Debug + Send + Sync + 'static {
    type State: Clone + Debug + Send + Sync + 'static;

    /// The state of no rows.
    fn nothing(&self) -> Self::State;

    /// Calls `take` with the state of each row, also of rows that do not count.
    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Self::State)) -> Result<()>;

    /// The state of the rows of `earlier` followed by those of `later`.
    fn join(&self, earlier: &Self::State, later: &Self::State) -> Self::State;

    /// The aggregate of the rows of a state.
    fn value(&self, state: &Self::State) -> Result<ScalarValue>;
}

/// An accumulator of two runs of states, which the folder above shows.
#[derive(Debug)]
pub(in crate::functions) struct Sliding<F: Fold> {
    fold: F,
    /// Whether rows leave: the rows of a frame that only grows need not be kept.
    leaving: bool,
    /// For each row of the front, the state from it to the middle; the first row is last.
    front: Vec<F::State>,
    later: Vec<F::State>,
    /// State of all later rows.
    back: F::State,
}

impl<F: Fold> Sliding<F> {
    /// For frames whose rows leave again.
    pub(in crate::functions) fn new(fold: F) -> Self {
        let back = fold.nothing();
        Self { fold, leaving: true, front: Vec::new(), later: Vec::new(), back }
    }

    /// For frames that only grow.
    pub(in crate::functions) fn growing(fold: F) -> Self {
        Self { leaving: false, ..Self::new(fold) }
    }

    /// Turns the later rows into the front.
    fn turn(&mut self) {
        let mut state = self.fold.nothing();
        self.front.reserve(self.later.len());
        for row in self.later.drain(..).rev() {
            state = self.fold.join(&row, &state);
            self.front.push(state.clone());
        }
        self.back = self.fold.nothing();
    }
}

impl<F: Fold> Accumulator for Sliding<F> {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let Self { fold, leaving, later, back, .. } = self;
        fold.each(columns, &mut |state| {
            *back = fold.join(back, &state);
            if *leaving {
                later.push(state);
            }
        })
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let mut rows = columns.first().map_or(0, |column| column.len());
        while rows > 0 {
            if self.front.is_empty() {
                self.turn();
            }
            if self.front.is_empty() {
                return internal_err!("{rows} rows leave a frame that has none");
            }
            let kept = self.front.len().saturating_sub(rows);
            rows -= self.front.len() - kept;
            self.front.truncate(kept);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.leaving
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.front.last() {
            Some(front) => self.fold.value(&self.fold.join(front, &self.back)),
            None => self.fold.value(&self.back),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.front.capacity() + self.later.capacity()) * size_of::<F::State>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("frames of a window have no state to send")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("frames of a window are not merged")
    }
}
