//! A table of the lake: opened, changed by transactions and read through snapshots.
//!
//! A [`LakeTable`] is a handle without state: the state is the [`Snapshot`] that the caller holds. A
//! [`Transaction`](crate::Transaction) takes the snapshot it was decided on and returns the next one, without reading
//! the log.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode};

use crate::delta::{self, Former, Loaded, LogName};
use crate::snapshot::{Incompatibility, IncompatibilityKind};
use crate::store::LakeStore;
use crate::{Error, ErrorKind, FileEntry, Result, Snapshot, TableSchema, TableVersion};

mod alter;
mod check;
mod deletions;
mod expired;
mod foreign;
mod landed_watermark;
mod names;
mod prepare;
mod sizes;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;
mod time_travel;
mod writer;

pub use crate::delta::CommitInfo;
pub use alter::{Alteration, AlterationRequest};
pub use check::{CheckReport, FileCheck, Finding, FindingKind};
pub use deletions::Deletion;
pub use foreign::ForeignReader;
pub use names::names;
pub use prepare::Prepared;
pub use sweep::Unreferenced;
pub use time_travel::{AsOf, Restore};
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
    /// Opens the table whose folder is `store`, or creates it as version 0. Changes of the declaration are committed:
    /// units, plausible ranges, the order of columns, added value columns, which are null in existing rows, and types
    /// with room for more values. So are the columns whose statistics readers may rely on, if the log does not name
    /// them.
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

    /// Puts a data file where its entry says. It becomes part of the table by [`Self::transaction`].
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
        delta::history(&self.store, TableVersion::new(0)).await
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
    match loaded.snapshot.incompatibility() {
        Some(incompatibility) => {
            Err(refused(store, &loaded.schema, &loaded.snapshot, incompatibility))
        }
        None => Ok(loaded),
    }
}

/// That this program does not go on from a version that another made, and what can be done.
fn refused(
    store: &LakeStore,
    schema: &TableSchema,
    snapshot: &Snapshot,
    incompatibility: &Incompatibility,
) -> Error {
    let (name, version) = (schema.name(), snapshot.version());
    let mut cures = Vec::new();
    if incompatibility.of == IncompatibilityKind::NewColumns {
        cures.push("declare them in the settings and start the server again".to_owned());
    }
    if let Some(own) = snapshot.own() {
        cures.push(format!("go back with `barograph lake restore {name} --version {own}`"));
    }
    cures.push("undo it with the program that made it".to_owned());
    Error::request(format!(
        "another program made version {version} of table {name:?} at {}, and this program cannot continue from it: {}; {}",
        store.url(),
        incompatibility.why,
        cures.join(", or ")
    ))
}

pub(crate) fn next(version: TableVersion) -> TableVersion {
    TableVersion::new(version.get() + 1)
}

fn no_table(store: &LakeStore) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no table at {}", store.url()))
}
