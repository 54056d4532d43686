//! Which pages stay in memory as they are once unpacked? Those that reads of few keys came by, as far as they fit.
//!
//! Programs ask for the same cities over and over. What was unpacked for one answer is there for the next, which
//! then neither reads nor unpacks. Who reads everything asks for none of it and drives nothing out.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::KeySelection;

/// Reads of more keys than this go past the cache.
const KEYS_MAX: usize = 64;
/// What a page takes besides its content, roughly.
const OVERHEAD_BYTES: u64 = 128;
/// What a page takes, roughly: the cache's tables are made for so many.
const USUAL_BYTES: usize = 8 << 10;

/// The content of a data page, checked and unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
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

/// Unpacked pages of files that are open, in a bounded number of bytes.
#[derive(Debug)]
pub(super) struct PageCache(Option<Cache<PageId, Arc<Unpacked>, Bytes>>);

/// The pages of one file.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) cache: Arc<PageCache>,
    /// A number that no other file has.
    pub(super) file: u64,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<PageId, Arc<Unpacked>> for Bytes {
    fn weight(&self, _: &PageId, page: &Arc<Unpacked>) -> u64 {
        page.content.len() as u64 + OVERHEAD_BYTES
    }
}

impl PageCache {
    /// A cache that holds at most `capacity_bytes`; none with 0.
    pub(super) fn new(capacity_bytes: usize) -> Arc<Self> {
        let cache =
            || Cache::with_weighter(capacity_bytes / USUAL_BYTES, capacity_bytes as u64, Bytes);
        Arc::new(Self((capacity_bytes > 0).then(cache)))
    }

    /// Bytes that its pages take.
    pub(super) fn used_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |cache| cache.weight() as usize)
    }
}

impl Pages {
    /// Whether a read of `keys` looks for pages here, and leaves them.
    pub(super) fn serve(&self, keys: &KeySelection) -> bool {
        self.cache.0.is_some() && matches!(keys, KeySelection::List(keys) if keys.len() <= KEYS_MAX)
    }

    pub(super) fn get(&self, column: usize, page: usize) -> Option<Arc<Unpacked>> {
        self.cache.0.as_ref()?.get(&PageId { file: self.file, column, page })
    }

    pub(super) fn keep(&self, column: usize, page: usize, unpacked: Arc<Unpacked>) {
        if let Some(cache) = &self.cache.0 {
            cache.insert(PageId { file: self.file, column, page }, unpacked);
        }
    }
}
