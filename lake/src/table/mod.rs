//! How is a table opened, changed and read back?
//!
//! A [`LakeTable`] is a handle without state: what is true stands in the [`Snapshot`] that the caller
//! holds. A commit takes the snapshot it was decided on and gives the next one, without reading the log.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode};

use crate::delta::{self, Commit, Former, Loaded, LogName, Metadata};
use crate::snapshot::{Objection, ObjectionOf};
use crate::store::LakeStore;
use crate::{
    Error, ErrorKind, FileEntry, FilePath, Hour, OtherFile, Result, Snapshot, TableSchema,
    TableVersion,
};

mod alter;
mod check;
mod deletions;
mod expired;
mod landed;
mod names;
mod others;
mod past;
mod prepare;
mod sizes;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use crate::delta::{Change, CommitInfo};
pub use alter::{Alteration, Asked};
pub use check::{CheckReport, FileCheck, Finding, FindingKind};
pub use deletions::Deletion;
pub use names::names;
pub use others::OtherReader;
pub use past::{AsOf, Restore};
pub use prepare::Prepared;
pub use sweep::Unreferenced;
pub use writer::FileWriter;

/// A table in the lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LakeTable {
    store: LakeStore,
    schema: Arc<TableSchema>,
    /// What it was until columns went or got other names, oldest first.
    former: Arc<[Former]>,
}

impl LakeTable {
    /// Opens the table whose folder is `store`, or creates it as version 0. What was declared anew is committed, and
    /// what the log does not tell readers of the statistics they may rely on: units, plausible ranges, the order
    /// of columns, value columns that the table did not have, which are null in the rows that are there, and
    /// types with room for more values.
    ///
    /// # Errors
    /// As of [`Self::prepare`].
    pub async fn open(store: LakeStore, schema: Arc<TableSchema>) -> Result<(Self, Snapshot)> {
        Self::prepare(store, schema).await?.open().await
    }

    /// Opens a table that exists, of whatever version, to go back to an earlier one.
    ///
    /// # Errors
    /// As of [`Self::open_existing`], but for what another program made of the table.
    pub async fn open_to_restore(store: LakeStore) -> Result<(Self, Snapshot)> {
        let Loaded { mut metadata, mut schema, snapshot, .. } = known(&store).await?;
        if let Some(own) = snapshot.own() {
            Loaded { metadata, schema, .. } = delta::load_at(&store, own).await?;
        }
        Ok((Self { store, schema: Arc::new(schema), former: metadata.former()? }, snapshot))
    }

    /// Opens a table that exists, with the schema it was declared with.
    ///
    /// # Errors
    /// Not found if there is no Delta log, damage if it was not written by this crate.
    pub async fn open_existing(store: LakeStore) -> Result<(Self, Snapshot)> {
        let Loaded { metadata, schema, snapshot, .. } = newest(&store).await?;
        Ok((Self { store, schema: Arc::new(schema), former: metadata.former()? }, snapshot))
    }

    /// The table's declaration and Arrow schema.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The folder of the table.
    pub fn store(&self) -> &LakeStore {
        &self.store
    }

    /// Puts a data file where its entry says. It becomes part of the table by [`Self::commit`].
    ///
    /// # Errors
    /// A request error if the entry does not name the size of `bytes`; a conflict if the object exists.
    pub async fn write_file(&self, entry: &FileEntry, bytes: Bytes) -> Result<()> {
        if bytes.len() as u64 != entry.bytes {
            return Err(Error::request(format!(
                "file {} has {} bytes, its entry says {}",
                entry.path,
                bytes.len(),
                entry.bytes
            )));
        }
        let path = self.store.path(&entry.path.to_string());
        self.store.object().put_opts(&path, bytes.into(), PutMode::Create.into()).await?;
        Ok(())
    }

    /// Commits the version after `base`: `removed` cease to be active and `added`, all of them already
    /// written, become so, at once.
    ///
    /// # Errors
    /// `Conflict` if another writer committed that version first: take a new snapshot and decide again.
    /// `Store` if the store failed: the commit may have been made, which a repetition finds out as a
    /// conflict. A request error if the change does not fit `base`: a file to remove is not active, or
    /// rows would have their home in two files.
    pub async fn commit(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        added: Vec<Arc<FileEntry>>,
        change: &Change<'_>,
    ) -> Result<Snapshot> {
        let rest = (base.expired_through(), base.others().to_vec());
        self.replace(base, removed, added, change, rest, None).await
    }

