//! The priority of background threads: a thread of low priority gets a smaller share of busy processors, and
//! yields to others every millisecond.
//!
//! The share alone does not help work that is measured in milliseconds: the kernel often lets a thread run to its next
//! tick, whatever its share.

use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How much less of busy processors a thread gets: a tenth, where both want all they can get (`nice` of
/// POSIX). Threads that it starts inherit it.
const NICENESS: i32 = 10;

/// How long a thread works before it yields again. A kernel that takes a yield for the end of a turn gives the thread
/// one turn of some 3 ms for each: a thread that yields much more often than that hardly gets on beside others.
const TIME_SLICE: Duration = Duration::from_millis(1);

thread_local! {
    static LOW_PRIORITY: Cell<bool> = const { Cell::new(false) };
    static YIELDED_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Lowers the priority of the calling thread from here on.
///
/// # Errors
/// If the system refuses a lower priority: the thread yields between pages all the same.
pub fn lower_priority() -> io::Result<()> {
    LOW_PRIORITY.set(true);
    rustix::process::nice(NICENESS)?;
    Ok(())
}

/// Whether the calling thread has lowered its priority.
#[inline]
pub(crate) fn has_low_priority() -> bool {
    LOW_PRIORITY.get()
}

/// Gives the calling thread the priority of the one that started it.
pub(crate) fn inherit(has_low_priority: bool) {
    LOW_PRIORITY.set(has_low_priority);
}

/// Lets others run, if the calling thread has low priority and has worked for a millisecond since it last did: to be
/// called every tenth of a millisecond or so.
#[inline]
pub fn yield_if_background() {
    if has_low_priority() && slice_is_over() {
        thread::yield_now();
        YIELDED_AT.set(Some(now()));
    }
}

fn slice_is_over() -> bool {
    let Some(before) = YIELDED_AT.get() else {
        YIELDED_AT.set(Some(now()));
        return false;
    };
    now().duration_since(before) >= TIME_SLICE
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long the processor was held, whatever a clock says"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_lowers_its_own_priority_alone() {
        let lowered = thread::spawn(|| {
            let before = has_low_priority();
            lower_priority().unwrap();
            yield_if_background();
            let child = thread::spawn(has_low_priority).join().unwrap();
            (before, has_low_priority(), child)
        });
        assert_eq!(lowered.join().unwrap(), (false, true, false));
        assert!(!has_low_priority());
    }
}
