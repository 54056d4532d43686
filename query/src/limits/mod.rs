//! Limits of statements: how large they may be, on which threads they run, and how much memory and disk they may take.
//!
//! - `bounds`, `stack`: depth and size of a statement, and the stack for them.
//! - `executors`, `planning`, `interruptible`, `stop`: the threads on which a statement is planned and runs, and how it
//!   is stopped there.
//! - `function_memory`, `guard`, `spill`: memory of functions, memory of operators, and files on disk.
//! - `gate`: which statements run, and whose turn it is.
//! - `queries`: the running statements, and the last finished ones.

pub(crate) mod bounds;
pub(crate) mod executors;
pub(crate) mod function_memory;
pub(crate) mod gate;
pub(crate) mod guard;
pub(crate) mod interruptible;
pub(crate) mod planning;
pub(crate) mod queries;
pub(crate) mod spill;
pub(crate) mod stack;
pub(crate) mod stop;
