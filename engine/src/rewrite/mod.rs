//! The rewriting of rows into other files: slice by slice of keys, read and merged ahead of the slice that is being
//! written, so that any number of rows takes the memory of a few slices.
//!
//! ```text
//! files, runs, tail ──Plan::run──► rows by (key, time) ──FileWriter──► files of one period
//! ```
//!
//! Nothing is committed here: the new files are no part of the table until the caller commits them.

mod difference;

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use barograph_lake::file::{FileCache, Layout};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::table::{Alteration, FileWriter};
use barograph_lake::{
    FileEntry, FilePath, KeySelection, LakeTable, LogPosition, Period, Snapshot, TableSchema,
    TableVersion, TimeRange, Timestamp,
};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::scan::files::Files;
use crate::scan::plan::{Slice, Source, landed};
use crate::scan::{Executor, Plan, Scan, Slices};
use crate::validate::key_at;
use crate::{Error, Result};

/// A slice is held as pages, as rows of each file, merged, and as columns of a row group.
const COPIES: usize = 6;
/// Rows of a slice at least, if they take no more than half of the memory: two pages of each of a day's files.
const SLICE_ROWS_MIN: usize = 65_536;
/// Share of the memory that long texts of a row group take: they are held as rows, as pages and on their way.
const ROW_GROUP_SHARE: usize = 8;

/// The bounds of a rewrite.
#[derive(Debug, Clone)]
pub struct RewriteBounds {
    /// Memory, in bytes.
    pub memory: usize,
    /// Processors that it keeps busy: slices read and rows encoded at a time, and columns written at a time.
    pub threads: usize,
    /// The runtime that does the work.
    pub on: Handle,
    /// Bytes of a file from which on the next key begins another file.
    pub file_bytes: u64,
}

/// The rows to rewrite, and the period whose files they go to.
#[derive(Debug, Clone)]
pub struct RewriteOf {
    /// Active files, which all lie in `target`.
    pub files: Vec<Arc<FileEntry>>,
    /// Sorted runs that lie in `target`. Their rows join those of `files`, in the place of rows of the same key and
    /// time; those of later runs in the place of those of earlier ones.
    pub runs: Vec<Arc<FileEntry>>,
    /// Only rows of these keys.
    pub keys: KeySelection,
    /// Except rows of these keys and instants.
    pub except: Option<Slice>,
    /// The period.
    pub target: Period,
}

impl RewriteOf {
    /// All rows of `files`.
    pub fn files(files: Vec<Arc<FileEntry>>, target: Period) -> Self {
        Self { files, runs: Vec::new(), keys: KeySelection::All, except: None, target }
    }
}

