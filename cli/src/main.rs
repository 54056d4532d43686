//! The binary `barograph`: its allocators, and its entry point.

use std::ffi::{c_int, c_long};

use barograph_engine::internal::CountingAllocator;

#[cfg(target_arch = "x86_64")]
mod processor;

/// Serving allocates and frees message buffers all the time, which mimalloc gives back and takes again
/// without page faults; what each thread holds is counted, which bounds the planning of statements.
#[global_allocator]
static ALLOCATOR: CountingAllocator<mimalloc::MiMalloc> = CountingAllocator(mimalloc::MiMalloc);

/// `mi_option_purge_delay` of mimalloc 3 (`mimalloc.h`): milliseconds for which freed memory is kept for the next
/// allocation before the system gets it back.
const PURGE_DELAY: c_int = 15;
/// A tenth of mimalloc's default, which made compaction a quarter larger and nothing faster.
const PURGE_DELAY_MILLIS: c_long = 100;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

/// The C library's allocator, which zstd takes its contexts from: up to 16 MiB each, taken and freed on whichever
/// thread compresses. By default it has eight arenas per processor, and keeps up to 64 MiB free at the end of each.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod c_library {
    use std::ffi::c_int;

    /// `M_TRIM_THRESHOLD` of `malloc.h`: bytes that stay free at the end of an arena.
    const TRIM_THRESHOLD: c_int = -1;
    /// `M_MMAP_THRESHOLD`: larger blocks go back to the system when they are freed.
    const MMAP_THRESHOLD: c_int = -3;
    /// `M_ARENA_MAX`: how many arenas there are.
    const ARENA_MAX: c_int = -8;
    /// What zstd takes for a page of a foreign Parquet file is less, so that it comes back without page faults.
    const KEPT_BYTES: c_int = 4 << 20;
    /// Nothing that is taken here is taken often.
    const ARENAS: c_int = 2;

    unsafe extern "C" {
        fn mallopt(option: c_int, value: c_int) -> c_int;
    }

    /// Bounds what is kept of freed memory; whether all of that is known to the library.
    pub(super) fn bound() -> bool {
        let bounds =
            [(MMAP_THRESHOLD, KEPT_BYTES), (TRIM_THRESHOLD, KEPT_BYTES), (ARENA_MAX, ARENAS)];
        // SAFETY: it may be called at any time; what it does not know it refuses.
        bounds.iter().all(|&(option, value)| unsafe { mallopt(option, value) } == 1)
    }
}

fn main() -> std::process::ExitCode {
    // SAFETY: an option may be set as long as no other thread runs; the number is one of mimalloc's.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MILLIS) };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    c_library::bound();
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

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    #[allow(clippy::unwrap_used)]
    fn what_threads_free_in_the_c_library_does_not_stay_with_each_of_them() {
        use std::ffi::c_void;
        use std::sync::Barrier;

        const THREADS: usize = 16;
        const BYTES: usize = 12 << 20;

        unsafe extern "C" {
            fn malloc(bytes: usize) -> *mut c_void;
            fn free(block: *mut c_void);
        }
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
        };
        assert!(c_library::bound());
        let before = resident();
        let all_freed = Barrier::new(THREADS + 1);
        let work = || {
            for _ in 0..3 {
                // SAFETY: any number of bytes may be asked for.
                let block = unsafe { malloc(BYTES) };
                assert!(!block.is_null());
                // SAFETY: the block is as long as what is written.
                unsafe { block.write_bytes(1, BYTES) };
                // SAFETY: the block was just taken, and is freed once.
                unsafe { free(std::hint::black_box(block)) };
            }
            all_freed.wait();
            all_freed.wait();
        };
        let kept = std::thread::scope(|scope| {
            (0..THREADS).for_each(|_| drop(scope.spawn(work)));
            all_freed.wait();
            let kept = resident().saturating_sub(before);
            all_freed.wait();
            kept
        });
        assert!(kept < 2 * (BYTES >> 20), "{kept} MiB of {THREADS} threads");
    }
}
