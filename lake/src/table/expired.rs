//! How do rows go that are too old? Their files cease to be active, and the table says from then on that rows of
//! these hours and earlier ones may be missing.
//!
//! That tells what went by age from what was deleted: of rows that were deleted nothing is to be left, of rows that
//! expired all that was computed of them.

use std::sync::Arc;

use super::LakeTable;
use crate::delta::Change;
use crate::{FileEntry, Hour, Micros, Result, Snapshot};

impl LakeTable {
    /// Commits that the rows of `removed` are too old.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub async fn expire(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        at: Micros,
    ) -> Result<Snapshot> {
        let mut hours: Vec<Hour> = removed.iter().flat_map(|file| file.hours()).collect();
        hours.sort_unstable();
        hours.dedup();
        let change = Change { operation: "EXPIRE", hours: &hours, keys: None, at };
        let through = base.expired_through().max(hours.last().copied());
        let rest = (through, base.others().to_vec());
        self.replace(base, removed, Vec::new(), &change, rest, None).await
    }
}
