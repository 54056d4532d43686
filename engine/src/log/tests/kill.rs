//! A test of kill -9: a process that appends is killed, and leaves behind what it acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use barograph_lake::LogPosition;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::conformance::{record, replayed};
use super::temporary;
use crate::log::{Log, LogSettings, SegmentLog};

const FOLDER: &str = "BAROGRAPH_TEST_LOG_FOLDER";
const CYCLES: u64 = 12;

fn open(folder: &Path) -> (SegmentLog, crate::log::Opened) {
    let settings =
        LogSettings { segment_bytes: barograph_lake::Size::mebibytes(2), ..LogSettings::default() };
    SegmentLog::open(folder, &settings, LogPosition::new(0), false).unwrap()
}

/// The process to be killed: appends without end and says what it was promised.
fn append_until_killed(folder: &Path) {
    let (mut log, _) = open(folder);
    let mut random = SmallRng::seed_from_u64(log.end().get());
    loop {
        let records: Vec<_> = (0..random.random_range(1..5))
            .map(|_| record(random.random_range(0..1000), random.random_range(0..300_000)))
            .collect();
        let positions = log.append(&records, random.random()).unwrap();
        for (position, record) in positions.iter().zip(&records) {
            println!("\nacknowledged {} {} {}", position.get(), record.rows, record.body.len());
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    // The child is this test once more, told so by the variable.
    if let Some(folder) = std::env::var_os(FOLDER) {
        append_until_killed(Path::new(&folder));
    }
    let folder = temporary();
    let mut acknowledged = BTreeMap::new();
    let mut random = SmallRng::seed_from_u64(3);
    for cycle in 0..CYCLES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "log::tests::kill::what_was_acknowledged_survives_kill_9",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = random.random_range(1..60);
        while let Some(Ok(line)) = lines.next() {
            let mut words = line.split(' ');
            if words.next() != Some("acknowledged") {
                continue;
            }
            let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
            // A line that the kill cut short promises nothing.
            if let [position, seed, bytes] = numbers[..] {
                acknowledged.insert(position, (seed, bytes));
            }
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(left <= 0, "cycle {cycle}: the child ended by itself");

        let (mut log, opened) = open(folder.path());
        assert_eq!(opened.lost, vec![]);
        let found: BTreeMap<_, _> = replayed(&mut log, LogPosition::new(0))
            .into_iter()
            .map(|(position, found)| (position.get(), found))
            .collect();
        for (position, (seed, bytes)) in &acknowledged {
            let found = found.get(position);
            assert!(
                found == Some(&record(*seed, *bytes as usize)),
                "cycle {cycle}: position {position} was acknowledged: {:?}",
                found.map(|found| (found.rows, found.body.len()))
            );
        }
        // What was written and not yet acknowledged may have come through; from now on it counts.
        for (position, found) in found {
            acknowledged.insert(position, (u64::from(found.rows), found.body.len() as u64));
        }
    }
    assert!(acknowledged.len() > CYCLES as usize);
}
