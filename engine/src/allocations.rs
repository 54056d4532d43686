//! The memory of a thread: bytes that it has allocated and not yet freed, counted by the allocator itself.
//!
//! A library that plans, parses or decodes does not report the memory it holds. The binary therefore wraps its
//! allocator in [`CountingAllocator`], and the memory of a piece of work is the difference between two readings of
//! [`held`] on its thread.
//!
//! Nor does such a library yield to other work. It allocates all the time, so that background threads
//! [yield](yield_if_background) in the allocator.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use barograph_lake::internal::yield_if_background;

/// Allocations after which a background thread yields, if its time slice is over.
const TURN: u32 = 256;

thread_local! {
    // Without destructors, so that they may be read and written at any time of a thread's life.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static TAKEN: Cell<u32> = const { Cell::new(0) };
}

/// An allocator that counts the bytes each thread allocates and frees, and lets background threads yield.
#[derive(Debug)]
pub struct CountingAllocator<A>(pub A);

/// Bytes that the calling thread has allocated minus those it has freed: negative where it frees memory of other
/// threads. Always 0 in a program whose allocator is not [`CountingAllocator`].
#[inline]
pub fn held() -> isize {
    HELD.get()
}

#[inline]
fn count(bytes: isize) {
    HELD.set(HELD.get().wrapping_add(bytes));
}

#[inline]
fn count_new(bytes: usize) {
    count(bytes.cast_signed());
    let taken = TAKEN.get().wrapping_add(1);
    TAKEN.set(taken);
    if taken.is_multiple_of(TURN) {
        yield_if_background();
    }
}

// SAFETY: every call is passed on as it is; counting and yielding neither allocate nor unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let memory = unsafe { self.0.alloc(layout) };
        if !memory.is_null() {
            count_new(layout.size());
        }
        memory
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let memory = unsafe { self.0.alloc_zeroed(layout) };
        if !memory.is_null() {
            count_new(layout.size());
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
        // SAFETY: the caller's.
        let moved = unsafe { self.0.realloc(memory, layout, size) };
        if !moved.is_null() {
            count(size.cast_signed().wrapping_sub(layout.size().cast_signed()));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    #[test]
    fn what_is_taken_and_not_given_back_is_counted() {
        let (allocator, before) = (CountingAllocator(System), held());
        let since = || held() - before;
        let layout = Layout::from_size_align(1_000, 8).unwrap();
        let larger = Layout::from_size_align(5_000, 8).unwrap();
        // SAFETY: the layout has a size.
        let first = unsafe { allocator.alloc(layout) };
        assert_eq!(since(), 1_000);
        // SAFETY: the block has this layout, and the new size is not zero.
        let first = unsafe { allocator.realloc(first, layout, larger.size()) };
        assert_eq!(since(), 5_000);
        // SAFETY: the layout has a size.
        let second = unsafe { allocator.alloc_zeroed(layout) };
        assert_eq!(since(), 6_000);
        // SAFETY: the block has this layout since it grew.
        unsafe { allocator.dealloc(first, larger) };
        assert_eq!(since(), 1_000);
        // SAFETY: the block has this layout.
        unsafe { allocator.dealloc(second, layout) };
        assert_eq!(since(), 0);
    }
}
