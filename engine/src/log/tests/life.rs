//! Tests of a log that nothing bad happens to: rotation, sizes, settings, and who may open it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use barograph_lake::{LogPosition, Size};

use super::super::conformance::small;
use super::{Image, append, assert_same, open, record, replayed, segment_files, temporary};
use crate::ErrorKind;
use crate::log::{Log, LogSettings, MemoryDisk, MemoryLog, SegmentLog};

#[test]
fn rotates_at_the_bound_and_counts_its_bytes() {
    let folder = temporary();
    let (mut log, opened) =
        SegmentLog::open(folder.path(), &small(), LogPosition::new(0), false).unwrap();
    assert!(opened.fresh);
    for n in 0..50 {
        append(&mut log, &[record(n, 500)], n % 5 == 0);
        let on_disk: u64 =
            Image::of(folder.path()).0.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert_eq!(log.bytes(), on_disk);
    }
    for (name, bytes) in &Image::of(folder.path()).0 {
        assert!(bytes.len() <= 2 * 4096, "{name} has {} bytes", bytes.len());
    }
    assert!(segment_files(folder.path()).len() >= 7);
    // A group larger than a segment gets one of its own.
    append(&mut log, &[record(1, 8000), record(2, 8000)], true);
    append(&mut log, &[record(3, 1)], true);
    let longest = Image::of(folder.path()).0.into_iter().map(|(_, bytes)| bytes.len()).max();
    assert!(longest > Some(16_000 + 4096));
    log.truncate(log.end()).unwrap();
    assert_eq!(segment_files(folder.path()).len(), 1);
    assert_eq!(log.bytes(), fs::metadata(&segment_files(folder.path())[0]).unwrap().len());
    drop(log);
    let (log, opened) =
        SegmentLog::open(folder.path(), &small(), LogPosition::new(0), false).unwrap();
    assert!(!opened.fresh);
    assert_eq!(log.bytes(), fs::metadata(&segment_files(folder.path())[0]).unwrap().len());
}

#[test]
fn closed_segments_give_back_what_was_reserved() {
    let folder = temporary();
    let settings = LogSettings { segment_bytes: Size::mebibytes(1), ..LogSettings::default() };
    let (mut log, _) =
        SegmentLog::open(folder.path(), &settings, LogPosition::new(0), false).unwrap();
    for n in 0..3 {
        append(&mut log, &[record(n, 600_000)], true);
    }
    let files = segment_files(folder.path());
    assert_eq!(files.len(), 3);
    for file in &files[..2] {
        let metadata = fs::metadata(file).unwrap();
        assert!(metadata.blocks() * 512 < metadata.len() + 65_536, "{}", metadata.blocks());
    }
}

#[test]
fn opening_counts_what_is_there() {
    let folder = temporary();
    let (mut log, _) = open(folder.path(), false).unwrap();
    let first = log.end().get();
    append(&mut log, &[record(1, 10), record(2, 20)], true);
    append(&mut log, &[record(3, 30)], false);
    let bytes = log.end().get() - first;
    drop(log);
    let (_log, opened) = open(folder.path(), false).unwrap();
    assert_eq!((opened.records, opened.bytes, opened.torn_bytes), (3, bytes, 0));
}

/// An opening makes durable what it shows, and says so in the mark: damage to it is then no torn end.
#[test]
fn what_an_opening_showed_is_promised() {
    let folder = temporary();
    let (mut log, _) = open(folder.path(), false).unwrap();
    append(&mut log, &[record(1, 10)], false);
    drop(log);
    drop(open(folder.path(), false).unwrap());
    let mut image = Image::of(folder.path());
    *image.newest().last_mut().unwrap() ^= 1;
    image.lay(folder.path());
    assert_eq!(open(folder.path(), false).unwrap_err().kind(), ErrorKind::Damage);
}

