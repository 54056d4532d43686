//! The conformance suite of logs: every implementation keeps the promises on [`Log`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use barograph_lake::{LogPosition, Size, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Log, LogSettings, Record};
use crate::{Error, ErrorKind, Result};

/// What the suite needs of an implementation: to open the same log again and again.
pub(super) trait Bed {
    fn open(&mut self, settings: &LogSettings, at_least: LogPosition) -> Box<dyn Log>;
}

/// Small segments and records, so that short tests rotate and reach the bounds.
pub(super) fn small() -> LogSettings {
    LogSettings { segment_bytes: Size::bytes(4096), record_bytes_max: Size::bytes(8192) }
}

/// A record unlike those of other seeds, with a body of `bytes` bytes.
pub(super) fn record(seed: u64, bytes: usize) -> Record {
    Record {
        table: ["readings", "t", ""][seed as usize % 3].into(),
        source: format!("source {seed}"),
        ingested_at: Timestamp::from_micros(seed as i64 - 7),
        rows: seed as u32,
        body: (0..bytes).map(|i| (seed as usize + i * 31) as u8).collect(),
    }
}

pub(super) fn replayed(log: &mut dyn Log, from: LogPosition) -> Vec<(LogPosition, Record)> {
    let mut seen = Vec::new();
    log.replay(from, &mut |position, record| {
        seen.push((position, record));
        Ok(())
    })
    .unwrap();
    seen
}

/// Like `assert_eq`, but says which record differs and does not print the bodies.
pub(super) fn assert_same(
    found: &[(LogPosition, Record)],
    expected: &[(LogPosition, Record)],
    what: &str,
) {
    let name = |one: &(LogPosition, Record)| format!("{} {}", one.0, one.1.source);
    let names = |all: &[(LogPosition, Record)]| all.iter().map(name).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected, "{what}: {} has another content", name(found));
    }
}

/// Runs every check, each on a bed of its own.
pub(super) fn run<B: Bed>(bed: impl Fn() -> B) {
    gives_growing_positions(&mut bed());
    survives_the_process(&mut bed());
    shows_what_was_appended(&mut bed());
    stops_at_the_visitors_error(&mut bed());
    keeps_what_truncate_must_keep(&mut bed());
    refuses_what_is_too_large(&mut bed());
    begins_where_it_is_told(&mut bed());
    agrees_with_a_list(bed);
}

fn append(log: &mut dyn Log, records: &[Record], sync: bool) -> Vec<(LogPosition, Record)> {
    let positions = log.append(records, sync).unwrap();
    assert_eq!(positions.len(), records.len());
    positions.into_iter().zip(records.iter().cloned()).collect()
}

/// Promises 1 and 6.
fn gives_growing_positions(bed: &mut dyn Bed) {
    let mut given: Vec<LogPosition> = Vec::new();
    for round in 0..4 {
        let mut log = bed.open(&small(), LogPosition::new(0));
        for n in 0..20 {
            let before = log.end();
            assert!(before > given.last().copied().unwrap_or_default());
            let records: Vec<_> = (0..n % 4).map(|i| record(i, 300)).collect();
            let positions = log.append(&records, n % 3 == 0).unwrap();
            assert!(positions.iter().all(|position| *position >= before));
            given.extend(positions);
            assert!(given.is_sorted_by(|a, b| a < b), "round {round}: {given:?}");
        }
        if let Some(last) = given.last() {
            log.truncate(*last).unwrap();
        }
    }
}

/// Promise 2, as far as the process goes.
fn survives_the_process(bed: &mut dyn Bed) {
    let mut model = Vec::new();
    for round in 0..6u64 {
        let mut log = bed.open(&small(), LogPosition::new(0));
        assert_same(&replayed(&mut *log, LogPosition::new(0)), &model, &format!("round {round}"));
        let records = [record(round, 100), record(round + 1, 5000), record(round + 2, 0)];
        model.extend(append(&mut *log, &records, round % 2 == 0));
    }
}

/// Promise 4.
fn shows_what_was_appended(bed: &mut dyn Bed) {
    let mut log = bed.open(&small(), LogPosition::new(0));
    assert_same(&replayed(&mut *log, LogPosition::new(0)), &[], "");
    let mut model = Vec::new();
    for n in 0..12u64 {
        let records: Vec<_> = (0..1 + n % 3).map(|i| record(n * 10 + i, 700)).collect();
        model.extend(append(&mut *log, &records, false));
        assert_same(&replayed(&mut *log, LogPosition::new(0)), &model, "");
    }
    for (index, (position, _)) in model.iter().enumerate() {
        assert_same(&replayed(&mut *log, *position), &model[index..], "");
        assert_same(
            &replayed(&mut *log, LogPosition::new(position.get() + 1)),
            &model[index + 1..],
            "",
        );
    }
    let end = log.end();
    assert_same(&replayed(&mut *log, end), &[], "");
    assert_same(&replayed(&mut *log, LogPosition::new(u64::MAX)), &[], "");
}

/// Promise 4, the error of the visitor.
fn stops_at_the_visitors_error(bed: &mut dyn Bed) {
    let mut log = bed.open(&small(), LogPosition::new(0));
    append(&mut *log, &[record(1, 10), record(2, 10), record(3, 10)], true);
    let mut seen = 0;
    let mut visit = |_: LogPosition, _: Record| -> Result<()> {
        seen += 1;
        if seen == 2 { Err(Error::new(ErrorKind::Cancelled, "enough")) } else { Ok(()) }
    };
    let error = log.replay(LogPosition::new(0), &mut visit).unwrap_err();
    assert_eq!((error.kind(), seen), (ErrorKind::Cancelled, 2));
}

