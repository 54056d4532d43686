//! The deletion of rows from a table: they leave the lake in one commit.
//!
//! ```text
//! files that hold some ──read──► other rows ──► files        beside landing, however many there are
//! tail hours that may hold some ──land──► lake               then, while nothing else lands:
//! files that came meanwhile ──read──► other rows ──► files
//! one commit (remove + add) ──► swap view
//! ```
//!
//! All rows acknowledged before are in the lake by then. After a crash either all of the rows are there or none: a
//! remaining file says in its name through which position of the log its hour has landed, and for an hour without
//! remaining files a watermark precedes the commit, so that a replay brings no row back. Where the store does not say
//! whether the commit was made, the caller is told so; the same deletion, asked for again, removes what is left.

use std::sync::Arc;

use barograph_lake::file::{FileCache, FileRead};
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::table::Deletion;
use barograph_lake::{
    FileEntry, FilePath, Key, KeySelection, LogPosition, Outcome, Retry, Snapshot, TableVersion,
    TimeRange,
};
use hashbrown::HashMap;
use tokio::runtime::Handle;

use super::LanderParts;
use super::land::{Swap, checkpoint, land_hours, swap};
use super::poll_commits::{refresh, refresh_if_behind};
use super::round::HOURS_PER_COMMIT;
use crate::Result;
use crate::rewrite::{Rewrite, RewriteBounds, RewriteOf};
use crate::scan::plan::Slice;
use crate::table::Table;

/// Memory for the rows of a file that stay.
const MEMORY: usize = 64 << 20;

/// The rows to delete, and what the record says of the deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionRequest {
    /// Rows of these keys; `None` is all.
    pub keys: Option<Vec<Key>>,
    /// Rows of these instants.
    pub time: TimeRange,
    /// Who asked for the deletion.
    pub by: String,
    /// The reason of the deletion.
    pub reason: String,
}

/// What a deletion did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeletionReport {
    /// Rows that are not there any more.
    pub rows: u64,
    /// Files that held some.
    pub files: u64,
    /// The version from which on they are not; `None` if there were none.
    pub version: Option<u64>,
    /// Where the others that share the log are told of it: whoever answers for it shows none of the rows. `None` if no
    /// others share it.
    pub position: Option<LogPosition>,
}

/// A file that holds rows to delete.
#[derive(Debug)]
struct Rewritten {
    file: Arc<FileEntry>,
    /// The file of its other rows, if there are any.
    rest: Option<Arc<FileEntry>>,
    /// Rows to delete.
    rows: u64,
}

impl DeletionRequest {
    fn keys(&self) -> KeySelection {
        self.keys.as_ref().map_or(KeySelection::All, |keys| KeySelection::list(keys.clone()))
    }
}

/// The files that may hold rows to delete, each with what was found in it; nothing in those that hold none.
#[derive(Debug, Default)]
pub(crate) struct Candidates(HashMap<FilePath, Option<Rewritten>>);

/// Looks into the files of `snapshot` that were not looked into, and writes the other rows of those that hold
/// some to delete. Changes nothing that anybody sees.
pub(crate) async fn find_candidates(
    files: &Arc<FileCache>,
    table: &Arc<Table>,
    snapshot: &Snapshot,
    request: &DeletionRequest,
    candidates: &mut Candidates,
) -> Result<()> {
    let keys = request.keys();
    for file in snapshot.prune(&keys, request.time) {
        if !candidates.0.contains_key(&file.path) {
            let rewritten = rewrite(files, table, file, &keys, request.time).await?;
            candidates.0.insert(file.path, rewritten);
        }
    }
    Ok(())
}

