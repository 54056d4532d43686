//! Tests of the compaction plan: what is compacted, and when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_lake::{
    FileEntry, FilePath, Hour, Key, LogPosition, Period, Snapshot, Span, TableVersion, Tier,
    TimeRange, Timestamp,
};
use proptest::prelude::*;

use super::{CompactionSettings, due_compactions};

/// 2026-01-30T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_769_731_200_000_000);

fn file(period: Period, keys: (i64, i64), rows: u64) -> Arc<FileEntry> {
    Arc::new(FileEntry {
        path: FilePath::new(period, LogPosition::new(1)),
        bytes: rows * 5,
        rows,
        keys: (Key::new(keys.0), Key::new(keys.1)),
        times: (period.start(), period.end() - Span::MICROSECOND),
        columns: Vec::new(),
    })
}

fn snapshot(files: Vec<Arc<FileEntry>>) -> Snapshot {
    Snapshot::new(TableVersion::new(0), files)
}

/// The snapshot after everything that is due was compacted, and how many rows were written for it.
fn compact_all(
    mut snapshot: Snapshot,
    now: Timestamp,
    settings: &CompactionSettings,
) -> (Snapshot, u64) {
    let mut written = 0;
    for _ in 0..1_000 {
        let Some(compaction) =
            due_compactions(&snapshot, now, TimeRange::ALL, settings).into_iter().next()
        else {
            return (snapshot, written);
        };
        let rows: u64 = compaction.files.iter().map(|file| file.rows).sum();
        written += rows;
        let removed: Vec<_> = compaction.files.iter().map(|file| file.path).collect();
        let added = vec![file(compaction.target, (0, 9), rows)];
        snapshot = snapshot.apply(snapshot.version(), &removed, added);
        assert_eq!(snapshot.find_overlap(), None);
    }
    panic!("compaction has no end");
}

proptest! {
    #[test]
    fn every_row_is_folded_twice_at_most_and_only_when_its_period_is_over(
        hours in prop::collection::btree_map(0..2_000i64, 1..200_000u64, 0..400),
        now in 0..3_000i64,
    ) {
        let at = |hour: i64| Hour::of(START + hour * Span::HOUR).unwrap();
        let files = hours.iter().map(|(&hour, &rows)| file(at(hour).into(), (0, 9), rows)).collect();
        let (settings, now) = (CompactionSettings::default(), START + now * Span::HOUR);
        let (after, written) = compact_all(snapshot(files), now, &settings);
        prop_assert!(written <= 2 * hours.values().sum::<u64>());
        let mut rows = BTreeMap::new();
        for file in after.files() {
            let period = file.path.period();
            let due = |tier: Tier, after: Span| {
                Period::of(tier, period.start()).unwrap().end() + after <= now
            };
            let (day, month) = (settings.day_after, settings.month_after);
            let expected = match (due(Tier::Month, month), due(Tier::Day, day)) {
                (true, _) => Tier::Month,
                (false, true) => Tier::Day,
                _ => Tier::Hour,
            };
            prop_assert_eq!(period.tier(), expected);
            prop_assert_eq!(super::compacted_period(period.start(), now, &settings), Some(period));
            rows.insert(period.start(), file.rows);
        }
        for file in after.files() {
            let period = file.path.period();
            let inside = hours.iter().filter(|&(&hour, _)| period.holds(at(hour)));
            prop_assert_eq!(file.rows, inside.map(|(_, rows)| rows).sum::<u64>());
        }
    }
}

#[test]
fn only_periods_that_lie_within_the_time_asked_for_are_folded() {
    let day = Period::of(Tier::Day, START).unwrap();
    let files: Vec<_> = day.hours().map(|hour| file(hour.into(), (0, 9), 10)).collect();
    let settings = CompactionSettings::default();
    let (now, snapshot) = (day.end() + 5 * Span::HOUR, snapshot(files));
    let found = |from, to| due_compactions(&snapshot, now, TimeRange { from, to }, &settings).len();
    assert_eq!(found(day.start(), day.end()), 1);
    assert_eq!(found(day.start() + Span::MICROSECOND, day.end()), 0);
    assert_eq!(found(day.start(), day.end() - Span::MICROSECOND), 0);
}

#[test]
fn a_month_in_several_files_is_left_alone() {
    let month = Period::of(Tier::Month, START).unwrap();
    let halves = vec![file(month, (0, 4), 10), file(month, (5, 9), 10)];
    let settings = CompactionSettings::default();
    let later = month.end() + 1_000 * Span::HOUR;
    assert_eq!(due_compactions(&snapshot(halves), later, TimeRange::ALL, &settings), []);
}
