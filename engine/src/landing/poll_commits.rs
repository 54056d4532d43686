//! The watch for commits of other processes: once one has committed, the view that queries see is swapped to the
//! newest version.

use std::sync::Arc;

use barograph_lake::Snapshot;

use super::faults::Standing;
use super::foreign::take_over;
use super::land::{Swap, swap};
use super::{LanderParts, Memory, guarded};
use crate::log::KnownFloor;
use crate::table::Table;
use crate::{ErrorKind, Result};

/// Polls for commits of others, if it is due.
pub(super) async fn poll_commits(parts: &LanderParts, memory: &mut Memory) {
    let passed = parts.clock.elapsed();
    let due = memory
        .polled
        .is_none_or(|polled| passed.saturating_sub(polled) >= parts.settings.poll_commits_every);
    if due {
        memory.polled = Some(passed);
    }
    let now = parts.clock.now();
    for table in &parts.tables {
        let name = table.schema.name();
        let held = table.view.load().snapshot.version();
        if (due || parts.heard.is_beyond(name, held))
            && parts.faults.standing(name, None, now) != Standing::Waiting
        {
            poll_table(parts, table).await;
        }
    }
}

/// Polls for commits of others to a table. If another program made of it what this one cannot go on from, that is a
/// fault of the table, and queries see the version before.
pub(super) async fn poll_table(parts: &LanderParts, table: &Arc<Table>) {
    match guarded(refresh_if_behind(parts, table)).await {
        Ok(()) => parts.faults.accepted(table),
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            let table = table.schema.name();
            tracing::warn!(%error, table, "cannot poll for commits of other processes: retried at the next poll");
        }
        Err(error) => parts.faults.refused(table, &error, parts.clock.now()),
    }
}

/// Refreshes the view of a table, if the store has a newer version than queries see.
pub(super) async fn refresh_if_behind(parts: &LanderParts, table: &Arc<Table>) -> Result<()> {
    let held = Arc::clone(&table.view.load().snapshot);
    let floor = parts.gauge.floor();
    match !held.foreign_files().is_empty() || table.lake.is_behind(held.version()).await? {
        true => refresh(parts, table, table.lake.refresh().await?, floor).await,
        false => Ok(()),
    }
}

/// Refreshes the view of a table to `newest`, a version that another process made and that is later than `floor`.
pub(super) async fn refresh(
    parts: &LanderParts,
    table: &Arc<Table>,
    newest: Snapshot,
    floor: Option<KnownFloor>,
) -> Result<()> {
    let held = table.view.load().snapshot.version();
    let newest = Arc::new(take_over(parts, table, newest).await?);
    let commits = table.lake.history_after(held).await?;
    for commit in &commits {
        let (version, operation) = (commit.version, &commit.operation);
        tracing::info!(table = table.schema.name(), %version, %operation, "another process committed");
    }
    let moved_only = commits.len() as u64 == newest.version().get() - held.get()
        && commits.iter().all(|commit| commit.hours.as_ref().is_some_and(Vec::is_empty));
    if !moved_only {
        // Before the swap: an earlier view then looks for itself.
        table.newest.forget(newest.version()).await;
    }
    swap(parts, table, Swap { hours: Vec::new(), snapshot: newest, floor, is_own: false }).await
}
