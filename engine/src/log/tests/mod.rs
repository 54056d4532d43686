//! Tests of the log: it keeps its promises when files, disks and machines do not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;
mod faults;
pub(in crate::log) mod fuzz;
mod kill;
mod life;
mod segments;

use std::fs;
use std::path::{Path, PathBuf};

use barograph_lake::{LogPosition, Size};
use tempfile::TempDir;

use super::conformance::{self, Bed, assert_same, record, replayed};
use super::{Log, LogSettings, MemoryDisk, MemoryLog, Opened, Record, SegmentLog};
use crate::Result;

/// A folder in memory where there is one: these tests are about bytes, not about the disk below.
pub(super) fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.unwrap()
}

/// Segments large enough that nothing rotates by itself.
fn large() -> LogSettings {
    LogSettings { segment_bytes: Size::bytes(32_768), ..conformance::small() }
}

fn open(folder: &Path, accept_damage: bool) -> Result<(SegmentLog, Opened)> {
    SegmentLog::open(folder, &large(), LogPosition::new(0), accept_damage)
}

/// Position and content of every record that a log in `folder` shows.
type Records = Vec<(LogPosition, Record)>;

fn append(log: &mut SegmentLog, records: &[Record], sync: bool) -> Records {
    log.append(records, sync).unwrap().into_iter().zip(records.iter().cloned()).collect()
}

/// The files of a log as bytes, to be laid out again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image(Vec<(String, Vec<u8>)>);

impl Image {
    fn of(folder: &Path) -> Self {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        Self(files)
    }

    fn lay(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, bytes) in &self.0 {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    fn newest(&mut self) -> &mut Vec<u8> {
        &mut self.0.last_mut().unwrap().1
    }
}

struct SegmentBed(TempDir);

impl Bed for SegmentBed {
    fn open(&mut self, settings: &LogSettings, at_least: LogPosition) -> Box<dyn Log> {
        let (log, opened) = SegmentLog::open(self.0.path(), settings, at_least, false).unwrap();
        assert_eq!((opened.torn_bytes, opened.lost), (0, vec![]));
        Box::new(log)
    }
}

struct MemoryBed(MemoryDisk);

impl Bed for MemoryBed {
    fn open(&mut self, settings: &LogSettings, at_least: LogPosition) -> Box<dyn Log> {
        Box::new(MemoryLog::open(&self.0, settings, at_least).unwrap())
    }
}

#[test]
fn segment_log_conforms() {
    conformance::run(|| SegmentBed(temporary()));
}

#[test]
fn memory_log_conforms() {
    conformance::run(|| MemoryBed(MemoryDisk::default()));
}

fn segment_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
}
