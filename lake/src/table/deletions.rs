//! Records of deletions: which rows were deleted, by whom and why. They outlive the commits that deleted the rows.
//!
//! ```text
//! _deletions/00…42-ID.begun   the record, before version 42 is committed
//! _deletions/00…42-ID.json    the same record, once version 42 is committed
//! ```
//!
//! After a crash between the two, or where the store did not say whether version 42 was committed, the log decides as
//! soon as it has a version 42: the nonce of that commit tells whether it is the deletion. Files that held deleted rows
//! are never read again, neither by time travel nor by a restore.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use super::{LakeTable, next};
use crate::delta;
use crate::paths::{DELETIONS_FOLDER, DeletionPath};
use crate::{
    Change, Error, ErrorKind, FileEntry, FilePath, Hour, Key, Operation, Outcome, Result, Snapshot,
    TableVersion, Timestamp,
};

/// Records that are read at a time.
const READ_AHEAD: usize = 16;

/// A deletion of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// The version from which on the rows are not there.
    pub version: TableVersion,
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Rows of these keys; `None` is all.
    pub keys: Option<Vec<Key>>,
    /// First instant of the rows; `None` is from the beginning.
    pub from: Option<Timestamp>,
    /// First instant after them; `None` is to the end.
    pub to: Option<Timestamp>,
    /// How many rows.
    pub rows: u64,
    /// The files that held them, by their paths below the table's folder.
    pub files: Vec<String>,
    /// The nonce of its commit; absent until it is about to be committed, and in records of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Deletion {
    /// Whether rows of an hour may have been deleted.
    fn touches(&self, hour: Hour) -> bool {
        self.from.is_none_or(|from| from < hour.end()) && self.to.is_none_or(|to| to > hour.start())
    }
}

impl LakeTable {
    /// Commits a deletion in one version and keeps its record: `added`, which lack the rows of `deletion`, replace
    /// `removed`.
    ///
    /// # Errors
    /// As of [`crate::Transaction::commit`]. Nothing was deleted then.
    pub async fn delete(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        added: Vec<Arc<FileEntry>>,
        deletion: &Deletion,
    ) -> Result<Outcome> {
        if deletion.version != next(base.version()) {
            return Err(Error::request(format!(
                "the record of the deletion names version {}, the commit makes {}",
                deletion.version,
                next(base.version())
            )));
        }
        let hours = removed.iter().flat_map(|file| file.hours());
        let hours = hours.filter(|hour| deletion.touches(*hour));
        let change = Change::of(hours, deletion.keys.clone());
        let transaction = self.transaction(base, Operation::Delete, change);
        let transaction = transaction.remove(removed).add(added);
        let deletion = &Deletion {
            // The record is known by its commit.
            at: base.commit_time(deletion.at),
            commit: Some(transaction.nonce().to_owned()),
            ..deletion.clone()
        };
        let begun = DeletionPath::begun(deletion.version);
        self.put_deletion(begun, deletion).await?;
        let outcome = transaction.commit(deletion.at).await;
        let settled = match &outcome {
            Ok(Outcome::Committed(_)) => self.settle(begun, deletion, true).await,
            Ok(Outcome::Conflicted(_)) | Err(_) => self.settle(begun, deletion, false).await,
            // It may be there, or come: the record stays begun until that version is there.
            Ok(Outcome::Unknown(_)) => Ok(()),
        };
        if let Err(error) = settled {
            tracing::warn!(%error, table = self.schema().name(), "could not finish the record of a deletion: it is finished when the table is opened next");
        }
        outcome
    }

    /// The deletions, oldest first.
    pub async fn deletions(&self) -> Result<Vec<Deletion>> {
        let mut paths = self.deletion_paths().await?;
        paths.retain(|path| !path.is_begun());
        self.read_deletions(paths).await
    }

    /// Finishes the records of deletions that a crash cut off: kept if the deletion was committed, else removed.
    pub async fn settle_deletions(&self) -> Result<()> {
        let mut begun = self.deletion_paths().await?;
        begun.retain(DeletionPath::is_begun);
        for path in begun {
            for deletion in self.read_deletions(vec![path]).await? {
                let Some(made) = self.was_made(&deletion).await? else { continue };
                self.settle(path, &deletion, made).await?;
            }
        }
        Ok(())
    }

    /// Whether a deletion made its version; `None` as long as nobody has: its commit may yet come.
    async fn was_made(&self, deletion: &Deletion) -> Result<Option<bool>> {
        let Some(commit) = delta::commit_of(self.store(), deletion.version).await? else {
            // The commits of old versions expire.
            let newest = delta::newest(self.store()).await?;
            return Ok(newest.is_some_and(|newest| newest > deletion.version).then_some(false));
        };
        Ok(Some(match &deletion.commit {
            Some(nonce) => commit.nonce.as_ref() == Some(nonce),
            None => {
                commit.operation == Operation::Delete.as_str()
                    && commit.at.as_millis() == deletion.at.as_millis()
            }
        }))
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
