//! Which rows were deleted, by whom and why? Records that stay when the commits that did it have expired.
//!
//! ```text
//! _deletions/00…42-ID.begun   the record, before version 42 is committed
//! _deletions/00…42-ID.json    the same, once it was
//! ```
//!
//! After a crash between the two the log tells whether version 42 is that deletion. Files that held deleted
//! rows are never read again, neither as an earlier version nor by restoring one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use super::{LakeTable, next};
use crate::delta::{self, Change};
use crate::paths::{DELETIONS_FOLDER, DeletionPath};
use crate::{
    Error, ErrorKind, FileEntry, FilePath, Hour, Key, Micros, Result, Snapshot, TableVersion,
};

/// Records that are read at a time.
const READ_AHEAD: usize = 16;
const MICROS_PER_MILLI: Micros = 1_000;
/// What the history calls a deletion.
const OPERATION: &str = "DELETE";

/// A deletion of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// The version from which on the rows are not there.
    pub version: TableVersion,
    /// When. µs since the Unix epoch.
    pub at: Micros,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Rows of these keys; `None` is all.
    pub keys: Option<Vec<Key>>,
    /// First instant of the rows; `None` is from the beginning.
    pub from: Option<Micros>,
    /// First instant after them; `None` is to the end.
    pub to: Option<Micros>,
    /// How many rows.
    pub rows: u64,
    /// The files that held them, by their paths below the table's folder.
    pub files: Vec<String>,
}

impl Deletion {
    /// Whether rows of an hour may have been deleted.
    fn touches(&self, hour: Hour) -> bool {
        self.from.is_none_or(|from| from < hour.end()) && self.to.is_none_or(|to| to > hour.start())
    }
}

impl LakeTable {
    /// Commits that `removed` are replaced by `added`, which lack the rows that `deletion` tells of, in one
    /// version, and keeps the record.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub async fn delete(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        added: Vec<Arc<FileEntry>>,
        deletion: &Deletion,
    ) -> Result<Snapshot> {
        if deletion.version != next(base.version()) {
            return Err(Error::request(format!(
                "the record of the deletion names version {}, the commit makes {}",
                deletion.version,
                next(base.version())
            )));
        }
        // The record is known by the time of its commit.
        let deletion = &Deletion { at: base.commit_time(deletion.at), ..deletion.clone() };
        let begun = DeletionPath::begun(deletion.version);
        self.put_deletion(begun, deletion).await?;
        let mut hours: Vec<Hour> = removed.iter().flat_map(|file| file.hours()).collect();
        hours.retain(|hour| deletion.touches(*hour));
        hours.sort_unstable();
        hours.dedup();
        let keys = deletion.keys.as_deref();
        let change = Change { operation: OPERATION, hours: &hours, keys, at: deletion.at };
        match self.commit(base, removed, added, &change).await {
            Ok(after) => {
                if let Err(error) = self.settle(begun, deletion, true).await {
                    tracing::warn!(%error, table = self.schema().name(), "the record of a deletion is finished when the table is opened");
                }
                Ok(after)
            }
            Err(error) => {
                // Where the store failed the commit may have been made: the next opening finds out.
                if error.kind() != ErrorKind::Store {
                    self.settle(begun, deletion, false).await?;
                }
                Err(error)
            }
        }
    }

    /// The deletions, oldest first.
    pub async fn deletions(&self) -> Result<Vec<Deletion>> {
        let mut paths = self.deletion_paths().await?;
        paths.retain(|path| !path.is_begun());
        self.read_deletions(paths).await
    }

    /// Finds out what became of deletions that a crash cut off, and finishes their records.
    pub async fn settle_deletions(&self) -> Result<()> {
        let mut begun = self.deletion_paths().await?;
        begun.retain(DeletionPath::is_begun);
        for path in begun {
            for deletion in self.read_deletions(vec![path]).await? {
                let commit = delta::commit_of(self.store(), path.version()).await?;
                let millis = |at: Micros| at.div_euclid(MICROS_PER_MILLI);
                let made = commit.is_some_and(|commit| {
                    commit.operation == OPERATION && millis(commit.at) == millis(deletion.at)
                });
                self.settle(path, &deletion, made).await?;
            }
        }
        Ok(())
    }

    /// The files that held rows which were deleted after `version`, each with the version that lacks them.
    pub(super) async fn deleted_since(
        &self,
        version: TableVersion,
    ) -> Result<HashMap<FilePath, TableVersion>> {
        let mut paths = self.deletion_paths().await?;
        paths.retain(|path| path.version() > version);
        let deletions = self.read_deletions(paths).await?;
        let files = deletions.iter().flat_map(|deletion| {
            deletion.files.iter().map(|path| Ok((path.parse()?, deletion.version)))
        });
        files.collect()
    }

    /// Ends what was begun: with a record, or without.
    async fn settle(&self, begun: DeletionPath, deletion: &Deletion, made: bool) -> Result<()> {
        if made {
            self.put_deletion(begun.done(), deletion).await?;
        }
        match self.store().object().delete(&self.store().path(&begun.to_string())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    async fn put_deletion(&self, path: DeletionPath, deletion: &Deletion) -> Result<()> {
        let json = serde_json::to_vec(deletion)
            .map_err(|e| Error::new(ErrorKind::Internal, "record of a deletion").with_source(e))?;
        let path = self.store().path(&path.to_string());
        let put = Bytes::from(json).into();
        // Whoever finishes a record writes the same.
        self.store().object().put_opts(&path, put, PutMode::Overwrite.into()).await?;
        Ok(())
    }

    /// The records, by version.
    async fn deletion_paths(&self) -> Result<Vec<DeletionPath>> {
        let folder = self.store().path(DELETIONS_FOLDER);
        let listed: Vec<_> = self.store().object().list(Some(&folder)).try_collect().await?;
        let names = listed.iter().filter_map(|meta| self.store().relative(&meta.location));
        let mut paths: Vec<DeletionPath> = names.map(|name| name.parse()).collect::<Result<_>>()?;
        paths.sort_unstable_by_key(DeletionPath::version);
        Ok(paths)
    }

    async fn read_deletions(&self, paths: Vec<DeletionPath>) -> Result<Vec<Deletion>> {
        let read: Vec<_> = stream::iter(paths)
            .map(|path| async move {
                let location = self.store().path(&path.to_string());
                let bytes = match self.store().object().get(&location).await {
                    // Settled since it was listed.
                    Err(object_store::Error::NotFound { .. }) => return Ok(None),
                    got => got?.bytes().await?,
                };
                serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                    Error::damage(format!("record {path} of {}", self.store().url())).with_source(e)
                })
            })
            .buffered(READ_AHEAD)
            .try_collect()
            .await?;
        Ok(read.into_iter().flatten().collect())
    }
}
