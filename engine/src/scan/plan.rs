//! The plan of a read: what it would touch, as a pure function of view and scan.
//!
//! ```text
//! view ──interval index──► one Source a period: its lake files, its tail rows, or both
//!                              │
//!                              └──page index──► slices of keys, or of one key's time, with about equally
//!                                               many rows
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use barograph_lake::file::ReadPrice;
use barograph_lake::time::{MICROS_PER_HOUR, format_instant};
use barograph_lake::{FileEntry, Hour, Key, KeySelection, Micros, Period, TimeRange};

use super::Scan;
use crate::tail::HourView;
use crate::view::View;

/// Lines that a printed plan has at most for its sources.
const PRINTED_SOURCES: usize = 48;

/// The source of the rows of one period: an hour, or the day or month that it was folded into. Rows of the tail
/// replace rows of the files.
#[derive(Debug, Clone)]
pub struct Source {
    /// The period.
    pub period: Period,
    /// Its files in the lake, ascending by their keys, which are apart.
    pub files: Vec<Arc<FileEntry>>,
    /// Its hours in the tail, ascending.
    pub tails: Vec<HourView>,
}

impl Source {
    /// The source of all rows of the period of `hour`.
    pub fn of(view: &View, hour: Hour) -> Self {
        let files = view.snapshot.homes(hour).to_vec();
        let period = files.first().map_or(hour.into(), |file| file.path.period());
        let tails = view.tail.hours();
        let first = tails.partition_point(|tail| tail.hour().start() < period.start());
        let tails = tails.iter().skip(first).take_while(|tail| period.holds(tail.hour()));
        Self { period, tails: tails.cloned().collect(), files }
    }

    /// Rows of files and tail together.
    pub fn rows(&self) -> u64 {
        let landed: u64 = self.files.iter().map(|file| file.rows).sum();
        landed + self.tail_rows()
    }

    /// Rows of the tail.
    pub fn tail_rows(&self) -> u64 {
        self.tails.iter().map(HourView::rows).sum()
    }

    /// The newest instant, if there are rows.
    pub(crate) fn newest(&self) -> Option<Micros> {
        let landed = self.files.iter().map(|file| file.times.1);
        landed.chain(self.tails.iter().filter_map(|tail| Some(tail.times()?.1))).max()
    }
}

/// The periods that may hold rows of `scan`, ascending.
pub fn sources(view: &View, scan: &Scan) -> Vec<Source> {
    let wanted = |file: &&Arc<FileEntry>| {
        scan.filter.as_ref().is_none_or(|filter| filter.may_match_file(file))
    };
    let mut sources = landed(view.snapshot.prune(&scan.keys, scan.time).filter(wanted));
    for tail in view.tail.hours() {
        let touched = tail.keys().is_some_and(|(min, max)| scan.keys.touches(min, max))
            && tail.times().is_some_and(|(min, max)| scan.time.touches(min, max));
        if !touched {
            continue;
        }
        let hour = tail.hour();
        let at = sources.partition_point(|source| source.period.end() <= hour.start());
        match sources.get_mut(at).filter(|source| source.period.holds(hour)) {
            Some(source) => source.tails.push(tail.clone()),
            None => {
                let tails = vec![tail.clone()];
                sources.insert(at, Source { period: hour.into(), files: Vec::new(), tails });
            }
        }
    }
    sources
}

/// The periods of `files`, which stand in their order.
pub(crate) fn landed<'a>(files: impl IntoIterator<Item = &'a Arc<FileEntry>>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for file in files {
        let period = file.path.period();
        match sources.last_mut().filter(|last| last.period == period) {
            Some(last) => last.files.push(Arc::clone(file)),
            None => {
                sources.push(Source { period, files: vec![Arc::clone(file)], tails: Vec::new() });
            }
        }
    }
    sources
}

/// How many hours of `sources` have rows in `time`, at most.
pub(crate) fn hours(sources: &[Source], time: TimeRange) -> usize {
    let of = |source: &Source| {
        let period = source.period;
        let inside = period.end().min(time.to).saturating_sub(period.start().max(time.from));
        usize::try_from(inside / MICROS_PER_HOUR + 1)
            .unwrap_or(1)
            .min(period.hours_count() as usize)
    };
    sources.iter().map(of).sum()
}

/// Cuts `keys` into selections that follow one another and hold about `target` rows each.
///
/// `weights` are keys with the number of rows that begin there, in any order; rows of one key are never
/// split.
pub fn cut(keys: &KeySelection, mut weights: Vec<(Key, u64)>, target: u64) -> Vec<KeySelection> {
    weights.sort_unstable_by_key(|&(key, _)| key);
    let mut slices = Vec::new();
    let (mut from, mut rows) = (Key::MIN, 0);
    for (key, weight) in weights {
        if rows >= target && key > from && key > Key::MIN {
            slices.push(keys.within(from, key - 1));
            (from, rows) = (key, 0);
        }
        rows += weight;
    }
    slices.push(keys.within(from, Key::MAX));
    slices
}

