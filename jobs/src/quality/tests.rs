//! Tests of the quality checks by themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use barograph_lake::Timestamp;

use super::key::Pass;
use super::neighbours::Neighbours;
use super::*;

const MINUTE: Span = Span::MINUTE;

fn check(step: Option<f64>, persistence: Option<f64>, neighbour: Option<f64>) -> Check {
    let column = "temperature".to_owned();
    Check { column, step, persistence, neighbour, height: Height::Level }
}

/// The flags of readings at minutes.
fn flags(check: &Check, near: Option<f64>, readings: &[(i64, f64)]) -> Vec<i16> {
    let mut pass = Pass::new(check, 5 * MINUTE, 60 * MINUTE, near);
    readings
        .iter()
        .map(|(minute, value)| pass.next(Timestamp::UNIX_EPOCH + *minute * MINUTE, *value))
        .collect()
}

#[test]
fn what_jumps_is_flagged_and_what_comes_back_is_not() {
    let check = check(Some(3.0), None, None);
    let spike = [(0, 10.0), (1, 13.0), (2, 20.0), (3, 21.0), (4, 12.5), (5, 12.0)];
    assert_eq!(flags(&check, None, &spike), [0, 0, STEP, STEP, 0, 0]);
    // What stays is true once nothing older is near enough.
    let stays = [(0, 10.0), (3, 20.0), (5, 20.0), (6, 20.0), (7, 20.5)];
    assert_eq!(flags(&check, None, &stays), [0, STEP, STEP, 0, 0]);
    assert_eq!(flags(&check, None, &[(0, 10.0), (6, 20.0)]), [0, 0]);
}

#[test]
fn what_stands_still_is_flagged_when_the_time_is_over() {
    let check = check(None, Some(0.1), None);
    let still: Vec<_> = (0..=120).map(|minute| (minute, 10.0)).collect();
    let found = flags(&check, None, &still);
    assert!(found[..60].iter().all(|&flags| flags == 0));
    assert!(found[60..].iter().all(|&flags| flags == PERSISTENCE));
    let mut moved = still.clone();
    moved[90].1 = 10.1;
    let found = flags(&check, None, &moved);
    assert_eq!((found[89], found[90], found[120]), (PERSISTENCE, 0, 0));
    // After a gap nothing is known of the time before it.
    let mut gap = still;
    gap.retain(|(minute, _)| !(30..95).contains(minute));
    assert!(flags(&check, None, &gap).iter().all(|&flags| flags == 0));
}

#[test]
fn neighbours_are_the_nearest_and_their_median_counts_at_the_height_of_the_key() {
    let site =
        |key, latitude, elevation| Site { key: Key::new(key), latitude, longitude: 8.0, elevation };
    let sites = vec![
        site(1, 47.0, Some(500.0)),
        site(2, 47.1, Some(0.0)),
        site(3, 47.2, Some(0.0)),
        site(4, 46.9, Some(0.0)),
        site(5, 46.0, Some(0.0)),
        site(6, 47.05, None),
    ];
    let checks = Checks {
        step_within: Span::seconds(300),
        persistence_over: Span::seconds(3_600),
        near_km: 60.0,
        near_most: 4,
        near_least: 3,
        columns: Vec::new(),
    };
    let near = Neighbours::new(sites, &checks);
    // Key 5 is 111 km away.
    let mean = |key: Key| {
        (key.get() != 6).then_some([0.0, 0.0, 10.0, 12.0, 20.0, 99.0, 0.0][key.get() as usize])
    };
    assert_eq!(near.estimate(Key::new(1), Height::Level, 3, mean), Some(12.0));
    let falls = near.estimate(Key::new(1), Height::Falls(0.0065), 3, mean).unwrap();
    assert!((falls - (12.0 - 3.25)).abs() < 1e-9, "{falls}");
    let decays = near.estimate(Key::new(1), Height::Decays(8_434.0), 3, mean).unwrap();
    assert!((decays - 12.0 * (-500.0_f64 / 8_434.0).exp()).abs() < 1e-9, "{decays}");
    assert_eq!(
        near.estimate(Key::new(1), Height::Level, 4, mean),
        None,
        "only three say something"
    );
    assert_eq!(
        near.estimate(Key::new(6), Height::Decays(8_434.0), 1, mean),
        None,
        "its height is not known"
    );
    assert_eq!(
        near.estimate(Key::new(6), Height::Falls(0.0065), 1, mean),
        None,
        "nor are others without one near"
    );
    assert_eq!(near.estimate(Key::new(7), Height::Level, 1, mean), None);
    let check = check(None, None, Some(5.0));
    assert_eq!(
        flags(&check, Some(12.0), &[(0, 17.0), (1, 17.5), (2, 6.0)]),
        [0, NEIGHBOUR, NEIGHBOUR]
    );
    assert_eq!(flags(&check, None, &[(0, 99.0)]), [0]);
}
