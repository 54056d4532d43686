//! Memory of functions: the size of a function's result is predicted from its arguments, produced in pieces of bounded
//! size, and counted for as long as it is held.
//!
//! ```text
//! arguments ─extent─► bytes of every row ─formula─► over the bound of a value? refused before it is made
//!                                                 └► few rows at a time ─► counted ─► one column
//! ```
//!
//! - `function`: the bounded function, `call` its calls, `concat` the operator `||` as a function; `rule` bounds all
//!   functions of a plan.
//! - `patterns`: the length of text patterns.
//! - `extent`, `formula`: the sizes of arguments, and what functions make of them.
//! - `function_limits`: the bounds, the memory pool and the stop flag, and where a function finds them.
//! - `process_limit`: the memory limit of the process.
//! - `pace`: rows per call, by the time that calls take.
//! - `width`: rows per batch where single values are large; `planner` makes plans that keep to it.
//! - `pieces`: batches cut into fewer rows, and long lists into shorter ones before they are unnested.

mod call;
mod concat;
mod extent;
mod formula;
mod function;
mod function_limits;
mod pace;
mod patterns;
mod pieces;
mod planner;
mod process_limit;
mod rule;
mod width;

pub(crate) use function_limits::FunctionLimits;
pub(crate) use planner::Narrowing;
pub(crate) use process_limit::ProcessLimitedPool;
pub(crate) use rule::{BoundedFunctions, BoundedStructs, all, expression};
