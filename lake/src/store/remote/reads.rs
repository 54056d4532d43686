//! Reads of a remote store: few large requests at the same time for many ranges of an object, and a second request where
//! the first takes long.
//!
//! ```text
//! ranges      ▪▪ ▪  ▪▪▪          ▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪
//! requests    └────────┘         └───────┘└──────┘     gaps up to `read_gap_bytes`, parts up to `read_bytes_max`
//! ```

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    Extensions, GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, Result,
};

use super::hedge::Hedge;
use super::requests::Hedged;
use crate::store::StoreSettings;
use crate::store::decorator::Decorator;

/// Requests for one read at the same time.
const AT_ONCE: usize = 16;
/// Parts of a whole object that are read ahead of who takes them.
const PARTS_AHEAD: usize = 4;

/// A store that reads with few requests.
#[derive(Debug)]
pub(super) struct Reads {
    inner: Arc<dyn ObjectStore>,
    part: u64,
    gap: u64,
    hedge: Option<Arc<Hedge>>,
}

impl Reads {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, settings: &StoreSettings) -> Self {
        let hedge = || Arc::new(Hedge::new(settings.hedge_after_min.duration()));
        Self {
            inner,
            part: settings.read_bytes_max.get() as u64,
            gap: settings.read_gap_bytes.get() as u64,
            hedge: settings.hedge.then(hedge),
        }
    }

    /// The bytes of a range that one request asks for.
    async fn part(self: &Reads, location: &Path, range: Range<u64>) -> Result<Bytes> {
        part(&self.inner, self.hedge.as_deref(), location, range).await
    }
}

#[async_trait]
impl Decorator for Reads {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_whole = options.range.is_none() && !options.head;
        if !is_whole || !location.as_ref().ends_with(".parquet") {
            let bytes = match &options.range {
                Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
                _ => 0,
            };
            let request = |is_second| {
                let options = marked(options.clone(), is_second);
                async move { self.inner.get_opts(location, options).await }
            };
            return match &self.hedge {
                Some(hedge) => hedge.run(bytes, request).await,
                None => request(false).await,
            };
        }
        // One reply of many megabytes comes slowly, and starts again from its beginning if it breaks off.
        let first = options.with_range(Some(GetRange::Bounded(0..self.part)));
        let head = self.inner.get_opts(location, first).await?;
        let size = head.meta.size;
        if size <= self.part {
            return Ok(head);
        }
        let rest = parts(self.part..size, self.part).into_iter().map({
            let (inner, hedge, location) =
                (Arc::clone(&self.inner), self.hedge.clone(), location.clone());
            move |range| {
                let (inner, hedge, location) =
                    (Arc::clone(&inner), hedge.clone(), location.clone());
                async move { part(&inner, hedge.as_deref(), &location, range).await }
            }
        });
        let (meta, attributes) = (head.meta.clone(), head.attributes.clone());
        let all = head.into_stream().chain(stream::iter(rest).buffered(PARTS_AHEAD));
        let payload = GetResultPayload::Stream(all.boxed());
        Ok(GetResult { payload, meta, range: 0..size, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let requests = plan(ranges, self.gap, self.part);
        let found: Vec<(u64, Bytes)> = stream::iter(requests)
            .map(|range| async move {
                let start = range.start;
                Ok::<_, object_store::Error>((start, self.part(location, range).await?))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let assembled = ranges.iter().map(|range| {
            let first = found.partition_point(|(start, _)| *start <= range.start).saturating_sub(1);
            let inside = found.get(first..).unwrap_or_default().iter();
            assemble(range, inside.map(|(start, piece)| (*start, piece)))
        });
        Ok(assembled.collect())
    }
}

async fn part(
    inner: &Arc<dyn ObjectStore>,
    hedge: Option<&Hedge>,
    location: &Path,
    range: Range<u64>,
) -> Result<Bytes> {
    let bytes = range.end - range.start;
    let request = |is_second| {
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range.clone())));
        let options = marked(options, is_second);
        async move { inner.get_opts(location, options).await?.bytes().await }
    };
    match hedge {
        Some(hedge) => hedge.run(bytes, request).await,
        None => request(false).await,
    }
}

