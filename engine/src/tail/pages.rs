//! The pages of the tail: the memory of its rows and texts.
//!
//! Pages consist of 64-bit words that never move and are never written twice, so that the writer appends while
//! readers read. A reader knows from its view how far it may look; the words below that mark were written before the
//! view was made. The words are atomics with relaxed order, which cost the same as plain ones here and need no
//! `unsafe`.
//!
//! ```text
//! page      0      1      2       …  11           12            13 …
//! units     0..4   4..8   8..16   …  4096..8192   8192..16384   16384..24576
//! ```
//!
//! A unit is a row, or one word of text. Pages double until they hold [`FULL_PAGE`] units: an hour of
//! three rows costs one page of four, a full hour wastes less than one full page.

#![expect(
    clippy::indexing_slicing,
    reason = "units are numbered as they are written, and pages hold whole units"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};

/// Words of one page.
type Page = Arc<[AtomicU64]>;

const FIRST_PAGE_BITS: u32 = 2;
const FULL_PAGE_BITS: u32 = 13;
/// Units in every page from the point where pages stop doubling.
const FULL_PAGE: u32 = 1 << FULL_PAGE_BITS;

/// The pages as readers see them. Grows; only [`PagesWriter`] changes it.
#[derive(Debug)]
pub(super) struct Pages {
    stride: usize,
    list: ArcSwap<Vec<Page>>,
}

/// The pages at one instant: every unit that had been written by then, and perhaps more.
pub(super) struct OpenPages {
    stride: usize,
    list: Guard<Arc<Vec<Page>>>,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct PagesWriter {
    stride: usize,
    list: Arc<Vec<Page>>,
    units: u32,
    bytes: usize,
}

impl Pages {
    /// No pages yet, for units of `stride` words, with their one writer.
    pub(super) fn new(stride: usize) -> (Self, PagesWriter) {
        let list = Arc::new(Vec::new());
        let writer = PagesWriter { stride, list: Arc::clone(&list), units: 0, bytes: 0 };
        (Self { stride, list: ArcSwap::new(list) }, writer)
    }

    /// The pages of this instant.
    pub(super) fn open(&self) -> OpenPages {
        OpenPages { stride: self.stride, list: self.list.load() }
    }
}

impl OpenPages {
    /// The words of one unit. `unit` comes from a mark, head or link published after the unit was
    /// written and before these pages were opened: its page is there.
    #[inline]
    pub(super) fn unit(&self, unit: u32) -> &[AtomicU64] {
        let (page, offset) = locate(unit);
        let start = offset * self.stride;
        &self.list[page][start..start + self.stride]
    }
}

impl PagesWriter {
    /// Writes a unit of `stride` words and gives its number. The caller keeps the number of units
    /// below `u32::MAX`.
    #[inline]
    pub(super) fn push(&mut self, pages: &Pages, words: &[u64]) -> u32 {
        let unit = self.units;
        let (page, offset) = locate(unit);
        if page == self.list.len() {
            self.add_page(pages);
        }
        let start = offset * self.stride;
        for (cell, &word) in self.list[page][start..start + self.stride].iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
        self.units += 1;
        unit
    }

    /// The words of a unit written before.
    #[inline]
    pub(super) fn unit(&self, unit: u32) -> &[AtomicU64] {
        let (page, offset) = locate(unit);
        let start = offset * self.stride;
        &self.list[page][start..start + self.stride]
    }

    /// Units written.
    pub(super) fn units(&self) -> u32 {
        self.units
    }

