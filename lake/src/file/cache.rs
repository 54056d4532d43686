//! The cache of open files: their page indexes and dictionaries stay in memory up to a bound, decompressed pages up to
//! another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::OpenFile;
use super::page_cache::{PageCache, Pages};
use super::source::Handles;
use crate::cache_use::{CacheCounts, CacheUse};
use crate::store::LakeStore;
use crate::{FileEntry, FilePath, Result, TableSchema};

/// File handles kept open at once: well below the 1,024 that a process may have by default.
const HANDLES_MAX: usize = 256;

/// A cache of open files. The least recently used are evicted when the bytes they hold exceed the capacity; a reader
/// that holds an evicted file can go on reading it.
#[derive(Debug)]
pub struct FileCache {
    capacity: usize,
    files: RwLock<HashMap<FilePath, Slot>>,
    /// Bytes of all open files, also of those that left but are still held.
    used: Arc<AtomicUsize>,
    /// Counts uses, to know which was last.
    uses: AtomicU64,
    counts: CacheCounts,
    handles: Arc<Handles>,
    pages: Arc<PageCache>,
}

#[derive(Debug)]
struct Slot {
    file: Arc<OpenFile>,
    used_at: AtomicU64,
}

impl FileCache {
    /// A cache that keeps about `capacity_bytes` in memory, and no pages.
    pub fn new(capacity_bytes: usize) -> Arc<Self> {
        Self::with_pages(capacity_bytes, 0)
    }

    /// A cache that keeps about `capacity_bytes` of the metadata of files, and at most `page_bytes` of their unpacked
    /// pages: those that reads of few keys asked for twice.
    pub fn with_pages(capacity_bytes: usize, page_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity: capacity_bytes,
            files: RwLock::new(HashMap::new()),
            used: Arc::new(AtomicUsize::new(0)),
            uses: AtomicU64::new(0),
            counts: CacheCounts::default(),
            handles: Handles::new(HANDLES_MAX),
            pages: PageCache::new(page_bytes),
        })
    }

    /// How often a file was open already, and what the open ones hold.
    pub fn cache_use(&self) -> CacheUse {
        self.counts.with_bytes(self.used_bytes() as u64, self.capacity as u64)
    }

    /// How often a page was decompressed already, for reads that look for it, and what the pages hold.
    pub fn page_cache_use(&self) -> CacheUse {
        self.pages.cache_use()
    }

    /// Bytes that decompressed pages take in memory.
    pub fn page_bytes(&self) -> usize {
        self.pages.used_bytes()
    }

    /// Bytes that open files hold in memory besides.
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The file of `entry` in the table that lives in `store`. Its footer is read if it is not in memory; on a
    /// local disk that and all later reads happen on the calling thread, without waiting for another.
    ///
    /// # Errors
    /// Not found if the file is missing, damage if its end is not what was written or does not fit the entry.
    pub async fn open(
        &self,
        store: &LakeStore,
        schema: &Arc<TableSchema>,
        entry: &Arc<FileEntry>,
    ) -> Result<Arc<OpenFile>> {
        if self.used_bytes() > self.capacity {
            self.evict();
        }
        if let Some(file) = self.counts.count(self.find(&entry.path)) {
            return Ok(file);
        }
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
        let pages = Pages { cache: Arc::clone(&self.pages), file: use_number };
        let file = OpenFile::open(store, schema, entry, &self.handles, &self.used, pages).await?;
        let (file, used_at) = (Arc::new(file), AtomicU64::new(use_number));
        let slot = Slot { file: Arc::clone(&file), used_at };
        // If another reader opened it meanwhile, the later copy stays: both read the same bytes.
        self.files.write().insert(entry.path, slot);
        Ok(file)
    }

    fn find(&self, path: &FilePath) -> Option<Arc<OpenFile>> {
        let files = self.files.read();
        let slot = files.get(path)?;
        slot.used_at.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&slot.file))
    }

    /// Lets the least recently used files go until an eighth of the capacity is free, so that the next
    /// evictions are far.
    fn evict(&self) {
        let mut files = self.files.write();
        let mut surplus = self.used_bytes().saturating_sub(self.capacity - self.capacity / 8);
        let mut by_use: Vec<_> = files
            .iter()
            .map(|(path, slot)| (slot.used_at.load(Ordering::Relaxed), *path, slot.file.bytes()))
            .collect();
        by_use.sort_unstable_by_key(|&(used_at, ..)| used_at);
        for (_, path, bytes) in by_use {
            if surplus == 0 {
                break;
            }
            files.remove(&path);
            surplus = surplus.saturating_sub(bytes);
        }
    }
}
