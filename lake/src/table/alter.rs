//! Alteration of a table that holds rows: columns are dropped and renamed. Every file is rewritten, and one commit
//! replaces files and columns together.
//!
//! ```text
//! stored     key time a b c ingested_at            files ─► read, a ─► x, c left out ─► files of the new columns
//! declared   key time x b   ingested_at            notes: old file ─► new files, to resume after a crash
//!                                                  commit: columns, old files out, new files in ─► notes go
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt};

use super::{LakeTable, next, no_table};
use crate::delta::{self, Declared, Difference, FileNote};
use crate::paths::{ALTERED_FOLDER, NotePath};
use crate::schema::TableDeclaration;
use crate::transaction::{Conflict, Outcome};
use crate::{
    Change, Error, FileEntry, FilePath, Operation, Result, Snapshot, TableSchema, Timestamp,
};

/// Notes that are read at a time.
const READ_AHEAD: usize = 16;

/// A change of a table's columns: the new columns, and the stored column that each comes from.
#[derive(Debug, Clone)]
pub struct Alteration {
    before: Arc<TableSchema>,
    after: Arc<TableSchema>,
    /// For each Arrow column of `after` its place in `before`; `None` where it is new.
    places: Vec<Option<usize>>,
}

/// The columns that an operator asks to rename or drop: stored, but not declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlterationRequest {
    /// Stored name and declared name.
    pub renamed: Vec<(String, String)>,
    /// Stored names.
    pub dropped: Vec<String>,
}

impl AlterationRequest {
    /// The request as it applies to a table derived from the one that was asked about: its columns are named after
    /// the columns of that table, with a suffix, and those that are not declared are dropped.
    #[must_use]
    pub fn of_derived(&self, stored: &TableSchema, declared: &TableSchema) -> Self {
        let mut asked = Self::default();
        let is_declared = |name: &str| declared.values().iter().any(|column| column.name == name);
        for column in stored.values().iter().filter(|column| !is_declared(&column.name)) {
            let renamed = self.renamed.iter().find_map(|(from, to)| {
                let ending = column.name.strip_prefix(from.as_str())?;
                let name = format!("{to}{ending}");
                let fits = (ending.is_empty() || ending.starts_with('_')) && is_declared(&name);
                fits.then_some(name)
            });
            match renamed {
                Some(name) => asked.renamed.push((column.name.clone(), name)),
                None => asked.dropped.push(column.name.clone()),
            }
        }
        asked
    }
}

impl Alteration {
    /// The alteration that turns the columns of `stored` into those of `declared`; `None` if no file has to be
    /// rewritten. Requests that are already done are skipped, so that the same can be asked again.
    ///
    /// # Errors
    /// A request error that names the column and what to do about it.
    pub fn new(
        stored: &Arc<TableSchema>,
        declared: &Arc<TableSchema>,
        asked: &AlterationRequest,
    ) -> Result<Option<Self>> {
        let table = declared.name();
        let has = |of: &TableSchema, name: &str| of.values().iter().any(|c| c.name == name);
        let refuse = |what: String| Err(Error::request(format!("table {table:?}: {what}")));
        let named = asked.dropped.iter().chain(asked.renamed.iter().map(|(from, _)| from));
        for name in named {
            let is_stored = stored.arrow().index_of(name).is_ok();
            if is_stored && !has(stored, name) {
                return refuse(format!(
                    "column {name:?} is its key, its time or the engine's own, which every row needs: only value columns can be dropped or renamed"
                ));
            }
        }
        let mut between: TableDeclaration = stored.declaration().clone();
        for name in &asked.dropped {
            if has(declared, name) {
                return refuse(format!(
                    "column {name:?} is to be dropped, but the settings declare it: remove it from them first"
                ));
            }
            between.columns.retain(|column| column.name != *name);
        }
        for (from, to) in &asked.renamed {
            if has(declared, from) {
                return refuse(format!(
                    "column {from:?} is to be renamed, but the settings declare it: declare {to:?} instead first"
                ));
            }
            if !has(declared, to) {
                return refuse(format!(
                    "column {from:?} is to become {to:?}, which the settings do not declare: declare it instead first"
                ));
            }
            match (has(stored, from), has(stored, to)) {
                (true, false) => {}
                (false, true) => continue,
                (true, true) => {
                    return refuse(format!(
                        "there are both {from:?} and {to:?}: drop one of them first"
                    ));
                }
                (false, false) => return refuse(format!("there is no column {from:?} to rename")),
            }
            for column in between.columns.iter_mut().filter(|column| column.name == *from) {
                column.name.clone_from(to);
            }
        }
        let between = TableSchema::new(table, between)?;
        if let Difference::Unlike(what) = Difference::between(&between, declared) {
            return refuse(format!("{what}: state which columns are to be dropped or renamed"));
        }
        let same = stored.arrow().fields().len() == between.arrow().fields().len();
        let names = stored.values().iter().zip(between.values());
        if same && names.into_iter().all(|(was, is)| was.name == is.name) {
            return Ok(None);
        }
        let old = |name: &str| {
            let from = asked.renamed.iter().find(|(from, to)| to == name && has(stored, from));
            stored.arrow().index_of(from.map_or(name, |(from, _)| from.as_str())).ok()
        };
        let places = declared.arrow().fields().iter().map(|field| old(field.name())).collect();
        Ok(Some(Self { before: Arc::clone(stored), after: Arc::clone(declared), places }))
    }

