//! A store whose data files are read through a cache on the local disk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, Result};

use super::cache::{BLOCK, DiskCache};
use super::reads::assemble;
use crate::blocking;
use crate::store::decorator::Decorator;

/// A store in front of which is a cache.
#[derive(Debug)]
pub(super) struct Cached {
    inner: Arc<dyn ObjectStore>,
    cache: Arc<DiskCache>,
    /// Name of the store among those that use the cache.
    place: String,
}

impl Cached {
    pub(super) fn new(
        inner: Arc<dyn ObjectStore>,
        cache: Arc<DiskCache>,
        place: impl Into<String>,
    ) -> Self {
        Self { inner, cache, place: place.into() }
    }

    /// The blocks of some runs, from the cache, or else from the store.
    async fn blocks(&self, location: &Path, runs: Vec<Range<u64>>) -> Result<BTreeMap<u64, Bytes>> {
        let name = format!("{}/{location}", self.place);
        let (cache, of) = (Arc::clone(&self.cache), name.clone());
        let wanted = runs.clone();
        let kept = blocking::wait(move || Ok(cache.read(&of, &wanted))).await;
        let mut blocks: BTreeMap<u64, Bytes> = kept.unwrap_or_default().into_iter().collect();
        let missing =
            joined(runs.into_iter().flatten().filter(|block| !blocks.contains_key(block)));
        if missing.is_empty() {
            return Ok(blocks);
        }
        let ranges: Vec<_> = missing.iter().map(|run| run.start * BLOCK..run.end * BLOCK).collect();
        let fetched = self.inner.get_ranges(location, &ranges).await?;
        for (run, bytes) in missing.iter().zip(&fetched) {
            for (number, from) in run.clone().zip((0..bytes.len()).step_by(BLOCK as usize)) {
                let to = (from + BLOCK as usize).min(bytes.len());
                blocks.insert(number, bytes.slice(from..to));
            }
        }
        let (cache, runs) = (Arc::clone(&self.cache), missing);
        let written = blocking::wait(move || {
            let mut runs = runs.iter().zip(&fetched);
            runs.try_for_each(|(run, bytes)| cache.write(&name, run.start, bytes))
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "cannot write to the cache on the disk: it is read from the store each time");
        }
        Ok(blocks)
    }
}

#[async_trait]
impl Decorator for Cached {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if !is_data(location) {
            return self.inner.get_ranges(location, ranges).await;
        }
        let mut numbers: Vec<u64> = ranges
            .iter()
            .flat_map(|range| range.start / BLOCK..range.end.div_ceil(BLOCK))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let blocks = self.blocks(location, joined(numbers.into_iter())).await?;
        let assembled = ranges.iter().map(|range| {
            let inside = blocks.range(range.start / BLOCK..);
            assemble(range, inside.map(|(number, block)| (number * BLOCK, block)))
        });
        Ok(assembled.collect())
    }
}

/// Whether an object never changes under its name: Delta Lake's data files have random names.
fn is_data(location: &Path) -> bool {
    let name = location.as_ref();
    name.ends_with(".parquet") && !name.contains("_delta_log/")
}

/// Ascending numbers as ranges.
fn joined(numbers: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}