/// Promise 5.
fn keeps_what_truncate_must_keep(bed: &mut dyn Bed) {
    let mut log = bed.open(&small(), LogPosition::new(0));
    let mut model = Vec::new();
    for n in 0..30 {
        model.extend(append(&mut *log, &[record(n, 900)], false));
    }
    let full = log.bytes();
    for below in [model[0].0, model[5].0, model[11].0, model[29].0, log.end()] {
        log.truncate(below).unwrap();
        let kept: Vec<_> = model.iter().filter(|(at, _)| *at >= below).cloned().collect();
        assert_same(&replayed(&mut *log, below), &kept, "");
        let all = replayed(&mut *log, LogPosition::new(0));
        assert!(model.ends_with(&all), "what is left is the end of what was there");
    }
    assert!(log.bytes() < full / 2, "{} of {full} bytes are left", log.bytes());
    let end = log.end();
    drop(log);
    let mut log = bed.open(&small(), LogPosition::new(0));
    assert_eq!(log.end(), end);
    model.extend(append(&mut *log, &[record(99, 1)], true));
    assert_same(&replayed(&mut *log, end), &model[30..], "");
}

/// Promise 7, the bounds, and that a refused call leaves no trace.
fn refuses_what_is_too_large(bed: &mut dyn Bed) {
    let mut log = bed.open(&small(), LogPosition::new(0));
    let bound = small().record_bytes_max.get();
    let mut model = append(&mut *log, &[record(1, bound)], true);
    let long = "x".repeat(65_536);
    let refused = [
        record(2, bound + 1),
        Record { table: long.as_str().into(), ..record(2, 1) },
        Record { source: long, ..record(2, 1) },
    ];
    for refused in refused {
        let error = log.append(&[record(3, 1), refused], true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request, "{error}");
    }
    let longest = Record { source: "y".repeat(65_535), ..record(4, 1) };
    model.extend(append(&mut *log, &[longest], true));
    assert_same(&replayed(&mut *log, LogPosition::new(0)), &model, "");
}

/// Promise 1, over the loss of the log's own folder.
fn begins_where_it_is_told(bed: &mut dyn Bed) {
    let mut model = Vec::new();
    for at_least in [1001, 0, 1001, 1_000_003, 2_000_000] {
        let mut log = bed.open(&small(), LogPosition::new(at_least));
        assert!(log.end().get() >= at_least);
        assert_same(&replayed(&mut *log, LogPosition::new(0)), &model, "");
        let appended = append(&mut *log, &[record(at_least, 10)], false);
        assert!(appended[0].0.get() >= at_least);
        model.extend(appended);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        bodies: Vec<usize>,
        sync: bool,
    },
    Sync,
    /// Below the record at this share of those that are left.
    Truncate(prop::sample::Index),
    Reopen {
        ahead: u64,
    },
    Replay(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop::collection::vec(prop_oneof![0..40usize, 0..8192usize], 0..5), any::<bool>())
            .prop_map(|(bodies, sync)| Step::Append { bodies, sync }),
        1 => Just(Step::Sync),
        1 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        1 => prop_oneof![4 => Just(0), 1 => 0..5000u64].prop_map(|ahead| Step::Reopen { ahead }),
        1 => any::<prop::sample::Index>().prop_map(Step::Replay),
    ]
}

/// All promises, against the simplest thing that keeps them.
fn agrees_with_a_list<B: Bed>(bed: impl Fn() -> B) {
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(64) });
    let steps = prop::collection::vec(step(), 1..40);
    let check = |steps| {
        follow(&mut bed(), steps);
        Ok(())
    };
    runner.run(&steps, check).unwrap();
}

fn follow(bed: &mut dyn Bed, steps: Vec<Step>) {
    let mut log = bed.open(&small(), LogPosition::new(0));
    let mut model: Vec<(LogPosition, Record)> = Vec::new();
    let mut truncated = LogPosition::new(0);
    for (seed, step) in steps.into_iter().enumerate() {
        let at = |index: prop::sample::Index| match model.len() {
            0 => LogPosition::new(0),
            length => model[index.index(length)].0,
        };
        match step {
            Step::Append { bodies, sync } => {
                let records: Vec<_> =
                    bodies.into_iter().map(|bytes| record(seed as u64, bytes)).collect();
                model.extend(append(&mut *log, &records, sync));
            }
            Step::Sync => log.sync().unwrap(),
            Step::Truncate(index) => {
                truncated = truncated.max(at(index));
                log.truncate(truncated).unwrap();
            }
            Step::Reopen { ahead } => {
                let end = log.end();
                drop(log);
                log = bed.open(&small(), LogPosition::new(end.get() + ahead));
                assert!(log.end().get() >= end.get() + ahead);
            }
            Step::Replay(index) => {
                let from = truncated.max(at(index));
                let expected: Vec<_> =
                    model.iter().filter(|(position, _)| *position >= from).cloned().collect();
                assert_same(&replayed(&mut *log, from), &expected, "");
            }
        }
    }
    let all = replayed(&mut *log, LogPosition::new(0));
    assert!(model.ends_with(&all));
    assert!(model.iter().filter(|(at, _)| *at >= truncated).count() <= all.len());
}
