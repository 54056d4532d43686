//! The priority of background threads: a thread that has stepped back gets a smaller share of busy processors, and
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

/// How long a thread works before it gives way again. A kernel that takes a yield for the end of a turn gives the thread
/// one turn of some 3 ms for each: a thread that yields much more often than that hardly gets on beside others.
const TURN: Duration = Duration::from_millis(1);

thread_local! {
    static STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
    static GAVE_WAY: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Lowers the priority of the calling thread from here on.
///
/// # Errors
/// If the system refuses a lower priority: the thread gives way between pages all the same.
pub fn step_back() -> io::Result<()> {
    STEPPED_BACK.set(true);
    rustix::process::nice(NICENESS)?;
    Ok(())
}

/// Whether the calling thread has stepped back.
#[inline]
pub fn has_stepped_back() -> bool {
    STEPPED_BACK.get()
}

/// Says of the calling thread that it stepped back, as the one did that started it.
pub(crate) fn inherit(has_stepped_back: bool) {
    STEPPED_BACK.set(has_stepped_back);
}

/// Lets others run, if the calling thread has stepped back and has worked for a millisecond since it last did: to be
/// called every tenth of a millisecond or so.
#[inline]
pub fn give_way() {
    if has_stepped_back() && turn_is_over() {
        thread::yield_now();
        GAVE_WAY.set(Some(now()));
    }
}

fn turn_is_over() -> bool {
    let Some(before) = GAVE_WAY.get() else {
        GAVE_WAY.set(Some(now()));
        return false;
    };
    now().duration_since(before) >= TURN
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
    fn a_thread_steps_back_alone() {
        let stepped = thread::spawn(|| {
            let before = has_stepped_back();
            step_back().unwrap();
            give_way();
            let child = thread::spawn(has_stepped_back).join().unwrap();
            (before, has_stepped_back(), child)
        });
        assert_eq!(stepped.join().unwrap(), (false, true, false));
        assert!(!has_stepped_back());
    }
}
