//! The slices of a read: ranges of keys, or of one key's time, with about equally many rows. A pure function of where
//! rows begin, which page indexes and the tail tell.

use std::collections::BTreeMap;

use barograph_lake::{Key, KeySelection, Period, TimeRange, Timestamp};

use crate::scan::Scan;

/// Divides `keys` into selections that follow one another and hold about `target` rows each.
///
/// `weights` are keys with the number of rows that begin there, in any order; rows of one key stay together.
pub(crate) fn divide_keys(
    keys: &KeySelection,
    mut weights: Vec<(Key, u64)>,
    target: u64,
) -> Vec<KeySelection> {
    weights.sort_unstable_by_key(|&(key, _)| key);
    let mut slices = Vec::new();
    let (mut from, mut rows) = (Key::MIN, 0);
    for (key, weight) in weights {
        if rows >= target && key > from && key > Key::MIN {
            slices.push(keys.within(from, key.previous()));
            (from, rows) = (key, 0);
        }
        rows += weight;
    }
    slices.push(keys.within(from, Key::MAX));
    slices
}

/// A key whose rows would fill so many slices is divided in time.
const HEAVY: u64 = 2;
/// How many times smaller slices in time may be: none of their pages lies in two.
const FINER: u64 = 4;

/// The unit of work of a range read: the rows of some keys at some times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The keys; one alone if other slices have other times of it.
    pub keys: KeySelection,
    /// The times.
    pub time: TimeRange,
}

/// Rows that begin at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// The key.
    pub(crate) key: Key,
    /// None of its rows is before this instant.
    pub(crate) from: Timestamp,
    /// How many rows there are.
    pub(crate) rows: u64,
}

impl Start {
    /// As [`divide_keys`] takes it.
    pub(crate) fn weight(&self) -> (Key, u64) {
        (self.key, self.rows)
    }
}

/// The slices of `scan`, of about `target` rows, which one after the other give its rows in order.
///
/// `weights` say where rows begin in each of `periods`. A key that has many more rows than a slice is divided between
/// periods, and inside one that fills a slice by itself, unless windows are asked for, which two slices would share.
pub(crate) fn slices(
    scan: &Scan,
    periods: &[Period],
    weights: &[Vec<Start>],
    target: u64,
) -> Vec<Slice> {
    let mut keys: BTreeMap<Key, Vec<(Place, u64)>> = BTreeMap::new();
    for (&period, weights) in periods.iter().zip(weights) {
        for start in weights {
            let place =
                Place { at: start.from.max(period.start()), inside: start.from > period.start() };
            let places = keys.entry(start.key).or_default();
            match places.last_mut().filter(|last| last.0 == place) {
                Some(last) => last.1 += start.rows,
                None => places.push((place, start.rows)),
            }
        }
    }
    let of_keys = |from, to, weights| {
        let selections = divide_keys(&scan.keys.within(from, to), weights, target).into_iter();
        selections.map(|keys| Slice { keys, time: scan.time })
    };
    let (mut slices, mut light, mut from) = (Vec::new(), Vec::new(), Some(Key::MIN));
    for (key, mut places) in keys {
        let rows = places.iter().map(|&(_, rows)| rows).sum::<u64>();
        if scan.aggregation.is_some() || rows <= target.saturating_mul(HEAVY) {
            light.push((key, rows));
            continue;
        }
        if let Some(from) = from.filter(|&from| from < key) {
            slices.extend(of_keys(from, key.previous(), std::mem::take(&mut light)));
        }
        let alone = scan.keys.within(key, key);
        places.sort_unstable_by_key(|(place, _)| place.at);
        let times = divide_time(scan.time, &places, target).into_iter();
        slices.extend(times.map(|time| Slice { keys: alone.clone(), time }));
        from = key.next();
    }
    if let Some(from) = from {
        slices.extend(of_keys(from, Key::MAX, light));
    }
    slices.retain(|slice| !matches!(&slice.keys, KeySelection::List(keys) if keys.is_empty()));
    slices
}

/// Where a key's rows begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: Timestamp,
    /// Whether that is inside a period.
    inside: bool,
}

/// Divides `time` where rows of one key begin, at `places` that ascend, into ranges of at least a share of `target`
/// rows, inside periods of `target` rows.
fn divide_time(time: TimeRange, places: &[(Place, u64)], target: u64) -> Vec<TimeRange> {
    let (mut times, mut from, mut held) = (Vec::new(), time.from, 0);
    for &(Place { at, inside }, rows) in places {
        let least = if inside { target } else { target / FINER };
        if held >= least && from < at && at < time.to {
            times.push(TimeRange { from, to: at });
            (from, held) = (at, 0);
        }
        held += rows;
    }
    times.push(TimeRange { from, to: time.to });
    times
}