/// A key whose rows would fill so many slices is cut in time.
const HEAVY: u64 = 2;
/// How many times smaller slices in time may be: none of their pages lies in two.
const FINER: u64 = 4;

/// A part of a range read: the rows of some keys at some times.
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
    pub(crate) from: Micros,
    /// How many rows there are.
    pub(crate) rows: u64,
}

impl Start {
    /// As [`cut`] takes it.
    pub(crate) fn weight(&self) -> (Key, u64) {
        (self.key, self.rows)
    }
}

/// Cuts `scan` into slices of about `target` rows, which one after the other give its rows in order.
///
/// `weights` say where rows begin in each of `periods`. A key that has many more rows than a slice is cut between
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
    let cut_keys = |from, to, weights| {
        let cut = cut(&scan.keys.within(from, to), weights, target).into_iter();
        cut.map(|keys| Slice { keys, time: scan.time })
    };
    let (mut slices, mut light, mut from) = (Vec::new(), Vec::new(), Some(Key::MIN));
    for (key, mut places) in keys {
        let rows = places.iter().map(|&(_, rows)| rows).sum::<u64>();
        if scan.aggregation.is_some() || rows <= target.saturating_mul(HEAVY) {
            light.push((key, rows));
            continue;
        }
        if let Some(from) = from.filter(|&from| from < key) {
            slices.extend(cut_keys(from, key - 1, std::mem::take(&mut light)));
        }
        let alone = scan.keys.within(key, key);
        places.sort_unstable_by_key(|(place, _)| place.at);
        let times = cut_time(scan.time, &places, target).into_iter();
        slices.extend(times.map(|time| Slice { keys: alone.clone(), time }));
        from = key.checked_add(1);
    }
    if let Some(from) = from {
        slices.extend(cut_keys(from, Key::MAX, light));
    }
    slices.retain(|slice| !matches!(&slice.keys, KeySelection::List(keys) if keys.is_empty()));
    slices
}

/// Where a key's rows begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: Micros,
    /// Whether that is inside a period.
    inside: bool,
}

/// Cuts `time` where rows of one key begin, at `places` that ascend, into stretches of at least a part of `target`
/// rows, inside periods of `target` rows.
fn cut_time(time: TimeRange, places: &[(Place, u64)], target: u64) -> Vec<TimeRange> {
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

/// The plan of a scan, to be looked at before it runs.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) table: String,
    pub(crate) version: u64,
    pub(crate) keys: KeySelection,
    pub(crate) time: TimeRange,
    pub(crate) columns: Vec<String>,
    pub(crate) filter: Option<String>,
    pub(crate) aggregation: Option<String>,
    pub(crate) limit: Option<usize>,
    pub(crate) files_in_table: usize,
    /// Each with the cost of reading its files.
    pub(crate) sources: Vec<(Source, Vec<ReadPrice>)>,
    pub(crate) slices: usize,
}

impl Plan {
    /// Lake files that would be read.
    pub fn files(&self) -> usize {
        self.sources.iter().map(|(source, _)| source.files.len()).sum()
    }

