//! Spill files: what a query cannot keep in memory, on disk, within the bytes that all queries together may take there.
//!
//! DataFusion 55.2 stops for ever where two inputs of a `RepartitionExec` spill at the same time: its reader waits for
//! more in the older of their two files, whose writer waits for the reader, while the batch that would free both lies in
//! the newer one (<https://github.com/apache/datafusion/issues/24883>, corrected on its main branch, in no release).
//! Here such a file is complete with its first batch, so that nobody waits for more of it. There can be thousands of
//! them: a file is open only while it is written or read.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use barograph_engine::{Error, Result};
use bytes::{Bytes, BytesMut};
use datafusion::common::config::{ConfigNonZeroUsize, ConfigOptions};
use datafusion::common::{DataFusionError, Result as QueryResult};
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::spill_file::{SpillFile, SpillWriter, TempFileFactory};
use futures::{Stream, stream};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::errors::SPILL_EXCEEDED;
use crate::settings::SqlSettings;

/// Bytes that are read at a time.
const READ_BYTES: usize = 128 << 10;
const PREFIX: &str = "barograph-spill-";
/// The file of a spill folder that its process holds locked, so that the folders of processes that are gone are known.
const LOCK: &str = "lock";

/// The disk that queries spill to. What processes that were killed left there is removed.
pub(crate) fn disk(settings: &SqlSettings) -> Result<DiskManagerBuilder> {
    let folder = match &settings.spill_folder {
        Some(parent) => {
            let made = fs::create_dir_all(parent).and_then(|()| OwnFolder::new(parent));
            Some(made.map_err(|error| {
                Error::request(format!("sql.spill_folder {}: {error}", parent.display()))
            })?)
        }
        None => {
            sweep(&std::env::temp_dir());
            None
        }
    };
    let folder = SpillFolder {
        folder: Mutex::new(folder),
        bytes_max: settings.spill_bytes_max.get() as u64,
        bytes: AtomicU64::new(0),
        files: AtomicU64::new(0),
    };
    Ok(DiskManagerBuilder::default().with_temp_file_factory(Arc::new(SpillFiles(Arc::new(folder)))))
}

/// Makes the files of repartitions complete with their first batch.
pub(crate) fn of_one_batch(options: &mut ConfigOptions) -> QueryResult<()> {
    options.execution.max_spill_file_size_bytes = ConfigNonZeroUsize::try_new(1)?;
    Ok(())
}

/// Removes the spill folders of processes that are gone.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // What cannot be removed, as it is another user's or in use, is not ours to remove.
            let _ = remove_abandoned(&entry.path());
        }
    }
}

fn remove_abandoned(folder: &Path) -> io::Result<()> {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => fs::remove_dir_all(folder),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(error),
        },
        // Its process ended before it made the file, or is about to make it and begins again with another folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_dir(folder),
        Err(error) => Err(error),
    }
}

/// A folder of this process, locked as long as it is in use.
struct OwnFolder {
    folder: TempDir,
    _lock: File,
}

impl OwnFolder {
    /// A new folder in `parent`, from which abandoned ones are removed.
    fn new(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            let lock = match File::create_new(&path) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            lock.lock()?;
            // Another process may have taken it for abandoned before it was locked.
            if path.try_exists()? {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }
}

/// A folder of spill files, removed with the last of them.
struct SpillFolder {
    /// Made for the first file, if the settings name none.
    folder: Mutex<Option<OwnFolder>>,
    bytes_max: u64,
    bytes: AtomicU64,
    files: AtomicU64,
}

impl SpillFolder {
    /// The path of a new file.
    fn path(&self) -> io::Result<PathBuf> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let mut folder = self.folder.lock();
        let folder = match &mut *folder {
            Some(folder) => folder,
            none => none.insert(OwnFolder::new(&std::env::temp_dir())?),
        };
        Ok(folder.folder.path().join(number.to_string()))
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let taken = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if taken > self.bytes_max {
            self.give_back(bytes);
            return Err(io::Error::other(SPILL_EXCEEDED));
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Makes spill files.
struct SpillFiles(Arc<SpillFolder>);

impl TempFileFactory for SpillFiles {
    fn create_temp_file(&self, _: &str) -> QueryResult<Arc<dyn SpillFile>> {
        let path = self.0.path()?;
        Ok(Arc::new(Spilled(Arc::new(Place {
            folder: Arc::clone(&self.0),
            path,
            bytes: AtomicU64::new(0),
        }))))
    }
}

/// One spill file.
struct Spilled(Arc<Place>);

/// The place of a file on disk; the file is removed with it.
struct Place {
    folder: Arc<SpillFolder>,
    path: PathBuf,
    bytes: AtomicU64,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.folder.give_back(self.bytes.load(Ordering::Relaxed));
        // A file that was never written is not there, and one that cannot be removed goes with its folder.
        let _ = fs::remove_file(&self.path);
    }
}

impl SpillFile for Spilled {
    fn path(&self) -> Option<&Path> {
        Some(&self.0.path)
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.bytes.load(Ordering::Relaxed))
    }

