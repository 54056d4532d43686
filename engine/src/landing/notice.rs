//! The watch for commits of other processes: once one has committed, the view that queries see is swapped to the
//! newest version.

use std::sync::Arc;

use barograph_lake::Snapshot;

use super::faults::Standing;
use super::land::swap;
use super::others::take_over;
use super::{LanderParts, Memory, guarded};
use crate::table::Table;
use crate::{ErrorKind, Result};

/// Looks for commits of others, if it is time to.
pub(super) async fn notice(parts: &LanderParts, memory: &mut Memory) {
    let passed = parts.clock.elapsed();
    let due = memory.noticed.is_none_or(|noticed| {
        passed.saturating_sub(noticed) >= parts.settings.notice_every.micros()
    });
    if !due {
        return;
    }
    memory.noticed = Some(passed);
    let now = parts.clock.now();
    for table in &parts.tables {
        let name = table.schema.name();
        if parts.faults.standing(name, None, now) != Standing::Waiting {
            look(parts, table).await;
        }
    }
}

/// Looks for commits of others to a table. What another program made of it and this one cannot go on from is a fault of
/// the table; queries see the version before.
pub(super) async fn look(parts: &LanderParts, table: &Arc<Table>) {
    match guarded(newer(parts, table)).await {
        Ok(()) => parts.faults.accepted(table),
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            let table = table.schema.name();
            tracing::warn!(%error, table, "commits of others cannot be looked for: they will be next time");
        }
        Err(error) => parts.faults.refused(table, &error, parts.clock.now()),
    }
}

/// Takes the newest version in the store for true, if it is not the one that queries see.
pub(super) async fn newer(parts: &LanderParts, table: &Arc<Table>) -> Result<()> {
    let held = Arc::clone(&table.view.load().snapshot);
    match !held.others().is_empty() || table.lake.is_behind(held.version()).await? {
        true => adopt(parts, table, table.lake.refresh().await?).await,
        false => Ok(()),
    }
}

/// Takes `newest`, a version that another process made, for true.
pub(super) async fn adopt(parts: &LanderParts, table: &Arc<Table>, newest: Snapshot) -> Result<()> {
    let held = table.view.load().snapshot.version();
    let newest = Arc::new(take_over(parts, table, newest).await?);
    let commits = table.lake.history_after(held).await?;
    for commit in &commits {
        let (version, operation) = (commit.version, &commit.operation);
        tracing::info!(table = table.schema.name(), %version, %operation, "another process committed");
    }
    let moved_only = commits.len() as u64 == newest.version().0 - held.0
        && commits.iter().all(|commit| commit.hours.as_ref().is_some_and(Vec::is_empty));
    if !moved_only {
        // Before the swap: an earlier view then looks for itself.
        table.newest.forget(newest.version()).await;
    }
    swap(parts, table, Vec::new(), newest).await
}
