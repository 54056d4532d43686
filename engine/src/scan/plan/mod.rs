//! The plan of a range read: its inputs, its cost, its partitions and their slices. It is what `EXPLAIN` prints and what
//! [runs](Plan::run).
//!
//! ```text
//! view ──interval index──► one source a period: its lake files, its tail rows, or both
//!                              │
//!                              └──page index──► slices of keys, or of one key's time, with about equally
//!                                               many rows
//! ```
//!
//! Made from a view and a [`Scan`] alone, it knows its inputs and a bound on its cost. [`Plan::sliced`] and
//! [`Plan::costed`] look into page indexes.

mod cost;
mod display;
pub(crate) mod slices;
mod source;

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use barograph_lake::file::{FileRead, PagePredicate, ReadCost, SHORT_TEXT_BYTES, Weight};
use barograph_lake::schema::FIRST_VALUE_COLUMN;
use barograph_lake::{Key, KeySelection, TableSchema, TimeRange};
use futures::{StreamExt, TryStreamExt, stream};

pub use cost::Cost;
pub use slices::Slice;
pub(crate) use source::landed;
pub use source::{Source, sources};

use super::files::{Files, project, read_columns};
use super::{Aggregation, Scan};
use crate::view::View;
use crate::{Error, Result};
use slices::{Start, slices};
use source::hours;

/// Up to this many (key, hour) pairs a read is one slice.
const SMALL_READ: usize = 64;
/// Rows of each source that a slice of several has at least: two pages of its file, about.
const SOURCE_ROWS_MIN: usize = 4_096;
/// How many times larger than usual a slice of many sources may be.
const MANY_SOURCES_SLICE_MAX: usize = 8;
/// Rows of a slice at least, where only a few are asked for.
const LIMITED_SLICE_MIN: usize = 1_024;
/// Periods that are read at a time, for one slice or for the places of its rows.
pub(super) const PERIODS_AT_ONCE: usize = 32;

/// The plan of a range read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Plan {
    files: Files,
    request: Arc<Scan>,
    sources: Arc<[Source]>,
    /// Whether the sources are apart and ascending, as those of a view are.
    in_order: bool,
    /// Arrow columns that are read: key, time, then those asked for and those filtered by.
    read: Arc<[usize]>,
    /// Positions in `read` of the columns that are given (or aggregated).
    given: Arc<[usize]>,
    pages: Option<Arc<dyn PagePredicate>>,
    /// Rows of a slice, where neither sources nor a limit ask for others.
    slice_rows: usize,
    /// The keys of each partition, ascending.
    partitions: Arc<[KeySelection]>,
    /// The slices of each partition, once they are known.
    slices: Option<Arc<[Vec<Slice>]>>,
    /// The exact costs of the files of each source, once they are known.
    costs: Option<Arc<[Vec<ReadCost>]>>,
    /// Version and number of files of the snapshot that is read, if it is one.
    snapshot: Option<(u64, usize)>,
}

impl Plan {
    /// The plan of a read of some sources, in slices of about `slice_rows` rows.
    pub(crate) fn new(
        files: Files,
        sources: Vec<Source>,
        request: Scan,
        slice_rows: usize,
    ) -> Self {
        let mut pairs = sources.iter().zip(sources.iter().skip(1));
        let in_order = pairs.all(|(one, next)| one.period.end() <= next.period.start());
        let mut plan = Self {
            files,
            sources: sources.into(),
            in_order,
            read: Arc::default(),
            given: Arc::default(),
            pages: None,
            slice_rows,
            partitions: Arc::new([request.keys.clone()]),
            slices: None,
            costs: None,
            snapshot: None,
            request: Arc::new(request),
        };
        plan.bind();
        plan
    }

    /// The plan of a read of a view.
    pub(crate) fn of_view(files: Files, view: &View, request: Scan, slice_rows: usize) -> Self {
        let snapshot = Some((view.snapshot.version().get(), view.snapshot.files().len()));
        let plan = Self::new(files, sources(view, &request), request, slice_rows);
        Self { snapshot, ..plan }
    }

    /// Finds the columns that are read and given.
    fn bind(&mut self) {
        let request = &self.request;
        let asked = match &request.aggregation {
            Some(aggregation) => aggregation.columns(),
            None => request.columns.clone(),
        };
        let mut read = read_columns(asked);
        self.given = (0..read.len()).collect();
        if let Some(filter) = &request.filter {
            read = read_columns(
                read.into_iter().skip(FIRST_VALUE_COLUMN).chain(filter.columns().iter().copied()),
            );
        }
        self.read = read.into();
        let filter = request.filter.as_ref();
        self.pages = filter.map(|filter| Arc::new(filter.clone()) as Arc<dyn PagePredicate>);
    }

