//! How does an hour land? As one sorted file and one commit, whole or not at all.
//!
//! ```text
//! tail hour ──read──► rows ─┐
//! lake file ──read──► rows ─┴merge (tail wins)──► file ──put──► commit (remove + add) ──► swap view
//! ```

use std::sync::Arc;

use barograph_lake::file::FileRead;
use barograph_lake::schema::FIRST_VALUE_COLUMN;
use barograph_lake::{
    Change, ErrorKind as LakeErrorKind, FileEntry, FilePath, Hour, KeySelection, Snapshot,
    TimeRange,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, oneshot};

use super::decide::{HourFacts, Reason, Situation, decide};
use super::notice::adopt;
use super::{LanderParts, Memory};
use crate::engine::{FlushReport, Table, writer::Landed};
use crate::scan::merge::merge;
use crate::tail::HourView;
use crate::view::View;
use crate::{Error, ErrorKind, Result};

/// Hours that one commit carries at most.
const HOURS_PER_COMMIT: usize = 64;
/// Hours that are read, sorted and encoded at a time.
const HOURS_AT_ONCE: usize = 8;
/// Bytes of tail hours that are read, sorted and encoded at a time; one hour may always go.
const BYTES_AT_ONCE: usize = 96 << 20;
/// How often a lost race for a commit is run again.
const ATTEMPTS: usize = 5;

/// Lands the hours of a table that `reason` asks for.
pub(super) async fn land_table(
    parts: &LanderParts,
    table: &Arc<Table>,
    memory: &mut Memory,
    reason: Reason,
) -> Result<FlushReport> {
    let now = parts.clock.now();
    let view = table.view.load_full();
    let name = table.schema.name();
    let merged = *memory.merged.entry(name.to_owned()).or_insert(now);
    let merge_due = now.saturating_sub(merged) >= parts.settings.late_merge_every.micros();
    let hours = choose(parts, &view, now, merge_due, reason);
    if merge_due || reason == Reason::Flush {
        memory.merged.insert(name.to_owned(), now);
    }
    let mut report = FlushReport::default();
    for hours in hours.chunks(HOURS_PER_COMMIT) {
        let done = land_hours(parts, table, hours).await?;
        report.files += done.files;
        report.rows += done.rows;
        report.bytes += done.bytes;
    }
    Ok(report)
}

fn choose(
    parts: &LanderParts,
    view: &View,
    now: i64,
    merge_due: bool,
    reason: Reason,
) -> Vec<Hour> {
    let facts: Vec<_> = view
        .tail
        .hours()
        .iter()
        .map(|hour| HourFacts {
            hour: hour.hour(),
            bytes: hour.bytes(),
            landed: view.snapshot.home(hour.hour()).is_some(),
        })
        .collect();
    if facts.is_empty() {
        return Vec::new();
    }
    let (used, limit) = (parts.budget.used(), parts.budget.limit());
    let situation = Situation {
        watermark: view.newest().unwrap_or(now).min(now),
        lateness: parts.settings.lateness.micros(),
        merge_due,
        bytes_to_free: if used > limit / 4 * 3 { used - limit / 2 } else { 0 },
    };
    decide(&facts, &situation, reason)
}

pub(super) async fn land_hours(
    parts: &LanderParts,
    table: &Arc<Table>,
    hours: &[Hour],
) -> Result<FlushReport> {
    for _ in 0..ATTEMPTS {
        let view = table.view.load_full();
        let frozen: Vec<_> =
            hours.iter().filter_map(|&hour| view.tail.hour(hour)).cloned().collect();
        if frozen.is_empty() {
            return Ok(FlushReport::default());
        }
        let added = write_files(parts, table, &view.snapshot, &frozen).await?;
        let removed: Vec<_> =
            frozen.iter().filter_map(|hour| view.snapshot.home(hour.hour())).cloned().collect();
        let changed: Vec<_> = frozen.iter().map(HourView::hour).collect();
        let change = Change {
            operation: if removed.is_empty() { "LAND" } else { "MERGE" },
            hours: &changed,
            at: parts.clock.now(),
        };
        let report = FlushReport {
            files: added.len() as u64,
            rows: added.iter().map(|file| file.rows).sum(),
            bytes: added.iter().map(|file| file.bytes).sum(),
        };
        let committed = table.lake.commit(&view.snapshot, &removed, added.clone(), &change).await;
        match committed {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                swap(parts, table, frozen, Arc::clone(&snapshot)).await?;
                checkpoint(parts, table, &snapshot).await;
                return Ok(report);
            }
            Err(error) if error.kind() == LakeErrorKind::Conflict => {
                tracing::warn!(
                    table = table.schema.name(),
                    "another writer committed first: deciding again"
                );
                adopt(parts, table).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("table {:?}: other writers committed first {ATTEMPTS} times", table.schema.name()),
    ))
}

