//! The folder of a log: held by one process, listed as segments and leftovers, with the errors of its disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::segment::{file_name, parse_file_name};
use crate::{Error, ErrorKind, Result, retry};

/// Deletes the files of a log that was given up, so that a new one begins in the folder.
///
/// # Errors
/// `Unavailable` if a process has it open, or the disk fails.
pub fn discard(path: &Path) -> Result<()> {
    let folder = Folder::take(path)?;
    let (segments, unfinished) = folder.list()?;
    // The oldest first: what is left of an interruption is a log whose beginning was given back.
    for file in segments.into_iter().map(|first| path.join(file_name(first))).chain(unfinished) {
        fs::remove_file(&file).map_err(|e| failed("deleting", &file, e))?;
    }
    folder.sync()
}

/// The folder of a log, held by this process alone.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Takes the folder at `path`, made durably if it does not exist.
    pub(super) fn take(path: &Path) -> Result<Self> {
        create_durably(path).map_err(|e| failed("making", path, e))?;
        let handle = File::open(path).map_err(|e| failed("opening", path, e))?;
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), handle }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("log {}: another process has it open: stop that one first", path.display()),
            )),
            Err(e) => Err(failed("locking", path, e.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.handle.sync_all().map_err(|e| failed("syncing", &self.path, e))
    }

    /// First positions of the segments, ascending, and files that an interrupted write left.
    pub(super) fn list(&self) -> Result<(Vec<u64>, Vec<PathBuf>)> {
        let read = || {
            let (mut segments, mut unfinished) = (Vec::new(), Vec::new());
            for entry in fs::read_dir(&self.path)? {
                let name = entry?.file_name();
                let name = name.to_string_lossy();
                if let Some(first) = parse_file_name(&name) {
                    segments.push(first);
                } else if name.ends_with(".tmp") {
                    unfinished.push(self.path.join(&*name));
                }
            }
            segments.sort_unstable();
            Ok((segments, unfinished))
        };
        read().map_err(|e| failed("listing", &self.path, e))
    }
}

impl Drop for Folder {
    /// Closing alone would leave the folder taken while a child process that was just forked still
    /// holds a copy of the handle.
    fn drop(&mut self) {
        let _ = flock(&self.handle, FlockOperation::Unlock);
    }
}

/// An error of the operating system while `doing` something with `path`.
pub(super) fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
        return Error::resources(
            "disk of the log",
            format!("{doing} {}: {error}; free space there", path.display()),
            retry::SPACE_FREED,
        );
    }
    Error::new(ErrorKind::Unavailable, format!("log: {doing} {}", path.display()))
        .with_source(error)
}

fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    File::open(parent)?.sync_all()
}
