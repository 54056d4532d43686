//! The binary `barograph`.

use std::ffi::{c_int, c_long};

use barograph_engine::allocations::Counting;

/// Serving allocates and frees message buffers all the time, which mimalloc gives back and takes again
/// without page faults; what each thread holds is counted, which bounds the planning of statements.
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

/// `mi_option_purge_delay` of mimalloc 3 (`mimalloc.h`): milliseconds for which freed memory is kept for the next
/// who asks, before the system gets it back.
const PURGE_DELAY: c_int = 15;
/// A tenth of mimalloc's default, which made compaction a quarter larger and nothing faster.
const PURGE_DELAY_MILLIS: c_long = 100;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

fn main() -> std::process::ExitCode {
    // SAFETY: an option may be set as long as no other thread runs; the number is one of mimalloc's.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MILLIS) };
    barograph::run()
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn mi_option_get(option: c_int) -> c_long;
    }

    #[test]
    fn the_option_is_that_of_the_allocator() {
        // SAFETY: it reads a number.
        let default = unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(default, 1_000, "mimalloc counts its options in another way now");
    }
}
