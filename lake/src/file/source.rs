//! The source of a file's bytes: a local disk, by positioned reads on the calling thread as long as the page cache holds
//! the bytes, which cost a microsecond, or an object store, by coalesced, parallel range requests.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
#[cfg(target_os = "linux")]
use rustix::io::{ReadWriteFlags, preadv2};

use crate::store::LakeStore;
use crate::{Error, ErrorKind, FilePath, Result, blocking};

/// A data file as bytes.
#[derive(Debug)]
pub(super) enum Source {
    Local(Arc<LocalFile>),
    /// [`ObjectStore::get_ranges`] fetches neighbours together and a bounded number at a time.
    Store {
        object: Arc<dyn ObjectStore>,
        path: Path,
    },
}

/// A file on a local disk, opened when it is read.
#[derive(Debug)]
pub(super) struct LocalFile {
    path: PathBuf,
    handle: Mutex<Option<Arc<File>>>,
    handles: Arc<Handles>,
}

/// Bounds how many files are open; the one that was opened first is closed first, and opened again when it is
/// read again.
#[derive(Debug)]
pub(super) struct Handles {
    limit: usize,
    open: Mutex<VecDeque<Weak<LocalFile>>>,
}

impl Handles {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::new(VecDeque::new()) })
    }
}

impl Source {
    pub(super) fn new(store: &LakeStore, path: &FilePath, handles: &Arc<Handles>) -> Self {
        let path = path.to_string();
        match store.local_path(&path) {
            Some(path) => Self::Local(Arc::new(LocalFile {
                path,
                handle: Mutex::new(None),
                handles: Arc::clone(handles),
            })),
            None => Self::Store { object: Arc::clone(store.object()), path: store.path(&path) },
        }
    }

    /// Reads `ranges`, in their order. A file that ends before a range does is damaged.
    pub(super) async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self {
            Self::Local(file) => file.read(ranges).await,
            Self::Store { object, path } => {
                let pieces = object.get_ranges(path, ranges).await?;
                let whole = |(piece, range): (&Bytes, &Range<u64>)| {
                    piece.len() as u64 == range.end - range.start
                };
                if pieces.len() != ranges.len() || !pieces.iter().zip(ranges).all(whole) {
                    return Err(Error::damage(format!("{path} is shorter than its entry says")));
                }
                Ok(pieces)
            }
        }
    }

    /// Size of the object as the store has it.
    pub(super) async fn size(&self) -> Result<u64> {
        match self {
            Self::Local(file) => {
                let handle = file.handle().await?;
                let size = blocking::wait(move || Ok(handle.metadata()?.len())).await;
                size.map_err(|e| file.fault(e))
            }
            Self::Store { object, path } => Ok(object.head(path).await?.size),
        }
    }
}

impl LocalFile {
    async fn read(self: &Arc<Self>, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let handle = self.handle().await?;
        let lens = ranges.iter().map(|range| (range.end - range.start) as usize);
        let mut buffer = vec![0; lens.clone().sum()];
        if !read_cached(&handle, ranges, &mut buffer) {
            let ranges = ranges.to_vec();
            let read = move || read_all(&handle, &ranges, &mut buffer).map(|()| buffer);
            buffer = blocking::wait(read).await.map_err(|e| self.fault(e))?;
        }
        let mut buffer = Bytes::from(buffer);
        Ok(lens.map(|len| buffer.split_to(len)).collect())
    }

    async fn handle(self: &Arc<Self>) -> Result<Arc<File>> {
        let held = self.handle.lock().clone();
        if let Some(handle) = held {
            return Ok(handle);
        }
        let path = self.path.clone();
        let opened = blocking::wait(move || File::open(path)).await;
        let handle = Arc::new(opened.map_err(|e| self.fault(e))?);
        let mut slot = self.handle.lock();
        if let Some(meanwhile) = slot.as_ref() {
            return Ok(Arc::clone(meanwhile));
        }
        *slot = Some(Arc::clone(&handle));
        drop(slot);
        let mut open = self.handles.open.lock();
        open.push_back(Arc::downgrade(self));
        let surplus = open.len().saturating_sub(self.handles.limit.max(1));
        let closed: Vec<_> = open.drain(..surplus).collect();
        drop(open);
        for file in closed.iter().filter_map(Weak::upgrade) {
            *file.handle.lock() = None;
        }
        Ok(handle)
    }

    fn fault(&self, error: std::io::Error) -> Error {
        let (kind, what) = match error.kind() {
            std::io::ErrorKind::NotFound => (ErrorKind::NotFound, "is missing"),
            std::io::ErrorKind::UnexpectedEof => {
                (ErrorKind::Damage, "is shorter than its entry says")
            }
            _ => (ErrorKind::Store, "cannot be read"),
        };
        Error::new(kind, format!("data file {} {what}", self.path.display())).with_source(error)
    }
}

/// Reads `ranges` one after the other into `buffer`, which is as long as all of them.
fn read_all(file: &File, ranges: &[Range<u64>], buffer: &mut [u8]) -> io::Result<()> {
    let mut rest = buffer;
    for range in ranges {
        let (piece, after) = rest.split_at_mut((range.end - range.start) as usize);
        file.read_exact_at(piece, range.start)?;
        rest = after;
    }
    Ok(())
}

/// Reads `ranges` into `buffer` without waiting for the disk; whether all of them could be. A file system that cannot
/// tell whether a read waits, or a fault, leaves them to [`read_all`].
#[cfg(target_os = "linux")]
fn read_cached(file: &File, ranges: &[Range<u64>], buffer: &mut [u8]) -> bool {
    let mut rest = buffer;
    ranges.iter().all(|range| {
        let (piece, after) =
            std::mem::take(&mut rest).split_at_mut((range.end - range.start) as usize);
        rest = after;
        let wanted = piece.len();
        let mut piece = [IoSliceMut::new(piece)];
        let read = preadv2(file, &mut piece, range.start, ReadWriteFlags::NOWAIT);
        read.is_ok_and(|read| read == wanted)
    })
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &[Range<u64>], _: &mut [u8]) -> bool {
    false
}
