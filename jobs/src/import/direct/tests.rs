//! Tests of the direct import: the places of rows, the order of runs, and the sorting of gathered rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow::array::{
    ArrayRef, AsArray, Float32Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};
use barograph_engine::scan::merge;
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{
    FileEntry, FilePath, Hour, Key, LogPosition, Period, Snapshot, Span, TableVersion, Tier,
    Timestamp,
};
use proptest::prelude::*;

use super::super::replaced::Replaced;
use super::place::{home, next};
use super::sorted::{Gathered, sorted};
use super::*;

/// 2026-03-01T00:00:00Z.
const START: i64 = 1_772_323_200_000_000;

fn file(period: Period, keys: (i64, i64)) -> Arc<FileEntry> {
    Arc::new(FileEntry {
        path: FilePath::new(period, LogPosition::new(0)),
        bytes: 5,
        rows: 1,
        keys: (Key::new(keys.0), Key::new(keys.1)),
        times: (period.start(), period.end() - Span::MICROSECOND),
        columns: Vec::new(),
    })
}

fn run(period: Period) -> Run {
    Run { table: "readings".to_owned(), file: FileEntry::clone(&file(period, (0, 9))) }
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_micros(START + hours * MICROS_PER_HOUR)
}

fn period(tier: Tier, hours: i64) -> Period {
    Period::of(tier, at(hours)).unwrap()
}

fn places(files: Vec<Arc<FileEntry>>, now: Timestamp) -> Places {
    let snapshot = Arc::new(Snapshot::new(TableVersion::new(0), files));
    Places { snapshot, now, settings: CompactionSettings::default() }
}

#[test]
fn a_row_goes_where_compaction_would_have_brought_it_or_where_its_hour_is() {
    let empty = places(Vec::new(), at(9 * 24));
    let place = |places: &Places, hours| places.of(at(hours)).unwrap();
    assert_eq!(place(&empty, -24), period(Tier::Month, -24));
    assert_eq!(place(&empty, 24), period(Tier::Day, 24));
    assert_eq!(place(&empty, 9 * 24 - 4), period(Tier::Hour, 9 * 24 - 4));
    let held = vec![file(period(Tier::Hour, 24), (0, 9)), file(period(Tier::Day, 8 * 24), (0, 9))];
    let held = places(held, at(9 * 24));
    assert_eq!(place(&held, 24), period(Tier::Day, 24), "shorter files are taken in");
    assert_eq!(place(&held, 9 * 24 - 4), period(Tier::Day, 8 * 24), "longer ones stay");
}

#[test]
fn runs_of_a_period_are_merged_together_in_the_order_they_were_read() {
    let runs = [(Tier::Hour, 30), (Tier::Hour, 2), (Tier::Day, 24), (Tier::Hour, 30)];
    let runs = runs.map(|(tier, hours)| run(period(tier, hours))).to_vec();
    let snapshot = Snapshot::new(TableVersion::new(0), Vec::new());
    let (target, first) = next(&snapshot, &runs).unwrap();
    assert_eq!((target, first), (period(Tier::Hour, 2), vec![runs[1].clone()]));
    let later: Vec<_> = runs.iter().filter(|run| **run != runs[1]).cloned().collect();
    assert_eq!(next(&snapshot, &later).unwrap(), (period(Tier::Day, 24), later.clone()));
    let folded = Snapshot::new(TableVersion::new(1), vec![file(period(Tier::Month, 0), (0, 9))]);
    assert_eq!(next(&folded, &runs).unwrap(), (period(Tier::Month, 0), runs));
    assert_eq!(home(&folded, period(Tier::Hour, -1)), period(Tier::Hour, -1));
    assert_eq!(next(&folded, &[]), None);
}

fn batch(rows: &[(i32, i64, f32)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| START + row.1));
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        ("at", Arc::new(times.with_timezone("UTC"))),
        ("v", Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2)))),
    ])
    .unwrap()
}

proptest! {
    #[test]
    fn gathered_rows_are_sorted_by_period_and_the_last_of_equal_ones_stays(
        mut pieces in prop::collection::vec(
            prop::collection::vec((0..5i32, 0..60i64), 1..80), 1..6),
        order in 0..3,
    ) {
        let mut value = 0.0;
        let mut expected: BTreeMap<(Hour, i32, Timestamp), f32> = BTreeMap::new();
        let (places, mut gathered) = (places(Vec::new(), at(0)), Gathered::default());
        for piece in &mut pieces {
            match order {
                0 => piece.sort_unstable(),
                1 => piece.sort_unstable_by_key(|row| row.1),
                _ => {}
            }
            let rows: Vec<_> = piece.iter().map(|&(key, time)| {
                value += 1.0;
                (key, time * MICROS_PER_HOUR / 7, value)
            }).collect();
            for &(key, time, value) in &rows {
                let time = Timestamp::from_micros(START + time);
                expected.insert((Hour::of(time).unwrap(), key, time), value);
            }
            let all = rows.len();
            let mut replaced = Replaced::default();
            let parts = sorted(&batch(&rows), &places, &mut replaced).unwrap();
            let kept: usize = parts.iter().map(|(_, rows)| rows.num_rows()).sum();
            prop_assert_eq!(kept + replaced.rows as usize, all);
            gathered.add(parts);
        }
        prop_assert!(gathered.bytes() > 0);
        let mut found = Vec::new();
        for (period, batches) in gathered.take() {
            let rows = merge(&batches).unwrap();
            let times = rows.column(1).as_primitive::<TimestampMicrosecondType>();
            let keys = rows.column(0).as_primitive::<Int32Type>();
            let values = rows.column(2).as_primitive::<Float32Type>();
            for row in 0..rows.num_rows() {
                let time = Timestamp::from_micros(times.value(row));
                prop_assert!(period.range().contains(time));
                found.push(((Hour::of(time).unwrap(), keys.value(row), time), values.value(row)));
            }
        }
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(gathered.bytes(), 0);
    }
}
