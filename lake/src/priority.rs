//! Which work waits for other work? Threads that have stepped back get less of busy processors, and leave a
//! processor to others between two pages.
//!
//! The share alone is not enough for who waits milliseconds: a kernel without preemption lets whoever runs run to its
//! next tick, whatever its share.

use std::cell::Cell;
use std::io;
use std::thread;

/// How much less of busy processors a thread gets: a tenth, where both want all they can get (`nice` of
/// POSIX). Threads that it starts inherit it.
const NICENESS: i32 = 10;

thread_local! {
    static STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
}

/// Lets others go before the calling thread from now on.
///
/// # Errors
/// If the system refuses a lower priority: the thread gives way between pages all the same.
pub fn step_back() -> io::Result<()> {
    STEPPED_BACK.set(true);
    rustix::process::nice(NICENESS)?;
    Ok(())
}

/// Whether the calling thread has stepped back.
pub fn has_stepped_back() -> bool {
    STEPPED_BACK.get()
}

/// Says of the calling thread that it stepped back, as the one did that started it.
pub(crate) fn inherit(has_stepped_back: bool) {
    STEPPED_BACK.set(has_stepped_back);
}

/// Lets others run, if the calling thread has stepped back: to be called every tenth of a millisecond or so.
pub fn give_way() {
    if has_stepped_back() {
        thread::yield_now();
    }
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
