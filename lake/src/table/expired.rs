//! How do rows go that are too old? Their files cease to be active, and the table says from then on that rows of
//! these hours and earlier ones may be missing.
//!
//! That tells what went by age from what was deleted: of rows that were deleted nothing is to be left, of rows that
//! expired all that was computed of them.

use std::sync::Arc;

use super::LakeTable;
use crate::{Change, FileEntry, Micros, Operation, Outcome, Result, Snapshot};

impl LakeTable {
    /// Commits that the rows of `removed` are too old.
    ///
    /// # Errors
    /// As of [`crate::Transaction::commit`].
    pub async fn expire(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        at: Micros,
    ) -> Result<Outcome> {
        let last = removed.iter().flat_map(|file| file.hours()).max();
        let change = Change::of(removed.iter().flat_map(|file| file.hours()), None);
        let transaction = self.transaction(base, Operation::Expire, change);
        let transaction = transaction.expired(base.expired_through().max(last));
        transaction.remove(removed).commit(at).await
    }
}
