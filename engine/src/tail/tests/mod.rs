//! Tests of the tail against a naive model: any order of rows, late and repeated ones, views that are looked at again
//! much later, landings of any view at any time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod memory;
mod model;
mod threads;

use barograph_fuzz::number;
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{Key, KeyType, LogPosition, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use self::model::{Model, Reading, batch, schema};
use super::Tail;
use crate::memory::Budget;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Reading>),
    /// Takes a view and keeps it.
    View,
    /// Lands an hour of a kept view: which hour, which view (both modulo what there is).
    Land(usize, usize),
    /// Looks at a kept view once more.
    Check(usize),
    /// Lets a kept view go.
    Forget(usize),
}

/// 2026-11-22T00 and an hour before the epoch.
const STARTS: [i64; 2] = [1_795_305_600_000_000, -5 * MICROS_PER_HOUR];

fn reading() -> impl Strategy<Value = Reading> {
    let key = prop_oneof![8 => 0..12i64, 1 => Just(i32::MAX.into()), 1 => Just(i32::MIN.into())];
    let time =
        (0..STARTS.len(), 0..4i64, prop_oneof![3 => 0..8i64, 1 => Just(MICROS_PER_HOUR - 1)])
            .prop_map(|(start, hour, offset)| STARTS[start] + hour * MICROS_PER_HOUR + offset);
    let text = || option::of("[a-zé∂😀]{0,20}");
    let numbers = (
        option::of(any::<i16>()),
        option::of(-1e6f32..1e6),
        option::of(any::<i32>()),
        option::of(any::<i64>()),
        option::of(-1e12f64..1e12),
        option::of(any::<i64>()),
    );
    (key, time, numbers, text(), text(), any::<i64>()).prop_map(
        |(key, time, n, text, note, ingested_at)| {
            let (short, single, int, long, double, stamp) = n;
            let (time, ingested_at) =
                (Timestamp::from_micros(time), Timestamp::from_micros(ingested_at));
            Reading {
                key: Key::new(key),
                time,
                short,
                text,
                single,
                int,
                long,
                double,
                stamp,
                note,
                ingested_at,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec(reading(), 0..60).prop_map(Step::Append),
        2 => vec(reading(), 1..2).prop_map(Step::Append),
        3 => Just(Step::View),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(hour, view)| Step::Land(hour, view)),
        2 => any::<usize>().prop_map(Step::Check),
        1 => any::<usize>().prop_map(Step::Forget),
    ]
}

fn columns() -> impl Strategy<Value = Vec<usize>> {
    let rest = proptest::sample::subsequence((2..11).collect::<Vec<usize>>(), 0..9).prop_shuffle();
    rest.prop_map(|rest| [0, 1].into_iter().chain(rest).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(number("BAROGRAPH_TEST_CASES", 120) as u32))]

    #[test]
    fn every_answer_is_the_models(
        steps in vec(step(), 1..40),
        wide in any::<bool>(),
        columns in columns(),
    ) {
        let schema = schema(if wide { KeyType::Int64 } else { KeyType::Int32 });
        let budget = Budget::new("test", usize::MAX);
        let mut tail = Tail::new(schema.clone(), budget.clone());
        let (mut model, mut kept) = (Model::default(), Vec::new());
        for (position, step) in (1..).zip(steps) {
            match step {
                Step::Append(rows) => {
                    tail.append(LogPosition::new(position), &batch(&schema, &rows)).unwrap();
                    model.append(LogPosition::new(position), &rows);
                }
                Step::View => kept.push((tail.view(), model.clone())),
                Step::Land(hour, view) if !kept.is_empty() => {
                    let (seen, known) = &kept[view % kept.len()];
                    if let Some(hour) = seen.hours().get(hour % seen.hours().len().max(1)) {
                        tail.landed(hour.hour(), hour);
                        model.landed(hour.hour(), known);
                    }
                }
                Step::Check(view) if !kept.is_empty() => {
                    let (seen, known) = &kept[view % kept.len()];
                    known.check(seen, &columns);
                }
                Step::Forget(view) if !kept.is_empty() => {
                    kept.swap_remove(view % kept.len());
                }
                _ => {}
            }
            prop_assert!(tail.first_position() <= model.first_position());
            prop_assert_eq!(tail.first_position().is_some(), model.first_position().is_some());
        }
        model.check(&tail.view(), &columns);
        for (seen, known) in &kept {
            known.check(seen, &columns);
        }
        drop((tail, kept));
        prop_assert_eq!(budget.used(), 0);
    }
}

