//! Limits on what statements take, and who runs what.
//!
//! - `bounds`, `stack`: how deep and large a statement may be, and what carries it.
//! - `executors`, `planning`, `interruptible`, `stop`: on which threads it is planned and runs, and how it is stopped there.
//! - `growth`, `guard`: memory of functions, of operators, and files on disk.
//! - `queries`: the statements that run, and the last that did.

pub(crate) mod bounds;
pub(crate) mod executors;
pub(crate) mod growth;
pub(crate) mod guard;
pub(crate) mod interruptible;
pub(crate) mod planning;
pub(crate) mod queries;
pub(crate) mod stack;
pub(crate) mod stop;
