//! The landing of hours: each as one sorted file, in one commit, whole or not at all.
//!
//! ```text
//! tail hour ──read──► rows ─┐
//! lake file ──read──► rows ─┴merge (tail wins)──► file ──put──► commit (remove + add) ──► swap view
//! ```
//!
//! Rows stay in the tail and in the log until their commit is known to be made. Landed again, they replace
//! themselves, so that a commit of unknown outcome neither loses nor doubles a row.

use std::sync::Arc;

use barograph_lake::file::FileRead;
use barograph_lake::schema::FIRST_VALUE_COLUMN;
use barograph_lake::{
    Change, FileEntry, FilePath, Hour, Key, KeySelection, Operation, Outcome, Period, Retry,
    Snapshot, Tier, TimeRange,
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use super::foreign::take_over;
use super::poll_commits::refresh;
use super::{LanderParts, guarded, late, watermarks};
use crate::log::KnownFloor;
use crate::logged::LandedThrough;
use crate::scan::merge::merge;
use crate::scan::plan::Source;
use crate::table::Table;
use crate::tail::HourView;
use crate::view::View;
use crate::writer::Landed;
use crate::{Error, ErrorKind, Result};

/// Hours that are read, sorted and encoded at a time.
const HOURS_AT_ONCE: usize = 8;
/// How often others may commit while a version is read.
pub(crate) const COMMITS_MAX: usize = 12;
/// Bytes of tail hours that are read, sorted and encoded at a time; a larger hour is, slice by slice.
const BYTES_AT_ONCE: usize = 96 << 20;

/// What a flush did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushReport {
    /// Files written.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Hours of the tail with the files they go into, if there are such.
#[derive(Debug)]
pub(super) struct Unit {
    period: Period,
    pub(super) files: Vec<Arc<FileEntry>>,
    hours: Vec<HourView>,
}

impl Unit {
    /// The period whose rows land together.
    pub(super) fn period(&self) -> Period {
        self.period
    }

    /// Bytes of its rows, about.
    fn bytes(&self) -> usize {
        let landed: u64 = self.files.iter().map(|file| file.bytes).sum();
        let tail: usize = self.hours.iter().map(HourView::bytes).sum();
        tail.saturating_add(landed as usize * 8)
    }

    /// Memory that its writing takes, of [`BYTES_AT_ONCE`].
    fn space(&self) -> u32 {
        self.bytes().clamp(1, BYTES_AT_ONCE) as u32
    }

    /// Whether it can be held at once, whatever its texts take that are packed in files.
    async fn is_small(&self, parts: &LanderParts, table: &Table) -> Result<bool> {
        let columns: Vec<_> = (0..table.schema.arrow().fields().len()).collect();
        let mut bytes = self.bytes() as u64;
        for file in &self.files {
            let file = parts.files.open(table.lake.store(), &table.schema, file).await?;
            let weights = file.weights(&KeySelection::All, TimeRange::ALL, &columns);
            bytes += weights.map(|weight| weight.text).sum::<u64>();
        }
        Ok(bytes <= BYTES_AT_ONCE as u64)
    }
}

/// The units of some hours. Of a day or month all hours go together, so that no late row of it is left.
fn units(view: &View, hours: &[Hour]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for &hour in hours {
        if units.last().is_some_and(|unit| unit.hours.iter().any(|held| held.hour() == hour)) {
            continue;
        }
        let Source { period, files, tails: hours } = Source::of(view, hour);
        if !hours.is_empty() {
            units.push(Unit { period, files, hours });
        }
    }
    units
}

/// What became of some hours.
#[derive(Debug, Default)]
pub(super) struct Landing {
    pub(super) report: FlushReport,
    /// The periods whose rows have landed.
    pub(super) landed: Vec<Period>,
    /// Those whose rows could not, with the files that they were to be merged into.
    pub(super) failed: Vec<(Unit, Error)>,
}

/// Lands some hours in one commit, all that can.
///
/// # Errors
/// Why none of them could: the table as a whole is at fault, or landing is to stop.
pub(super) async fn land_hours(
    parts: &LanderParts,
    table: &Arc<Table>,
    hours: &[Hour],
) -> Result<Landing> {
    let mut retry = Retry::default();
    loop {
        let view = table.view.load_full();
        let units = units(&view, hours);
        if units.is_empty() {
            return Ok(Landing::default());
        }
        let Written { units, removed, added, failed } = write_files(parts, table, units).await;
        let landed = units.iter().map(Unit::period).collect();
        let frozen: Vec<_> = units.into_iter().flat_map(|unit| unit.hours).collect();
        if frozen.is_empty() {
            return match failed.is_empty() && parts.is_stopping() {
                true => Err(super::stopped()),
                false => Ok(Landing { failed, ..Landing::default() }),
            };
        }
        let operation = if removed.is_empty() { Operation::Land } else { Operation::Merge };
        let change = Change::of(frozen.iter().map(HourView::hour), Some(keys_of(&frozen)));
        let report = FlushReport {
            files: added.len() as u64,
            rows: added.iter().map(|file| file.rows).sum(),
            bytes: added.iter().map(|file| file.bytes).sum(),
        };
        let floor = parts.gauge.floor();
        let landing = table.lake.transaction(&view.snapshot, operation, change);
        match landing.remove(&removed).add(added).commit(parts.clock.now()).await? {
            Outcome::Committed(snapshot) => {
                let snapshot = Arc::new(snapshot);
                // Rows of a day land into some of its files, and what the others say is less.
                let through = frozen.iter().map(|hour| (hour.hour(), hour.through()));
                table.lake.note_landed(&snapshot, through.collect::<Vec<_>>()).await?;
                let swapped =
                    Swap { hours: frozen, snapshot: Arc::clone(&snapshot), floor, is_own: true };
                swap(parts, table, swapped).await?;
                checkpoint(parts, table, &snapshot).await;
                return Ok(Landing { report, landed, failed });
            }
            Outcome::Conflicted(conflict) => {
                refresh(parts, table, retry.newest(conflict).await?, floor).await?;
            }
            Outcome::Unknown(unknown) => return Err(unknown.into()),
        }
    }
}

/// The keys of the rows of some hours, ascending.
fn keys_of(hours: &[HourView]) -> Vec<Key> {
    let mut keys: Vec<Key> =
        hours.iter().flat_map(|hour| hour.key_counts()).map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// What was written of some units.
#[derive(Debug, Default)]
struct Written {
    /// Those that were.
    units: Vec<Unit>,
    /// The files that are replaced.
    removed: Vec<Arc<FileEntry>>,
    /// The new ones.
    added: Vec<Arc<FileEntry>>,
    /// Those that could not be; one that was not begun, as landing is to stop, is in neither list.
    failed: Vec<(Unit, Error)>,
}

/// Files removed and added.
type Replaced = (Vec<Arc<FileEntry>>, Vec<Arc<FileEntry>>);

/// Writes the files of some units, each for itself.
async fn write_files(parts: &LanderParts, table: &Arc<Table>, units: Vec<Unit>) -> Written {
    let space = Arc::new(Semaphore::new(BYTES_AT_ONCE));
    let mut outcomes = stream::iter(units)
        .map(|unit| {
            let space = Arc::clone(&space);
            async move {
                let _space = space.acquire_many_owned(unit.space()).await;
                if parts.is_stopping() {
                    return None;
                }
                match guarded(write_unit(parts, table, &unit)).await {
                    Err(_) if parts.is_stopping() => None,
                    written => Some((unit, written)),
                }
            }
        })
        .buffered(HOURS_AT_ONCE);
    let mut written = Written::default();
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            None => {}
            Some((unit, Ok((removed, added)))) => {
                written.units.push(unit);
                written.removed.extend(removed);
                written.added.extend(added);
            }
            Some((unit, Err(error))) => written.failed.push((unit, error)),
        }
    }
    written
}

