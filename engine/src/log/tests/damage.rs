//! Tests of damage to the last group: every byte flipped, cut and zeroed, both where it was promised and where it was
//! not.

use std::path::Path;

use barograph_lake::LogPosition;

use super::super::segment::HEADER_BYTES;
use super::{Image, Records, append, assert_same, open, record, replayed, temporary};
use crate::ErrorKind;
use crate::log::{Log, LostRange};

/// A log of one segment with three groups; the last, of three records, synced or not.
struct Subject {
    image: Image,
    records: Records,
    /// Records before the last group.
    before: usize,
    /// Position of the first record.
    first: u64,
    /// Where in the file the last group begins.
    start: usize,
    synced: bool,
}

/// What should come of opening a damaged log.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// All records.
    Whole,
    /// All but the last group; so many bytes cut off.
    Torn(u64),
    /// A refusal that names the bytes of the file and the positions.
    Damage { bytes: std::ops::Range<u64>, positions: std::ops::Range<u64> },
}

impl Subject {
    fn new(synced: bool) -> Self {
        let folder = temporary();
        let (mut log, _) = open(folder.path(), false).unwrap();
        let first = log.end().get();
        let mut records = append(&mut log, &[record(1, 40)], true);
        records.extend(append(&mut log, &[record(2, 9), record(3, 0)], true));
        let before = records.len();
        let start = (HEADER_BYTES + log.end().get() - first) as usize;
        let last = [record(4, 50), record(5, 4100), record(6, 14)];
        records.extend(append(&mut log, &last, synced));
        drop(log);
        Self { image: Image::of(folder.path()), records, before, first, start, synced }
    }

    fn length(&self) -> usize {
        self.image.0[0].1.len()
    }

    /// Positions of the last group.
    fn positions(&self) -> std::ops::Range<u64> {
        let position = |byte: usize| byte as u64 - HEADER_BYTES + self.first;
        position(self.start)..position(self.length())
    }

    /// What is expected if the last group is broken and the file has `length` bytes.
    fn broken(&self, length: usize) -> Outcome {
        let bytes = self.start as u64..length as u64;
        match self.synced {
            true => Outcome::Damage { bytes, positions: self.positions() },
            false => Outcome::Torn(bytes.end - bytes.start),
        }
    }

    fn check(&self, folder: &Path, image: &Image, expected: &Outcome, what: &str) {
        image.lay(folder);
        let first = image.0[0].0.clone();
        let kept = match expected {
            Outcome::Whole => &self.records[..],
            _ => &self.records[..self.before],
        };
        match expected {
            Outcome::Whole | Outcome::Torn(_) => {
                let (mut log, opened) = open(folder, false).unwrap();
                let torn = if let Outcome::Torn(bytes) = expected { *bytes } else { 0 };
                assert_eq!((opened.torn_bytes, opened.lost), (torn, vec![]), "{what}");
                assert_eq!(opened.records, kept.len() as u64, "{what}");
                assert_same(&replayed(&mut log, LogPosition::new(0)), kept, what);
            }
            Outcome::Damage { bytes, positions } => {
                let error = open(folder, false).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Damage, "{what}");
                let message = error.to_string();
                let range = format!(
                    "positions {}..{}",
                    LogPosition::new(positions.start),
                    LogPosition::new(positions.end)
                );
                for part in [&first, &range, "--accept-log-damage"] {
                    assert!(message.contains(part), "{what}: {part} in {message}");
                }
                if !bytes.is_empty() {
                    let bytes = format!("bytes {}..{}", bytes.start, bytes.end);
                    assert!(message.contains(&bytes), "{what}: {bytes} in {message}");
                }
                assert_eq!(Image::of(folder), *image, "{what}: a refusal changes nothing");
                self.check_accepted(folder, bytes, positions, what);
            }
        }
        self.check_goes_on(folder, kept, what);
    }

    fn check_accepted(
        &self,
        folder: &Path,
        bytes: &std::ops::Range<u64>,
        positions: &std::ops::Range<u64>,
        what: &str,
    ) {
        let (mut log, opened) = open(folder, true).unwrap();
        let [LostRange { bytes: lost_bytes, positions: lost_positions, .. }] = &opened.lost[..]
        else {
            panic!("{what}: one range is lost, not {:?}", opened.lost)
        };
        assert_eq!(lost_bytes, bytes, "{what}");
        assert_eq!(
            (lost_positions.start.get(), lost_positions.end.get()),
            (positions.start, positions.end)
        );
        assert_same(&replayed(&mut log, LogPosition::new(0)), &self.records[..self.before], what);
        assert!(log.end().get() >= positions.end, "{what}: no position is given twice");
    }

    /// However the opening ended, the log takes records and opens again without a flag.
    fn check_goes_on(&self, folder: &Path, kept: &[(LogPosition, crate::log::Record)], what: &str) {
        let mut all = kept.to_vec();
        for round in 0..2 {
            let (mut log, opened) = open(folder, false).unwrap();
            assert_eq!(opened.torn_bytes, 0, "{what}: round {round}");
            assert_same(
                &replayed(&mut log, LogPosition::new(0)),
                &all,
                &format!("{what}: round {round}"),
            );
            all.extend(append(&mut log, &[record(7, 70)], round == 0));
        }
    }
}

