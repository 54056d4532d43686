//! The source of a file's bytes: a local disk, by positioned reads on the calling thread, which cost a microsecond when
//! the file is warm, or an object store, by coalesced, parallel range requests.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use crate::store::LakeStore;
use crate::{Error, ErrorKind, FilePath, Result};

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
            Self::Local(file) => file.read(ranges),
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
                let metadata = file.handle()?.metadata();
                Ok(metadata.map_err(|e| file.fault(e))?.len())
            }
            Self::Store { object, path } => Ok(object.head(path).await?.size),
        }
    }
}

impl LocalFile {
    fn read(self: &Arc<Self>, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let handle = self.handle()?;
        let lens = ranges.iter().map(|range| (range.end - range.start) as usize);
        let mut buffer = vec![0; lens.clone().sum()];
        let mut rest = buffer.as_mut_slice();
        for (range, len) in ranges.iter().zip(lens.clone()) {
            let (piece, after) = rest.split_at_mut(len);
            handle.read_exact_at(piece, range.start).map_err(|e| self.fault(e))?;
            rest = after;
        }
        let mut buffer = Bytes::from(buffer);
        Ok(lens.map(|len| buffer.split_to(len)).collect())
    }

    fn handle(self: &Arc<Self>) -> Result<Arc<File>> {
        let mut slot = self.handle.lock();
        if let Some(handle) = slot.as_ref() {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(File::open(&self.path).map_err(|e| self.fault(e))?);
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
