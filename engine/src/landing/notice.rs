//! Has another process committed? Then what queries see is swapped to the newest version.

use std::sync::Arc;

use super::land::swap;
use super::{LanderParts, Memory};
use crate::Result;
use crate::engine::Table;

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
    for table in &parts.tables {
        if let Err(error) = look(parts, table).await {
            let table = table.schema.name();
            tracing::warn!(%error, table, "commits of others cannot be looked for: they will be next time");
        }
    }
}

async fn look(parts: &LanderParts, table: &Arc<Table>) -> Result<()> {
    let held = table.view.load().snapshot.version();
    match table.lake.is_behind(held).await? {
        true => adopt(parts, table).await,
        false => Ok(()),
    }
}

/// Takes the newest version in the store for true.
pub(super) async fn adopt(parts: &LanderParts, table: &Arc<Table>) -> Result<()> {
    let held = table.view.load().snapshot.version();
    let newest = Arc::new(table.lake.refresh().await?);
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
