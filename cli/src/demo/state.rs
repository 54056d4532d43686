//! The state of the demonstration: the minutes that are filled already, kept beside the data, so that running it
//! again fills only what is missing.

use std::path::{Path, PathBuf};

use barograph_lake::{TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The demonstration in one data folder.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    kept: StateFile,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StateFile {
    seed: u64,
    cities: u32,
    /// Ranges of minutes that are durable, ascending, neither touching nor overlapping.
    filled: Vec<(Timestamp, Timestamp)>,
}

/// Minutes to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The minutes.
    pub range: TimeRange,
    /// First minute of the filled range that the gap goes on from; its own first if there is none.
    pub first: Timestamp,
}

impl State {
    /// The state in `path`, or a new one.
    ///
    /// # Errors
    /// Usage, if the data was made with another seed or number of cities.
    pub(crate) fn open(path: &Path, seed: u64, cities: u32) -> Result<Self> {
        let new = StateFile { seed, cities, filled: Vec::new() };
        let kept: StateFile = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::failed(format!("{}: {e}", path.display())))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => new,
            Err(e) => return Err(Error::failed(format!("{}: {e}", path.display()))),
        };
        if (kept.seed, kept.cities) != (seed, cities) {
            return Err(Error::usage(format!(
                "the data was made with --seed {} --cities {}: give the same, or another folder with --data",
                kept.seed, kept.cities
            )));
        }
        Ok(Self { path: path.to_owned(), kept })
    }

    /// Whether anything is filled.
    pub(crate) fn is_new(&self) -> bool {
        self.kept.filled.is_empty()
    }

    /// The filled ranges, ascending.
    pub(crate) fn filled(&self) -> impl Iterator<Item = TimeRange> {
        self.kept.filled.iter().map(|&(from, to)| TimeRange { from, to })
    }

    /// The gaps of `wanted` that are not filled, in order.
    pub(crate) fn gaps(&self, wanted: TimeRange) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut from = wanted.from;
        let mut first = None;
        for &(start, end) in &self.kept.filled {
            if start > from {
                let to = start.min(wanted.to);
                if from < to {
                    gaps.push(Gap { range: TimeRange { from, to }, first: first.unwrap_or(from) });
                }
            }
            if end >= from {
                from = end;
                first = Some(start);
            }
        }
        if from < wanted.to {
            let range = TimeRange { from, to: wanted.to };
            gaps.push(Gap { range, first: first.unwrap_or(from) });
        }
        gaps
    }

    /// Records that `range` is durable, on disk before it returns.
    pub(crate) fn fill(&mut self, range: TimeRange) -> Result<()> {
        let filled = &mut self.kept.filled;
        filled.push((range.from, range.to));
        filled.sort_unstable();
        let mut merged: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(filled.len());
        for &(from, to) in filled.iter() {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ if from < to => merged.push((from, to)),
                _ => {}
            }
        }
        *filled = merged;
        self.save()
    }

    /// Writes the state as it is.
    pub(crate) fn save(&self) -> Result<()> {
        let failed = |e: std::io::Error| Error::failed(format!("{}: {e}", self.path.display()));
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let beside = self.path.with_extension("new");
        let json = serde_json::to_vec(&self.kept).map_err(|e| failed(e.into()))?;
        std::fs::write(&beside, json).map_err(failed)?;
        std::fs::rename(&beside, &self.path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange { from: Timestamp::from_micros(from), to: Timestamp::from_micros(to) }
    }

    #[test]
    fn only_what_is_missing_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/demo.json");
        let mut state = State::open(&path, 1, 10).unwrap();
        let gaps = |state: &State, from, to| -> Vec<_> {
            let gaps = state.gaps(range(from, to)).into_iter();
            gaps.map(|gap| [gap.range.from, gap.range.to, gap.first].map(Timestamp::as_micros))
                .map(<(i64, i64, i64)>::from)
                .collect()
        };
        assert!(state.is_new());
        assert_eq!(gaps(&state, 10, 20), [(10, 20, 10)]);
        state.fill(range(10, 14)).unwrap();
        state.fill(range(14, 20)).unwrap();
        assert_eq!(gaps(&state, 10, 20), []);
        assert_eq!(gaps(&state, 12, 18), []);
        assert_eq!(gaps(&state, 15, 25), [(20, 25, 10)]);
        assert_eq!(gaps(&state, 5, 25), [(5, 10, 5), (20, 25, 10)]);
        state.fill(range(30, 40)).unwrap();
        assert_eq!(gaps(&state, 0, 50), [(0, 10, 0), (20, 30, 10), (40, 50, 30)]);
        assert_eq!(gaps(&state, 45, 50), [(45, 50, 45)]);

        let state = State::open(&path, 1, 10).unwrap();
        assert_eq!(state.filled().collect::<Vec<_>>(), [range(10, 20), range(30, 40)]);
        assert_eq!(State::open(&path, 2, 10).unwrap_err().exit_code(), 2);
    }
}
