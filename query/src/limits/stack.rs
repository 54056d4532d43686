//! On which stack is a deep statement handled? On one that carries whatever its [bounds](crate::limits::bounds) admit: that
//! of the threads that plan and run, or one that is made for it where it is let go.

use std::ops::Deref;

use datafusion::logical_expr::LogicalPlan;

use crate::limits::bounds::{Bounds, TOKENS_PER_LEVEL};

/// What planning and running take for each level of a tree.
const LEVEL_BYTES: usize = 64 << 10;
/// What parsing and letting go take for each token that may be a level.
const TOKEN_BYTES: usize = 2 << 10;
/// What a shallow statement takes.
const BASE_BYTES: usize = 2 << 20;
/// What letting a plan go takes for each level of its statement.
const DROP_BYTES: usize = 8 << 10;
const DROP_BASE_BYTES: usize = 64 << 10;

/// The stack that whatever `bounds` admit can be handled on.
pub(crate) fn bytes_for(bounds: &Bounds) -> usize {
    let level = LEVEL_BYTES + TOKEN_BYTES * TOKENS_PER_LEVEL;
    bounds.depth.0.saturating_mul(level).saturating_add(BASE_BYTES)
}

/// Does `work`, which goes down what `bounds` admit, on a stack that carries it.
pub(crate) fn within<T>(bounds: &Bounds, work: impl FnOnce() -> T) -> T {
    let bytes = bytes_for(bounds);
    stacker::maybe_grow(bytes, bytes, work)
}

/// A plan, or another tree, that is let go of without harm wherever that happens.
#[derive(Debug)]
pub(crate) struct Deep<T: Default = LogicalPlan> {
    tree: T,
    depth: usize,
}

impl<T: Default> Deep<T> {
    /// The tree of a statement that is so deep.
    pub(crate) fn new(tree: T, depth: usize) -> Self {
        Self { tree, depth }
    }

    /// How deep the statement is.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }
}

impl<T: Default> Deref for Deep<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.tree
    }
}

impl<T: Default> Drop for Deep<T> {
    fn drop(&mut self) {
        let tree = std::mem::take(&mut self.tree);
        let bytes = self.depth.saturating_mul(DROP_BYTES).saturating_add(DROP_BASE_BYTES);
        stacker::maybe_grow(bytes, bytes, || drop(tree));
    }
}
