//! Fuzz targets on stable Rust: inputs made from seeds by a deterministic mutator, each run under bounds of memory and
//! of work, and kept where it fails.
//!
//! ```text
//! seeds (files, generated) ─► pool ─► mutator ─► mend ─► check ─► accepted, refused with a message, or a failure
//!                              ▲                            │
//!                              └── inputs of a new outcome ◄┘
//! ```
//! A target is a test of the crate whose internals it needs; it depends on nothing of Barograph, so that the lowest crate
//! can use it. `docs/security-testing.md` tells how targets are run for longer, and how a failure is replayed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod current;
mod memory;
mod mutate;
mod pool;
mod target;

pub use memory::Allocator;
pub use target::{Refusal, Target, folder};

/// A number that the environment may set: rounds, kills or seeds beyond those of the gate, or the seed of a run.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
