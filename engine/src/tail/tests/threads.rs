//! Tests of readers beside the writer: they see exactly their view while it goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use barograph_lake::{Hour, Key, KeySelection, KeyType, LogPosition, TimeRange, Timestamp};

use super::model::{ALL_COLUMNS, Reading, batch, readings, schema};
use super::{STARTS, numbered};
use crate::memory::Budget;
use crate::tail::{Tail, TailView};

const ROWS: i64 = 40_000;
const KEYS: i64 = 600;

/// Row `number` of the stream: keys and instants in disorder, some of both repeated.
fn row(number: i64) -> Reading {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let time = STARTS[0] + number / KEYS * 10 - mixed as i64 % 30;
    numbered(mixed as i64 % KEYS, time, number)
}

/// The view shows the first `view.rows()` rows of the stream, and says so in every way of asking.
fn check(view: &TailView) {
    let mut rows: BTreeMap<(Key, Timestamp), Reading> = BTreeMap::new();
    for number in 0..view.rows() as i64 {
        let row = row(number);
        rows.insert((row.key, row.time), row);
    }
    let mut seen = BTreeMap::new();
    for hour in view.hours() {
        let all = hour.read(&KeySelection::All, TimeRange::ALL, &ALL_COLUMNS).unwrap();
        for row in readings(&all) {
            assert_eq!(Hour::of(row.time), Some(hour.hour()));
            assert_eq!(seen.insert((row.key, row.time), row), None);
        }
    }
    assert_eq!(seen, rows);
    for key in (0..KEYS).step_by(7).map(Key::new) {
        let newest = rows.range((key, Timestamp::MIN)..=(key, Timestamp::MAX)).next_back();
        assert_eq!(view.latest_time(key), newest.map(|(&(_, time), _)| time));
        let latest = readings(&view.latest(&[key], &ALL_COLUMNS).unwrap());
        assert_eq!(latest.first(), newest.map(|(_, row)| row));
    }
}

#[test]
fn readers_keep_their_views_while_the_writer_appends() {
    let schema = schema(KeyType::Int32);
    let budget = Budget::new("test", usize::MAX);
    let mut tail = Tail::new(schema.clone(), budget.clone());
    let current = ArcSwap::from_pointee(tail.view());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (current, done) = (&current, &done);
            scope.spawn(move || {
                let mut old = current.load_full();
                while !done.load(Ordering::Acquire) {
                    let view = current.load_full();
                    check(&view);
                    check(&old);
                    if reader > 0 {
                        old = view;
                    }
                }
                check(&current.load());
                check(&old);
            });
        }
        let (mut number, mut position) = (0, 0);
        while number < ROWS {
            let size = [1, 3, 1, 700, 1, 50][position as usize % 6];
            let rows: Vec<_> = (number..number + size).map(row).collect();
            tail.append(LogPosition::new(position), &batch(&schema, &rows)).unwrap();
            current.store(tail.view().into());
            number += size;
            position += 1;
        }
        done.store(true, Ordering::Release);
    });
    assert!(current.load().rows() >= ROWS as u64);
    drop((tail, current));
    assert_eq!(budget.used(), 0);
}
