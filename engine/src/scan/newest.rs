//! The newest readings in the lake, by key, remembered from the files that were read.
//!
//! Two things are remembered for each table, both found by reading lake files and true for ever, as a
//! file never changes:
//!
//! ```text
//! Times      key ──► instant of its newest reading in the files looked at so far
//! LastRows   the last row of each key in the newest file, ready to be given
//! ```
//!
//! The first tells in which hour to look for a silent key; the second answers for keys that report, as fast as the
//! tail did until their rows landed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{
    FileEntry, FilePath, Hour, Key, KeySelection, TableVersion, Tier, TimeRange, Timestamp,
};
use hashbrown::{HashMap, HashSet};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::files::Files;
use super::plan::landed;
use super::{Executor, Plan, Scan, Slices};
use crate::Result;
use crate::validate::key_at;
use crate::view::View;

/// Rows of a file that are read at a time while its last rows are looked for.
const SLICE_ROWS: usize = 32_768;
/// Bytes that last rows may take; of a file whose last rows take more, none are kept.
const LAST_ROWS_BYTES_MAX: usize = 16 << 20;

/// The newest readings in the lake of a table, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    times: Mutex<Times>,
    last: ArcSwapOption<Found>,
    /// Whether last rows are being looked for.
    looking: AtomicBool,
}

/// Newest instant of every key in the lake, from the files looked at so far. Landing replaces files by
/// files with the same keys or more, so what was seen stays true until [`Newest::forget`].
#[derive(Debug, Default)]
struct Times {
    version: Option<TableVersion>,
    seen: HashSet<FilePath>,
    newest: HashMap<Key, Timestamp>,
}

/// The last row of each key of a file, with all columns of the table, ordered by key.
#[derive(Debug)]
pub(crate) struct LastRows {
    hour: Hour,
    rows: RecordBatch,
}

/// What was found for a file: `None` if its last rows would take too much memory, or could not be read.
type Found = (FilePath, Option<Arc<LastRows>>);

impl Newest {
    /// Newest instant of every key in the view's files, of which those not looked at before are read.
    /// `None` if the files of a newer version than the view's have been looked at.
    pub(crate) async fn times(
        &self,
        files: &Files,
        view: &View,
    ) -> Result<Option<HashMap<Key, Timestamp>>> {
        let mut times = self.times.lock().await;
        let version = view.snapshot.version();
        if times.version.is_some_and(|seen| seen > version) {
            return Ok(None);
        }
        times.version = Some(version);
        for file in view.snapshot.files() {
            if times.seen.contains(&file.path) {
                continue;
            }
            let mut slices = slices(files, file, Vec::new()).await?;
            while let Some(rows) = slices.next().await? {
                for (key, time, _) in last_rows(&rows) {
                    let newest = times.newest.entry(key).or_insert(time);
                    *newest = time.max(*newest);
                }
            }
            times.seen.insert(file.path);
        }
        Ok(Some(times.newest.clone()))
    }

    /// Begins anew with `version`, before which rows may have been taken away.
    pub(crate) async fn forget(&self, version: TableVersion) {
        *self.times.lock().await = Times { version: Some(version), ..Times::default() };
    }

    /// The last rows of the view's newest file, if it holds an hour and the tail has no rows of that hour. If
    /// they are not known yet, they are looked for in the background, and the next call may find them.
    pub(crate) fn last(self: &Arc<Self>, files: &Files, view: &View) -> Option<Arc<LastRows>> {
        let file = view.snapshot.files().last()?;
        let period = file.path.period();
        if period.tier() != Tier::Hour
            || view.tail.hours().iter().any(|tail| period.holds(tail.hour()))
        {
            return None;
        }
        if let Some(found) = self.last.load().as_ref().filter(|found| found.0 == file.path) {
            return found.1.clone();
        }
        if !self.looking.swap(true, Ordering::AcqRel) {
            let (newest, files, file) = (Arc::clone(self), files.clone(), Arc::clone(file));
            tokio::spawn(async move {
                let last = LastRows::collect(&files, &file).await.unwrap_or_else(|error| {
                    tracing::warn!(file = %file.path, %error, "last rows are read with each query");
                    None
                });
                newest.last.store(Some(Arc::new((file.path, last.map(Arc::new)))));
                newest.looking.store(false, Ordering::Release);
            });
        }
        None
    }