#[test]
fn only_one_may_open_it() {
    let folder = temporary();
    let (log, _) = open(folder.path(), false).unwrap();
    let error = open(folder.path(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("another process"), "{error}");
    drop(log);
    open(folder.path(), false).unwrap();
}

#[test]
fn folders_are_made_and_strange_files_left_alone() {
    let folder = temporary();
    let path = folder.path().join("a/b/log");
    drop(open(&path, false).unwrap());
    for name in ["notes.log", "1.log", "readme"] {
        fs::write(path.join(name), b"mine").unwrap();
    }
    let (mut log, opened) = open(&path, false).unwrap();
    assert_eq!(opened.lost, vec![]);
    assert_same(&replayed(&mut log, LogPosition::new(0)), &[], "");
    assert!(path.join("notes.log").exists() && path.join("readme").exists());
}

#[test]
fn a_newer_format_is_not_called_damage() {
    let folder = temporary();
    drop(open(folder.path(), false).unwrap());
    let mut image = Image::of(folder.path());
    let header = image.newest();
    header[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..40]);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    image.lay(folder.path());
    for accept in [false, true] {
        let error = open(folder.path(), accept).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}

#[test]
fn settings_have_bounds_and_defaults() {
    let read = |text: &str| serde_json::from_str::<LogSettings>(text);
    assert_eq!(read("{}").unwrap(), LogSettings::default());
    assert_eq!(read(r#"{"segment_bytes":"1MiB"}"#).unwrap().segment_bytes, Size::mebibytes(1));
    let error = read(r#"{"segment_size":"1MiB"}"#).unwrap_err().to_string();
    assert!(error.contains("segment_size"), "{error}");
    for wrong in [
        LogSettings { segment_bytes: Size::bytes(4095), ..LogSettings::default() },
        LogSettings { record_bytes_max: Size::bytes(0), ..LogSettings::default() },
        LogSettings { record_bytes_max: Size::mebibytes(513), ..LogSettings::default() },
    ] {
        let folder = temporary();
        let error =
            SegmentLog::open(folder.path(), &wrong, LogPosition::new(0), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request, "{error}");
    }
    let folder = temporary();
    let end = LogPosition::new(u64::MAX);
    let error = SegmentLog::open(folder.path(), &small(), end, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request, "{error}");
}

#[test]
fn a_machine_in_memory_loses_what_was_not_synced() {
    let disk = MemoryDisk::default();
    let mut log = MemoryLog::open(&disk, &small(), LogPosition::new(0)).unwrap();
    let kept = log.append(&[record(1, 1)], true).unwrap();
    log.append(&[record(2, 2)], false).unwrap();
    disk.lose_power();
    drop(log);
    let mut log = MemoryLog::open(&disk, &small(), LogPosition::new(0)).unwrap();
    assert_same(&replayed(&mut log, LogPosition::new(0)), &[(kept[0], record(1, 1))], "");
    disk.set_full(true);
    assert_eq!(log.append(&[record(3, 3)], true).unwrap_err().kind(), ErrorKind::Resources);
    disk.set_full(false);
    log.append(&[record(4, 4)], true).unwrap();
    disk.set_sync_fails(true);
    log.append(&[record(5, 5)], true).unwrap_err();
    disk.set_sync_fails(false);
    log.append(&[record(6, 6)], false).unwrap_err();
}

#[test]
fn a_log_has_an_id_that_stays_with_its_files() {
    let folder = temporary();
    let (mut log, _) =
        SegmentLog::open(folder.path(), &small(), LogPosition::new(0), false).unwrap();
    let id = log.id();
    for n in 0..20 {
        append(&mut log, &[record(n, 600)], true);
    }
    log.truncate(log.end()).unwrap();
    drop(log);
    let reopened = |folder: &std::path::Path| {
        SegmentLog::open(folder, &small(), LogPosition::new(0), false).unwrap().0.id()
    };
    assert_eq!(reopened(folder.path()), id);
    let copy = temporary();
    Image::of(folder.path()).lay(copy.path());
    assert_eq!(reopened(copy.path()), id, "a copy of the files is the same log");
    let other = temporary();
    assert_ne!(reopened(other.path()), id);
}

/// Earlier programs left the bytes of the id zero.
#[test]
fn a_log_without_an_id_gets_one_when_it_is_opened() {
    let folder = temporary();
    let (mut log, _) =
        SegmentLog::open(folder.path(), &small(), LogPosition::new(0), false).unwrap();
    let records: Vec<_> = (0..20).flat_map(|n| append(&mut log, &[record(n, 600)], true)).collect();
    drop(log);
    let mut image = Image::of(folder.path());
    image.0.iter_mut().for_each(|(_, bytes)| bytes[40..60].fill(0));
    image.lay(folder.path());
    let (mut log, opened) = open(folder.path(), false).unwrap();
    assert_eq!(opened.lost, vec![]);
    assert_same(&replayed(&mut log, LogPosition::new(0)), &records, "");
    let id = log.id();
    drop(log);
    // Whatever came of the others, the newest segment says it.
    assert_eq!(open(folder.path(), false).unwrap().0.id(), id);
    let mut image = Image::of(folder.path());
    image.newest()[41] ^= 1;
    image.lay(folder.path());
    let error = open(folder.path(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
    open(folder.path(), true).unwrap();
}