fn each(synced: bool, check: impl Fn(&Subject, &Path)) {
    let folder = temporary();
    check(&Subject::new(synced), folder.path());
}

/// Every bit and all bits of the bytes near the ends of the group, one bit of each byte between.
fn masks(subject: &Subject, at: usize) -> Vec<u8> {
    match at < subject.start + 200 || at + 80 > subject.length() {
        true => vec![1, 2, 4, 8, 16, 32, 64, 128, 255],
        false => vec![1 << (at % 8)],
    }
}

#[test]
fn every_flipped_byte_of_the_last_group() {
    for synced in [true, false] {
        each(synced, |subject, folder| {
            let expected = subject.broken(subject.length());
            for at in subject.start..subject.length() {
                for mask in masks(subject, at) {
                    let mut image = subject.image.clone();
                    image.newest()[at] ^= mask;
                    let what = format!("synced {synced}: byte {at} ^ {mask}");
                    subject.check(folder, &image, &expected, &what);
                }
            }
        });
    }
}

#[test]
fn every_length_of_the_last_group() {
    for synced in [true, false] {
        each(synced, |subject, folder| {
            for length in subject.start..=subject.length() {
                let mut image = subject.image.clone();
                image.newest().truncate(length);
                let expected = match length == subject.length() {
                    true => Outcome::Whole,
                    false => subject.broken(length),
                };
                subject.check(folder, &image, &expected, &format!("synced {synced}: {length}"));
            }
        });
    }
}

#[test]
fn every_zeroed_tail_of_the_last_group() {
    for synced in [true, false] {
        each(synced, |subject, folder| {
            for from in subject.start..subject.length() {
                let mut image = subject.image.clone();
                image.newest()[from..].fill(0);
                let expected = match image == subject.image {
                    true => Outcome::Whole,
                    false => subject.broken(subject.length()),
                };
                subject.check(folder, &image, &expected, &format!("synced {synced}: from {from}"));
            }
        });
    }
}

/// What a machine that lost power may leave behind the promised end.
#[test]
fn bytes_behind_a_promised_end_are_torn() {
    each(true, |subject, folder| {
        for (extra, byte) in [(1, 0), (7, 0), (8, 0), (24, 0), (4096, 0), (23, 9), (5000, 9)] {
            let mut image = subject.image.clone();
            image.newest().extend(std::iter::repeat_n(byte, extra));
            image.lay(folder);
            let (mut log, opened) = open(folder, false).unwrap();
            assert_eq!((opened.torn_bytes, opened.lost), (extra as u64, vec![]));
            assert_same(&replayed(&mut log, LogPosition::new(0)), &subject.records, "");
            drop(log);
            subject.check_goes_on(folder, &subject.records, &format!("{extra} × {byte}"));
        }
    });
}

