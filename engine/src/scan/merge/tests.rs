//! Tests of merged runs against a sorted map.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Int16Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;

use super::*;

type Cells = (Option<i16>, Option<f32>, Option<String>);
type Row = (i64, i64, Cells);

fn batch(rows: &[Row], wide: bool) -> RecordBatch {
    let keys = rows.iter().map(|row| row.0);
    let keys: ArrayRef = if wide {
        Arc::new(keys.collect::<Int64Array>())
    } else {
        Arc::new(keys.map(|key| key as i32).collect::<Int32Array>())
    };
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.1)).collect();
    let small: Int16Array = rows.iter().map(|row| row.2.0).collect();
    let float: Float32Array = rows.iter().map(|row| row.2.1).collect();
    let word: StringArray = rows.iter().map(|row| row.2.2.clone()).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("key", keys, false),
        ("time", Arc::new(times.with_timezone("UTC")) as ArrayRef, false),
        ("small", Arc::new(small) as ArrayRef, true),
        ("float", Arc::new(float) as ArrayRef, true),
        ("word", Arc::new(word) as ArrayRef, true),
    ])
    .unwrap()
}

/// A run in ascending order without repeats, from few keys and instants so that runs meet often.
fn run() -> impl Strategy<Value = Vec<Row>> {
    let cells = (
        proptest::option::of(any::<i16>()),
        proptest::option::of((-9i8..9).prop_map(f32::from)),
        proptest::option::of("[a-c]{0,3}"),
    );
    let rows = proptest::collection::btree_map((-3i64..4, -20i64..20), cells, 0..80);
    rows.prop_map(|rows| rows.into_iter().map(|((key, time), cells)| (key, time, cells)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_last_run_wins(
        runs in proptest::collection::vec(run(), 1..7),
        wide in any::<bool>(),
        skip in 0usize..3,
    ) {
        let mut expected = BTreeMap::new();
        let mut batches = Vec::new();
        for run in &runs {
            // A slice of a longer batch: offsets must be honoured.
            let skip = skip.min(run.len());
            batches.push(batch(run, wide).slice(skip, run.len() - skip));
            expected.extend(run[skip..].iter().map(|(key, time, cells)| ((*key, *time), cells.clone())));
        }
        let rows: Vec<Row> =
            expected.into_iter().map(|((key, time), cells)| (key, time, cells)).collect();
        prop_assert_eq!(merge(&batches).unwrap(), batch(&rows, wide));
    }

    #[test]
    fn kept_repeats_stand_in_the_order_of_their_runs(
        runs in proptest::collection::vec(run(), 1..7),
        doubled in any::<bool>(),
    ) {
        let mut rows = Vec::new();
        let mut batches = Vec::new();
        for run in &runs {
            let run: Vec<Row> = if doubled {
                run.iter().flat_map(|row| [row.clone(), row.clone()]).collect()
            } else {
                run.clone()
            };
            batches.push(batch(&run, false));
            rows.extend(run);
        }
        rows.sort_by_key(|row| (row.0, row.1));
        prop_assert_eq!(join(&batches, Repeats::Kept).unwrap(), batch(&rows, false));
    }

    #[test]
    fn leaps_find_the_end_whatever_is_guessed(length in 1usize..200, from in 0usize..200, end in 0usize..200, guess in 0usize..300) {
        let from = from % length;
        let end = from + 1 + end % (length - from);
        let keys = vec![0_i64; length];
        let times: Vec<i64> = (0..length as i64).collect();
        let order = Order { keys: &keys, times: &times };
        let found = order.end(from, guess, |(_, time)| time.as_micros() < end as i64);
        prop_assert_eq!(found, end);
    }
}

fn rows(keys: std::ops::Range<i64>, times: std::ops::Range<i64>) -> Vec<Row> {
    keys.flat_map(|key| times.clone().map(move |time| (key, time, (Some(1), None, None)))).collect()
}

#[test]
fn one_run_with_rows_is_given_back_as_it_is() {
    let (empty, full) = (batch(&[], false), batch(&rows(0..3, 0..3), false));
    let merged = merge(&[empty.clone(), full.clone(), empty.clone()]).unwrap();
    assert!(Arc::ptr_eq(merged.column(0), full.column(0)));
    assert_eq!(merge(&[empty.clone(), empty]).unwrap().num_rows(), 0);
}

#[test]
fn spans_are_as_long_as_they_can_be() {
    let runs = [batch(&rows(0..2, 0..60), false), batch(&rows(0..2, 60..120), false)];
    let orders: Vec<_> = runs.iter().map(|run| Order::of::<Int32Type>(run).unwrap()).collect();
    let span = Span::new;
    assert_eq!(
        spans(&orders, Repeats::LastRunWins),
        [span(0, 0..60), span(1, 0..60), span(0, 60..120), span(1, 60..120)]
    );
}

#[test]
fn runs_may_take_turns_row_by_row() {
    let all: Vec<Row> = (0..5_000)
        .map(|i| {
            let cells = ((i % 3 > 0).then_some(i as i16), (i % 7 > 0).then_some(i as f32), None);
            (i / 100, i % 100, cells)
        })
        .collect();
    let turn =
        |of: i64| -> Vec<Row> { all.iter().filter(|row| row.1 % 3 == of).cloned().collect() };
    let runs = [0, 1, 2].map(|of| batch(&turn(of), false));
    assert_eq!(merge(&runs).unwrap(), batch(&all, false));
}

#[test]
fn runs_that_cannot_be_merged_are_an_error() {
    let narrow = batch(&rows(0..2, 0..2), false);
    let wide = batch(&rows(0..2, 0..2), true);
    assert!(merge(&[]).is_err());
    assert!(merge(&[narrow.clone(), wide]).is_err());
    assert!(merge(&[narrow.clone(), narrow.project(&[0, 1]).unwrap()]).is_err());
    let unsorted = narrow.project(&[2, 3]).unwrap();
    assert!(merge(&[unsorted.clone(), unsorted]).is_err());
}
