//! Tests of damage where there are several segments: bytes flipped, files cut or missing.

use std::fs;
use std::path::Path;

use barograph_lake::LogPosition;
use proptest::prelude::*;

use super::super::conformance::small;
use super::super::segment::HEADER_BYTES;
use super::{Image, Records, append, assert_same, record, replayed, segment_files, temporary};
use crate::log::{Log, Opened, SegmentLog};
use crate::{Error, ErrorKind, Result};

fn open(folder: &Path, accept_damage: bool) -> Result<(SegmentLog, Opened)> {
    SegmentLog::open(folder, &small(), LogPosition::new(0), accept_damage)
}

/// A log of several segments; its records, the last `unsynced` of them not synced.
fn several(folder: &Path, records: u64, unsynced: u64) -> Records {
    let (mut log, _) = open(folder, false).unwrap();
    (0..records)
        .flat_map(|n| {
            let group: Vec<_> = (0..1 + n % 2).map(|i| record(n * 2 + i, 600)).collect();
            append(&mut log, &group, n + unsynced < records)
        })
        .collect()
}

fn refused(folder: &Path) -> Error {
    let before = Image::of(folder);
    let error = open(folder, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
    assert_eq!(Image::of(folder), before, "a refusal changes nothing");
    error
}

/// Opens with the flag: every record is there or in a range that is named. Opens again without.
fn accepted(folder: &Path, records: &Records, unsynced: usize) -> Opened {
    let (mut log, opened) = open(folder, true).unwrap();
    let is_lost =
        |position: &LogPosition| opened.lost.iter().any(|lost| lost.positions.contains(position));
    let seen = replayed(&mut log, LogPosition::new(0));
    let promised = records.len() - unsynced;
    for (index, one) in records.iter().enumerate() {
        let there = seen.contains(one);
        assert!(!(there && is_lost(&one.0)), "record {index} is there and named as lost");
        assert!(
            there || is_lost(&one.0) || index >= promised,
            "record {index} is gone without a word: {:?}",
            opened.lost
        );
    }
    assert!(seen.iter().all(|one| records.contains(one)), "nothing is invented");
    let end = log.end();
    assert!(records[..promised].iter().all(|(position, _)| *position < end));
    let added = append(&mut log, &[record(1000, 10)], true);
    drop(log);
    let (mut log, again) = open(folder, false).unwrap();
    let expected: Records = seen.into_iter().chain(added).collect();
    assert_same(&replayed(&mut log, LogPosition::new(0)), &expected, "");
    assert!(again.lost.iter().all(|lost| opened.lost.contains(lost)), "{:?}", again.lost);
    opened
}

#[test]
fn every_flipped_byte_of_an_older_segment() {
    let folder = temporary();
    let records = several(folder.path(), 16, 0);
    let image = Image::of(folder.path());
    assert!(image.0.len() >= 3);
    let older = &image.0[1].1;
    for at in (HEADER_BYTES as usize..older.len()).step_by(3) {
        let mut image = image.clone();
        image.0[1].1[at] ^= 0x40;
        image.lay(folder.path());
        let error = refused(folder.path()).to_string();
        assert!(error.contains(&image.0[1].0), "{error}");
        let opened = accepted(folder.path(), &records, 0);
        assert_eq!(opened.lost.len(), 1, "byte {at}");
        assert!(opened.lost[0].bytes.contains(&(at as u64)), "byte {at}: {}", opened.lost[0]);
    }
}

/// A segment that another one follows needs no mark, but its header.
#[test]
fn every_flipped_byte_of_an_older_header() {
    let folder = temporary();
    let records = several(folder.path(), 16, 0);
    let image = Image::of(folder.path());
    for at in (0..64).chain(500..560).chain(1000..1100) {
        let mut image = image.clone();
        image.0[1].1[at] ^= 4;
        image.lay(folder.path());
        if at < 60 {
            refused(folder.path());
            accepted(folder.path(), &records, 0);
        }
        let (mut log, opened) = open(folder.path(), false).unwrap();
        assert!(opened.lost.iter().all(|lost| lost.positions.is_empty()), "byte {at}");
        let seen = replayed(&mut log, LogPosition::new(0));
        assert_same(&seen[..records.len()], &records, &format!("byte {at}"));
    }
}

/// In an older segment there is no torn end, synced or not.
#[test]
fn every_length_of_an_older_segment() {
    let folder = temporary();
    let records = several(folder.path(), 16, 3);
    let image = Image::of(folder.path());
    for length in (0..image.0[1].1.len()).step_by(3) {
        let mut image = image.clone();
        image.0[1].1.truncate(length);
        image.lay(folder.path());
        refused(folder.path());
        accepted(folder.path(), &records, 0);
    }
    let mut longer = image.clone();
    longer.0[1].1.extend([0; 9]);
    longer.lay(folder.path());
    refused(folder.path());
    let opened = accepted(folder.path(), &records, 0);
    assert_eq!(opened.records, records.len() as u64);
}

#[test]
fn every_missing_segment() {
    let folder = temporary();
    let records = several(folder.path(), 20, 0);
    let image = Image::of(folder.path());
    let count = image.0.len();
    assert!(count >= 4);
    for gone in 0..count {
        let mut image = image.clone();
        let (name, _) = image.0.remove(gone);
        image.lay(folder.path());
        let error = refused(folder.path()).to_string();
        assert!(error.contains(&name), "{name} in {error}");
        let opened = accepted(folder.path(), &records, 0);
        let first: u64 = name.trim_end_matches(".log").parse().unwrap();
        assert_eq!(opened.lost.len(), 1);
        assert_eq!(opened.lost[0].positions.start, LogPosition::new(first));
    }
}

/// Files that a truncation had noted as given up and could not remove are no part of the log.
#[test]
fn leftovers_of_a_truncation_are_removed() {
    let folder = temporary();
    let records = several(folder.path(), 20, 0);
    let old = segment_files(folder.path())[0].clone();
    let bytes = fs::read(&old).unwrap();
    let below = records[records.len() / 2].0;
    open(folder.path(), false).unwrap().0.truncate(below).unwrap();
    assert!(!old.exists());
    fs::write(&old, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(folder.path().join("00000000000000000000.log.tmp"), b"half").unwrap();
    let (mut log, opened) = open(folder.path(), false).unwrap();
    assert!(!old.exists() && opened.lost.is_empty());
    assert!(records.ends_with(&replayed(&mut log, LogPosition::new(0))));
    let kept: Records = records.into_iter().filter(|(at, _)| *at >= below).collect();
    assert_same(&replayed(&mut log, below), &kept, "");
    drop(log);
    // And the first of those that are left may not be missing.
    fs::remove_file(&segment_files(folder.path())[0]).unwrap();
    refused(folder.path());
}

/// Accepting one damage accepts no other.
#[test]
fn what_was_accepted_hides_nothing_new() {
    let folder = temporary();
    several(folder.path(), 20, 0);
    let files = segment_files(folder.path());
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    flip(&files[1], 5000);
    open(folder.path(), true).unwrap();
    open(folder.path(), false).unwrap();
    flip(&files[2], 5000);
    let error = refused(folder.path()).to_string();
    let names: Vec<_> =
        files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert!(error.contains(names[2]) && !error.contains(names[1]), "{error}");
    let (mut log, opened) = open(folder.path(), true).unwrap();
    assert_eq!(opened.lost.len(), 2);
    // The note is not needed for what is given up.
    let end = log.end();
    log.truncate(end).unwrap();
    drop(log);
    assert_eq!(open(folder.path(), false).unwrap().1.lost, vec![]);
}

/// Damage that comes after the opening is an error of the replay.
#[test]
fn damage_found_on_replay_is_an_error() {
    let folder = temporary();
    several(folder.path(), 16, 0);
    let (mut log, _) = open(folder.path(), false).unwrap();
    let path = &segment_files(folder.path())[1];
    let mut bytes = fs::read(path).unwrap();
    bytes[HEADER_BYTES as usize + 300] ^= 1;
    fs::write(path, bytes).unwrap();
    let error = log.replay(LogPosition::new(0), &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
}

#[derive(Debug, Clone)]
enum Harm {
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Zero(prop::sample::Index, prop::sample::Index, usize),
    Remove(prop::sample::Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    use any as a;
    type Index = prop::sample::Index;
    prop_oneof![
        4 => (a::<Index>(), a::<Index>(), 1..=255u8).prop_map(|(f, b, m)| Harm::Flip(f, b, m)),
        1 => (a::<Index>(), a::<Index>()).prop_map(|(f, b)| Harm::Cut(f, b)),
        2 => (a::<Index>(), a::<Index>(), 1..3000usize).prop_map(|(f, b, n)| Harm::Zero(f, b, n)),
        1 => a::<Index>().prop_map(Harm::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Whatever is done to the files (at most one mark at a time, which is its own test): each promised
    /// record is there, or opening refuses, and with the flag names the place it stood in.
    #[test]
    fn no_promised_record_goes_without_a_word(
        groups in 1..14u64,
        unsynced in 0..4u64,
        harms in prop::collection::vec(harm(), 1..4),
    ) {
        let folder = temporary();
        let records = several(folder.path(), groups, unsynced);
        let mut image = Image::of(folder.path());
        let newest = image.0.last().unwrap().0.clone();
        for harm in harms {
            let files = image.0.len();
            match harm {
                Harm::Flip(file, byte, mask) => {
                    let (name, bytes) = &mut image.0[file.index(files)];
                    let at = if bytes.is_empty() { continue } else { byte.index(bytes.len()) };
                    if *name != newest || !(512..1100).contains(&at) {
                        bytes[at] ^= mask;
                    }
                }
                Harm::Cut(file, byte) => {
                    let bytes = &mut image.0[file.index(files)].1;
                    bytes.truncate(byte.index(bytes.len() + 1));
                }
                Harm::Zero(file, byte, length) => {
                    let (name, bytes) = &mut image.0[file.index(files)];
                    let at = byte.index(bytes.len() + 1);
                    let to = bytes.len().min(at + length);
                    if *name != newest || at >= HEADER_BYTES as usize {
                        bytes[at..to].fill(0);
                    }
                }
                Harm::Remove(file) if files > 1 => {
                    image.0.remove(file.index(files));
                }
                Harm::Remove(_) => {}
            }
        }
        image.lay(folder.path());
        let unsynced = records.iter().filter(|(_, one)| {
            groups.saturating_sub(unsynced) * 2 <= u64::from(one.rows)
        }).count();
        match open(folder.path(), false) {
            Ok((mut log, opened)) => {
                prop_assert_eq!(opened.lost, vec![]);
                let seen = replayed(&mut log, LogPosition::new(0));
                prop_assert!(records.starts_with(&seen));
                prop_assert!(seen.len() + unsynced >= records.len());
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Damage);
                accepted(folder.path(), &records, unsynced);
            }
        }
    }
}
