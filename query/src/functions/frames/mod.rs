//! What is an aggregate of the rows in a frame that moves? Every aggregate in every frame, by states that are put
//! together and never taken apart.
//!
//! DataFusion tells an accumulator which rows came into the frame and how many left it at the other end. Taking the
//! value of a row out of a sum of floats leaves its rounding behind, and all of an infinity or a NaN. Here each row
//! becomes a state of its own, and states of neighbours are joined:
//!
//! ```text
//! rows     a    b    c  |  d   e
//! front   abc   bc   c  |                 frame b…e  =  bc + de
//! later                 |  d   e
//! back                  |  de
//! ```
//!
//! When the front is used up, the later rows are joined from the right and become the front: every row is joined
//! twice, whatever the length of the frame.
//!
//! - `sliding`: the two runs of rows. `folds`, `moments`: what a state is, and how two become one; those of our own
//!   aggregates stand beside them.
//! - `repeated`: what has no small state, such as a concatenation of texts, is computed of the rows of each frame.
//! - `shift`: `lead` and `lag` over nulls. `bounds`: which distances a frame can have.
//! - `rule`: puts all this in the place of what DataFusion does.

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