    /// The same; of the table after it rows of the hours through `expired_through` may have gone by age, and the files of
    /// other programs are `others`. With `declared` it is declared anew, and if that is true so is the protocol.
    async fn replace(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        added: Vec<Arc<FileEntry>>,
        change: &Change<'_>,
        (expired_through, others): (Option<Hour>, Vec<OtherFile>),
        declared: Option<(&Metadata, bool)>,
    ) -> Result<Snapshot> {
        let version = next(base.version());
        let change = &Change { at: base.commit_time(change.at), ..*change };
        let gone: Vec<FilePath> = removed.iter().map(|entry| entry.path).collect();
        for path in &gone {
            if !base.is_active(path) {
                return Err(Error::request(format!(
                    "{path} is not active in version {}",
                    base.version()
                )));
            }
        }
        let after = base.apply(version, &gone, added.clone());
        let after = after.expired(expired_through).committed(Some(change.at));
        let after = after.with_others(others, None);
        let commit =
            Commit::replace(&self.schema, declared, removed, &added, change, [base, &after])?;
        self.put_version(base, removed, after, &commit).await
    }

    /// Makes `after` the version after `base`, by a commit that says so.
    async fn put_version(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        after: Snapshot,
        commit: &Commit,
    ) -> Result<Snapshot> {
        if let Some([first, second]) = after.contradiction() {
            return Err(Error::request(format!(
                "rows would have two homes, {} and {}",
                first.path, second.path
            )));
        }
        self.mark_taken(base).await?;
        self.mark(base, removed, &after).await?;
        delta::put_commit(&self.store, after.version(), commit).await?;
        Ok(after)
    }

    /// Whether there is a version after `version`.
    pub async fn is_behind(&self, version: TableVersion) -> Result<bool> {
        let path = self.store.path(&LogName::commit(next(version)).path());
        match self.store.object().head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The newest version in the store.
    ///
    /// # Errors
    /// A request error if another process gave the table other columns.
    pub async fn refresh(&self) -> Result<Snapshot> {
        let loaded = newest(&self.store).await?;
        loaded.snapshot_of(&self.schema)
    }

    /// Writes a checkpoint of the snapshot's version, from which later readers start, and deletes the
    /// parts of the log that no reader of the last seven days' versions needs.
    pub async fn checkpoint(&self, snapshot: &Snapshot) -> Result<()> {
        delta::write_checkpoint(&self.store, snapshot.version()).await?;
        let expired = delta::expire(&self.store).await?;
        if !expired.is_empty() {
            tracing::info!(table = self.schema.name(), objects = expired.len(), "log expired");
        }
        Ok(())
    }

    /// The commits after a version through another, in order, without reading others; `None` if the log
    /// no longer holds one of them.
    pub async fn commits_between(
        &self,
        after: TableVersion,
        through: TableVersion,
    ) -> Result<Option<Vec<CommitInfo>>> {
        delta::between(&self.store, after, through).await
    }

    /// The commits that the log still holds, oldest first.
    pub async fn history(&self) -> Result<Vec<CommitInfo>> {
        delta::history(&self.store, TableVersion(0)).await
    }

    /// The commits after `version` that the log still holds, oldest first.
    pub async fn history_after(&self, version: TableVersion) -> Result<Vec<CommitInfo>> {
        delta::history(&self.store, next(version)).await
    }
}

/// The newest version of a table, or what is known of it if another program made it such that it cannot be read.
async fn known(store: &LakeStore) -> Result<Loaded> {
    match delta::load(store).await {
        Err(error) if error.kind() == ErrorKind::Damage => delta::unreadable(store, error).await,
        loaded => loaded?.ok_or_else(|| no_table(store)),
    }
}

/// The newest version of a table, if this program can go on from it.
async fn newest(store: &LakeStore) -> Result<Loaded> {
    let loaded = known(store).await?;
    match loaded.snapshot.objection() {
        Some(objection) => Err(refused(store, &loaded.schema, &loaded.snapshot, objection)),
        None => Ok(loaded),
    }
}

/// That this program does not go on from a version that another made, and what can be done.
fn refused(
    store: &LakeStore,
    schema: &TableSchema,
    snapshot: &Snapshot,
    objection: &Objection,
) -> Error {
    let (name, version) = (schema.name(), snapshot.version());
    let mut cures = Vec::new();
    if objection.of == ObjectionOf::NewColumns {
        cures.push("declare them in the settings and start the server again".to_owned());
    }
    if let Some(own) = snapshot.own() {
        cures.push(format!("go back with `barograph lake restore {name} --version {own}`"));
    }
    cures.push("undo it with the program that did it".to_owned());
    Error::request(format!(
        "another program made version {version} of table {name:?} at {}, and this one cannot go on from it: {}; {}",
        store.url(),
        objection.why,
        cures.join(", or ")
    ))
}

fn next(version: TableVersion) -> TableVersion {
    TableVersion(version.0 + 1)
}

fn no_table(store: &LakeStore) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no table at {}", store.url()))
}