/// A rewrite in progress.
#[derive(Debug)]
pub struct Rewrite {
    table: LakeTable,
    /// All rows; the slices are those that are left.
    plan: Plan,
    slices: Slices<()>,
    /// How many of the sources are active files; the others are runs, or the tail.
    landed: usize,
    except: Option<Slice>,
    target: Period,
    through: LogPosition,
    bounds: RewriteBounds,
    /// One permit for each of the threads.
    threads: Arc<Semaphore>,
    writer: Option<FileWriter>,
    written: Vec<Arc<FileEntry>>,
    /// Bytes of the old files, of one slice.
    slice_bytes: u64,
    /// Where each column of the new files stands among those of the old; absent: they are the same.
    places: Option<Arc<[Option<usize>]>>,
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewriteStep {
    /// Rows written.
    pub rows: u64,
    /// Bytes of the old files that held them, approximately.
    pub bytes: u64,
}

impl Rewrite {
    /// The rows of files and runs of `table`.
    pub fn of<'a>(
        table: &'a LakeTable,
        cache: &'a Arc<FileCache>,
        of: &'a RewriteOf,
        bounds: RewriteBounds,
    ) -> BoxFuture<'a, Result<Self>> {
        Box::pin(async move {
            let snapshot = Snapshot::new(TableVersion::new(0), of.files.clone());
            let through = through(&snapshot, of.target);
            let mut from = landed(snapshot.files());
            let landed = from.len();
            let runs = of.runs.iter().map(|run| (run.path.period(), vec![Arc::clone(run)]));
            from.extend(runs.map(|(period, files)| Source { period, files, tails: Vec::new() }));
            let lake = Files {
                cache: Arc::clone(cache),
                store: table.store().clone(),
                schema: Arc::clone(table.schema()),
            };
            let keys = of.keys.clone();
            let begun = Self::begin(table, lake, from, keys, of.target, through, bounds);
            let mut begun = begun.await?;
            begun.landed = landed;
            begun.except = of.except.clone();
            Ok(begun)
        })
    }

    /// The rows of some keys in `from`, on their way to files at `target`.
    pub(crate) async fn begin(
        table: &LakeTable,
        lake: Files,
        from: Vec<Source>,
        keys: KeySelection,
        target: Period,
        through: LogPosition,
        bounds: RewriteBounds,
    ) -> Result<Self> {
        let columns = (FIRST_VALUE_COLUMN..table.schema().arrow().fields().len()).collect();
        let scan = Scan { columns, ..Scan::of(keys, TimeRange::ALL) };
        let files: Vec<_> = from.iter().flat_map(|source| source.files.clone()).collect();
        let plan = Plan::new(lake, from, scan, SLICE_ROWS_MIN);
        let copies = COPIES + bounds.threads;
        let rows = bounds.memory / plan.row_bytes().max(1);
        let rows = (rows / copies).max(SLICE_ROWS_MIN.min(rows / 2)).max(1);
        let plan = plan.sliced_by(rows).await?;
        let threads = Arc::new(Semaphore::new(bounds.threads.max(1)));
        let executor = Executor::Blocking {
            on: bounds.on.clone(),
            permits: Arc::clone(&threads),
            at_once: bounds.threads,
        };
        let slices = plan.clone().run(executor, |_| Ok::<_, Error>(()))?;
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        Ok(Self {
            table: table.clone(),
            plan,
            landed: 0,
            except: None,
            target,
            through,
            threads,
            bounds,
            slice_bytes: bytes / slices.left().max(1) as u64,
            slices,
            writer: None,
            written: Vec::new(),
            places: None,
        })
    }

    /// The same rewrite into files with other columns.
    #[must_use]
    pub fn altered(mut self, alteration: &Alteration) -> Self {
        self.table = alteration.target(&self.table);
        self.places = Some(alteration.places().into());
        self
    }

    /// Writes the next slice; `None` if all are written.
    pub fn step(&mut self) -> BoxFuture<'_, Result<Option<RewriteStep>>> {
        Box::pin(self.next())
    }

    async fn next(&mut self) -> Result<Option<RewriteStep>> {
        let Some(rows) = self.slices.next().await? else { return Ok(None) };
        self.slices.read_ahead();
        let rows = match self.except.clone() {
            Some(except) => {
                let stay = move || without(&rows, &except);
                let stay = self.bounds.on.spawn_blocking(stay).await;
                stay.map_err(|e| ended().with_source(e))??
            }
            None => rows,
        };
        let step = RewriteStep { rows: rows.num_rows() as u64, bytes: self.slice_bytes };
        if step.rows > 0 {
            let writer = match self.writer.take() {
                Some(writer) => writer,
                None => {
                    let path = FilePath::new(self.target, self.through);
                    let usual = Layout::of(self.target.tier());
                    let text = self.bounds.memory / ROW_GROUP_SHARE;
                    let layout = Layout {
                        row_group_text_bytes: usual.row_group_text_bytes.min(text),
                        ..usual
                    };
                    self.table.begin_file_as(&layout, path, self.bounds.threads).await?
                }
            };
            let _thread = self.threads.acquire().await.map_err(|e| ended().with_source(e))?;
            let rows = match &self.places {
                Some(places) => placed(&rows, places, self.table.schema())?,
                None => rows,
            };
            let writer = writer.push(rows, &self.bounds.on).await?;
            if writer.written() < self.bounds.file_bytes {
                self.writer = Some(writer);
            } else {
                self.written.push(writer.finish(&self.bounds.on).await?);
            }
        }
        Ok(Some(step))
    }

    /// The new files, ascending by their keys; none if no row is left.
    pub fn finish(mut self) -> BoxFuture<'static, Result<Vec<Arc<FileEntry>>>> {
        Box::pin(async move {
            while self.next().await?.is_some() {}
            if let Some(writer) = self.writer.take() {
                self.written.push(writer.finish(&self.bounds.on).await?);
            }
            Ok(std::mem::take(&mut self.written))
        })
    }
}

/// The columns of `rows` at their places in `schema`, as the types that they have there.
fn placed(
    rows: &RecordBatch,
    places: &[Option<usize>],
    schema: &TableSchema,
) -> Result<RecordBatch> {
    let columns = schema.arrow().fields().iter().zip(places).map(|(field, place)| match place {
        Some(place) => cast(rows.column(*place), field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    });
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema.arrow()), columns)?)
}

fn ended() -> Error {
    Error::internal("rewriting files ended early")
}

/// The position through which all rows of `period` are in the files of `snapshot`: 0, which is unknown, if an
/// hour has none.
fn through(snapshot: &Snapshot, period: Period) -> LogPosition {
    let through = |hour| snapshot.files_of_hour(hour).iter().map(|file| file.path.through()).min();
    period.hours().map(|hour| through(hour).unwrap_or_default()).min().unwrap_or_default()
}

/// The rows that are not of `except`.
fn without(rows: &RecordBatch, except: &Slice) -> Result<RecordBatch> {
    let Slice { keys, time } = except;
    let key_column = rows.column(KEY_COLUMN);
    let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>().values();
    let stay: BooleanArray = times
        .iter()
        .enumerate()
        .map(|(row, &at)| {
            Some(
                !(time.contains(Timestamp::from_micros(at))
                    && keys.contains(key_at(key_column, row))),
            )
        })
        .collect();
    Ok(filter_record_batch(rows, &stay)?)
}
