//! The object store of a local disk, made durable: once a put returns, its object survives a power cut.
//!
//! ```text
//! put:  write NAME#ID  →  sync the file  →  link (create) or rename (overwrite) to NAME  →  sync the folder
//! ```
//!
//! A large object is synced step by step, so that the syncs of others, above all the log's, wait for one step and not
//! for the whole object.
//!
//! The object is on disk before its name is, and its name before the put returns. Names that end with
//! `#` and digits are temporary: no listing shows them, a crash may leave them behind.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::blocking;

const NAME: &str = "DurableLocal";
/// Bytes that are written before they are synced: with so many a small sync beside waits as long as alone (ADR 16).
const STEP_BYTES: usize = 1 << 20;

/// The local file system as an object store whose puts are durable. Rooted at `/`.
#[derive(Debug)]
pub struct DurableLocal {
    inner: LocalFileSystem,
    folders: Folders,
}

/// Serialises the creation of folders: whoever finds one in place can rely on its entry being synced.
#[derive(Debug, Clone, Default)]
struct Folders(Arc<Mutex<()>>);

impl DurableLocal {
    /// The file system of this machine.
    pub fn new() -> Self {
        Self { inner: LocalFileSystem::new(), folders: Folders::default() }
    }
}

impl Default for DurableLocal {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unsupported("put with PutMode::Update")),
        };
        let target = self.inner.path_to_filesystem(location)?;
        let folders = self.folders.clone();
        blocking::wait(move || {
            let staged = Staged::new(&target, &folders)?;
            staged.write(&payload, 0)?;
            staged.publish(create)
        })
        .await
        .map_err(|e| convert(e, location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        let folders = self.folders.clone();
        let staged = blocking::wait(move || Staged::new(&target, &folders))
            .await
            .map_err(|e| convert(e, location))?;
        Ok(Box::new(Upload {
            location: location.clone(),
            staged: Some(Arc::new(staged)),
            bytes: 0,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let target = self.inner.path_to_filesystem(to)?;
        let folders = self.folders.clone();
        let folder = parent(&target).to_owned();
        let made = folder.clone();
        blocking::wait(move || folders.create(&made)).await.map_err(|e| convert(e, to))?;
        self.inner.copy_opts(from, to, options).await?;
        blocking::wait(move || sync_folder(&folder)).await.map_err(|e| convert(e, to))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let target = self.inner.path_to_filesystem(to)?;
        let folders = self.folders.clone();
        let folder = parent(&target).to_owned();
        let made = folder.clone();
        blocking::wait(move || folders.create(&made)).await.map_err(|e| convert(e, to))?;
        self.inner.rename_opts(from, to, options).await?;
        blocking::wait(move || sync_folder(&folder)).await.map_err(|e| convert(e, to))
    }
}

/// Whether a file name is that of an unfinished put.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

/// A file under its temporary name, removed unless published.
#[derive(Debug)]
struct Staged {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl Staged {
    fn new(target: &FsPath, folders: &Folders) -> io::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!("#{}", Uuid::new_v4().as_u128()));
        let path = PathBuf::from(name);
        // A sweep may remove an empty folder between its creation and the first file in it.
        let mut attempts = 8;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path, target: target.to_owned() }),
                Err(e) if e.kind() == ErrorKind::NotFound && attempts > 0 => {
                    attempts -= 1;
                    folders.create(parent(target))?;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Writes `data` to its place; all but its last step is on disk then.
    fn write(&self, data: &PutPayload, mut at: u64) -> io::Result<()> {
        let mut unsynced = 0;
        for step in data.iter().flat_map(|chunk| chunk.chunks(STEP_BYTES)) {
            if unsynced + step.len() > STEP_BYTES {
                self.file.sync_data()?;
                unsynced = 0;
            }
            self.file.write_all_at(step, at)?;
            at += step.len() as u64;
            unsynced += step.len();
        }
        Ok(())
    }

    /// Gives the file its name, on disk. With `create`, fails with `AlreadyExists` if the name is taken;
    /// the file that has it is on disk then.
    fn publish(&self, create: bool) -> io::Result<PutResult> {
        self.file.sync_all()?;
        let linked = if create {
            // The temporary name goes before the folder is synced, so that no crash after it brings it back.
            fs::hard_link(&self.path, &self.target).map(|()| drop(fs::remove_file(&self.path)))
        } else {
            fs::rename(&self.path, &self.target)
        };
        match &linked {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {}
            _ => sync_folder(parent(&self.target))?,
        }
        linked.map(|()| PutResult { e_tag: None, version: None })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already after a rename; otherwise a leftover that a sweep removes later.
        let _ = fs::remove_file(&self.path);
    }
}

impl Folders {
    /// Creates `folder` and what is missing above it, each with its entry synced.
    fn create(&self, folder: &FsPath) -> io::Result<()> {
        let _creating = self.0.lock();
        let missing: Vec<_> =
            folder.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
        for ancestor in missing.into_iter().rev() {
            match fs::create_dir(ancestor) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
                _ => sync_folder(parent(ancestor))?,
            }
        }
        Ok(())
    }
}

/// A multipart upload: parts go to their places in the staged file.
#[derive(Debug)]
struct Upload {
    location: Path,
    staged: Option<Arc<Staged>>,
    bytes: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let start = self.bytes;
        self.bytes += data.content_length() as u64;
        let staged = self.staged.clone();
        let location = self.location.clone();
        Box::pin(async move {
            let staged = staged.ok_or_else(|| finished(&location))?;
            let writing = blocking::wait(move || {
                staged.write(&data, start)?;
                staged.file.sync_data()
            });
            writing.await.map_err(|e| convert(e, &location))
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or_else(|| finished(&self.location))?;
        blocking::wait(move || staged.publish(false)).await.map_err(|e| convert(e, &self.location))
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged = None;
        Ok(())
    }
}

fn sync_folder(folder: &FsPath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent(path: &FsPath) -> &FsPath {
    path.parent().unwrap_or(path)
}

fn convert(error: io::Error, location: &Path) -> Error {
    let path = location.to_string();
    match error.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        _ => Error::Generic { store: NAME, source: format!("{path}: {error}").into() },
    }
}

fn finished(location: &Path) -> Error {
    Error::Generic { store: NAME, source: format!("{location}: the upload has ended").into() }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: NAME.to_owned() }
}
