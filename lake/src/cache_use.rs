//! The use of a cache: how often what was asked for was there, and how often not.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a cache holds, and how often it was of use since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Requests that were answered from it.
    pub hits: u64,
    /// Requests that were not.
    pub misses: u64,
    /// Bytes that it holds.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub bytes_max: u64,
}

/// Counts the requests to a cache.
#[derive(Debug, Default)]
pub(crate) struct CacheCounts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl CacheCounts {
    /// Counts requests that were answered, and requests that were not.
    pub(crate) fn add(&self, hits: u64, misses: u64) {
        if hits > 0 {
            self.hits.fetch_add(hits, Ordering::Relaxed);
        }
        if misses > 0 {
            self.misses.fetch_add(misses, Ordering::Relaxed);
        }
    }

    /// Counts one request, and passes on its outcome.
    pub(crate) fn count<T>(&self, found: Option<T>) -> Option<T> {
        let hit = u64::from(found.is_some());
        self.add(hit, 1 - hit);
        found
    }

    pub(crate) fn with_bytes(&self, bytes: u64, bytes_max: u64) -> CacheUse {
        CacheUse {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes,
            bytes_max,
        }
    }
}