async fn write_unit(parts: &LanderParts, table: &Arc<Table>, unit: &Unit) -> Result<Replaced> {
    let of_hour = unit.files.iter().all(|file| file.path.period().tier() == Tier::Hour);
    match unit.hours.as_slice() {
        [hour] if of_hour && unit.is_small(parts, table).await? => {
            let file = unit.files.first().cloned();
            let file = write_file(parts, table, hour.clone(), file).await?;
            Ok((unit.files.clone(), vec![file]))
        }
        hours => late::merge(parts, table, &unit.files, hours).await,
    }
}

async fn write_file(
    parts: &LanderParts,
    table: &Arc<Table>,
    hour: HourView,
    file: Option<Arc<FileEntry>>,
) -> Result<Arc<FileEntry>> {
    let columns: Vec<_> = (0..table.schema.arrow().fields().len()).collect();
    debug_assert!(columns.len() > FIRST_VALUE_COLUMN);
    let landed = match &file {
        None => None,
        Some(file) => {
            let file = parts.files.open(table.lake.store(), &table.schema, file).await?;
            let read = FileRead {
                keys: KeySelection::All,
                time: TimeRange::ALL,
                columns: columns.clone(),
                pages: None,
            };
            Some(file.read(&read).await?)
        }
    };
    let through = hour.through().max(file.map_or(hour.through(), |file| file.path.through()));
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

/// A snapshot for the views.
pub(super) struct Swap {
    /// The hours of the tail that this process has landed in it.
    pub(super) hours: Vec<HourView>,
    pub(super) snapshot: Arc<Snapshot>,
    /// The floor of a log that others share, as it was known before the snapshot was made or read.
    pub(super) floor: Option<KnownFloor>,
    /// This process committed it.
    pub(super) is_own: bool,
}

/// Swaps the snapshot in, and takes out of the tail what has landed in it.
pub(super) async fn swap(parts: &LanderParts, table: &Arc<Table>, swap: Swap) -> Result<()> {
    let Swap { hours, snapshot, floor, is_own } = swap;
    let (snapshot, through) = settled(parts, table, snapshot, floor).await?;
    let (reply, swapped) = oneshot::channel();
    let table = Arc::clone(table);
    parts.writer.landed(Landed { table, hours, snapshot, through, is_own, reply })?;
    match swapped.await {
        Ok(()) => Ok(()),
        Err(_) => Err(parts.writer.status().gone().await),
    }
}

/// A snapshot, which is later than `floor`, or one that others committed since, with through which positions of the log
/// that they share the table has landed in it. Watermarks are listed once the snapshot is there, and may tell of what
/// landed after it: rows that it does not show would leave the tail.
///
/// # Errors
/// As of `landed_through`, and `Unavailable` if others commit all the time.
pub(super) async fn settled(
    parts: &LanderParts,
    table: &Arc<Table>,
    mut snapshot: Arc<Snapshot>,
    floor: Option<KnownFloor>,
) -> Result<(Arc<Snapshot>, Option<LandedThrough>)> {
    for _ in 0..COMMITS_MAX {
        let through = landed_through(parts, table, &snapshot, floor).await?;
        if through.is_none() || !table.lake.is_behind(snapshot.version()).await? {
            return Ok((snapshot, through));
        }
        let newest = take_over(parts, table, table.lake.refresh().await?).await?;
        // Before the swap: an earlier view then looks for itself.
        table.newest.forget(newest.version()).await;
        snapshot = Arc::new(newest);
    }
    Err(overtaken(table.schema.name()))
}

/// That a table changes faster than it is read.
pub(crate) fn overtaken(table: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "table {table:?}: others committed {COMMITS_MAX} times while its newest version was read: it is tried again"
        ),
    )
}

