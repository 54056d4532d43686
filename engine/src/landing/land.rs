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
    Change, ErrorKind as LakeErrorKind, FileEntry, FilePath, Hour, Key, KeySelection, Micros,
    Snapshot, Span, Tier, TimeRange,
};
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::HashMap;
use tokio::sync::{Semaphore, oneshot};

use super::decide::{HourFacts, Reason, Situation, decide};
use super::notice::adopt;
use super::{LanderParts, Memory, late};
use crate::engine::{FlushReport, Table, writer::Landed};
use crate::scan::merge::merge;
use crate::scan::plan::Source;
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
    let due = |merged: &mut HashMap<String, Micros>, every: Span| {
        let last = *merged.entry(name.to_owned()).or_insert(now);
        let is_due = now.saturating_sub(last) >= every.micros();
        if is_due || reason == Reason::Flush {
            merged.insert(name.to_owned(), now);
        }
        is_due
    };
    let merge_due = due(&mut memory.merged, parts.settings.late_merge_every);
    let folded_merge_due = due(&mut memory.folded_merged, parts.settings.folded_merge_every);
    let hours = choose(parts, &view, now, (merge_due, folded_merge_due), reason);
    // Whole days and months take long to write: fresh hours do not wait for them.
    let is_folded = |hour: &Hour| home_tier(&view, *hour).is_some_and(|tier| tier > Tier::Hour);
    let (folded, hours): (Vec<_>, Vec<_>) = hours.into_iter().partition(is_folded);
    let mut report = FlushReport::default();
    for hours in hours.chunks(HOURS_PER_COMMIT).chain(folded.chunks(HOURS_PER_COMMIT)) {
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
    now: Micros,
    (merge_due, folded_merge_due): (bool, bool),
    reason: Reason,
) -> Vec<Hour> {
    let facts: Vec<_> = view
        .tail
        .hours()
        .iter()
        .map(|hour| HourFacts {
            hour: hour.hour(),
            bytes: hour.bytes(),
            home: home_tier(view, hour.hour()),
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
        folded_merge_due,
        bytes_to_free: if used > limit / 4 * 3 { used - limit / 2 } else { 0 },
    };
    decide(&facts, &situation, reason)
}

fn home_tier(view: &View, hour: Hour) -> Option<Tier> {
    view.snapshot.homes(hour).first().map(|home| home.path.period().tier())
}

/// Hours of the tail with the files they go into, if there are such.
#[derive(Debug)]
struct Unit {
    homes: Vec<Arc<FileEntry>>,
    hours: Vec<HourView>,
}

/// The units of some hours. Of a day or month all hours go together, so that no late row of it is left.
fn units(view: &View, hours: &[Hour]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for &hour in hours {
        if units.last().is_some_and(|unit| unit.hours.iter().any(|held| held.hour() == hour)) {
            continue;
        }
        let Source { files: homes, tails: hours, .. } = Source::of(view, hour);
        if !hours.is_empty() {
            units.push(Unit { homes, hours });
        }
    }
    units
}

pub(super) async fn land_hours(
    parts: &LanderParts,
    table: &Arc<Table>,
    hours: &[Hour],
) -> Result<FlushReport> {
    for _ in 0..ATTEMPTS {
        let view = table.view.load_full();
        let units = units(&view, hours);
        let frozen: Vec<_> = units.iter().flat_map(|unit| unit.hours.clone()).collect();
        if frozen.is_empty() {
            return Ok(FlushReport::default());
        }
        let (removed, added) = write_files(parts, table, units).await?;
        let changed: Vec<_> = frozen.iter().map(HourView::hour).collect();
        let keys = keys_of(&frozen);
        let change = Change {
            operation: if removed.is_empty() { "LAND" } else { "MERGE" },
            hours: &changed,
            keys: Some(&keys),
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

/// The keys of the rows of some hours, ascending.
fn keys_of(hours: &[HourView]) -> Vec<Key> {
    let mut keys: Vec<Key> =
        hours.iter().flat_map(|hour| hour.key_counts()).map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The files that are replaced, and the new ones.
async fn write_files(
    parts: &LanderParts,
    table: &Arc<Table>,
    units: Vec<Unit>,
) -> Result<(Vec<Arc<FileEntry>>, Vec<Arc<FileEntry>>)> {
    let space = Arc::new(Semaphore::new(BYTES_AT_ONCE));
    let written: Vec<_> = stream::iter(units)
        .map(|Unit { homes, mut hours }| {
            let space = Arc::clone(&space);
            async move {
                let landed: u64 = homes.iter().map(|home| home.bytes).sum();
                let tail: usize = hours.iter().map(HourView::bytes).sum();
                let bytes = tail.saturating_add(landed as usize * 8);
                let wanted = bytes.clamp(1, BYTES_AT_ONCE) as u32;
                let _space = space.acquire_many_owned(wanted).await;
                let of_hour = homes.iter().all(|home| home.path.period().tier() == Tier::Hour);
                match hours.pop() {
                    Some(hour) if of_hour => {
                        let home = homes.first().cloned();
                        let file = write_file(parts, table, hour, home).await?;
                        Ok((homes, vec![file]))
                    }
                    last => {
                        hours.extend(last);
                        late::merge(parts, table, &homes, &hours).await
                    }
                }
            }
        })
        .buffered(HOURS_AT_ONCE)
        .try_collect()
        .await?;
    let (removed, added): (Vec<_>, Vec<_>) = written.into_iter().unzip();
    Ok((removed.concat(), added.concat()))
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
