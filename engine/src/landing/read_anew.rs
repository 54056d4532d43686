//! The reopening of an engine whose log was passed by its floor, such as that of a machine that was suspended for hours:
//! the log is read anew, then the newest snapshots, and the writer rebuilds the tails from both. Until then readers see
//! the views from before, and puts are refused.

use std::sync::Arc;

use super::LanderParts;
use super::foreign::take_over;
use super::land::settled;
use crate::Result;
use crate::writer::RebuiltTable;

/// Reads the log and the tables anew, if the floor has passed this process.
pub(super) async fn read_anew(parts: &LanderParts) -> Result<()> {
    if !parts.gauge.is_passed() {
        return Ok(());
    }
    parts.writer.read_anew().await?;
    let floor = parts.gauge.floor();
    let mut tables = Vec::with_capacity(parts.tables.len());
    for table in &parts.tables {
        let newest = take_over(parts, table, table.lake.refresh().await?).await?;
        // Before the swap: an earlier view then looks for itself.
        table.newest.forget(newest.version()).await;
        let (snapshot, through) = settled(parts, table, Arc::new(newest), floor).await?;
        let through = through.unwrap_or_default();
        tables.push(RebuiltTable { table: Arc::clone(table), snapshot, through });
    }
    parts.writer.rebuild(tables).await?;
    tracing::info!("the log was read anew");
    Ok(())
}