/// Through which positions of a log that others share a table has landed in `snapshot`, which is later than `floor`.
///
/// # Errors
/// `Unavailable` if the floor was read so long ago that watermarks above it may be forgotten.
async fn landed_through(
    parts: &LanderParts,
    table: &Arc<Table>,
    snapshot: &Snapshot,
    floor: Option<KnownFloor>,
) -> Result<Option<LandedThrough>> {
    let Some(floor) = floor else { return Ok(None) };
    let landed = table.lake.landed_through(snapshot).await?;
    match floor.is_within(parts.clock.as_ref(), watermarks::FLOOR_AGE_MAX) {
        true => Ok(Some(LandedThrough::above(landed, floor.position()))),
        false => Err(Error::new(
            ErrorKind::Unavailable,
            "the floor of the log was read too long ago: it is read again, and the table looked at anew",
        )),
    }
}

pub(super) async fn checkpoint(parts: &LanderParts, table: &Arc<Table>, snapshot: &Snapshot) {
    let every = parts.settings.checkpoint_commits.max(1);
    if snapshot.version().get().is_multiple_of(every)
        && let Err(error) = table.lake.checkpoint(snapshot).await
    {
        tracing::warn!(%error, table = table.schema.name(), "could not write a checkpoint: one is written later");
    }
}
