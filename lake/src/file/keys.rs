//! The selection of the rows of a page by key. A page of keys is read as runs of equal keys, which is how its
//! dictionary encoding stores them.

use std::ops::Range;

use super::bits::{Piece, unpack, visit_hybrid};
use super::dictionary::Dictionary;
use super::header;
use super::page::Page;
use super::slice::dense;
use super::value::Load;
use crate::{Error, Key, KeySelection, Result};

/// The keys of a page in order.
#[derive(Debug, Default)]
pub(super) struct KeyRuns {
    /// Each key with the row at which it ends.
    runs: Vec<(Key, usize)>,
}

impl KeyRuns {
    /// Takes the runs of `page`.
    pub(super) fn of(page: &Page<'_>, dictionary: Option<&Dictionary>, wide: bool) -> Result<Self> {
        let mut runs = Self::default();
        match dictionary {
            Some(Dictionary::Int32(entries)) => runs.indexed(page, entries)?,
            Some(Dictionary::Int64(entries)) => runs.indexed(page, entries)?,
            None if wide => runs.listed::<i64>(page)?,
            None => runs.listed::<i32>(page)?,
            _ => return Err(Error::damage("a dictionary of keys has another type")),
        }
        Ok(runs)
    }

    /// The runs of a page that holds one key.
    pub(super) fn single(key: Key, rows: usize) -> Self {
        Self { runs: vec![(key, rows)] }
    }

    fn indexed<K: Load + Into<Key>>(&mut self, page: &Page<'_>, entries: &[K]) -> Result<()> {
        if page.encoding != header::RLE_DICTIONARY {
            return self.listed::<K>(page);
        }
        let unknown = || Error::damage("a page of keys names one that its dictionary lacks");
        let (&width, stream) = page.values.split_first().ok_or_else(unknown)?;
        let width = usize::from(width);
        let mut indexes = Vec::new();
        visit_hybrid(stream, width, 0, page.rows, |piece| {
            match piece {
                Piece::Repeat { value, len } => {
                    self.push((*entries.get(value as usize).ok_or_else(unknown)?).into(), len);
                }
                Piece::Packed { bytes, from, len } => {
                    indexes.clear();
                    indexes.resize(len, 0);
                    unpack(bytes, width, from, &mut indexes);
                    for &index in &indexes {
                        self.push((*entries.get(index as usize).ok_or_else(unknown)?).into(), 1);
                    }
                }
            }
            Ok(())
        })
    }

    fn listed<K: Load + Into<Key>>(&mut self, page: &Page<'_>) -> Result<()> {
        let mut keys: Vec<K> = Vec::with_capacity(page.rows);
        dense(page, &[], 0..page.rows, &mut keys)?;
        keys.into_iter().for_each(|key| self.push(key.into(), 1));
        Ok(())
    }

    fn push(&mut self, key: Key, rows: usize) {
        match self.runs.last_mut() {
            Some((last, end)) if *last == key => *end += rows,
            Some(&mut (_, end)) => self.runs.push((key, end + rows)),
            None => self.runs.push((key, rows)),
        }
    }

    fn start(&self, run: usize) -> usize {
        run.checked_sub(1).and_then(|before| self.runs.get(before)).map_or(0, |&(_, end)| end)
    }

    /// The rows of the keys asked for, ascending and apart.
    #[expect(
        clippy::indexing_slicing,
        reason = "a partition point is at most the length of what it was found in"
    )]
    pub(super) fn select(&self, keys: &KeySelection) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        match keys {
            KeySelection::All => ranges.push(0..self.start(self.runs.len())),
            KeySelection::Range { from, to } => {
                let first = self.runs.partition_point(|(key, _)| key < from);
                let last = self.runs.partition_point(|(key, _)| key <= to);
                ranges.push(self.start(first)..self.start(last.max(first)));
            }
            KeySelection::List(keys) => {
                let mut wanted = keys.as_ref();
                if let Some((first, _)) = self.runs.first() {
                    wanted = &wanted[wanted.partition_point(|key| key < first)..];
                }
                let mut run = 0;
                for key in wanted {
                    run += self.runs[run..].partition_point(|(other, _)| other < key);
                    let Some((found, end)) = self.runs.get(run) else { break };
                    if found == key {
                        let start = self.start(run);
                        match ranges.last_mut() {
                            Some(range) if range.end == start => range.end = *end,
                            _ => ranges.push(start..*end),
                        }
                    }
                }
            }
        }
        ranges.retain(|range| !range.is_empty());
        ranges
    }

    /// Shows `visit` each key of the rows `ranges` with its number of rows there.
    #[expect(
        clippy::indexing_slicing,
        reason = "a partition point is at most the length of what it was found in"
    )]
    pub(super) fn visit(
        &self,
        ranges: &[Range<usize>],
        mut visit: impl FnMut(Key, usize) -> Result<()>,
    ) -> Result<()> {
        let mut run = 0;
        for range in ranges {
            run += self.runs[run..].partition_point(|&(_, end)| end <= range.start);
            let mut from = range.start;
            while from < range.end {
                let Some(&(key, end)) = self.runs.get(run) else { break };
                let to = end.min(range.end);
                visit(key, to - from)?;
                from = to;
                if end <= range.end {
                    run += 1;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_select_what_a_filter_does(rows in prop::collection::vec((0..30i64).prop_map(Key::new), 1..200), wanted in prop::collection::vec((-3..33i64).prop_map(Key::new), 0..12)) {
            let mut keys = rows;
            keys.sort_unstable();
            let mut runs = KeyRuns::default();
            keys.iter().for_each(|&key| runs.push(key, 1));
            let from = wanted.first().copied().unwrap_or(Key::new(3));
            let to = wanted.last().copied().unwrap_or(Key::new(9));
            for selection in [KeySelection::All, KeySelection::Range { from, to }, KeySelection::list(wanted)] {
                let ranges = runs.select(&selection);
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
                let selected: Vec<_> = ranges.iter().flat_map(|range| keys[range.clone()].to_vec()).collect();
                let expected: Vec<_> = keys.iter().copied().filter(|&key| selection.contains(key)).collect();
                prop_assert_eq!(&selected, &expected);
                let mut visited = Vec::new();
                runs.visit(&ranges, |key, rows| {
                    visited.extend(std::iter::repeat_n(key, rows));
                    Ok(())
                })
                .unwrap();
                prop_assert_eq!(visited, expected);
            }
        }
    }
}
