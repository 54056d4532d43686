//! The takeover of rows that another program wrote: they are sorted into runs and merged into the files of
//! their hours, in one commit.
//!
//! ```text
//! file of another program ──hours, a few at a time──► rows by (period, key, time) ──► runs
//! files of the period ─┐
//! runs ────────────────┴merge (runs win)──► files ──► commit (remove + add) ──► as any other version
//! ```
//!
//! Until then queries see the version before. An interrupted takeover leaves files that the job `sweep` deletes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use barograph_lake::internal::key_ranges;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{
    FileEntry, FilePath, Hour, KeySelection, LogPosition, Outcome, Period, Retry, Snapshot,
    TimeRange, Timestamp,
};
use futures::TryStreamExt;
use hashbrown::HashMap;
use tokio::runtime::Handle;

use super::{LanderParts, stopped};
use crate::rewrite::{Rewrite, RewriteBounds, RewriteOf};
use crate::table::Table;
use crate::validate::key_at;
use crate::{Error, Result};

/// Memory for rows on their way.
const MEMORY: usize = 64 << 20;
/// Rows are held as they were read, together, and sorted.
const COPIES: usize = 4;
/// Rows that are sorted at a time, at least.
const ROWS_MIN: usize = 8_192;

/// Sorted runs of each period.
type Runs = HashMap<Period, Vec<Arc<FileEntry>>>;
/// The rows of a period among sorted ones.
type Part = (Period, Range<usize>);

/// The rows of other programs' files in files of the table.
#[derive(Debug)]
struct TakeOver {
    removed: Vec<Arc<FileEntry>>,
    added: Vec<Arc<FileEntry>>,
    /// Ascending.
    hours: Vec<Hour>,
    rows: usize,
}

/// Takes over what other programs made of `newest`, and gives the version that has all rows in files of the table.
/// Where the store does not say whether that was committed, the next look finds the files of others either still
/// there or gone.
///
/// # Errors
/// `Request`, with the name of a file, if its rows cannot be the table's.
pub(super) async fn take_over(
    parts: &LanderParts,
    table: &Arc<Table>,
    mut newest: Snapshot,
) -> Result<Snapshot> {
    let mut retry = Retry::default();
    while !newest.foreign_files().is_empty() {
        let TakeOver { removed, added, hours, rows } = rewritten(parts, table, &newest).await?;
        let (files, at) = (newest.foreign_files().len(), parts.clock.now());
        match table.lake.take_over(&newest, &removed, added, &hours, at).await? {
            Outcome::Committed(after) => {
                let (table, version) = (table.schema.name(), after.version());
                tracing::info!(table, files, rows, %version, "rows of another program's files stand in files of the table");
                return Ok(after);
            }
            Outcome::Conflicted(conflict) => newest = retry.newest(conflict).await?,
            Outcome::Unknown(unknown) => return Err(unknown.into()),
        }
    }
    // They may have taken files away: the log's replay is not to bring their rows back.
    table.lake.put_watermarks_of_removed(&newest).await?;
    Ok(newest)
}

/// Writes the rows of other programs' files, with those of the files of their hours.
async fn rewritten(parts: &LanderParts, table: &Arc<Table>, newest: &Snapshot) -> Result<TakeOver> {
    let (mut runs, mut rows, mut hours) = (Runs::new(), 0, BTreeSet::new());
    for file in newest.foreign_files() {
        let reader = table.lake.open_foreign(newest, file).await?;
        hours.extend(reader.hours().keys().copied());
        let most = (MEMORY / COPIES / reader.row_bytes().max(1)).max(ROWS_MIN);
        for window in windows(reader.hours(), most as u64) {
            let (mut held, mut count) = (Vec::new(), 0);
            let mut batches = reader.rows(window)?;
            while let Some(batch) = batches.try_next().await? {
                if parts.is_stopping() {
                    return Err(stopped());
                }
                count += batch.num_rows();
                held.push(batch);
                if count >= most {
                    rows += count;
                    write_runs(table, newest, std::mem::take(&mut held), &mut runs).await?;
                    count = 0;
                }
            }
            rows += count;
            write_runs(table, newest, held, &mut runs).await?;
        }
    }
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for (period, runs) in runs {
        if parts.is_stopping() {
            return Err(stopped());
        }
        let files =
            period.hours().next().map(|hour| newest.files_of_hour(hour)).unwrap_or_default();
        let (gone, new) = merge(parts, table, files, runs, period).await?;
        removed.extend(gone);
        added.extend(new);
    }
    Ok(TakeOver { removed, added, hours: hours.into_iter().collect(), rows })
}

/// Spans of hours that have so many rows together at most; one hour may have more.
fn windows(hours: &BTreeMap<Hour, u64>, most: u64) -> Vec<TimeRange> {
    let mut windows: Vec<TimeRange> = Vec::new();
    let mut rows = 0;
    for (hour, count) in hours {
        rows += count;
        match windows.last_mut() {
            Some(window) if rows <= most => window.to = hour.end(),
            _ => {
                rows = *count;
                windows.push(hour.range());
            }
        }
    }
    windows
}

