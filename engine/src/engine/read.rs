//! Reads: a view is pinned, a plan is made of it, and a bounded number of threads work on its slices.

use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_lake::{Key, KeySelection};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::Engine;
use crate::memory::Reservation;
use crate::scan::execute::{Execution, Files, head};
use crate::scan::plan::{self, Slice, Source, Start, cut, hours, sources};
use crate::scan::point::PointRead;
use crate::scan::{Plan, PointQuery, Scan, ScanStream};
use crate::table::{CutFrom, Table};
use crate::view::View;
use crate::{Error, Result, retry};

/// Up to this many (key, hour) pairs a read is answered at once, without cutting it into slices.
const SMALL_READ: usize = 64;
/// Bytes that a small read reserves.
const SMALL_READ_BYTES: usize = 1 << 20;
/// Rows of each source that a slice of several has at least: two pages of its file, about.
const SOURCE_ROWS_MIN: usize = 4_096;
/// How many times larger than `scan_slice_rows` a slice of many sources may be.
const MANY_SOURCES_SLICE_MAX: usize = 8;
/// Sources that are looked at to cut a read into parts.
const SAMPLED_SOURCES: usize = 16;

impl Engine {
    /// The plan of a scan: what it would read.
    pub fn plan<'a>(&'a self, view: &'a Arc<View>, scan: &'a Scan) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let table = self.table(view.schema.name())?;
            let execution =
                Execution::new(self.files_of(table, view), sources(view, scan), scan.clone());
            let mut priced = Vec::with_capacity(execution.sources.len());
            for source in &execution.sources {
                let mut prices = Vec::with_capacity(source.files.len());
                for entry in &source.files {
                    let files = &execution.files;
                    let file = files.cache.open(&files.store, &files.schema, entry).await?;
                    prices.push(file.price(&execution.file_read(&scan.keys)));
                }
                priced.push((source.clone(), prices));
            }
            let slices = if is_small(&execution, &execution.sources) {
                1
            } else {
                let target = self.target_rows(scan, execution.sources.len());
                self.slices(&execution, target).await?.len()
            };
            let schema = execution.schema()?;
            let aggregation = scan.aggregation.as_ref();
            Ok(Plan {
                table: view.schema.name().to_owned(),
                version: view.snapshot.version().0,
                keys: scan.keys.clone(),
                time: scan.time,
                columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
                filter: scan.filter.as_ref().map(ToString::to_string),
                aggregation: aggregation.map(ToString::to_string),
                limit: scan.limit,
                files_in_table: view.snapshot.files().len(),
                sources: priced,
                slices,
            })
        })
    }

    /// Answers a range read over `view`, ordered by (key, time).
    ///
    /// # Errors
    /// `Resources` if the reads that are running take all of `scan_bytes_max`. An error inside the
    /// stream ends it; an answer that ends without one is whole.
    pub fn scan(&self, view: Arc<View>, scan: Scan) -> BoxFuture<'_, Result<ScanStream>> {
        Box::pin(async move {
            let table = self.table(view.schema.name())?;
            let sources = sources(&view, &scan);
            let limit = scan.limit.unwrap_or(usize::MAX);
            let target = self.target_rows(&scan, sources.len());
            let execution = Arc::new(Execution::new(self.files_of(table, &view), sources, scan));
            let schema = execution.schema()?;
            if is_small(&execution, &execution.sources) {
                let _reserved = self.reserve_scan(SMALL_READ_BYTES)?;
                let rows = head(execution.slice(&execution.whole()).await?, limit);
                let batches = stream::iter((rows.num_rows() > 0).then_some(Ok(rows)));
                return Ok(ScanStream { schema, batches: Box::pin(batches) });
            }
            let slices = self.slices(&execution, target).await?;
            let at_once = self.bounds.thread_count.min(slices.len()).max(1);
            // A slice is held as read, as merged and as given.
            let bytes = at_once * target as usize * execution.row_bytes() * 3;
            let reserved = Arc::new(self.reserve_scan(bytes.min(self.bounds.scan.limit() / 2))?);
            let bounds = Arc::clone(&self.bounds);
            let batches = stream::iter(slices)
                .map(move |slice| {
                    let (execution, bounds) = (Arc::clone(&execution), Arc::clone(&bounds));
                    let reserved = Arc::clone(&reserved);
                    async move {
                        let thread = Arc::clone(&bounds.threads).acquire_owned().await;
                        let runtime = Handle::current();
                        tokio::task::spawn_blocking(move || {
                            let _held = (thread, reserved);
                            runtime.block_on(execution.slice(&slice))
                        })
                        .await
                        .map_err(|e| Error::internal("a slice of a range read").with_source(e))?
                    }
                })
                .buffered(at_once)
                .try_filter(|rows| std::future::ready(rows.num_rows() > 0));
            let batches = take_rows(batches, limit);
            Ok(ScanStream { schema, batches: Box::pin(batches) })
        })
    }

    /// Answers a point read over `view`: one batch of key, time and the columns asked for.
    pub async fn point(&self, view: &Arc<View>, query: &PointQuery) -> Result<RecordBatch> {
        let table = self.table(view.schema.name())?;
        let files = self.files_of(table, view);
        PointRead { files: &files, view, newest: &table.newest }.answer(query).await
    }

    /// Cuts a range read into at most `parts` selections of keys with about equally many rows, which one after the
    /// other give exactly its rows.
    pub async fn split(
        &self,
        view: &Arc<View>,
        scan: &Scan,
        parts: usize,
    ) -> Result<Vec<KeySelection>> {
        let execution = self.execution(view, scan.clone())?;
        let starts = execution.weights(execution.sources.iter().collect()).await?.concat();
        let weights: Vec<_> = starts.iter().map(Start::weight).collect();
        let rows: u64 = weights.iter().map(|&(_, rows)| rows).sum();
        let target = rows.div_ceil(parts.max(1) as u64).max(1);
        Ok(cut(&scan.keys, weights, target))
    }

    /// A range read as an [`Execution`], for callers that run its slices themselves.
    pub fn execution(&self, view: &View, scan: Scan) -> Result<Execution> {
        let table = self.table(view.schema.name())?;
        Ok(Execution::new(self.files_of(table, view), sources(view, &scan), scan))
    }

    /// The keys at which a range read is best cut into `parts`, ascending, at most `parts - 1` of them. They are
    /// found from a sample of its hours, landed ones if there are any, so that the cost does not grow with the number
    /// of hours, and cached, as the keys of landed hours do not change.
    pub async fn cuts(&self, execution: &Execution, parts: usize) -> Result<Arc<[Key]>> {
        let landed: Vec<_> =
            execution.sources.iter().filter(|source| !source.files.is_empty()).collect();
        let held = if landed.is_empty() { execution.sources.iter().collect() } else { landed };
        let step = held.len().div_ceil(SAMPLED_SOURCES).max(1);
        let sample: Vec<_> = held.into_iter().step_by(step).collect();
        let files =
            sample.iter().flat_map(|source| source.files.iter().map(|file| file.path)).collect();
        let from = CutFrom { parts, keys: execution.scan.keys.clone(), files };
        let known = &self.table(execution.files.schema.name())?.cuts;
        if let Some(cuts) = known.get(|known| *known == from && !from.files.is_empty()) {
            return Ok(cuts);
        }
        let starts = execution.weights(sample).await?.concat();
        let weights = starts.iter().map(Start::weight).collect();
        let cuts: Arc<[Key]> = even_cuts(weights, parts).into();
        known.keep(from, Arc::clone(&cuts));
        Ok(cuts)
    }

    /// Rows of one slice of a range read.
    pub fn slice_rows(&self, execution: &Execution) -> u64 {
        self.target_rows(&execution.scan, execution.sources.len())
    }

    /// The slices of a range read, in order.
    pub async fn slices_of(&self, execution: &Execution) -> Result<Vec<Slice>> {
        if is_small(execution, &execution.sources) {
            return Ok(vec![execution.whole()]);
        }
        self.slices(execution, self.slice_rows(execution)).await
    }

    /// The slices of one period of a range read, of about `rows` rows each.
    pub async fn slices_of_source(
        &self,
        execution: &Execution,
        source: &Source,
        rows: usize,
    ) -> Result<Vec<KeySelection>> {
        if is_small(execution, std::slice::from_ref(source)) {
            return Ok(vec![execution.scan.keys.clone()]);
        }
        let starts = execution.weights(vec![source]).await?.concat();
        let weights = starts.iter().map(Start::weight).collect();
        Ok(cut(&execution.scan.keys, weights, rows as u64))
    }

    /// The semaphore that bounds how many slices are worked on at once, over all reads.
    pub fn slice_threads(&self) -> &Arc<Semaphore> {
        &self.bounds.threads
    }

    fn files_of(&self, table: &Table, view: &View) -> Files {
        Files {
            cache: Arc::clone(&self.files),
            store: table.lake.store().clone(),
            schema: Arc::clone(&view.schema),
        }
    }

    fn reserve_scan(&self, bytes: usize) -> Result<Reservation> {
        self.bounds.scan.try_reserve(bytes, retry::READ_ENDS)
    }

    /// Rows of a slice: more if they come from many sources, as a page that lies in two slices is decoded for
    /// each; fewer if no more than a few are asked for.
    fn target_rows(&self, scan: &Scan, sources: usize) -> u64 {
        let slice = self.bounds.slice_rows;
        let most = slice.max((sources * SOURCE_ROWS_MIN).min(slice * MANY_SOURCES_SLICE_MAX));
        let rows = match (scan.limit, &scan.filter, &scan.aggregation) {
            (Some(limit), None, None) => limit.clamp(1_024, most.max(1_024)),
            _ => most,
        };
        rows as u64
    }

    async fn slices(&self, execution: &Execution, target: u64) -> Result<Vec<Slice>> {
        let weights = execution.weights(execution.sources.iter().collect()).await?;
        let periods: Vec<_> = execution.sources.iter().map(|source| source.period).collect();
        Ok(plan::slices(&execution.scan, &periods, &weights, target))
    }
}

