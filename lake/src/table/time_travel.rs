//! Time travel: earlier versions of a table, found by version or time, read, and restored.

use std::fmt;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use super::LakeTable;
use crate::delta::{self, Declared, Former, Versions};
use crate::snapshot::IncompatibilityKind;
use crate::{
    Change, Error, FileEntry, FilePath, Hour, Operation, Outcome, Result, Snapshot, TableSchema,
    TableVersion, Timestamp,
};

/// Files that are looked for at a time.
const LOOK_AHEAD: usize = 16;

/// A state of a table, by version or by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsOf {
    /// The state at a version.
    Version(TableVersion),
    /// The state at the newest version that was committed at this instant or before.
    Time(Timestamp),
}

/// A planned restore: the commit that makes the files of an earlier version the active ones again.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The version to restore.
    pub version: TableVersion,
    /// The snapshot before the restore.
    pub base: Snapshot,
    /// Files that cease to be active.
    pub removed: Vec<Arc<FileEntry>>,
    /// Files that become so again.
    pub added: Vec<Arc<FileEntry>>,
    /// The hour through which rows may have expired after the restore.
    pub expired_through: Option<Hour>,
    /// How the table is declared again, if another program has declared it otherwise.
    declared: Option<Declared>,
}

impl LakeTable {
    /// The version of `as_of`. `now` is the caller's clock: no commit counts as younger.
    ///
    /// # Errors
    /// A request error that names the kept versions, if the log does not hold this one any more, or not yet.
    pub async fn version_as_of(&self, as_of: AsOf, now: Timestamp) -> Result<TableVersion> {
        let versions = Versions::of(self.store()).await?;
        let found = match as_of {
            AsOf::Version(version) => versions.check(version).map(|()| version),
            AsOf::Time(time) => self.seen_at(&versions, time, now).await,
        };
        found.map_err(|e| self.named(e))
    }

    /// What queries saw at a time: the newest version that was made by then, of those whose files are this program's.
    async fn seen_at(
        &self,
        versions: &Versions,
        time: Timestamp,
        now: Timestamp,
    ) -> Result<TableVersion> {
        let mut found = versions.at(time, now).await?;
        while delta::is_foreign(self.store(), found).await? {
            let readable = delta::load_at(self.store(), found).await;
            let is_seen = readable.is_ok_and(|loaded| {
                loaded.snapshot.foreign_files().is_empty()
                    && loaded.snapshot.incompatibility().is_none()
            });
            let before = found.get().checked_sub(1).map(TableVersion::new);
            match before.filter(|before| !is_seen && versions.check(*before).is_ok()) {
                Some(before) => found = before,
                None => break,
            }
        }
        Ok(found)
    }

    /// The columns of the table at a version or time, with those that were added since: the current columns, unless
    /// some were dropped or renamed.
    pub fn schema_as_of(&self, as_of: AsOf) -> &Arc<TableSchema> {
        let is_later = |former: &&Former| match as_of {
            AsOf::Version(version) => version < former.before,
            AsOf::Time(time) => time < former.at,
        };
        self.former.iter().find(is_later).map_or(&self.schema, |former| &former.schema)
    }

    /// The files that were active at a version, whether they still exist or not, with the columns of
    /// [`Self::schema_as_of`].
    ///
    /// # Errors
    /// A request error that names the kept versions, if the log does not hold this one any more, or not yet.
    pub async fn snapshot_at(&self, version: TableVersion) -> Result<Snapshot> {
        self.snapshot_with(version, self.schema_as_of(AsOf::Version(version))).await
    }

    /// The same with other columns, if it can be read with them.
    async fn snapshot_with(&self, version: TableVersion, schema: &TableSchema) -> Result<Snapshot> {
        let versions = Versions::of(self.store()).await?;
        versions.check(version).map_err(|e| self.named(e))?;
        let loaded = delta::load_at(self.store(), version).await?;
        if let Some(first) = loaded.snapshot.foreign_files().first() {
            let mut later = delta::history(self.store(), version).await?.into_iter();
            let adopted = later.find(|commit| commit.operation == Operation::Adopt.as_str());
            let ask = match adopted {
                Some(adopted) => format!("ask for version {} or a later one", adopted.version),
                None => "the server takes them over".to_owned(),
            };
            return Err(self.named(Error::request(format!(
                "version {version} has files of another program, the first {}, whose rows are read from the version on \
                 that took them over: {ask}",
                first.path
            ))));
        }
        loaded.snapshot_under(schema)
    }