async fn write_files(
    parts: &LanderParts,
    table: &Arc<Table>,
    snapshot: &Arc<Snapshot>,
    frozen: &[HourView],
) -> Result<Vec<Arc<FileEntry>>> {
    let space = Arc::new(Semaphore::new(BYTES_AT_ONCE));
    stream::iter(frozen.iter().cloned())
        .map(|hour| {
            let space = Arc::clone(&space);
            let home = snapshot.home(hour.hour()).cloned();
            async move {
                let bytes = hour.bytes() + home.as_ref().map_or(0, |home| home.bytes as usize * 8);
                let wanted = bytes.clamp(1, BYTES_AT_ONCE) as u32;
                let _space = space.acquire_many_owned(wanted).await;
                write_file(parts, table, hour, home).await
            }
        })
        .buffered(HOURS_AT_ONCE)
        .try_collect()
        .await
}

async fn write_file(
    parts: &LanderParts,
    table: &Arc<Table>,
    hour: HourView,
    home: Option<Arc<FileEntry>>,
) -> Result<Arc<FileEntry>> {
    let columns: Vec<_> = (0..table.schema.arrow().fields().len()).collect();
    debug_assert!(columns.len() > FIRST_VALUE_COLUMN);
    let landed = match &home {
        None => None,
        Some(home) => {
            let file = parts.files.open(table.lake.store(), &table.schema, home).await?;
            let read = FileRead {
                keys: KeySelection::All,
                time: TimeRange::ALL,
                columns: columns.clone(),
                pages: None,
            };
            Some(file.read(&read).await?)
        }
    };
    let through = hour.through().max(home.map_or(hour.through(), |home| home.path.through()));
    let path = FilePath::new(hour.hour(), through);
    let schema = Arc::clone(&table.schema);
    // The rows are held twice while they are encoded.
    let held = parts.budget.reserve(hour.bytes());
    let encode = move || -> Result<_> {
        let _held = held;
        let late = hour.read(&KeySelection::All, TimeRange::ALL, &columns)?;
        let rows = match landed {
            None => late,
            Some(landed) => merge(&[landed, late])?,
        };
        Ok(barograph_lake::file::encode(&schema, &[rows], path)?)
    };
    let (bytes, entry) = tokio::task::spawn_blocking(encode)
        .await
        .map_err(|e| Error::internal("encoding an hour").with_source(e))??;
    table.lake.write_file(&entry, bytes).await?;
    Ok(Arc::new(entry))
}

pub(super) async fn swap(
    parts: &LanderParts,
    table: &Arc<Table>,
    hours: Vec<HourView>,
    snapshot: Arc<Snapshot>,
) -> Result<()> {
    let (reply, swapped) = oneshot::channel();
    parts.writer.landed(Landed { table: Arc::clone(table), hours, snapshot, reply })?;
    swapped.await.map_err(|_| crate::engine::writer::stopped())
}

pub(super) async fn checkpoint(parts: &LanderParts, table: &Arc<Table>, snapshot: &Snapshot) {
    let every = parts.settings.checkpoint_commits.max(1);
    if snapshot.version().0.is_multiple_of(every)
        && let Err(error) = table.lake.checkpoint(snapshot).await
    {
        tracing::warn!(%error, table = table.schema.name(), "no checkpoint was written: the next one will do");
    }
}