    /// The same inputs, of which other columns are given, or windows.
    #[must_use]
    pub fn giving(&self, columns: Vec<usize>, aggregation: Option<Aggregation>) -> Self {
        let request = Scan { columns, aggregation, ..(*self.request).clone() };
        let mut plan = Self { request: Arc::new(request), slices: None, ..self.clone() };
        plan.bind();
        plan
    }

    /// The same read, of which at most `limit` rows are asked for.
    #[must_use]
    pub fn limited(&self, limit: Option<usize>) -> Self {
        let request = Scan { limit, ..(*self.request).clone() };
        Self { request: Arc::new(request), slices: None, ..self.clone() }
    }

    /// The part of the read that lies in one source and a range of time.
    #[must_use]
    pub fn of_source(&self, source: &Source, time: TimeRange) -> Self {
        let request = Scan { time: time.within(self.request.time), ..(*self.request).clone() };
        self.narrowed(vec![source.clone()], request)
    }

    /// The part of the read that has some of its keys.
    pub(super) fn of_keys(&self, keys: &KeySelection) -> Self {
        let sources = self.sources.iter().filter_map(|source| source.of_keys(keys)).collect();
        self.narrowed(sources, Scan { keys: keys.clone(), ..(*self.request).clone() })
    }

    /// The same read of some of its sources, in the slices of all.
    pub(crate) fn of_first_sources(&self, count: usize) -> Self {
        let sources = self.sources.iter().take(count).cloned().collect();
        Self { slices: self.slices.clone(), ..self.narrowed(sources, (*self.request).clone()) }
    }

    fn narrowed(&self, sources: Vec<Source>, request: Scan) -> Self {
        Self {
            sources: sources.into(),
            partitions: Arc::new([request.keys.clone()]),
            request: Arc::new(request),
            slices: None,
            costs: None,
            ..self.clone()
        }
    }

    pub(super) fn in_partitions(self, partitions: Vec<KeySelection>) -> Self {
        Self { partitions: partitions.into(), slices: None, ..self }
    }

    pub(super) fn in_slices(self, slices: Vec<Vec<Slice>>) -> Self {
        Self { slices: Some(slices.into()), ..self }
    }

    /// The plan with the slices of each of its partitions.
    pub async fn sliced(self) -> Result<Self> {
        let rows = self.slice_rows();
        self.sliced_by(rows).await
    }

    /// The plan with slices of about `rows` rows.
    pub async fn sliced_by(mut self, rows: usize) -> Result<Self> {
        self.slice_rows = rows;
        let mut found = Vec::with_capacity(self.partitions.len());
        match &*self.partitions {
            [_] => found.push(self.find_slices(rows).await?),
            partitions => {
                for keys in partitions {
                    found.push(self.of_keys(keys).find_slices(rows).await?);
                }
            }
        }
        Ok(self.in_slices(found))
    }

    async fn find_slices(&self, rows: usize) -> Result<Vec<Slice>> {
        if self.is_small() {
            return Ok(vec![self.whole()]);
        }
        let starts = self.starts(self.sources.iter().collect()).await?;
        let periods: Vec<_> = self.sources.iter().map(|source| source.period).collect();
        Ok(slices(&self.request, &periods, &starts, rows.max(1) as u64))
    }

    /// For each of some of its sources, where its rows begin, from page indexes and tail. Rows of long texts count as
    /// many as take as many bytes.
    pub(super) async fn starts(&self, sources: Vec<&Source>) -> Result<Vec<Vec<Start>>> {
        let (files, scan, read) = (&self.files, &self.request, &self.read);
        let row_bytes = self.row_bytes().max(1) as u64;
        let start = move |Weight { key, from, rows, text }| {
            let rows = rows + text / row_bytes;
            Start { key, from, rows }
        };
        let of_source = |source: &Source| {
            let source = source.clone();
            async move {
                let mut starts = Vec::new();
                for entry in &source.files {
                    let file = files.cache.open(&files.store, &files.schema, entry).await?;
                    starts.extend(file.weights(&scan.keys, scan.time, read).map(start));
                }
                for tail in &source.tails {
                    starts.extend(tail.weights(&scan.keys, read).into_iter().map(start));
                }
                Ok::<_, Error>(starts)
            }
        };
        stream::iter(sources).map(of_source).buffered(PERIODS_AT_ONCE).try_collect().await
    }