    fn named(&self, error: Error) -> Error {
        let name = self.schema().name();
        Error::new(error.kind(), format!("table {name:?}")).with_source(error)
    }

    /// Checks that all of `files`, which were active at `version`, still exist and hold no deleted rows.
    ///
    /// # Errors
    /// A request error that names the first that does not, and how long files are kept or which version lacks the
    /// deleted rows.
    pub async fn check_there(
        &self,
        version: TableVersion,
        files: impl IntoIterator<Item = Arc<FileEntry>>,
    ) -> Result<()> {
        let paths: Vec<FilePath> = files.into_iter().map(|file| file.path).collect();
        if paths.is_empty() {
            return Ok(());
        }
        let deleted = self.deleted_since(version).await?;
        if let Some((path, since)) = paths.iter().find_map(|path| deleted.get_key_value(path)) {
            return Err(Error::request(format!(
                "version {version} of table {:?} has rows that were deleted, in {path}: ask for version {since} or \
                 a later one",
                self.schema().name()
            )));
        }
        let missing: Vec<Option<FilePath>> = stream::iter(paths)
            .map(|path| async move {
                match self.store().object().head(&self.store().path(&path.to_string())).await {
                    Ok(_) => Ok(None),
                    Err(object_store::Error::NotFound { .. }) => Ok(Some(path)),
                    Err(e) => Err(Error::from(e)),
                }
            })
            .buffered(LOOK_AHEAD)
            .try_collect()
            .await?;
        let missing: Vec<_> = missing.into_iter().flatten().collect();
        match missing.first() {
            None => Ok(()),
            Some(first) => Err(Error::request(format!(
                "version {version} of table {:?} needs {} files that were deleted, the first {first}: \
                 replaced files are kept for scheduler.removed_files_kept; ask for a later version",
                self.schema().name(),
                missing.len()
            ))),
        }
    }

    /// Plans the restore of `version`.
    ///
    /// # Errors
    /// A request error if the version or one of its files is gone, if its files are active already, or if columns
    /// that they have were dropped or renamed since.
    pub async fn plan_restore(&self, base: &Snapshot, version: TableVersion) -> Result<Restore> {
        let earlier = self.snapshot_with(version, &self.schema).await?;
        let (removed, added) = (base.without(&earlier), earlier.without(base));
        let as_it_is = base.foreign_files().is_empty() && base.incompatibility().is_none();
        if removed.is_empty() && added.is_empty() && as_it_is {
            return Err(Error::request(format!(
                "the files of version {version} of table {:?} are the active ones: there is nothing to restore",
                self.schema().name()
            )));
        }
        self.check_there(version, added.iter().cloned()).await?;
        let expired_through = earlier.expired_through();
        let declared = match base.incompatibility() {
            None => None,
            Some(incompatibility) => {
                let own = base.own().unwrap_or(version);
                let metadata = delta::load_at(self.store(), own).await?.metadata;
                let with_protocol = incompatibility.of == IncompatibilityKind::Protocol;
                let (metadata, schema) = (metadata.redeclared(&self.schema)?, &self.schema);
                Some(Declared { metadata, schema: Arc::clone(schema), with_protocol })
            }
        };
        Ok(Restore { version, base: base.clone(), removed, added, expired_through, declared })
    }

    /// Carries out a planned restore. After a conflict plan anew: a retry of the same plan would undo the other
    /// writer's change unseen.
    ///
    /// # Errors
    /// As of [`crate::Transaction::commit`].
    pub async fn restore(&self, restore: &Restore, at: Timestamp) -> Result<Outcome> {
        let change = Change::of(restore.hours(), None);
        let transaction = self.transaction(&restore.base, Operation::Restore, change);
        let transaction = transaction.remove(&restore.removed).add(restore.added.clone());
        let transaction = transaction.expired(restore.expired_through).without_foreign_files();
        transaction.declare(restore.declared.clone()).commit(at).await
    }
}

impl Restore {
    /// The hours whose rows change, ascending.
    pub fn hours(&self) -> Vec<Hour> {
        let files = self.removed.iter().chain(&self.added);
        let mut hours: Vec<_> = files.flat_map(|file| file.hours()).collect();
        hours.sort_unstable();
        hours.dedup();
        hours
    }

    /// The number of rows in the table before and after.
    pub fn rows(&self) -> (u64, u64) {
        let rows = |files: &[Arc<FileEntry>]| files.iter().map(|file| file.rows).sum::<u64>();
        let before = rows(self.base.files());
        (before, before - rows(&self.removed) + rows(&self.added))
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version}"),
            Self::Time(time) => time.fmt(f),
        }
    }
}