    /// Bytes that would be read from lake files, if nothing of them is cached.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().flat_map(|(_, prices)| prices).map(|price| price.bytes).sum()
    }

    /// Rows that would be read, at most.
    pub fn rows(&self) -> u64 {
        let of = |(source, prices): &(Source, Vec<ReadPrice>)| {
            prices.iter().map(|price| price.rows).sum::<u64>() + source.tail_rows()
        };
        self.sources.iter().map(of).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Scan {} at version {}", self.table, self.version)?;
        match &self.keys {
            KeySelection::All => writeln!(f, "  keys      all")?,
            KeySelection::Range { from, to } => writeln!(f, "  keys      {from} to {to}")?,
            KeySelection::List(keys) if keys.len() <= 8 => writeln!(f, "  keys      {keys:?}")?,
            KeySelection::List(keys) => writeln!(f, "  keys      {} of them", keys.len())?,
        }
        writeln!(
            f,
            "  time      {} to {}",
            format_instant(self.time.from),
            format_instant(self.time.to)
        )?;
        writeln!(f, "  columns   {}", self.columns.join(", "))?;
        if let Some(filter) = &self.filter {
            writeln!(f, "  filter    {filter}")?;
        }
        if let Some(aggregation) = &self.aggregation {
            writeln!(f, "  windows   {aggregation}")?;
        }
        if let Some(limit) = self.limit {
            writeln!(f, "  limit     {limit}")?;
        }
        let tail: usize = self.sources.iter().map(|(source, _)| source.tails.len()).sum();
        writeln!(
            f,
            "  reads     {} of {} files, {} hours of the tail, at most {} rows, {} bytes, in {} slices",
            self.files(),
            self.files_in_table,
            tail,
            self.rows(),
            self.bytes(),
            self.slices
        )?;
        for (source, prices) in self.sources.iter().take(PRINTED_SOURCES) {
            write!(f, "  {}", source.period)?;
            for (file, price) in source.files.iter().zip(prices) {
                write!(
                    f,
                    "  {} ({} row groups, {} pages, {} rows, {} bytes)",
                    file.path, price.row_groups, price.pages, price.rows, price.bytes
                )?;
            }
            if !source.tails.is_empty() {
                write!(f, "  tail ({} rows)", source.tail_rows())?;
            }
            writeln!(f)?;
        }
        if self.sources.len() > PRINTED_SOURCES {
            writeln!(f, "  … and {} more", self.sources.len() - PRINTED_SOURCES)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_hold_every_row_once_and_in_order(
            rows in proptest::collection::btree_map((-9i64..9, 0i64..12), 1u64..60, 0..60),
            target in 1u64..100,
            list in proptest::option::of(proptest::collection::vec(-9i64..9, 0..9)),
            (from, to) in (0i64..12, 0i64..13),
        ) {
            // A row a key and hour; the pages that weights come of begin there, or before.
            let at = |hour: i64| hour * MICROS_PER_HOUR;
            let time = TimeRange { from: at(from) + 1, to: at(to) };
            let keys = list.map_or(KeySelection::All, KeySelection::list);
            let scan = Scan::of(keys.clone(), time);
            let periods: Vec<Period> = (0..12).map(|hour| Hour::of(at(hour)).unwrap().into()).collect();
            let of = |hour: i64| rows.range(..).filter(move |((_, of), _)| *of == hour);
            let weights: Vec<Vec<_>> =
                (0..12).map(|hour| {
                    let start = |(&(key, _), &rows): (&(i64, i64), &u64)| Start { key, from: Micros::MIN, rows };
                    of(hour).map(start).collect()
                }).collect();
            let slices = slices(&scan, &periods, &weights, target);
            let mut given = Vec::new();
            for slice in &slices {
                let inside = rows.keys().filter(|&&(key, hour)| {
                    slice.keys.contains(key) && slice.time.contains(at(hour) + 2)
                });
                given.extend(inside.copied());
            }
            let asked = rows.keys().filter(|&&(key, hour)| keys.contains(key) && time.contains(at(hour) + 2));
            prop_assert_eq!(given, asked.copied().collect::<Vec<_>>());
            let heaviest = |slice: &Slice| -> u64 {
                let inside = rows.iter().filter(|&(&(key, hour), _)| {
                    slice.keys.contains(key) && slice.time.contains(at(hour) + 2)
                });
                inside.map(|(_, rows)| rows).sum()
            };
            for slice in &slices {
                prop_assert!(heaviest(slice) < (HEAVY + 1) * target + 60);
            }
        }

        #[test]
        fn a_key_whose_rows_fill_a_period_is_cut_inside_it(
            starts in proptest::collection::btree_map(0..MICROS_PER_HOUR, 1u64..20, 1..60),
            sources in 1usize..4,
            target in 1u64..60,
        ) {
            let hour = Hour::of(0).unwrap();
            let scan = Scan::of(KeySelection::All, TimeRange::ALL);
            let mut weights = vec![Vec::new(); sources];
            for (at, (&from, &rows)) in starts.iter().enumerate() {
                weights[at % sources].push(Start { key: 7, from, rows });
            }
            let slices = slices(&scan, &vec![hour.into(); sources], &weights, target);
            let all: u64 = starts.values().sum();
            let mut given = 0;
            let mut end = None;
            for slice in slices.iter().filter(|slice| slice.keys.contains(7)) {
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
            let slices = cut(&keys, weights, target);
            for key in -70i64..70 {
                let held = slices.iter().filter(|slice| slice.contains(key)).count();
                prop_assert_eq!(held, usize::from(keys.contains(key)));
            }
            let mut last = None;
            for slice in &slices {
                let first = (-70i64..70).find(|&key| slice.contains(key));
                if let Some(first) = first {
                    prop_assert!(last.is_none_or(|last| last < first));
                    last = (-70i64..70).rev().find(|&key| slice.contains(key));
                }
            }
        }
    }
}
