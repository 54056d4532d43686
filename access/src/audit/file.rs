//! The file of records: lines of JSON, and earlier files beside it, `FILE.1` the newest of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use barograph_lake::Size;

use super::AuditEntry;

/// A file that is renamed when it is full.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    kept: usize,
}

impl Rotated {
    /// Goes on with the file of that name, or begins one that only this user can read.
    pub(super) fn open(path: &Path, bytes_max: Size, kept: usize) -> io::Result<Self> {
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, bytes_max: bytes_max.get() as u64, kept })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let more = line.len() as u64;
        if self.bytes > 0 && self.bytes.saturating_add(more) > self.bytes_max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.bytes += more;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        match self.kept {
            0 => fs::remove_file(&self.path)?,
            kept => {
                for number in (1..kept).rev() {
                    present(fs::rename(numbered(number), numbered(number + 1)))?;
                }
                fs::rename(&self.path, numbered(1))?;
            }
        }
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// Success where there was nothing to do it with.
fn present(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes what comes until nobody sends any more.
pub(super) fn write(mut file: Rotated, entries: &Receiver<Arc<AuditEntry>>, lost: &AtomicU64) {
    let mut failing = false;
    for entry in entries {
        let written = serde_json::to_vec(&*entry).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            file.write(&line)
        });
        match written {
            Ok(()) => failing = false,
            Err(error) => {
                lost.fetch_add(1, Ordering::Relaxed);
                // Once, until it works again.
                if !failing {
                    tracing::error!(%error, "access.audit.file cannot be written: records are lost");
                }
                failing = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_kept_up_to_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = Rotated::open(&path, Size::bytes(4), 2).unwrap();
        for line in ["1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        drop(file);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert_eq!(
            (read("a"), read("a.1"), read("a.2")),
            ("7\n".into(), "5\n6\n".into(), "3\n4\n".into())
        );
        assert_eq!(read("a.3"), "");
        // One that is opened again goes on where it was.
        let mut file = Rotated::open(&path, Size::bytes(4), 2).unwrap();
        file.write(b"8\n").unwrap();
        assert_eq!(read("a"), "7\n8\n");
    }
}
