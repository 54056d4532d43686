//! Tests of the tail's memory: every byte is accounted for, for exactly as long as it is held, and sparse hours are
//! cheap.

use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{Key, KeySelection, KeyType, LogPosition};

use super::model::{batch, schema};
use super::{STARTS, numbered};
use crate::memory::Budget;
use crate::tail::{HourView, Tail};

#[test]
fn landed_rows_are_given_back_when_their_last_view_goes() {
    let schema = schema(KeyType::Int32);
    let budget = Budget::new("test", usize::MAX);
    let mut tail = Tail::new(schema.clone(), budget.clone());
    let empty = budget.used();
    let rows: Vec<_> = (0..20_000).map(|n| numbered(n % 3, STARTS[0] + n, n)).collect();
    tail.append(LogPosition::new(1), &batch(&schema, &rows)).unwrap();
    let view = tail.view();
    let full = budget.used();
    assert_eq!(full, empty + view.bytes());
    // 20,000 rows of 64 or more bytes, in pages that waste less than half.
    assert!(full > 20_000 * 64 && full < 20_000 * 64 * 2, "{full}");

    let hour = view.hours()[0].clone();
    drop(view);
    tail.landed(hour.hour(), &hour);
    assert_eq!(tail.view().rows(), 0);
    assert_eq!(
        hour.read(&KeySelection::All, hour.hour().range(), &[0, 1]).unwrap().num_rows(),
        20_000
    );
    assert!(budget.used() >= hour.bytes(), "the reader still holds the hour");
    drop(hour);
    assert_eq!(budget.used(), empty);
    drop(tail);
    assert_eq!(budget.used(), 0);
}

#[test]
fn rows_that_stay_after_a_landing_are_all_that_is_held() {
    let schema = schema(KeyType::Int64);
    let budget = Budget::new("test", usize::MAX);
    let mut tail = Tail::new(schema.clone(), budget.clone());
    let rows: Vec<_> = (0..20_000).map(|n| numbered(n % 400, STARTS[0] + n, n)).collect();
    tail.append(LogPosition::new(1), &batch(&schema, &rows)).unwrap();
    let hour: HourView = tail.view().hours()[0].clone();
    tail.append(LogPosition::new(2), &batch(&schema, &[numbered(9, STARTS[0] + 3, 7)])).unwrap();
    tail.landed(hour.hour(), &hour);
    drop(hour);
    let view = tail.view();
    assert_eq!((view.rows(), view.keys()), (1, vec![Key::new(9)]));
    assert!(budget.used() < 4_096, "{}", budget.used());
}

#[test]
fn an_hour_of_three_rows_costs_less_than_two_kibibytes() {
    let schema = schema(KeyType::Int32);
    let budget = Budget::new("test", usize::MAX);
    let mut tail = Tail::new(schema.clone(), budget.clone());
    let rows: Vec<_> =
        (0..9_000).map(|n| numbered(n % 3, STARTS[0] + n / 3 * MICROS_PER_HOUR, n)).collect();
    tail.append(LogPosition::new(1), &batch(&schema, &rows)).unwrap();
    assert_eq!(tail.view().hours().len(), 3_000);
    let an_hour = budget.used() / 3_000;
    assert!(an_hour < 2_048, "{an_hour} bytes an hour");
}
