//! Expiry of rows by age: their files cease to be active, and the table records that rows of these hours and earlier
//! ones may be missing.
//!
//! The record tells expired rows from deleted ones: of deleted rows nothing is kept, of expired rows everything that
//! was computed from them.

use std::sync::Arc;

use super::LakeTable;
use crate::{Change, FileEntry, Operation, Outcome, Result, Snapshot, Timestamp};

impl LakeTable {
    /// Commits the expiry of the rows of `removed`.
    ///
    /// # Errors
    /// As of [`crate::Transaction::commit`].
    pub async fn expire(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        at: Timestamp,
    ) -> Result<Outcome> {
        let last = removed.iter().flat_map(|file| file.hours()).max();
        let change = Change::of(removed.iter().flat_map(|file| file.hours()), None);
        let transaction = self.transaction(base, Operation::Expire, change);
        let transaction = transaction.expired(base.expired_through().max(last));
        transaction.remove(removed).commit(at).await
    }
}
