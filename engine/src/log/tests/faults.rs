//! Tests of disks that are full and disks that fail.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use barograph_lake::{LogPosition, Size};

use super::{append, assert_same, open, record, replayed, segment_files, temporary};
use crate::ErrorKind;
use crate::log::{Log, LogSettings, SegmentLog};

/// A file system of 1 MiB, as long as it lives.
struct SmallDisk(PathBuf, #[allow(dead_code)] tempfile::TempDir);

impl SmallDisk {
    /// `None`, with the reason printed, where mounting is not permitted.
    fn mount() -> Option<Self> {
        let folder = temporary();
        let path = folder.path().join("disk");
        fs::create_dir(&path).unwrap();
        let run = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(&path)
            .output();
        match run {
            Ok(output) if output.status.success() => Some(Self(path, folder)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                eprintln!("skipped: a small disk cannot be mounted here: {}", why.trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: a small disk cannot be mounted here: mount: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn settings(segment_bytes: u64) -> LogSettings {
    LogSettings { segment_bytes: Size::bytes(segment_bytes), ..LogSettings::default() }
}

/// Fills the log's disk with records of `body` bytes, then frees it: nothing acknowledged is gone,
/// nothing refused is there, and the log goes on by itself.
fn fill(disk: &Path, settings: &LogSettings, body: usize) {
    let folder = disk.join("log");
    let (mut log, _) = SegmentLog::open(&folder, settings, LogPosition::new(0), false).unwrap();
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 300_000]).unwrap();
    let mut model = Vec::new();
    for round in 0..2 {
        let error = loop {
            let records = [record(model.len() as u64, body), record(1, body)];
            match log.append(&records, true) {
                Ok(positions) => model.extend(positions.into_iter().zip(records)),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Resources, "{error}");
        assert!(error.retry_after().is_some());
        assert!(error.to_string().contains(folder.to_str().unwrap()), "{error}");
        let newest = segment_files(&folder).pop().unwrap();
        let on_disk: u64 =
            segment_files(&folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert_eq!(
            log.bytes(),
            on_disk,
            "{}: the half-written group is cut back",
            newest.display()
        );
        for _ in 0..3 {
            log.append(&[record(2, body), record(3, body)], true).unwrap_err();
        }
        assert_same(&replayed(&mut log, LogPosition::new(0)), &model, "");
        match round {
            0 => fs::remove_file(&ballast).unwrap(),
            _ => log.truncate(log.end()).unwrap(),
        }
    }
    let first = model.len();
    model.extend(append(&mut log, &[record(9, 1)], true));
    assert_same(&replayed(&mut log, model[first].0), &model[first..], "");
    drop(log);
    let (mut log, opened) =
        SegmentLog::open(&folder, settings, LogPosition::new(0), false).unwrap();
    assert_eq!((opened.torn_bytes, &opened.lost[..]), (0, &[][..]));
    assert!(model.ends_with(&replayed(&mut log, LogPosition::new(0))));
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    for (segment_bytes, body) in
        [(100_000, 30_000), (100_000, 700), (20_000, 9_000), (300_000, 100_000)]
    {
        if let Some(disk) = SmallDisk::mount() {
            fill(&disk.0, &settings(segment_bytes), body);
        }
    }
}

/// A log whose writes go where `device` takes them.
fn on_device(folder: &Path, device: &str) -> (SegmentLog, super::Records) {
    let (mut log, _) = open(folder, false).unwrap();
    let model = append(&mut log, &[record(1, 100)], true);
    log.active.file = File::options().read(true).write(true).open(device).unwrap();
    (log, model)
}

fn has_stopped(mut log: SegmentLog, folder: &Path) {
    let before = fs::read(&segment_files(folder)[0]).unwrap();
    log.active.file = File::options().read(true).write(true).open(&log.active.path).unwrap();
    for error in [
        log.append(&[record(3, 1)], false).unwrap_err(),
        log.append(&[record(3, 1)], true).unwrap_err(),
        log.append(&[], true).unwrap_err(),
        log.sync().unwrap_err(),
        log.truncate(LogPosition::new(0)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("has stopped"), "{error}");
    }
    assert_eq!(fs::read(&segment_files(folder)[0]).unwrap(), before, "it writes nothing more");
}

/// Writes succeed, syncs fail: `/dev/null` takes bytes and knows no sync.
#[test]
fn a_failed_sync_stops_the_log() {
    let folder = temporary();
    let (mut log, model) = on_device(folder.path(), "/dev/null");
    log.append(&[record(2, 100)], false).unwrap();
    let error = log.append(&[record(2, 100)], true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("syncing"), "{error}");
    has_stopped(log, folder.path());
    let (mut log, opened) = open(folder.path(), false).unwrap();
    assert_eq!((opened.torn_bytes, opened.lost), (0, vec![]));
    assert_same(&replayed(&mut log, LogPosition::new(0)), &model, "");
}

/// Writes fail, and so does cutting back: `/dev/full`.
#[test]
fn a_failed_write_that_cannot_be_cut_back_stops_the_log() {
    let folder = temporary();
    let (mut log, model) = on_device(folder.path(), "/dev/full");
    let error = log.append(&[record(2, 100)], false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("cutting back"), "{error}");
    has_stopped(log, folder.path());
    let (mut log, _) = open(folder.path(), false).unwrap();
    assert_same(&replayed(&mut log, LogPosition::new(0)), &model, "");
}

/// The sync of a segment that is being closed counts as any other.
#[test]
fn a_failed_sync_on_rotation_stops_the_log() {
    let folder = temporary();
    let (mut log, _) = on_device(folder.path(), "/dev/null");
    log.append(&[record(2, 100)], false).unwrap();
    log.rotate(log.end().get()).unwrap_err();
    assert_eq!(segment_files(folder.path()).len(), 1);
    has_stopped(log, folder.path());
}

/// A segment that cannot be made leaves the log as it was.
#[test]
fn a_failed_rotation_is_tried_again() {
    let folder = temporary();
    let settings = settings(4096);
    let (mut log, _) =
        SegmentLog::open(folder.path(), &settings, LogPosition::new(0), false).unwrap();
    let mut model = append(&mut log, &[record(1, 3000)], true);
    let obstacle = folder.path().join(format!("{:020}.log.tmp", log.end().get()));
    fs::create_dir(&obstacle).unwrap();
    for _ in 0..2 {
        let error = log.append(&[record(2, 3000)], true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_same(&replayed(&mut log, LogPosition::new(0)), &model, "");
    }
    fs::remove_dir(&obstacle).unwrap();
    model.extend(append(&mut log, &[record(3, 3000)], true));
    assert_eq!(segment_files(folder.path()).len(), 2);
    drop(log);
    let (mut log, _) =
        SegmentLog::open(folder.path(), &settings, LogPosition::new(0), false).unwrap();
    assert_same(&replayed(&mut log, LogPosition::new(0)), &model, "");
}
