//! The cache of remote data files on a local disk: blocks of files, checked by their checksums whenever they are read.
//!
//! ```text
//! FOLDER/0/lock                                locked by the process that uses this slot; the next one takes FOLDER/1
//! FOLDER/0/BUCKET/lake/readings/hour/….parquet.data    the file, with holes where blocks are not kept
//!                                      ….parquet.sums  8 bytes a block: length and CRC-32, 0 if it is not kept
//! ```
//!
//! A data file never changes under its name, so that what is kept stays right. Nothing is synced: what a crash leaves
//! half-written does not fit its checksum, and is read from the store again. The file that was used least recently goes
//! first, as a whole.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::cache_use::{CacheCounts, CacheUse};

/// Bytes of a block: little enough to be checked in some µs, and many enough for few system calls.
pub(super) const BLOCK: u64 = 64 << 10;
/// Processes that may use one folder at the same time.
const SLOTS: usize = 16;
/// Bytes of the entry of a block.
const SUM: u64 = 8;

/// A cache on the local disk, of one process.
#[derive(Debug)]
pub(super) struct DiskCache {
    folder: PathBuf,
    capacity: u64,
    state: Mutex<State>,
    counts: CacheCounts,
    _lock: File,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, Kept>,
    used: u64,
    uses: u64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: u64,
    used_at: u64,
}

/// How often the blocks of remote files were in the disk caches of this process, and what these hold.
pub fn disk_cache_use() -> CacheUse {
    let open = OPEN.lock();
    let caches = open.iter().filter_map(|(_, cache)| cache.upgrade());
    caches.fold(CacheUse::default(), |sum, cache| {
        let of = cache.counts.with_bytes(cache.state.lock().used, cache.capacity);
        CacheUse {
            hits: sum.hits + of.hits,
            misses: sum.misses + of.misses,
            bytes: sum.bytes + of.bytes,
            bytes_max: sum.bytes_max + of.bytes_max,
        }
    })
}

/// Caches of this process by folder: its stores share them.
static OPEN: Mutex<Vec<(PathBuf, Weak<DiskCache>)>> = Mutex::new(Vec::new());

impl DiskCache {
    /// The cache of this process in `folder`, of at most `capacity` bytes; `None` if there are too many processes.
    pub(super) fn open(folder: &FsPath, capacity: u64) -> io::Result<Option<Arc<Self>>> {
        let mut open = OPEN.lock();
        open.retain(|(_, cache)| cache.strong_count() > 0);
        let same = open.iter().find(|(of, _)| of == folder);
        if let Some(cache) = same.and_then(|(_, cache)| cache.upgrade()) {
            return Ok(Some(cache));
        }
        let Some((slot, lock)) = slot(folder)? else { return Ok(None) };
        let mut found = Vec::new();
        scan(&slot, &slot, &mut found)?;
        found.sort_unstable_by_key(|(_, _, at)| *at);
        let mut state = State::default();
        for (name, bytes, _) in found {
            state.uses += 1;
            state.used += bytes;
            state.files.insert(name, Kept { bytes, used_at: state.uses });
        }
        let cache = Arc::new(Self {
            folder: slot,
            capacity,
            state: Mutex::new(state),
            counts: CacheCounts::default(),
            _lock: lock,
        });
        cache.make_room(0);
        open.push((folder.to_owned(), Arc::downgrade(&cache)));
        Ok(Some(cache))
    }

    /// The blocks of `runs` that are kept of a file, with their numbers.
    pub(super) fn read(&self, name: &str, runs: &[Range<u64>]) -> Vec<(u64, Bytes)> {
        let found = self.find(name, runs);
        let asked: u64 = runs.iter().map(|run| run.end.saturating_sub(run.start)).sum();
        let hits = found.len() as u64;
        self.counts.add(hits, asked.saturating_sub(hits));
        found
    }

    fn find(&self, name: &str, runs: &[Range<u64>]) -> Vec<(u64, Bytes)> {
        let mut found = Vec::new();
        if !self.touch(name) {
            return found;
        }
        let (data, sums) = self.paths(name);
        let (Ok(data), Ok(sums)) = (File::open(data), File::open(sums)) else { return found };
        for run in runs {
            let Ok(entries) = read_entries(&sums, run) else { continue };
            let mut at = run.start;
            while at < run.end {
                let kept = entries.iter().skip((at - run.start) as usize);
                let kept: Vec<_> = kept.take_while(|entry| entry.0 > 0).copied().collect();
                if kept.is_empty() {
                    at += 1;
                    continue;
                }
                let len: u64 = kept.iter().map(|entry| u64::from(entry.0)).sum();
                let mut bytes = BytesMut::zeroed(len as usize);
                // What is not there does not fit its checksum.
                let _ = data.read_exact_at(&mut bytes, at * BLOCK);
                let mut bytes = bytes.freeze();
                for (number, (len, sum)) in (at..).zip(&kept) {
                    let block = bytes.split_to((*len as usize).min(bytes.len()));
                    if crc32fast::hash(&block) == *sum {
                        found.push((number, block));
                    } else {
                        tracing::warn!(
                            name,
                            block = number,
                            "a block of the cache is damaged: it is read from the store again"
                        );
                    }
                }
                at += kept.len() as u64;
            }
        }
        found
    }

