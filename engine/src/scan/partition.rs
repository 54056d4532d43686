//! The partitions of a read: ranges of keys with about as many rows each, which are worked on in parallel. One after the
//! other they give exactly the rows of the read.

use std::sync::Arc;

use barograph_lake::{FilePath, Key, KeySelection};

use super::Plan;
use super::plan::slices::{Start, divide_keys};
use crate::Result;
use crate::recent::Recent;

/// Sources that are looked at to find partitions.
const SAMPLED_SOURCES: usize = 16;

/// Where recent reads of a table were divided.
pub(crate) type Divisions = Recent<DividedRead, Arc<[Key]>>;

/// What a division was found from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DividedRead {
    count: usize,
    keys: KeySelection,
    files: Vec<FilePath>,
}

impl Plan {
    /// The plan in at most `count` partitions. Where they begin is found from a sample of the sources, landed ones if
    /// there are any, so that the cost does not grow with their number, and cached in `known`, as the keys of landed
    /// hours do not change.
    pub(crate) async fn divided(self, count: usize, known: &Divisions) -> Result<Self> {
        let starts = self.find_starts(count, known).await?;
        Ok(self.divided_at(&starts))
    }

    async fn find_starts(&self, count: usize, known: &Divisions) -> Result<Arc<[Key]>> {
        let landed: Vec<_> =
            self.sources().iter().filter(|source| !source.files.is_empty()).collect();
        let held = if landed.is_empty() { self.sources().iter().collect() } else { landed };
        let step = held.len().div_ceil(SAMPLED_SOURCES).max(1);
        let sample: Vec<_> = held.into_iter().step_by(step).collect();
        let files =
            sample.iter().flat_map(|source| source.files.iter().map(|file| file.path)).collect();
        let from = DividedRead { count, keys: self.request().keys.clone(), files };
        if let Some(starts) = known.get(|known| *known == from && !from.files.is_empty()) {
            return Ok(starts);
        }
        let weights = self.starts(sample).await?.concat();
        let starts: Arc<[Key]> =
            even_starts(weights.iter().map(Start::weight).collect(), count).into();
        known.keep(from, Arc::clone(&starts));
        Ok(starts)
    }

    /// The plan in partitions of which all but the first begin at `starts`, ascending.
    fn divided_at(self, starts: &[Key]) -> Self {
        if starts.is_empty() {
            return self;
        }
        let ones = starts.iter().map(|&key| (key, 1)).chain([(Key::MIN, 1)]).collect();
        let partitions = divide_keys(&self.request().keys, ones, 1);
        self.in_partitions(partitions)
    }

    /// First keys of all partitions but the first.
    pub fn partition_starts(&self) -> Vec<Key> {
        let starts = self.partitions().iter().skip(1);
        let starts = starts.map(|keys| match keys {
            KeySelection::Range { from, .. } => *from,
            KeySelection::List(keys) => keys.first().copied().unwrap_or(Key::MAX),
            KeySelection::All => Key::MIN,
        });
        starts.collect()
    }

    /// The plan of one partition; `None` if there are fewer.
    pub fn partition(&self, at: usize) -> Option<Self> {
        let keys = self.partitions().get(at)?;
        let slices = self.slices().and_then(|slices| slices.get(at).cloned());
        let plan = match self.partitions() {
            [_] => self.clone(),
            _ => self.of_keys(keys),
        };
        Some(match slices {
            Some(slices) => plan.in_slices(vec![slices]),
            None => plan,
        })
    }
}

/// Where partitions with about as many rows each begin, but for the first.
fn even_starts(mut weights: Vec<(Key, u64)>, count: usize) -> Vec<Key> {
    weights.sort_unstable_by_key(|&(key, _)| key);
    let rows: u64 = weights.iter().map(|&(_, rows)| rows).sum();
    let target = rows.div_ceil(count.max(1) as u64).max(1);
    let (mut starts, mut held) = (Vec::new(), 0);
    for (key, rows) in weights {
        if held >= target && starts.len() + 1 < count && starts.last() != Some(&key) {
            starts.push(key);
            held = 0;
        }
        held += rows;
    }
    starts
}
