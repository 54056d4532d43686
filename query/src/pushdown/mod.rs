//! Pushdown: conditions and groupings that a scan decides and computes itself, before rows are made.
//!
//! - `translate`, `values`: conditions in the filter language of tickets.
//! - `dynamic`: conditions that a plan finds while it runs.
//! - `windows`, `hours`: groupings by key and window of time, and hour by hour.

pub(crate) mod dynamic;
pub(crate) mod hours;
pub(crate) mod translate;
pub(crate) mod values;
pub(crate) mod windows;
