//! Memory of functions: the size of a function's result is predicted from its arguments, produced in pieces of bounded
//! size, and counted for as long as it is held.
//!
//! ```text
//! arguments ─extent─► bytes of every row ─formula─► over the bound of a value? refused before it is made
//!                                                 └► few rows at a time ─► counted ─► one column
//! ```
//!
//! - `function`: the bounded function, `call` its calls, `joined` the operator `||` as a function; `rule` bounds all
//!   functions of a plan.
//! - `patterns`: the length of text patterns.
//! - `extent`, `formula`: the sizes of arguments, and what functions make of them.
//! - `allowance`: the bounds, the memory pool and the stop flag, and where a function finds them.
//! - `ceiling`: the memory ceiling of the process.
//! - `pace`: rows per call, by the time that calls take.
//! - `width`: rows per batch where single values are large; `planner` makes plans that keep to it.
//! - `pieces`: batches cut into fewer rows, and long lists into shorter ones before they are unnested.

mod allowance;
mod call;
mod ceiling;
mod extent;
mod formula;
mod function;
mod joined;
mod pace;
mod patterns;
mod pieces;
mod planner;
mod rule;
mod width;

pub(crate) use allowance::Allowance;
pub(crate) use ceiling::UnderCeiling;
pub(crate) use planner::Narrowing;
pub(crate) use rule::{BoundedFunctions, BoundedStructs, all, expression};
