//! How much memory may the functions of a statement take? What a function makes is foretold from its arguments,
//! made in pieces of bounded size, and counted for as long as it is held.
//!
//! ```text
//! arguments ─extent─► bytes of every row ─formula─► over the bound of a value? refused before it is made
//!                                                 └► few rows at a time ─► counted ─► one column
//! ```
//!
//! - `function`: any function with that around it, `call`: its calls, `joined`: `||` as one; `rule` puts it around all of a plan.
//! - `patterns`: how long those of texts may be.
//! - `extent`, `formula`: how large arguments are, and what functions make of them.
//! - `allowance`: the bounds, and where a function finds them, the memory and the word to stop.
//! - `ceiling`: memory that is not given out while the process holds too much.
//! - `pace`: how many rows a call takes, by the time that calls take.
//! - `width`: how many rows travel together where single values are large; `planner` makes plans that keep to it.
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