    fn read_stream(&self) -> QueryResult<Pin<Box<dyn Stream<Item = QueryResult<Bytes>> + Send>>> {
        let place = Arc::clone(&self.0);
        Ok(Box::pin(stream::try_unfold((place, None), |(place, open)| async move {
            let mut file = match open {
                Some(file) => file,
                None => tokio::fs::File::open(&place.path).await?,
            };
            let mut read = BytesMut::with_capacity(READ_BYTES);
            let length = file.read_buf(&mut read).await?;
            Ok((length > 0).then(|| (read.freeze(), (place, Some(file)))))
        })))
    }

    fn open_writer(&self) -> QueryResult<Box<dyn SpillWriter>> {
        let file = File::options().create(true).append(true).open(&self.0.path)?;
        Ok(Box::new(Writer { file, place: Arc::clone(&self.0) }))
    }
}

/// The writer of a file.
struct Writer {
    file: File,
    place: Arc<Place>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        self.place.folder.take(length)?;
        self.place.bytes.fetch_add(length, Ordering::Relaxed);
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> QueryResult<()> {
        self.file.flush().map_err(DataFusionError::IoError)
    }
}

#[cfg(test)]
mod tests {
    use barograph_lake::Size;
    use futures::TryStreamExt;

    use super::*;

    /// The number of spill files in the only spill folder.
    fn files(folder: &Path) -> usize {
        let own = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        fs::read_dir(own).unwrap().count() - 1
    }

    #[tokio::test]
    async fn a_file_is_read_as_it_was_written_and_goes_with_its_last_reader() {
        let folder = tempfile::tempdir().unwrap();
        let settings = SqlSettings {
            spill_folder: Some(folder.path().join("spill")),
            spill_bytes_max: Size::mebibytes(1),
            ..SqlSettings::default()
        };
        let disk = Arc::new(disk(&settings).unwrap().build().unwrap());
        let spill = folder.path().join("spill");
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();

        let file = disk.create_tmp_file("test").unwrap();
        let mut writer = file.open_writer().unwrap();
        writer.write_all(&bytes).unwrap();
        writer.finish().unwrap();
        drop(writer);
        assert_eq!((file.size(), files(&spill)), (Some(1_000_000), 1));
        let other = disk.create_tmp_file("test").unwrap();
        let mut second = other.open_writer().unwrap();
        let error = second.write_all(&bytes).unwrap_err();
        assert_eq!(error.to_string(), SPILL_EXCEEDED);

        let reader = file.read_stream().unwrap();
        drop(file);
        let read: Vec<Bytes> = reader.try_collect().await.unwrap();
        assert_eq!(read.concat(), bytes);
        // The file is gone, and its bytes are free again.
        assert_eq!(files(&spill), 1);
        second.write_all(&bytes).unwrap();
        drop((second, other));
        assert_eq!(files(&spill), 0);
        drop(disk);
        assert_eq!(fs::read_dir(&spill).unwrap().count(), 0);
    }

    #[test]
    fn folders_of_processes_that_are_gone_are_removed_and_no_others() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        for name in ["barograph-spill-gone", "barograph-spill-early", "other"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("barograph-spill-gone").join(LOCK), "").unwrap();
        fs::write(at("barograph-spill-gone").join("0"), "rows").unwrap();
        fs::write(at("barograph-spill-file"), "").unwrap();
        let used = OwnFolder::new(parent.path()).unwrap();
        let second = OwnFolder::new(parent.path()).unwrap();
        assert!(used.folder.path().exists() && second.folder.path().exists());
        assert!(at("other").exists() && at("barograph-spill-file").exists());
        assert!(!at("barograph-spill-gone").exists() && !at("barograph-spill-early").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings =
            SqlSettings { spill_folder: Some(file.path().join("spill")), ..SqlSettings::default() };
        let error = disk(&settings).err().unwrap().to_string();
        assert!(error.contains("sql.spill_folder") && error.contains("spill:"), "{error}");
    }
}
