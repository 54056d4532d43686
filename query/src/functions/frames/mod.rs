//! Aggregates over moving window frames: every aggregate in every frame, from states that are joined and never taken
//! apart.
//!
//! DataFusion tells an accumulator which rows entered the frame and how many left it at the other end. Subtracting the
//! value of a row from a sum of floats leaves its rounding error behind, and all of an infinity or a NaN. Here each row
//! becomes a state of its own, and the states of neighbours are joined:
//!
//! ```text
//! rows     a    b    c  |  d   e
//! front   abc   bc   c  |                 frame b…e  =  bc + de
//! later                 |  d   e
//! back                  |  de
//! ```
//!
//! When the front is used up, the later rows are joined from the right and become the front: every row is joined twice,
//! whatever the length of the frame.
//!
//! - `sliding`: the two runs of rows. `folds`, `moments`: the states, and how two are joined; those of our own
//!   aggregates stand beside the aggregates.
//! - `repeated`: aggregates without a small state, such as a concatenation of texts, computed from the rows of each
//!   frame.
//! - `shift`: `lead` and `lag` over nulls. `bounds`: the distances that a frame can have.
//! - `rule`: replaces what DataFusion does by all this.

mod bounds;
mod folds;
mod moments;
mod repeated;
mod rule;
mod shift;
mod sliding;

pub(super) use moments::Moments;
pub(super) use rule::FramesRule;
pub(super) use sliding::{Fold, Sliding};
