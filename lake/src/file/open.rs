//! An open file: its end has been read and checked, and its page index is flat in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::footer::{self, Parsed};
use super::index::Index;
use super::page_cache::Pages;
use super::source::{Handles, Source};
use super::{PageColumn, PageKeys};
use crate::store::LakeStore;
use crate::{Error, ErrorKind, FileEntry, Result, TableSchema};

/// Bytes of the end of a file to fetch at first: about what the indexes take of an hour's file.
const END_BYTES_MIN: u64 = 64 << 10;
const END_BYTES_MAX: u64 = 1 << 20;
const END_SHARE: u64 = 32;

/// A file whose footer and page index are in memory.
#[derive(Debug)]
pub struct OpenFile {
    entry: Arc<FileEntry>,
    schema: Arc<TableSchema>,
    index: Index,
    source: Source,
    pages_end: u64,
    memory: Account,
    decompressed: Pages,
}

/// Bytes that a file holds in memory, counted in the cache's sum as long as the file lives.
#[derive(Debug)]
pub(super) struct Account {
    used: Arc<AtomicUsize>,
    bytes: AtomicUsize,
}

impl Account {
    fn new(used: Arc<AtomicUsize>) -> Self {
        Self { used, bytes: AtomicUsize::new(0) }
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

impl OpenFile {
    /// Reads and checks the end of the file.
    pub(super) async fn open(
        store: &LakeStore,
        schema: &Arc<TableSchema>,
        entry: &Arc<FileEntry>,
        handles: &Arc<Handles>,
        used: &Arc<AtomicUsize>,
        decompressed: Pages,
    ) -> Result<Self> {
        let fault = |error: Error| {
            Error::new(error.kind(), format!("data file {} of {}", entry.path, store.url()))
                .with_source(error)
        };
        let source = Source::new(store, &entry.path, handles);
        let guess = (entry.bytes / END_SHARE).clamp(END_BYTES_MIN, END_BYTES_MAX);
        let mut from = entry.bytes.saturating_sub(guess);
        // The first read may miss the footer's start, and the footer then the indexes' start.
        for _ in 0..3 {
            let end =
                source.read(std::slice::from_ref(&(from..entry.bytes))).await.map_err(fault)?;
            let [end] = end.as_slice() else { break };
            match footer::parse(end, entry.bytes).map_err(fault)? {
                Parsed::From(earlier) => from = earlier.min(from),
                Parsed::Done(footer) => {
                    let index = Index::new(&footer, schema, entry).map_err(fault)?;
                    let memory = Account::new(Arc::clone(used));
                    memory.add(index.bytes() + size_of::<Self>());
                    let (entry, schema) = (Arc::clone(entry), Arc::clone(schema));
                    return Ok(Self {
                        entry,
                        schema,
                        index,
                        source,
                        pages_end: footer.pages_end,
                        memory,
                        decompressed,
                    });
                }
            }
        }
        Err(fault(Error::new(ErrorKind::Damage, "the footer does not say where it starts")))
    }

    /// The file's entry in the snapshot.
    pub fn entry(&self) -> &Arc<FileEntry> {
        &self.entry
    }

    /// The table's schema.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Keys and rows of every page, in file order: for cutting a scan into slices of keys.
    pub fn pages(&self) -> &[PageKeys] {
        &self.index.keys
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Pages that are in memory.
    pub(super) fn decompressed(&self) -> &Pages {
        &self.decompressed
    }

    pub(super) fn memory(&self) -> &Account {
        &self.memory
    }

    /// Where the last page ends and the indexes start.
    pub(super) fn pages_end(&self) -> u64 {
        self.pages_end
    }

    pub(super) fn page_rows(&self, page: usize) -> u32 {
        self.index.keys.get(page).map_or(0, |keys| keys.rows)
    }

    pub(super) fn page_column(&self, page: usize, column: usize) -> PageColumn<'_> {
        self.index.column(page, column)
    }
}