#[cfg(test)]
mod tests {
    use barograph_lake::time::MICROS_PER_HOUR;
    use barograph_lake::{Hour, Span};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slices_hold_every_row_once_and_in_order(
            rows in proptest::collection::btree_map((-9i64..9, 0i64..12), 1u64..60, 0..60),
            target in 1u64..100,
            list in proptest::option::of(proptest::collection::vec(-9i64..9, 0..9)),
            (from, to) in (0i64..12, 0i64..13),
        ) {
            // A row a key and hour; the pages that weights come of begin there, or before.
            let at = |hour: i64| Timestamp::from_micros(hour * MICROS_PER_HOUR);
            let later = |hour: i64, by: i64| at(hour) + Span::from_micros(by);
            let time = TimeRange { from: later(from, 1), to: at(to) };
            let keys = list.map_or(KeySelection::All, KeySelection::list);
            let scan = Scan::of(keys.clone(), time);
            let periods: Vec<Period> = (0..12).map(|hour| Hour::of(at(hour)).unwrap().into()).collect();
            let of = |hour: i64| rows.range(..).filter(move |((_, of), _)| *of == hour);
            let weights: Vec<Vec<_>> =
                (0..12).map(|hour| {
                    let start = |(&(key, _), &rows): (&(i64, i64), &u64)| Start { key: Key::new(key), from: Timestamp::MIN, rows };
                    of(hour).map(start).collect()
                }).collect();
            let slices = slices(&scan, &periods, &weights, target);
            let mut given = Vec::new();
            for slice in &slices {
                let inside = rows.keys().filter(|&&(key, hour)| {
                    slice.keys.contains(Key::new(key)) && slice.time.contains(later(hour, 2))
                });
                given.extend(inside.copied());
            }
            let asked = rows.keys().filter(|&&(key, hour)| keys.contains(Key::new(key)) && time.contains(later(hour, 2)));
            prop_assert_eq!(given, asked.copied().collect::<Vec<_>>());
            let heaviest = |slice: &Slice| -> u64 {
                let inside = rows.iter().filter(|&(&(key, hour), _)| {
                    slice.keys.contains(Key::new(key)) && slice.time.contains(later(hour, 2))
                });
                inside.map(|(_, rows)| rows).sum()
            };
            for slice in &slices {
                prop_assert!(heaviest(slice) < (HEAVY + 1) * target + 60);
            }
        }

        #[test]
        fn a_key_whose_rows_fill_a_period_is_divided_inside_it(
            starts in proptest::collection::btree_map((0..MICROS_PER_HOUR).prop_map(Timestamp::from_micros), 1u64..20, 1..60),
            sources in 1usize..4,
            target in 1u64..60,
        ) {
            let hour = Hour::of(Timestamp::UNIX_EPOCH).unwrap();
            let scan = Scan::of(KeySelection::All, TimeRange::ALL);
            let mut weights = vec![Vec::new(); sources];
            for (at, (&from, &rows)) in starts.iter().enumerate() {
                weights[at % sources].push(Start { key: Key::new(7), from, rows });
            }
            let slices = slices(&scan, &vec![hour.into(); sources], &weights, target);
            let all: u64 = starts.values().sum();
            let mut given = 0;
            let mut end = None;
            for slice in slices.iter().filter(|slice| slice.keys.contains(Key::new(7))) {
                prop_assert!(end.is_none_or(|end| end == slice.time.from));
                end = Some(slice.time.to);
                let rows: u64 = starts.iter().filter(|(at, _)| slice.time.contains(**at)).map(|(_, rows)| rows).sum();
                prop_assert!(rows <= (HEAVY * target).max(target + 20));
                given += rows;
            }
            prop_assert_eq!(given, all);
        }

        #[test]
        fn slices_hold_every_key_once_and_in_order(
            weights in proptest::collection::vec((-50i64..50, 1u64..40), 0..60),
            target in 1u64..100,
            list in proptest::option::of(proptest::collection::vec(-60i64..60, 0..40)),
        ) {
            let keys = list.map_or(KeySelection::All, KeySelection::list);
            let weights = weights.into_iter().map(|(key, rows)| (Key::new(key), rows)).collect();
            let slices = divide_keys(&keys, weights, target);
            for key in (-70i64..70).map(Key::new) {
                let held = slices.iter().filter(|slice| slice.contains(key)).count();
                prop_assert_eq!(held, usize::from(keys.contains(key)));
            }
            let mut last = None;
            for slice in &slices {
                let first = (-70i64..70).find(|&key| slice.contains(Key::new(key)));
                if let Some(first) = first {
                    prop_assert!(last.is_none_or(|last| last < first));
                    last = (-70i64..70).rev().find(|&key| slice.contains(Key::new(key)));
                }
            }
        }
    }
}