/// A reading whose values all follow from `number`.
fn numbered(key: i64, time: i64, number: i64) -> Reading {
    Reading {
        key: Key::new(key),
        time: Timestamp::from_micros(time),
        short: Some(number as i16),
        text: (number % 3 == 0).then(|| format!("text {number}")),
        single: Some(number as f32),
        int: Some(number as i32),
        long: Some(number),
        double: None,
        stamp: Some(number),
        note: None,
        ingested_at: Timestamp::from_micros(number),
    }
}

#[test]
fn a_batch_of_another_shape_is_refused_and_changes_nothing() {
    let schema = schema(KeyType::Int32);
    let mut tail = Tail::new(schema.clone(), Budget::new("test", usize::MAX));
    let good = batch(&schema, &[numbered(1, STARTS[0], 1)]);
    tail.append(LogPosition::new(5), &good).unwrap();

    let fewer = good.project(&[0, 1, 2]).unwrap();
    assert!(
        tail.append(LogPosition::new(6), &fewer).unwrap_err().to_string().contains("every_type")
    );
    let wide = batch(&model::schema(KeyType::Int64), &[numbered(1, STARTS[0], 2)]);
    assert!(tail.append(LogPosition::new(6), &wide).is_err());
    assert!(tail.append(LogPosition::new(4), &good).unwrap_err().to_string().contains("position"));
    let far = batch(&schema, &[numbered(2, STARTS[0], 3), numbered(1, i64::MAX, 4)]);
    assert!(tail.append(LogPosition::new(6), &far).is_err());

    let view = tail.view();
    assert_eq!((view.rows(), view.keys()), (1, vec![Key::new(1)]));
    assert!(
        view.latest(&[Key::new(1)], &[0, 1, 11]).unwrap_err().to_string().contains("column 11")
    );
}

/// The pages of a key with many rows, the chain through them, and views across page boundaries.
#[test]
fn an_hour_larger_than_its_pages_reads_like_the_model() {
    let schema = schema(KeyType::Int32);
    let mut tail = Tail::new(schema.clone(), Budget::new("test", usize::MAX));
    let (mut model, mut kept) = (Model::default(), Vec::new());
    for part in 0..7i64 {
        let row = |n: i64| {
            let number = part * 3_000 + n;
            let late = if number % 17 == 0 { number / 2 } else { number };
            numbered(number % 5, STARTS[0] + late, number)
        };
        let rows: Vec<_> = (0..3_000).map(row).collect();
        tail.append(LogPosition::new(part as u64), &batch(&schema, &rows)).unwrap();
        model.append(LogPosition::new(part as u64), &rows);
        kept.push((tail.view(), model.clone()));
    }
    for (view, model) in &kept {
        model.check(view, &[0, 1, 3]);
    }
}

/// A large batch is appended by key; also one whose keys lie too far apart to be sorted as one word.
#[test]
fn a_large_batch_keeps_the_order_of_each_keys_rows() {
    for (key_type, scale) in [(KeyType::Int32, 1), (KeyType::Int64, 1 << 59)] {
        let schema = schema(key_type);
        let mut tail = Tail::new(schema.clone(), Budget::new("test", usize::MAX));
        let rows: Vec<_> = (0..2_000)
            .map(|n| numbered((n * 7 % 13 - 6) * scale, STARTS[0] + n * n % 50, n))
            .collect();
        tail.append(LogPosition::new(1), &batch(&schema, &rows)).unwrap();
        let mut model = Model::default();
        model.append(LogPosition::new(1), &rows);
        model.check(&tail.view(), &[0, 1, 10]);
    }
}

/// A view may land twice, and after a later one: what it shows is gone already.
#[test]
fn a_view_that_lands_again_drops_nothing_new() {
    let schema = schema(KeyType::Int32);
    let mut tail = Tail::new(schema.clone(), Budget::new("test", usize::MAX));
    let put = |tail: &mut Tail, position: u64| {
        let row = numbered(1, STARTS[0] + position as i64, position as i64);
        tail.append(LogPosition::new(position), &batch(&schema, &[row])).unwrap();
        tail.view().hours().last().unwrap().clone()
    };
    let first = put(&mut tail, 1);
    let second = put(&mut tail, 2);
    tail.landed(first.hour(), &second);
    assert_eq!((tail.view().rows(), tail.first_position()), (0, None));

    put(&mut tail, 3);
    tail.landed(first.hour(), &first);
    tail.landed(first.hour(), &second);
    assert_eq!((tail.view().rows(), tail.first_position()), (1, Some(LogPosition::new(3))));
}
