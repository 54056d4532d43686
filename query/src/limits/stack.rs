//! The stack of a deep statement: one that carries whatever its [bounds](crate::limits::bounds) admit. It is that of
//! the threads that plan and run, or one made for it where a plan is dropped.

use std::ops::Deref;

use datafusion::logical_expr::LogicalPlan;

use crate::limits::bounds::{Bounds, TOKENS_PER_LEVEL};

/// Stack for each level of a tree, in planning and running.
const LEVEL_BYTES: usize = 64 << 10;
/// Stack for each token that may be a level, in parsing and dropping.
const TOKEN_BYTES: usize = 2 << 10;
/// Stack of a shallow statement.
const BASE_BYTES: usize = 2 << 20;
/// Stack for each level of a statement, in dropping its plan.
const DROP_BYTES: usize = 8 << 10;
const DROP_BASE_BYTES: usize = 64 << 10;

/// Stack that suffices for whatever `bounds` admit.
pub(crate) fn bytes_for(bounds: &Bounds) -> usize {
    let level = LEVEL_BYTES + TOKEN_BYTES * TOKENS_PER_LEVEL;
    bounds.depth.0.saturating_mul(level).saturating_add(BASE_BYTES)
}

/// Runs `work`, which may recurse as deep as `bounds` admit, on a stack that suffices.
pub(crate) fn within<T>(bounds: &Bounds, work: impl FnOnce() -> T) -> T {
    let bytes = bytes_for(bounds);
    stacker::maybe_grow(bytes, bytes, work)
}

/// A plan, or another tree, that can be dropped on any thread.
#[derive(Debug)]
pub(crate) struct DeepPlan<T: Default = LogicalPlan> {
    tree: T,
    depth: usize,
}

impl<T: Default> DeepPlan<T> {
    /// A tree of a statement of that depth.
    pub(crate) fn new(tree: T, depth: usize) -> Self {
        Self { tree, depth }
    }

    /// Depth of the statement.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }
}

impl<T: Default> Deref for DeepPlan<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.tree
    }
}

impl<T: Default> Drop for DeepPlan<T> {
    fn drop(&mut self) {
        let tree = std::mem::take(&mut self.tree);
        let bytes = self.depth.saturating_mul(DROP_BYTES).saturating_add(DROP_BASE_BYTES);
        stacker::maybe_grow(bytes, bytes, || drop(tree));
    }
}
