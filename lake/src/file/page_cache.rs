//! The page cache: decompressed pages that reads of few keys asked for twice, in a bounded number of bytes.
//!
//! Programs ask for the same cities over and over. A page that was decompressed for one answer serves the next, which
//! then neither reads nor decompresses. Reads of many keys neither use the cache nor evict from it; a page that is
//! asked for once costs a look at the list of recent requests.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};

use crate::KeySelection;
use crate::cache_use::{CacheCounts, CacheUse};

/// Reads of more keys than this go past the cache.
const KEYS_MAX: usize = 64;
/// What a page takes besides its content, roughly.
const OVERHEAD_BYTES: u64 = 128;
/// What a page takes, roughly: the cache's tables are made for so many.
const USUAL_BYTES: usize = 8 << 10;

/// Recently requested pages that share a place in the list.
const WAYS: usize = 4;

/// The content of a data page, checked and decompressed.
#[derive(Debug)]
pub(super) struct DecompressedPage {
    /// Parquet's encoding of the values.
    pub(super) encoding: i32,
    /// Rows that the page says to have.
    pub(super) rows: u32,
    /// Levels, if the column may hold nulls, and values.
    pub(super) content: Vec<u8>,
}

/// Names a page of a file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PageId {
    /// See [`Pages::file`].
    pub(super) file: u64,
    pub(super) column: usize,
    pub(super) page: usize,
}

/// Decompressed pages of files that are open, in a bounded number of bytes.
#[derive(Debug)]
pub(super) struct PageCache(Option<Cached>);

struct Cached {
    pages: Cache<PageId, Arc<DecompressedPage>, Bytes>,
    /// Hashes of the pages requested recently, newest first in each place.
    recent: Box<[[AtomicU32; WAYS]]>,
    hasher: DefaultHashBuilder,
    capacity: u64,
    counts: CacheCounts,
}

/// The pages of one file.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) cache: Arc<PageCache>,
    /// A number that no other file has.
    pub(super) file: u64,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<PageId, Arc<DecompressedPage>> for Bytes {
    fn weight(&self, _: &PageId, page: &Arc<DecompressedPage>) -> u64 {
        page.content.len() as u64 + OVERHEAD_BYTES
    }
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl PageCache {
    /// A cache that holds at most `capacity_bytes`; none with 0.
    pub(super) fn new(capacity_bytes: usize) -> Arc<Self> {
        let cached = || {
            let usual = capacity_bytes / USUAL_BYTES;
            let places = (2 * usual / WAYS).next_power_of_two();
            Cached {
                pages: Cache::with_weighter(usual, capacity_bytes as u64, Bytes),
                recent: (0..places).map(|_| Default::default()).collect(),
                hasher: DefaultHashBuilder::default(),
                capacity: capacity_bytes as u64,
                counts: CacheCounts::default(),
            }
        };
        Arc::new(Self((capacity_bytes > 0).then(cached)))
    }

    /// What it holds, and how often it was of use.
    pub(super) fn cache_use(&self) -> CacheUse {
        let of = |cached: &Cached| cached.counts.with_bytes(cached.pages.weight(), cached.capacity);
        self.0.as_ref().map(of).unwrap_or_default()
    }

    /// Bytes that its pages take.
    pub(super) fn used_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |cached| cached.pages.weight() as usize)
    }
}

impl Pages {
    /// Whether a read of `keys` looks for pages here, and leaves them.
    pub(super) fn applies_to(&self, keys: &KeySelection) -> bool {
        self.cache.0.is_some() && matches!(keys, KeySelection::List(keys) if keys.len() <= KEYS_MAX)
    }

    /// A page that is in memory.
    pub(super) fn get(&self, column: usize, page: usize) -> Option<Arc<DecompressedPage>> {
        let cached = self.cache.0.as_ref()?;
        cached.counts.count(cached.pages.get(&self.id(column, page)))
    }

    /// Whether a page that is not in memory was requested recently, before this time.
    #[expect(
        clippy::indexing_slicing,
        reason = "the number of places is a power of two, and each has as many marks as there are ways"
    )]
    pub(super) fn was_requested(&self, column: usize, page: usize) -> bool {
        self.cache.0.as_ref().is_some_and(|cached| {
            let hash = cached.hasher.hash_one(self.id(column, page));
            let place = &cached.recent[hash as usize & (cached.recent.len() - 1)];
            let mark = (hash >> 32) as u32;
            if place.iter().any(|asked| asked.load(Ordering::Relaxed) == mark) {
                return true;
            }
            // Another thread may change the place meanwhile: then one of the marks is lost.
            for at in (1..WAYS).rev() {
                place[at].store(place[at - 1].load(Ordering::Relaxed), Ordering::Relaxed);
            }
            place[0].store(mark, Ordering::Relaxed);
            false
        })
    }

    /// Leaves a page for those who ask next.
    pub(super) fn insert(&self, column: usize, page: usize, decompressed: Arc<DecompressedPage>) {
        if let Some(cached) = &self.cache.0 {
            cached.pages.insert(self.id(column, page), decompressed);
        }
    }

    fn id(&self, column: usize, page: usize) -> PageId {
        PageId { file: self.file, column, page }
    }
}
