//! Fuzz targets of segment files: whatever stands in them is whole, torn or damaged, and what is whole is replayed.

use std::fs;

use barograph_fuzz::Target;
use barograph_lake::LogPosition;

use super::super::segment::{HEADER_BYTES, file_name};
use super::{append, open, record, replayed, temporary};

/// Position of the only segment.
const FIRST: u64 = 8;
/// Bytes of the headers of groups and records.
const GROUP: usize = 24;
const RECORD: usize = 32;

/// A segment file with groups of one and of several records.
fn segment(groups: u64) -> Vec<u8> {
    let folder = temporary();
    let (mut log, _) = open(folder.path(), false).unwrap();
    for n in 0..groups {
        let records: Vec<_> = (0..1 + n % 3).map(|i| record(n + i, 50 * n as usize)).collect();
        append(&mut log, &records, n % 2 == 0);
    }
    drop(log);
    fs::read(folder.path().join(file_name(FIRST))).unwrap()
}

/// Makes the checksums those of what they cover, so that what is behind them is read. Not those of marks: no damage makes
/// marks that are whole and contradict the segment.
fn mend(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES as usize {
        return;
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..40]);
    set(bytes, 12, crc);
    mend_groups(&mut bytes[HEADER_BYTES as usize..]);
}

/// The same for groups, one after the other.
pub(in crate::log) fn mend_groups(mut bytes: &mut [u8]) {
    while bytes.len() >= GROUP {
        let payload = number(bytes, 16).min(bytes.len() - GROUP);
        let (group, rest) = bytes.split_at_mut(GROUP + payload);
        let mut records = &mut group[GROUP..];
        while records.len() >= RECORD {
            let length = number(records, 0).clamp(RECORD, records.len());
            let (record, others) = records.split_at_mut(length);
            let crc = crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..]);
            set(record, 4, crc);
            records = others;
        }
        set(group, 4, crc32c::crc32c(&group[8..GROUP]));
        bytes = rest;
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn set(bytes: &mut [u8], at: usize, to: u32) {
    bytes[at..at + 4].copy_from_slice(&to.to_le_bytes());
}

#[test]
fn fuzz_log_segments() {
    let folder = temporary();
    let path = folder.path().join(file_name(FIRST));
    let seeds = [segment(1), segment(4), segment(7)];
    let target = Target::new("log-segments", 3_000).seeds(seeds).mend(mend).memory(8 << 20, 64);
    target.run(|input| {
        for entry in fs::read_dir(folder.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        fs::write(&path, input).unwrap();
        // A refusal changes nothing; with the flag, what is whole is there and stays there.
        let refused = open(folder.path(), false).map(drop).map_err(|error| error.to_string());
        if refused.is_err() {
            assert_eq!(fs::read(&path).unwrap(), input);
        }
        let (mut log, _) = match open(folder.path(), true) {
            Ok(opened) => opened,
            // A log of another version, which says so.
            Err(error) => return Err(error.to_string()),
        };
        let seen = replayed(&mut log, LogPosition::new(0));
        drop(log);
        let (mut log, opened) = open(folder.path(), true).unwrap();
        assert_eq!(replayed(&mut log, LogPosition::new(0)), seen);
        assert_eq!(opened.torn_bytes, 0);
        refused
    });
}