/// Writes rows as one sorted run for each period.
async fn write_runs(
    table: &Arc<Table>,
    snapshot: &Snapshot,
    rows: Vec<RecordBatch>,
    runs: &mut Runs,
) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let rows = concat_batches(&first.schema(), &rows)?;
    let periods = periods(snapshot, &rows)?;
    let schema = Arc::clone(&table.schema);
    let sorting = tokio::task::spawn_blocking(move || {
        let (rows, parts) = sort(&rows, &periods)?;
        let parts = parts.into_iter().map(|(period, range)| {
            let path = FilePath::new(period, LogPosition::new(0));
            let part = rows.slice(range.start, range.len());
            Ok((period, barograph_lake::file::encode(&schema, &[part], path)?))
        });
        parts.collect::<Result<Vec<_>>>()
    });
    let sorted = sorting.await.map_err(|e| Error::internal("sorting rows").with_source(e))??;
    for (period, (bytes, entry)) in sorted {
        table.lake.write_file(&entry, bytes).await?;
        runs.entry(period).or_default().push(Arc::new(entry));
    }
    Ok(())
}

/// The period whose file each row belongs to.
fn periods(snapshot: &Snapshot, rows: &RecordBatch) -> Result<Vec<Period>> {
    let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>().values();
    let mut known: Option<(TimeRange, Period)> = None;
    let mut period = |at: Timestamp| match known {
        Some((range, period)) if range.contains(at) => Ok(period),
        _ => {
            let hour = Hour::of(at).ok_or_else(|| Error::internal("a row of no hour"))?;
            let file = snapshot.files_of_hour(hour).first();
            let period = file.map_or(hour.into(), |file| file.path.period());
            known = Some((period.range(), period));
            Ok(period)
        }
    };
    times.iter().map(|&at| period(Timestamp::from_micros(at))).collect()
}

/// Rows by period, key and time, of several of a key and time the one that came last; and which are of which period.
fn sort(rows: &RecordBatch, periods: &[Period]) -> Result<(RecordBatch, Vec<Part>)> {
    let starts: ArrayRef =
        Arc::new(Int64Array::from_iter_values(periods.iter().map(|p| p.start().as_micros())));
    let (key, time) = (Arc::clone(rows.column(KEY_COLUMN)), Arc::clone(rows.column(TIME_COLUMN)));
    let ingested = rows.columns().last().map(Arc::clone);
    let by = [Some(Arc::clone(&starts)), Some(Arc::clone(&key)), Some(Arc::clone(&time)), ingested];
    let by: Vec<_> =
        by.into_iter().flatten().map(|values| SortColumn { values, options: None }).collect();
    let order = lexsort_to_indices(&by, None)?;
    let times = time.as_primitive::<TimestampMicrosecondType>();
    let of = |row: u32| (key_at(&key, row as usize), times.value(row as usize));
    let order = order.values();
    let last = order
        .iter()
        .enumerate()
        .filter(|(at, row)| order.get(at + 1).is_none_or(|next| of(*next) != of(**row)));
    let kept: arrow::array::UInt32Array = last.map(|(_, row)| *row).collect();
    let starts = starts.as_primitive::<Int64Type>();
    let mut parts: Vec<Part> = Vec::new();
    for (at, row) in kept.values().iter().enumerate() {
        let row = *row as usize;
        match parts.last_mut() {
            Some((period, range)) if period.start().as_micros() == starts.value(row) => {
                range.end = at + 1
            }
            _ => parts.extend(periods.get(row).map(|period| (*period, at..at + 1))),
        }
    }
    Ok((take_record_batch(rows, &kept)?, parts))
}

/// The files of `files` that were replaced, and those that have their rows and those of `runs`.
async fn merge(
    parts: &LanderParts,
    table: &Arc<Table>,
    files: &[Arc<FileEntry>],
    mut runs: Vec<Arc<FileEntry>>,
    target: Period,
) -> Result<(Vec<Arc<FileEntry>>, Vec<Arc<FileEntry>>)> {
    if files.is_empty() && runs.len() == 1 {
        return Ok((Vec::new(), runs));
    }
    // Of a key and time in several the run of the rows that came last counts.
    runs.sort_by_key(|run| ingested_last(run));
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    let whole = files.is_empty().then_some((None, KeySelection::All));
    let each = files.iter().map(Some).zip(key_ranges(files));
    for (file, keys) in whole.into_iter().chain(each) {
        let runs: Vec<_> =
            runs.iter().filter(|run| keys.touches(run.keys.0, run.keys.1)).cloned().collect();
        if runs.is_empty() {
            continue;
        }
        let files = file.cloned().into_iter().collect();
        let of = RewriteOf { files, runs, keys, except: None, target };
        let on = Handle::current();
        let bounds = RewriteBounds { memory: MEMORY, threads: 1, on, file_bytes: u64::MAX };
        let rewrite = Rewrite::of(&table.lake, &parts.files, &of, bounds);
        added.extend(rewrite.await?.finish().await?);
        removed.extend(file.cloned());
    }
    Ok((removed, added))
}

fn ingested_last(run: &FileEntry) -> Option<Timestamp> {
    let ingested = run.columns.last()?.max.as_ref()?;
    ingested.as_str()?.parse::<Timestamp>().ok()
}