    /// The stored columns.
    pub fn before(&self) -> &Arc<TableSchema> {
        &self.before
    }

    /// The new columns.
    pub fn after(&self) -> &Arc<TableSchema> {
        &self.after
    }

    /// The place of each new Arrow column among the stored ones; `None` for a column that is added.
    pub fn places(&self) -> &[Option<usize>] {
        &self.places
    }

    /// The table with the new columns, to write its files with.
    pub fn target(&self, table: &LakeTable) -> LakeTable {
        LakeTable { schema: Arc::clone(&self.after), ..table.clone() }
    }
}

impl LakeTable {
    /// Whether the table has or had a column of that name.
    pub fn knows_column(&self, name: &str) -> bool {
        let former = self.former.iter().map(|former| &former.schema);
        former.chain([&self.schema]).any(|schema| schema.arrow().index_of(name).is_ok())
    }

    /// Commits the version after `base`, whose columns are those of the alteration and whose files are
    /// `added`, all of them written, in the place of all files of `base`.
    ///
    /// # Errors
    /// As of [`crate::Transaction::commit`], or a request error if files of another program have the earlier columns.
    pub async fn alter(
        &self,
        base: &Snapshot,
        alteration: &Alteration,
        added: Vec<Arc<FileEntry>>,
        at: Timestamp,
    ) -> Result<Outcome> {
        let loaded = delta::load(&self.store).await?.ok_or_else(|| no_table(&self.store))?;
        let version = next(base.version());
        if loaded.snapshot.version() != base.version() {
            return Ok(Outcome::Conflicted(Conflict::new(self, version)));
        }
        if let Some(other) = base.foreign_files().first() {
            return Err(Error::request(format!(
                "table {:?} has files of another program, the first {}, whose rows have the earlier columns: start the \
                 server once with those columns declared, which takes them over",
                self.schema.name(),
                other.path
            )));
        }
        let (before, schema) = (&alteration.before, Arc::clone(&alteration.after));
        let metadata = loaded.metadata.altered(before, &schema, version, base.commit_time(at))?;
        let declared = Declared { metadata, schema, with_protocol: false };
        let transaction = self.transaction(base, Operation::AlterColumns, Change::All);
        let transaction = transaction.remove(base.files()).add(added).declare(Some(declared));
        transaction.commit(at).await
    }

    /// Notes that `old` was rewritten as `new`, with the columns of this table.
    pub async fn note_altered(&self, old: &FileEntry, new: &[Arc<FileEntry>]) -> Result<()> {
        let note = FileNote::encode(&self.schema, &old.path, new)?;
        let path = self.store.path(&NotePath::of(&old.path).to_string());
        self.store.object().put(&path, note.into()).await?;
        Ok(())
    }

    /// The files of `base` that were rewritten with the columns of this table, as noted, where all new files exist.
    pub async fn altered(&self, base: &Snapshot) -> Result<HashMap<FilePath, Vec<Arc<FileEntry>>>> {
        let notes: Vec<Option<FileNote>> = stream::iter(self.notes().await?)
            .map(|meta| async move {
                let text: Bytes = self.store.object().get(&meta.location).await?.bytes().await?;
                let Some(note) = FileNote::decode(&self.schema, &text)? else { return Ok(None) };
                for entry in &note.new {
                    let path = self.store.path(&entry.path.to_string());
                    match self.store.object().head(&path).await {
                        Ok(found) if found.size == entry.bytes => {}
                        Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(None),
                        Err(e) => return Err(Error::from(e)),
                    }
                }
                Ok(Some(note))
            })
            .buffered(READ_AHEAD)
            .try_collect()
            .await?;
        let there = notes.into_iter().flatten().filter(|note| base.is_active(&note.old));
        Ok(there.map(|note| (note.old, note.new)).collect())
    }

    /// Deletes all notes of rewritten files.
    pub async fn forget_altered(&self) -> Result<()> {
        let notes = self.notes().await?.into_iter().map(|meta| Ok(meta.location));
        let deleted = self.store.object().delete_stream(stream::iter(notes).boxed());
        deleted.try_collect::<Vec<_>>().await?;
        Ok(())
    }

    async fn notes(&self) -> Result<Vec<ObjectMeta>> {
        let folder = self.store.path(ALTERED_FOLDER);
        Ok(self.store.object().list(Some(&folder)).try_collect().await?)
    }
}