fn marked(options: GetOptions, is_second: bool) -> GetOptions {
    if !is_second {
        return options;
    }
    let mut extensions: Extensions = options.extensions.clone();
    extensions.insert(Hedged);
    options.with_extensions(extensions)
}

/// The requests that read `ranges`: ascending, apart, of at most `part` bytes. Ranges up to `gap` apart are read together.
fn plan(ranges: &[Range<u64>], gap: u64, part: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.iter().filter(|range| range.start < range.end).collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range.clone()),
        }
    }
    merged.into_iter().flat_map(|range| parts(range, part)).collect()
}

/// A range in as few parts of at most `part` bytes as there can be, about equally long.
fn parts(range: Range<u64>, part: u64) -> Vec<Range<u64>> {
    let count = (range.end - range.start).div_ceil(part.max(1)).max(1);
    let step = (range.end - range.start).div_ceil(count);
    // Whole pages of a disk, as far as a part may be longer for it.
    let step = step.next_multiple_of(STEP).min(part.max(1));
    let mut from = range.start;
    let mut parts = Vec::new();
    while from < range.end {
        let to = from.saturating_add(step).min(range.end);
        parts.push(from..to);
        from = to;
    }
    parts
}

const STEP: u64 = 64 << 10;

/// The bytes of `range` from ascending pieces with their starts, the first of which begins with it or before. Pieces of
/// an object that ends early are short.
pub(super) fn assemble<'a>(
    range: &Range<u64>,
    pieces: impl Iterator<Item = (u64, &'a Bytes)>,
) -> Bytes {
    let mut pieces = pieces.take_while(|(start, _)| *start < range.end).map(|(start, piece)| {
        let len = piece.len() as u64;
        let from = range.start.saturating_sub(start).min(len);
        let to = range.end.saturating_sub(start).min(len);
        piece.slice(from as usize..to.max(from) as usize)
    });
    let (one, two) = (pieces.next().unwrap_or_default(), pieces.next());
    let Some(two) = two else { return one };
    let mut all = BytesMut::with_capacity((range.end - range.start) as usize);
    for piece in [one, two].into_iter().chain(pieces) {
        all.extend_from_slice(&piece);
    }
    all.freeze()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one range is what is asked for")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plan_reads_every_range_once_in_few_parts(
            bounds in proptest::collection::vec((0u64..400_000, 0u64..90_000), 0..12),
            gap in 0u64..50_000,
            part in 1_000u64..200_000,
            size in 0u64..450_000,
        ) {
            let object: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
            let ranges: Vec<_> = bounds.iter().map(|&(from, len)| from..from + len).collect();
            let requests = plan(&ranges, gap, part);
            for request in &requests {
                prop_assert!(request.start < request.end && request.end - request.start <= part);
            }
            prop_assert!(requests.windows(2).all(|pair| pair[0].end <= pair[1].start));
            let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            let read: u64 = requests.iter().map(|range| range.end - range.start).sum();
            prop_assert!(read <= wanted + gap * ranges.len() as u64);
            let cut = |range: &Range<u64>| {
                let end = range.end.min(size);
                object[range.start.min(end) as usize..end as usize].to_vec()
            };
            let found: Vec<_> =
                requests.iter().map(|range| (range.start, Bytes::from(cut(range)))).collect();
            for range in &ranges {
                let first = found.partition_point(|(start, _)| *start <= range.start);
                let inside = found[first.saturating_sub(1)..].iter();
                let assembled = assemble(range, inside.map(|(start, piece)| (*start, piece)));
                prop_assert_eq!(assembled.to_vec(), cut(range));
            }
        }
    }

    #[test]
    fn pages_that_are_near_are_one_request() {
        let pages: Vec<_> = (0..100).map(|page| page * 20_000..page * 20_000 + 8_000).collect();
        assert_eq!(plan(&pages, 1 << 20, 8 << 20), [0..1_988_000]);
        assert_eq!(plan(&pages, 0, 8 << 20).len(), 100);
        assert_eq!(plan(&[0..20 << 20], 0, 8 << 20).len(), 3);
    }
}