/// Deletes rows of a table; files that were looked into before are not looked into again.
pub(super) async fn delete(
    parts: &LanderParts,
    table: &Arc<Table>,
    request: &DeletionRequest,
    mut candidates: Candidates,
) -> Result<DeletionReport> {
    table.lake.settle_deletions().await?;
    // What was acknowledged before is deleted, whoever acknowledged it.
    parts.writer.follow().await?;
    // What others committed may have such rows, too.
    refresh_if_behind(parts, table).await?;
    let keys = request.keys();
    let mut retry = Retry::default();
    loop {
        let touched: Vec<_> = {
            let view = table.view.load();
            let hours = view.tail.hours().iter().filter(|hour| {
                hour.keys().is_some_and(|(min, max)| keys.touches(min, max))
                    && hour.times().is_some_and(|(min, max)| request.time.touches(min, max))
            });
            hours.map(|hour| hour.hour()).collect()
        };
        for piece in touched.chunks(HOURS_PER_COMMIT) {
            let landing = land_hours(parts, table, piece).await?;
            if let Some((_, error)) = landing.failed.into_iter().next() {
                return Err(error);
            }
        }
        let snapshot = Arc::clone(&table.view.load().snapshot);
        find_candidates(&parts.files, table, &snapshot, request, &mut candidates).await?;
        let active = snapshot.prune(&keys, request.time);
        let rewritten: Vec<&Rewritten> =
            active.filter_map(|file| candidates.0.get(&file.path)?.as_ref()).collect();
        if rewritten.is_empty() {
            return Ok(DeletionReport::default());
        }
        let deletion = record(parts, &snapshot, request, &rewritten);
        let report = DeletionReport {
            rows: deletion.rows,
            files: rewritten.len() as u64,
            version: Some(deletion.version.get()),
            position: None,
        };
        let removed: Vec<_> = rewritten.iter().map(|one| Arc::clone(&one.file)).collect();
        let added = rewritten.iter().filter_map(|one| one.rest.clone()).collect();
        let floor = parts.gauge.floor();
        match table.lake.delete(&snapshot, &removed, added, &deletion).await? {
            Outcome::Committed(after) => {
                // Before the swap: an earlier view then looks for itself.
                table.newest.forget(after.version()).await;
                let after = Arc::new(after);
                let hours = Vec::new();
                let swapped = Swap { hours, snapshot: Arc::clone(&after), floor, is_own: true };
                swap(parts, table, swapped).await?;
                checkpoint(parts, table, &after).await;
                return Ok(report);
            }
            Outcome::Conflicted(conflict) => {
                refresh(parts, table, retry.newest(conflict).await?, floor).await?;
            }
            Outcome::Unknown(unknown) => return Err(unknown.into()),
        }
    }
}

fn record(
    parts: &LanderParts,
    snapshot: &Snapshot,
    request: &DeletionRequest,
    rewritten: &[&Rewritten],
) -> Deletion {
    let all = TimeRange::ALL;
    Deletion {
        version: TableVersion::new(snapshot.version().get() + 1),
        at: parts.clock.now(),
        by: request.by.clone(),
        reason: request.reason.clone(),
        keys: request.keys.clone(),
        from: (request.time.from != all.from).then_some(request.time.from),
        to: (request.time.to != all.to).then_some(request.time.to),
        rows: rewritten.iter().map(|one| one.rows).sum(),
        files: rewritten.iter().map(|one| one.file.path.to_string()).collect(),
        commit: None,
    }
}

/// Writes the other rows of a file, if it holds some to delete.
async fn rewrite(
    files: &Arc<FileCache>,
    table: &Arc<Table>,
    file: &Arc<FileEntry>,
    keys: &KeySelection,
    time: TimeRange,
) -> Result<Option<Rewritten>> {
    let opened = files.open(table.lake.store(), &table.schema, file).await?;
    let columns = vec![KEY_COLUMN, TIME_COLUMN];
    let cost = opened.cost(&FileRead { keys: keys.clone(), time, columns, pages: None });
    if cost.rows == 0 {
        return Ok(None);
    }
    let bounds =
        RewriteBounds { memory: MEMORY, threads: 1, on: Handle::current(), file_bytes: u64::MAX };
    let except = Some(Slice { keys: keys.clone(), time });
    let others =
        RewriteOf { except, ..RewriteOf::files(vec![Arc::clone(file)], file.path.period()) };
    let rest = Rewrite::of(&table.lake, files, &others, bounds);
    let rest = rest.await?.finish().await?.pop();
    let rows = file.rows - rest.as_ref().map_or(0, |rest| rest.rows);
    Ok((rows > 0).then(|| Rewritten { file: Arc::clone(file), rest, rows }))
}
