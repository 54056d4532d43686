//! The memory that an input takes on its thread: the most that is held at one time, and how often it is allocated, which
//! is a measure of work that no machine changes.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use crate::current;

thread_local! {
    // Without destructors, so that they may be read and written at any time of a thread's life.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// An allocator that counts what the calling thread holds, and refuses what no input is worth. It is the global one of
/// the tests of a crate with targets.
#[derive(Debug)]
pub struct Allocator<A>(pub A);

/// What one input took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Most bytes held at one time.
    pub(crate) bytes: usize,
    /// Allocations.
    pub(crate) allocations: u64,
}

/// Runs `work` and counts what it takes; an allocation of more than `largest` bytes fails.
pub(crate) fn counted<T>(largest: usize, work: impl FnOnce() -> T) -> (T, Taken) {
    let (before, count) = (HELD.get(), COUNT.get());
    PEAK.set(before);
    LARGEST.set(largest);
    let done = work();
    LARGEST.set(usize::MAX);
    let bytes = PEAK.get().saturating_sub(before).max(0).cast_unsigned();
    (done, Taken { bytes, allocations: COUNT.get() - count })
}

/// Whether the allocator counts.
pub(crate) fn is_counting() -> bool {
    let before = COUNT.get();
    drop(std::hint::black_box(Box::new(7_u64)));
    COUNT.get() != before
}

#[inline]
fn count(bytes: isize) {
    let held = HELD.get().wrapping_add(bytes);
    HELD.set(held);
    if held > PEAK.get() {
        PEAK.set(held);
    }
}

/// Whether a block may be given. Of one that may not, the input is kept first: the process may end by it.
#[inline]
fn may_give(bytes: usize) -> bool {
    COUNT.set(COUNT.get().wrapping_add(1));
    if bytes <= LARGEST.get() {
        return true;
    }
    LARGEST.set(usize::MAX);
    current::keep(&format!("it asks for {bytes} bytes at once"));
    false
}

// SAFETY: what is not refused is passed on as it is; counting neither allocates nor unwinds, and an input is kept by
// blocks that are not counted as those of this one.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Allocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !may_give(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's.
        let memory = unsafe { self.0.alloc(layout) };
        if !memory.is_null() {
            count(layout.size().cast_signed());
        }
        memory
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !may_give(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's.
        let memory = unsafe { self.0.alloc_zeroed(layout) };
        if !memory.is_null() {
            count(layout.size().cast_signed());
        }
        memory
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size().cast_signed().wrapping_neg());
        // SAFETY: the caller's.
        unsafe { self.0.dealloc(memory, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !may_give(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's.
        let moved = unsafe { self.0.realloc(memory, layout, size) };
        if !moved.is_null() {
            count(size.cast_signed().wrapping_sub(layout.size().cast_signed()));
        }
        moved
    }
}