/// A flaw with a whole group behind it is no torn end, whether it was synced or not.
#[test]
fn every_flipped_byte_before_the_last_group() {
    for synced in [true, false] {
        each(synced, |subject, folder| {
            for at in HEADER_BYTES as usize..subject.start {
                let mut image = subject.image.clone();
                image.newest()[at] ^= 0x10;
                image.lay(folder);
                let error = open(folder, false).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Damage, "byte {at}");
                let (mut log, opened) = open(folder, true).unwrap();
                let [lost] = &opened.lost[..] else { panic!("byte {at}: {:?}", opened.lost) };
                assert!(lost.bytes.contains(&(at as u64)), "byte {at}: {lost}");
                let kept: Records = subject
                    .records
                    .iter()
                    .filter(|(position, _)| !lost.positions.contains(position))
                    .cloned()
                    .collect();
                assert!(
                    kept.len() + 2 >= subject.records.len(),
                    "byte {at}: only its group is lost"
                );
                assert_same(&replayed(&mut log, LogPosition::new(0)), &kept, &format!("byte {at}"));
                drop(log);
                subject.check_goes_on(folder, &kept, &format!("byte {at}"));
            }
        });
    }
}

/// The file's own header: what is fixed is checked, one torn mark is harmless, the rest is not used.
#[test]
fn every_flipped_byte_of_the_file_header() {
    each(true, |subject, folder| {
        for at in 0..HEADER_BYTES as usize {
            if at > 60 && at % 8 != 0 && !(512..544).contains(&at) && !(1024..1056).contains(&at) {
                continue;
            }
            let mut image = subject.image.clone();
            image.newest()[at] ^= 0x21;
            image.lay(folder);
            if at < 60 {
                assert_eq!(open(folder, false).unwrap_err().kind(), ErrorKind::Damage, "byte {at}");
                let (mut log, opened) = open(folder, true).unwrap();
                assert!(opened.lost[0].positions.is_empty(), "byte {at}: {:?}", opened.lost);
                assert_same(
                    &replayed(&mut log, LogPosition::new(0)),
                    &subject.records,
                    &format!("byte {at}"),
                );
            } else {
                let (mut log, opened) = open(folder, false).unwrap();
                assert_eq!((opened.torn_bytes, opened.lost), (0, vec![]), "byte {at}");
                assert_same(
                    &replayed(&mut log, LogPosition::new(0)),
                    &subject.records,
                    &format!("byte {at}"),
                );
            }
            subject.check_goes_on(folder, &subject.records, &format!("byte {at}"));
        }
    });
}

#[test]
fn both_marks_torn_is_damage() {
    for synced in [true, false] {
        each(synced, |subject, folder| {
            let mut image = subject.image.clone();
            image.newest()[512] ^= 1;
            image.newest()[1024] ^= 1;
            image.lay(folder);
            assert_eq!(open(folder, false).unwrap_err().kind(), ErrorKind::Damage);
            let (mut log, opened) = open(folder, true).unwrap();
            assert_eq!(opened.lost.len(), 2, "the header, and what may have followed");
            assert_same(&replayed(&mut log, LogPosition::new(0)), &subject.records, "");
            drop(log);
            subject.check_goes_on(folder, &subject.records, "both marks");

            // Without a mark a flaw at the end may have been promised.
            image.newest().pop();
            image.lay(folder);
            assert_eq!(open(folder, false).unwrap_err().kind(), ErrorKind::Damage);
        });
    }
}

/// A header file cut anywhere.
#[test]
fn every_length_of_the_file_header() {
    each(true, |subject, folder| {
        for length in [0, 1, 39, 40, 511, 600, 1040, 4095, 4096] {
            let mut image = subject.image.clone();
            image.newest().truncate(length);
            image.lay(folder);
            assert_eq!(open(folder, false).unwrap_err().kind(), ErrorKind::Damage, "{length}");
            let (mut log, _) = open(folder, true).unwrap();
            assert_same(&replayed(&mut log, LogPosition::new(0)), &[], &format!("{length}"));
            drop(log);
            subject.check_goes_on(folder, &[], &format!("{length}"));
        }
    });
}