/// Whether a read of some of its sources is of few rows. Not even a few are few bytes if they have long texts.
fn is_small(execution: &Execution, sources: &[Source]) -> bool {
    let Scan { keys, time, .. } = &execution.scan;
    let is_few = |keys: &[Key]| keys.len() * hours(sources, *time) <= SMALL_READ;
    matches!(keys, KeySelection::List(keys) if is_few(keys)) && !execution.reads_text()
}

/// Cuts between parts with about as many rows each.
fn even_cuts(mut weights: Vec<(Key, u64)>, parts: usize) -> Vec<Key> {
    weights.sort_unstable_by_key(|&(key, _)| key);
    let rows: u64 = weights.iter().map(|&(_, rows)| rows).sum();
    let target = rows.div_ceil(parts.max(1) as u64).max(1);
    let (mut cuts, mut held) = (Vec::new(), 0);
    for (key, rows) in weights {
        if held >= target && cuts.len() + 1 < parts && cuts.last() != Some(&key) {
            cuts.push(key);
            held = 0;
        }
        held += rows;
    }
    cuts
}

/// The first `limit` rows of a stream of batches.
fn take_rows(
    batches: impl futures::Stream<Item = Result<RecordBatch>> + Send,
    limit: usize,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    batches.scan(limit, |left, batch| {
        std::future::ready(match batch {
            _ if *left == 0 => None,
            Err(error) => Some(Err(error)),
            Ok(rows) => {
                let rows = head(rows, *left);
                *left -= rows.num_rows();
                Some(Ok(rows))
            }
        })
    })
}
