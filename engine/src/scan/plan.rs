//! What would a read touch? A pure function of view and scan.
//!
//! ```text
//! view ──interval index──► one Source an hour: its lake file, its tail rows, or both
//!                              │
//!                              └──page index──► slices of keys with about equally many rows
//! ```

use std::fmt;
use std::sync::Arc;

use barograph_lake::file::ReadPrice;
use barograph_lake::time::format_instant;
use barograph_lake::{FileEntry, Hour, Key, KeySelection, TimeRange};

use super::Scan;
use crate::tail::HourView;
use crate::view::View;

/// Lines that a printed plan has at most for its hours.
const PRINTED_HOURS: usize = 48;

/// Where the rows of one hour come from. Rows of the tail replace rows of the file.
#[derive(Debug, Clone)]
pub struct Source {
    /// The hour.
    pub hour: Hour,
    /// Its file in the lake.
    pub file: Option<Arc<FileEntry>>,
    /// Its rows in the tail.
    pub tail: Option<HourView>,
}

impl Source {
    /// Rows of file and tail together.
    pub(crate) fn rows(&self) -> u64 {
        let landed = self.file.as_ref().map_or(0, |file| file.rows);
        landed + self.tail.as_ref().map_or(0, HourView::rows)
    }
}

/// The hours that may hold rows of `scan`, ascending.
pub fn sources(view: &View, scan: &Scan) -> Vec<Source> {
    let wanted = |file: &&Arc<FileEntry>| {
        scan.filter.as_ref().is_none_or(|filter| filter.may_match_file(file))
    };
    let files = view.snapshot.prune(&scan.keys, scan.time).filter(wanted);
    let mut sources: Vec<_> = files
        .map(|file| Source { hour: file.path.hour(), file: Some(Arc::clone(file)), tail: None })
        .collect();
    for tail in view.tail.hours() {
        let touched = tail.keys().is_some_and(|(min, max)| scan.keys.touches(min, max))
            && tail.times().is_some_and(|(min, max)| scan.time.touches(min, max));
        if !touched {
            continue;
        }
        match sources.binary_search_by_key(&tail.hour(), |source| source.hour) {
            Ok(at) => sources[at].tail = Some(tail.clone()),
            Err(at) => {
                let source = Source { hour: tail.hour(), file: None, tail: Some(tail.clone()) };
                sources.insert(at, source);
            }
        }
    }
    sources
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

/// What a scan would read, to be looked at before it runs.
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
    pub(crate) sources: Vec<(Source, Option<ReadPrice>)>,
    pub(crate) slices: usize,
}

impl Plan {
    /// Lake files that would be read.
    pub fn files(&self) -> usize {
        self.sources.iter().filter(|(source, _)| source.file.is_some()).count()
    }

    /// Bytes that would be read from lake files, if nothing of them is cached.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().filter_map(|(_, price)| price.as_ref()).map(|price| price.bytes).sum()
    }

    /// Rows that would be looked at, at most.
    pub fn rows(&self) -> u64 {
        let of = |(source, price): &(Source, Option<ReadPrice>)| {
            price.as_ref().map_or(0, |price| price.rows)
                + source.tail.as_ref().map_or(0, HourView::rows)
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
        let tail = self.sources.iter().filter(|(source, _)| source.tail.is_some()).count();
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
        for (source, price) in self.sources.iter().take(PRINTED_HOURS) {
            write!(f, "  {}", source.hour)?;
            if let (Some(file), Some(price)) = (&source.file, price) {
                write!(
                    f,
                    "  {} ({} row groups, {} pages, {} rows, {} bytes)",
                    file.path, price.row_groups, price.pages, price.rows, price.bytes
                )?;
            }
            if let Some(tail) = &source.tail {
                write!(f, "  tail ({} rows)", tail.rows())?;
            }
            writeln!(f)?;
        }
        if self.sources.len() > PRINTED_HOURS {
            writeln!(f, "  … and {} hours more", self.sources.len() - PRINTED_HOURS)?;
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
