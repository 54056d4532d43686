//! The time of access, which the program that serves provides.

use std::fmt;

use barograph_lake::{Span, Timestamp};

/// A source of time.
///
/// 1. `now` is UTC, and may step: expiry and records count by it.
/// 2. `elapsed` is the time that has passed since a beginning of its own, and never steps: rates count by it.
pub trait Time: fmt::Debug + Send + Sync {
    /// The current instant.
    fn now(&self) -> Timestamp;

    /// Time that has passed.
    fn elapsed(&self) -> Span;
}
