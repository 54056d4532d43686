//! Folds over moving windows, held against adding up each window by itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use barograph_engine::scan::kernel::{FloatSum, Max, Step};
use proptest::prelude::*;

use super::windows::Windows;

/// Windows that move forward, by the steps of both ends.
fn frames(steps: &[(usize, usize)], rows: usize) -> Vec<(usize, usize)> {
    let (mut start, mut end) = (0, 1);
    let mut frames = Vec::new();
    for &(starts, ends) in steps {
        end = (end + ends).min(rows);
        start = (start + starts).min(end - 1);
        frames.push((start, end));
    }
    frames
}

fn fold<S: Step>(values: &[S::Value], frames: &[(usize, usize)], forget: bool) -> Vec<S::Value> {
    let mut windows = Windows::<S>::default();
    windows.append(values.iter().copied());
    let each = frames.iter().map(|&(start, end)| {
        let found = windows.fold(start, end);
        if forget {
            windows.forget(start);
        }
        found
    });
    each.collect()
}

proptest! {
    #[test]
    fn windows_are_their_rows(
        values in proptest::collection::vec(-1_000i64..1_000, 1..80),
        steps in proptest::collection::vec((0usize..4, 0usize..4), 0..120),
        forget: bool,
    ) {
        let frames = frames(&steps, values.len());
        let floats: Vec<f64> = values.iter().map(|&value| value as f64 / 8.0).collect();
        let sums: Vec<f64> = frames.iter().map(|&(a, b)| floats[a..b].iter().sum()).collect();
        prop_assert_eq!(fold::<FloatSum>(&floats, &frames, forget), sums);
        let most: Vec<i64> = frames.iter().map(|&(a, b)| *values[a..b].iter().max().unwrap()).collect();
        prop_assert_eq!(fold::<Max>(&values, &frames, forget), most);
    }

    #[test]
    fn windows_from_the_start_may_be_one_row(
        values in proptest::collection::vec(-1_000i64..1_000, 1..80),
        at in 1usize..80,
    ) {
        let mut windows = Windows::<FloatSum>::default();
        windows.append(values.iter().map(|&value| value as f64));
        let sum = |rows: usize| values[..rows].iter().sum::<i64>() as f64;
        let at = at.min(values.len());
        prop_assert_eq!(windows.fold(0, at), sum(at));
        windows.collapse(at);
        for end in at + 1..=values.len() {
            prop_assert_eq!(windows.fold(0, end), sum(end));
        }
    }
}

#[test]
fn what_has_left_a_window_leaves_nothing_behind() {
    let values = [1e300, 0.1, f64::INFINITY, 0.2, f64::NAN, 0.3, f64::NEG_INFINITY, 0.4, 0.5];
    let frames: Vec<_> = (0..values.len()).map(|row| (row.saturating_sub(1), row + 1)).collect();
    let sums = fold::<FloatSum>(&values, &frames, false);
    assert_eq!(sums[..4], [1e300, 1e300, f64::INFINITY, f64::INFINITY]);
    assert!(sums[4].is_nan() && sums[5].is_nan());
    assert_eq!(sums[6..], [f64::NEG_INFINITY, f64::NEG_INFINITY, 0.9]);
}

#[test]
fn a_sum_does_not_drift() {
    let values: Vec<f64> =
        (0..1_000_000).map(|row| if row % 1_000 == 0 { 1e15 } else { 0.1 }).collect();
    let frames: Vec<_> =
        (0..values.len()).map(|row| (usize::saturating_sub(row, 9), row + 1)).collect();
    for (&(start, end), sum) in frames.iter().zip(fold::<FloatSum>(&values, &frames, true)) {
        let expected: f64 = values[start..end].iter().sum();
        assert!((sum - expected).abs() <= expected * 1e-15, "{start}: {sum}, expected {expected}");
    }
}