    /// Keeps blocks of a file, which begin with the one of number `first`; all but the last of the file are whole.
    pub(super) fn write(&self, name: &str, first: u64, bytes: &Bytes) -> io::Result<()> {
        let len = bytes.len() as u64;
        // A file that would push everything else out is not worth it.
        let held = self.state.lock().files.get(name).map_or(0, |kept| kept.bytes);
        if held + len > self.capacity / 2 {
            return Ok(());
        }
        self.make_room(len);
        let (data, sums) = self.paths(name);
        let (data, sums) = match (open(&data), open(&sums)) {
            (Ok(data), Ok(sums)) => (data, sums),
            _ => {
                fs::create_dir_all(data.parent().unwrap_or(&self.folder))?;
                (open(&data)?, open(&sums)?)
            }
        };
        data.write_all_at(bytes, first * BLOCK)?;
        let entries = bytes.chunks(BLOCK as usize).flat_map(|block| {
            let entry = (block.len() as u64) << 32 | u64::from(crc32fast::hash(block));
            entry.to_le_bytes()
        });
        // The entries come last: until they are there, the blocks are not.
        sums.write_all_at(&entries.collect::<Vec<_>>(), first * SUM)?;
        let mut state = self.state.lock();
        state.used += len;
        state.uses += 1;
        let used_at = state.uses;
        let kept = state.files.entry(name.to_owned()).or_insert(Kept { bytes: 0, used_at });
        kept.bytes += len;
        kept.used_at = used_at;
        Ok(())
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.state.lock().used
    }

    /// Marks a file as used; whether anything is kept of it.
    fn touch(&self, name: &str) -> bool {
        let mut state = self.state.lock();
        state.uses += 1;
        let used_at = state.uses;
        state.files.get_mut(name).map(|kept| kept.used_at = used_at).is_some()
    }

    /// Removes the files that were used least recently, if `more` bytes would be too many, until an eighth is free.
    fn make_room(&self, more: u64) {
        let mut state = self.state.lock();
        if state.used + more <= self.capacity {
            return;
        }
        let left = (self.capacity - self.capacity / 8).saturating_sub(more);
        let mut by_use: Vec<_> = state
            .files
            .iter()
            .map(|(name, kept)| (kept.used_at, kept.bytes, name.clone()))
            .collect();
        by_use.sort_unstable();
        for (_, bytes, name) in by_use {
            if state.used <= left {
                break;
            }
            let (data, sums) = self.paths(&name);
            for path in [sums, data] {
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %path.display(), %error, "cannot remove a file of the cache");
                }
            }
            state.files.remove(&name);
            state.used = state.used.saturating_sub(bytes);
        }
    }

    fn paths(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{name}.data")), self.folder.join(format!("{name}.sums")))
    }
}

/// The first slot of a folder that no other process uses.
fn slot(folder: &FsPath) -> io::Result<Option<(PathBuf, File)>> {
    for number in 0..SLOTS {
        let slot = folder.join(number.to_string());
        fs::create_dir_all(&slot)?;
        let lock = open(&slot.join("lock"))?;
        if lock.try_lock().is_ok() {
            return Ok(Some((slot, lock)));
        }
    }
    Ok(None)
}

/// The files that are kept below `folder`: name, bytes on the disk, and when they were last written.
fn scan(
    root: &FsPath,
    folder: &FsPath,
    found: &mut Vec<(String, u64, SystemTime)>,
) -> io::Result<()> {
    let mut is_empty = true;
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        is_empty = false;
        if entry?.is_dir() {
            scan(root, &path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "data") {
            let metadata = path.metadata()?;
            let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
            let at = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if let Some(name) = name.to_str() {
                found.push((name.to_owned(), metadata.blocks() * 512, at));
            }
        }
    }
    if is_empty && folder != root {
        // What evicted files left behind; if it is needed again, it is made again.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

fn open(path: &FsPath) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Length and checksum of each block of a run; the length is 0 for those that are not kept.
fn read_entries(sums: &File, run: &Range<u64>) -> io::Result<Vec<(u32, u32)>> {
    let mut entries = vec![0; ((run.end - run.start) * SUM) as usize];
    let mut read = 0;
    while let Some(rest) = entries.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match sums.read_at(rest, run.start * SUM + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    let entry = |bytes: &[u8; SUM as usize]| {
        let entry = u64::from_le_bytes(*bytes);
        let len = (entry >> 32) as u32;
        if u64::from(len) <= BLOCK { (len, entry as u32) } else { (0, 0) }
    };
    Ok(entries.as_chunks().0.iter().map(entry).collect())
}
