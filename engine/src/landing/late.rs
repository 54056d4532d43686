//! The merge of late rows into the files of a day or month, and of any rows into an hour too large to be held at
//! once. Only the files whose keys they have are rewritten, slice by slice.

use std::sync::Arc;

use barograph_lake::internal::key_ranges;
use barograph_lake::{FileEntry, KeySelection, LogPosition, Period};
use tokio::runtime::Handle;

use super::LanderParts;
use crate::Result;
use crate::rewrite::{Rewrite, RewriteBounds};
use crate::scan::files::Files;
use crate::scan::plan::Source;
use crate::table::Table;
use crate::tail::HourView;

/// Memory of a merge.
const MEMORY: usize = 64 << 20;

/// The files of `files` that were replaced, and those that replace them.
pub(super) async fn merge(
    parts: &LanderParts,
    table: &Arc<Table>,
    files: &[Arc<FileEntry>],
    late: &[HourView],
) -> Result<(Vec<Arc<FileEntry>>, Vec<Arc<FileEntry>>)> {
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    if files.is_empty() {
        for hour in late {
            let period = Period::from(hour.hour());
            let from = Source { period, files: Vec::new(), tails: vec![hour.clone()] };
            added.extend(write(parts, table, from, KeySelection::All, hour.through()).await?);
        }
    }
    for (file, keys) in files.iter().zip(key_ranges(files)) {
        let is_late = |hour: &HourView| {
            let touched = hour.keys().is_some_and(|(min, max)| keys.touches(min, max));
            touched && hour.key_counts().iter().any(|&(key, _)| keys.contains(key))
        };
        if !late.iter().any(is_late) {
            continue;
        }
        let period: Period = file.path.period();
        // All late rows of the period are here, so that none up to the newest of them is missing after it.
        let through = late.iter().map(HourView::through).max().unwrap_or_default();
        let through = through.max(file.path.through());
        let from = Source { period, files: vec![Arc::clone(file)], tails: late.to_vec() };
        added.extend(write(parts, table, from, keys, through).await?);
        removed.push(Arc::clone(file));
    }
    Ok((removed, added))
}

/// The file of the rows of some keys.
async fn write(
    parts: &LanderParts,
    table: &Arc<Table>,
    from: Source,
    keys: KeySelection,
    through: LogPosition,
) -> Result<Vec<Arc<FileEntry>>> {
    let lake = Files {
        cache: Arc::clone(&parts.files),
        store: table.lake.store().clone(),
        schema: Arc::clone(&table.schema),
    };
    let on = Handle::current();
    let bounds = RewriteBounds { memory: MEMORY, threads: 1, on, file_bytes: u64::MAX };
    let target = from.period;
    let rewrite = Rewrite::begin(&table.lake, lake, vec![from], keys, target, through, bounds);
    let mut rewrite = rewrite.await?;
    while rewrite.step().await?.is_some() {
        if parts.is_stopping() {
            return Err(super::stopped());
        }
    }
    rewrite.finish().await
}