    /// The whole read as one slice.
    fn whole(&self) -> Slice {
        Slice { keys: self.request.keys.clone(), time: self.request.time }
    }

    /// Whether it is of few rows. Not even a few are few bytes if they have long texts.
    pub(crate) fn is_small(&self) -> bool {
        let Scan { keys, time, .. } = &*self.request;
        let is_few = |keys: &[Key]| keys.len() * hours(&self.sources, *time) <= SMALL_READ;
        matches!(keys, KeySelection::List(keys) if is_few(keys)) && !self.reads_text()
    }

    /// Whether there are texts among the columns that are read.
    fn reads_text(&self) -> bool {
        let fields = self.table().arrow().fields();
        let mut read = self.read.iter().filter_map(|&column| fields.get(column));
        read.any(|field| *field.data_type() == DataType::Utf8)
    }

    /// Rows of a slice, about: more if they come from many sources, as a page that lies in two slices is decoded for
    /// each; fewer if no more than a few are asked for.
    pub fn slice_rows(&self) -> usize {
        let Scan { limit, filter, aggregation, .. } = &*self.request;
        let many = (self.sources.len() * SOURCE_ROWS_MIN)
            .min(self.slice_rows.saturating_mul(MANY_SOURCES_SLICE_MAX));
        let rows = self.slice_rows.max(many);
        match (limit, filter, aggregation) {
            (Some(limit), None, None) => {
                (*limit).clamp(LIMITED_SLICE_MIN, rows.max(LIMITED_SLICE_MIN))
            }
            _ => rows,
        }
    }

    /// Bytes of a row while it is worked on, roughly, if its texts are short.
    pub(crate) fn row_bytes(&self) -> usize {
        let fields = self.table().arrow();
        let widths = self.read.iter().map(|&column| {
            fields.field(column).data_type().primitive_width().unwrap_or(SHORT_TEXT_BYTES)
        });
        widths.sum()
    }

    /// Columns of the answer.
    pub fn schema(&self) -> Result<SchemaRef> {
        match &self.request.aggregation {
            Some(aggregation) => Ok(aggregation.output_schema(self.table())),
            None => {
                let given: Vec<_> =
                    self.given.iter().filter_map(|&at| self.read.get(at).copied()).collect();
                project(self.table(), &given)
            }
        }
    }

    /// The part of each file that is read.
    pub(super) fn file_read(&self, keys: &KeySelection, time: TimeRange) -> FileRead {
        FileRead {
            keys: keys.clone(),
            time,
            columns: self.read.to_vec(),
            pages: self.pages.clone(),
        }
    }

    /// The schema of the table.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.files.schema
    }

    /// The files of the table, to be read otherwise.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The request.
    pub fn request(&self) -> &Scan {
        &self.request
    }

    /// The inputs, one a period, ascending.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The sources that lie in a range of time, and perhaps others.
    pub(super) fn sources_in(&self, time: TimeRange) -> &[Source] {
        if !self.in_order {
            return &self.sources;
        }
        let first = self.sources.partition_point(|source| source.period.end() <= time.from);
        let end = self.sources.partition_point(|source| source.period.start() < time.to);
        self.sources.get(first..end).unwrap_or_default()
    }

    /// The columns that are read, and the positions among them of those that are given.
    pub(super) fn columns(&self) -> (&[usize], &[usize]) {
        (&self.read, &self.given)
    }

    /// The keys of each partition, ascending.
    pub fn partitions(&self) -> &[KeySelection] {
        &self.partitions
    }

    /// Whether its slices are known.
    pub fn is_sliced(&self) -> bool {
        self.slices.is_some()
    }

    /// How many slices are known.
    pub fn slices_count(&self) -> usize {
        self.slices.iter().flat_map(|slices| slices.iter()).map(Vec::len).sum()
    }

    /// The slices of each partition, if they are known.
    pub(super) fn slices(&self) -> Option<&[Vec<Slice>]> {
        self.slices.as_deref()
    }

    /// The slices of all partitions in turn; the whole read as one if they are not known.
    pub(crate) fn all_slices(&self) -> Vec<Slice> {
        match &self.slices {
            Some(slices) => slices.concat(),
            None => vec![self.whole()],
        }
    }
}
