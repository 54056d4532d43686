//! Invariants of the engine and of the jobs that change its files, held against a naive model: random interleavings
//! with faults and restarts, damage, a full disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod damage;
mod import;
mod jobs;
mod model;
mod several;
mod simulation;