    /// Bytes taken from the allocator.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cold]
    fn add_page(&mut self, pages: &Pages) {
        let words = capacity(self.list.len()) * self.stride;
        let page: Page = (0..words).map(|_| AtomicU64::new(0)).collect();
        let mut list = Vec::with_capacity(self.list.len() + 1);
        list.extend(self.list.iter().cloned());
        list.push(page);
        // The counters of the page's Arc and its place in the list.
        self.bytes += words * size_of::<AtomicU64>() + 2 * size_of::<usize>() + size_of::<Page>();
        self.list = Arc::new(list);
        pages.list.store(Arc::clone(&self.list));
    }
}

/// Page and place in it of a unit.
#[inline]
fn locate(unit: u32) -> (usize, usize) {
    if unit >= FULL_PAGE {
        let page = (unit >> FULL_PAGE_BITS) + FULL_PAGE_BITS - FIRST_PAGE_BITS;
        return (page as usize, (unit & (FULL_PAGE - 1)) as usize);
    }
    match (unit >> FIRST_PAGE_BITS).checked_ilog2() {
        None => (0, unit as usize),
        Some(page) => (page as usize + 1, (unit - (1 << (page + FIRST_PAGE_BITS))) as usize),
    }
}

/// Units that page number `page` holds.
fn capacity(page: usize) -> usize {
    let doublings = (page as u32).saturating_sub(1).min(FULL_PAGE_BITS - FIRST_PAGE_BITS);
    let bits = FIRST_PAGE_BITS + doublings;
    1 << bits.min(FULL_PAGE_BITS)
}

impl std::fmt::Debug for OpenPages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenPages").field("pages", &self.list.len()).finish_non_exhaustive()
    }
}

/// Text in a heap of words: eight bytes a word, each string from a word of its own.
pub(super) mod text {
    use super::{OpenPages, Ordering, Pages, PagesWriter};

    /// Words a string takes.
    pub(in super::super) fn words(bytes: usize) -> usize {
        bytes.div_ceil(8)
    }

    /// Bytes of so many words.
    pub(in super::super) fn bytes(words: u32) -> usize {
        words as usize * 8
    }

    /// Bytes of the text that `word` finds.
    pub(in super::super) fn length(word: u64) -> usize {
        word as u32 as usize
    }

    /// Writes `text` and gives the word that finds it again. The caller keeps the heap below
    /// `u32::MAX` words.
    pub(in super::super) fn push(writer: &mut PagesWriter, pages: &Pages, text: &[u8]) -> u64 {
        let place = writer.units();
        for bytes in text.chunks(8) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            writer.push(pages, &[u64::from_le_bytes(word)]);
        }
        u64::from(place) << 32 | text.len() as u64
    }

    /// Appends the text that `word` finds to `out`.
    pub(in super::super) fn append_to(pages: &OpenPages, word: u64, out: &mut Vec<u8>) {
        let (place, mut left) = ((word >> 32) as u32, length(word));
        let mut unit = place;
        while left > 0 {
            let bytes = pages.unit(unit)[0].load(Ordering::Relaxed).to_le_bytes();
            let some = left.min(8);
            out.extend_from_slice(&bytes[..some]);
            left -= some;
            unit += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn units_fill_the_pages_one_after_another() {
        let (mut page, mut offset) = (0, 0);
        for unit in 0..5 * FULL_PAGE {
            assert_eq!(locate(unit), (page, offset), "unit {unit}");
            offset += 1;
            if offset == capacity(page) {
                (page, offset) = (page + 1, 0);
            }
        }
    }

    #[test]
    fn what_was_written_is_read_by_old_and_new_openings() {
        let (pages, mut writer) = Pages::new(2);
        let mut opened = Vec::new();
        for i in 0..20_000u64 {
            let unit = writer.push(&pages, &[i, !i]);
            assert_eq!(u64::from(unit), i);
            if i % 3_000 == 0 {
                opened.push((unit, pages.open()));
            }
        }
        for (last, pages) in opened {
            for unit in 0..=last {
                let words = pages.unit(unit);
                assert_eq!(words[0].load(Ordering::Relaxed), u64::from(unit));
                assert_eq!(words[1].load(Ordering::Relaxed), !u64::from(unit));
            }
        }
    }

    #[test]
    fn text_of_every_length_survives() {
        let (pages, mut writer) = Pages::new(1);
        let texts: Vec<String> =
            (0..300).map(|n| "aé∂😀b".chars().cycle().take(n).collect()).collect();
        let words: Vec<u64> =
            texts.iter().map(|t| text::push(&mut writer, &pages, t.as_bytes())).collect();
        let open = pages.open();
        for (expected, word) in texts.iter().zip(words) {
            let mut bytes = Vec::new();
            text::append_to(&open, word, &mut bytes);
            assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
        }
    }
}