    /// Whether the last rows of the view's newest file are known.
    pub(crate) fn knows(&self, view: &View) -> bool {
        let newest = view.snapshot.files().last().map(|file| file.path);
        let found = self.last.load();
        found.as_ref().is_some_and(|found| Some(found.0) == newest && found.1.is_some())
    }
}

impl LastRows {
    async fn collect(files: &Files, file: &Arc<FileEntry>) -> Result<Option<Self>> {
        let Some(hour) = Hour::of(file.path.period().start()) else { return Ok(None) };
        let columns = (FIRST_VALUE_COLUMN..files.schema.arrow().fields().len()).collect();
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut slices = slices(files, file, columns).await?;
        while let Some(rows) = slices.next().await? {
            let last = take_rows(&rows, last_rows(&rows).map(|(.., row)| row))?;
            bytes += last.get_array_memory_size();
            if bytes > LAST_ROWS_BYTES_MAX {
                return Ok(None);
            }
            found.push(last);
        }
        let Some(first) = found.first() else { return Ok(None) };
        let rows = concat_batches(first.schema_ref(), &found)?;
        // Of a key in several slices, each has a last row.
        let rows = take_rows(&rows, last_rows(&rows).map(|(.., row)| row))?;
        Ok(Some(Self { hour, rows }))
    }

    /// The hour of the file.
    pub(crate) fn hour(&self) -> Hour {
        self.hour
    }

    /// The rows of those of `keys` (ascending) that are here, with some columns.
    pub(crate) fn of(&self, keys: &[Key], columns: &[usize]) -> Result<RecordBatch> {
        let rows = self.rows.project(columns)?;
        let found: Vec<_> = keys.iter().filter_map(|&key| self.find(key)).collect();
        Ok(match found.as_slice() {
            &[row] => rows.slice(row as usize, 1),
            found => take_rows(&rows, found.iter().copied())?,
        })
    }

    fn find(&self, key: Key) -> Option<u32> {
        let keys = self.rows.column(KEY_COLUMN);
        let (mut low, mut high) = (0, keys.len());
        while low < high {
            let middle = low.midpoint(high);
            if key_at(keys, middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < keys.len() && key_at(keys, low) == key).then_some(low as u32)
    }
}

/// The rows of a file in slices of about [`SLICE_ROWS`] rows, read by a thread that may wait for a disk.
async fn slices(files: &Files, file: &Arc<FileEntry>, columns: Vec<usize>) -> Result<Slices<()>> {
    let scan = Scan { columns, ..Scan::of(KeySelection::All, TimeRange::ALL) };
    let plan = Plan::new(files.clone(), landed([file]), scan, SLICE_ROWS);
    plan.sliced().await?.run(Executor::one_thread(Handle::current()), |_| Ok(()))
}

/// Some rows, in the order given.
pub(super) fn take_rows(
    rows: &RecordBatch,
    chosen: impl IntoIterator<Item = u32>,
) -> Result<RecordBatch> {
    Ok(take_record_batch(rows, &UInt32Array::from_iter_values(chosen))?)
}

/// (key, instant, row) of every row.
pub(super) fn instants_of(rows: &RecordBatch) -> impl Iterator<Item = (Key, Timestamp, u32)> {
    let keys = rows.column(KEY_COLUMN);
    let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
    (0..rows.num_rows())
        .map(move |row| (key_at(keys, row), Timestamp::from_micros(times.value(row)), row as u32))
}

/// (key, instant, row) of the last row of each key, of rows ordered by (key, time).
pub(super) fn last_rows(rows: &RecordBatch) -> impl Iterator<Item = (Key, Timestamp, u32)> {
    let keys = rows.column(KEY_COLUMN);
    let end = keys.len();
    instants_of(rows).filter(move |&(key, _, row)| {
        let next = row as usize + 1;
        next == end || key_at(keys, next) != key
    })
}
