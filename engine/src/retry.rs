//! The retry policy: how long a caller waits that was refused for want of room, by what has to happen before there is
//! some. An error of kind `Resources` says it ([`Error::retry_after`](crate::Error::retry_after)).

use std::time::Duration;

/// A read or a stream that runs comes to its end.
pub const READ_ENDS: Duration = Duration::from_millis(100);
/// An hour lands, which frees its rows' memory in the tail and their space in the log.
pub const HOUR_LANDS: Duration = Duration::from_millis(250);
/// A statement that runs comes to its end.
pub const STATEMENT_ENDS: Duration = Duration::from_millis(500);
/// Several statements end and give their memory back.
pub const MEMORY_FREED: Duration = Duration::from_secs(1);
/// Space of a disk is given back.
pub const SPACE_FREED: Duration = Duration::from_secs(1);
/// Something out of the ordinary comes to its end, such as an operation that cannot be interrupted, or a fault that an
/// operator mends.
pub const FAULT_MENDED: Duration = Duration::from_secs(5);
/// A store that failed answers again.
pub const STORE_ANSWERS: Duration = Duration::from_secs(10);

/// How long to wait after a refusal that says `told`, or nothing.
pub fn wait(told: Option<Duration>) -> Duration {
    told.unwrap_or(HOUR_LANDS)
}
