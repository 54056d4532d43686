//! A transaction: the one way to add files to a table and to remove them, all at once or not at all.
//!
//! ```text
//! base ─► remove, add ─► watermarks ─► put version base + 1 if absent ─┬─► Committed(snapshot)
//!  ▲                                                                   ├─► Conflicted ─► Retry::newest ─┐
//!  │                                                                   └─► Unknown: leave as it was     │
//!  └───────────────────────────── decide again ◄────────────────────────────────────────────────────────┘
//! ```
//!
//! Each commit carries a nonce, so that a writer recognises its own commit when the reply to its put was lost. A put
//! whose outcome is still unknown then may be carried out later, by a store that had it under way, but only as long as
//! nobody else commits that version. So a writer that is told so leaves everything as it was, and decides again on the
//! newest version when there is reason to: a late commit is part of that version, or never comes.

mod retry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub use crate::delta::{Change, Operation};
pub use retry::Retry;

use crate::delta::{self, Commit, Declared, Replacement};
use crate::register::Put;
use crate::table::next;
use crate::{
    Error, ErrorKind, FileEntry, FilePath, Hour, LakeTable, Result, Snapshot, Span, TableVersion,
    Timestamp,
};

/// Waits before it is looked again whether a commit is there whose put failed.
const LOOKS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];
/// A writer whose base is older makes sure that the log has nothing newer: commits after it may have expired, so that
/// the version after it can be put again.
const STALE: Span = Span::DAY;

/// A change of a table that is about to be committed.
#[derive(Debug)]
#[must_use = "nothing changes before it is committed"]
pub struct Transaction<'a> {
    table: &'a LakeTable,
    base: &'a Snapshot,
    operation: Operation,
    change: Change,
    nonce: String,
    removed: Vec<Arc<FileEntry>>,
    added: Vec<Arc<FileEntry>>,
    expired_through: Option<Hour>,
    without_foreign_files: bool,
    declared: Option<Declared>,
}

/// The outcome of a commit.
#[derive(Debug)]
#[must_use = "a commit counts if it was made, and is decided again if another was first"]
pub enum Outcome {
    /// It was made, and this is its version.
    Committed(Snapshot),
    /// Another writer was first, and nothing was changed.
    Conflicted(Conflict),
    /// The store does not say whether it was made, or will be.
    Unknown(Unknown),
}

/// A conflict: another writer committed the version first. [`Retry::newest`] gives the snapshot to decide on again.
#[derive(Debug)]
pub struct Conflict {
    table: LakeTable,
    version: TableVersion,
}

/// An unknown outcome: a version may have been committed, or may yet be. Whatever is needed in either case must be
/// kept.
#[derive(Debug)]
pub struct Unknown {
    table: LakeTable,
    after: Box<Snapshot>,
    commit: Commit,
    error: Error,
}

impl LakeTable {
    /// A change of the files that are active in `base`, which makes the version after it.
    pub fn transaction<'a>(
        &'a self,
        base: &'a Snapshot,
        operation: Operation,
        change: Change,
    ) -> Transaction<'a> {
        Transaction {
            table: self,
            base,
            operation,
            change,
            nonce: Uuid::new_v4().to_string(),
            removed: Vec::new(),
            added: Vec::new(),
            expired_through: base.expired_through(),
            without_foreign_files: false,
            declared: None,
        }
    }
}

impl Transaction<'_> {
    /// Removes files: they cease to be active.
    pub fn remove(mut self, files: &[Arc<FileEntry>]) -> Self {
        self.removed.extend_from_slice(files);
        self
    }

    /// Adds files, which are written already: they become active.
    #[allow(clippy::should_implement_trait, reason = "it says what is done, beside `remove`")]
    pub fn add(mut self, files: Vec<Arc<FileEntry>>) -> Self {
        self.added.extend(files);
        self
    }

    /// The nonce, which tells the commit from all others in the log.
    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Rows of the hours through this one may have gone by age.
    pub(crate) fn expired(self, through: Option<Hour>) -> Self {
        Self { expired_through: through, ..self }
    }

    /// Files of other programs cease to be active.
    pub(crate) fn without_foreign_files(self) -> Self {
        Self { without_foreign_files: true, ..self }
    }

    /// The table is declared anew.
    pub(crate) fn declare(self, declared: Option<Declared>) -> Self {
        Self { declared, ..self }
    }

    /// Commits the change, as of a clock that says `now`.
    ///
    /// # Errors
    /// Nothing was changed then. A request error if the change does not fit its base: a file to remove is not active, or
    /// rows would have their home in two files. A store error if what must be written before the commit could not be.
    pub async fn commit(self, now: Timestamp) -> Result<Outcome> {
        let Self { table, base, .. } = self;
        let (version, at) = (next(base.version()), base.commit_time(now));
        let gone: Vec<FilePath> = self.removed.iter().map(|entry| entry.path).collect();
        if let Some(path) = gone.iter().find(|path| !base.is_active(path)) {
            let base = base.version();
            return Err(Error::request(format!("{path} is not active in version {base}")));
        }
        let after = base.apply(version, &gone, self.added.clone());
        let mut after = after.expired(self.expired_through).committed(Some(at));
        if self.without_foreign_files {
            after = after.with_foreign_files(Vec::new(), None);
        }
        if let Some([first, second]) = after.find_overlap() {
            return Err(Error::request(format!(
                "two files would hold the same rows, {} and {}",
                first.path, second.path
            )));
        }
        let commit = Commit::replace(&Replacement {
            schema: table.schema(),
            declared: self.declared.as_ref(),
            operation: self.operation,
            change: &self.change,
            nonce: &self.nonce,
            at,
            removed: &self.removed,
            added: &self.added,
            snapshots: [base, &after],
        })?;
        if base.committed_at().is_some_and(|made| at.since(made) > STALE)
            && delta::newest(table.store()).await?.is_some_and(|newest| newest >= version)
        {
            return Ok(Outcome::Conflicted(Conflict::new(table, version)));
        }
        table.put_watermarks_of_removed(base).await?;
        table.put_watermarks(base, &self.removed, &after).await?;
        put(table, after, &commit).await
    }
}

/// Puts the commit that makes `after`, and finds out whether it was made if the store does not say.
async fn put(table: &LakeTable, after: Snapshot, commit: &Commit) -> Result<Outcome> {
    let (log, version) = (delta::log(table.store()), after.version());
    let mut error = match log.put(version.get(), commit).await? {
        Put::Made | Put::Found(_) => return Ok(Outcome::Committed(after)),
        Put::Taken => return Ok(Outcome::Conflicted(Conflict::new(table, version))),
        Put::Unknown(error) => error,
    };
    for wait in LOOKS {
        retry::pause(wait).await;
        match log.holds(version.get(), commit).await {
            Ok(Some(true)) => return Ok(Outcome::Committed(after)),
            Ok(Some(false)) => return Ok(Outcome::Conflicted(Conflict::new(table, version))),
            Ok(None) => {}
            Err(again) => error = again,
        }
    }
    let (table, commit) = (table.clone(), commit.clone());
    Ok(Outcome::Unknown(Unknown { table, after: Box::new(after), commit, error }))
}

impl Outcome {
    /// The version that was made, for callers that do not decide again.
    ///
    /// # Errors
    /// `Conflict` if another writer was first, `Store` if it is not known.
    pub fn committed(self) -> Result<Snapshot> {
        match self {
            Self::Committed(snapshot) => Ok(snapshot),
            Self::Conflicted(conflict) => Err(conflict.into()),
            Self::Unknown(unknown) => Err(unknown.into()),
        }
    }
}

impl Conflict {
    pub(crate) fn new(table: &LakeTable, version: TableVersion) -> Self {
        Self { table: table.clone(), version }
    }
}

impl Unknown {
    /// The version in question.
    pub fn version(&self) -> TableVersion {
        self.after.version()
    }

    /// Puts the same commit once more, which makes nothing twice: for callers that cannot leave the outcome open.
    ///
    /// # Errors
    /// As of [`Transaction::commit`].
    pub async fn repeat(self) -> Result<Outcome> {
        put(&self.table, *self.after, &self.commit).await
    }
}

impl From<Conflict> for Error {
    fn from(Conflict { table, version }: Conflict) -> Self {
        let why =
            format!("version {version} of {} was committed by another writer", table.store().url());
        Self::new(ErrorKind::Conflict, why)
    }
}

impl From<Unknown> for Error {
    fn from(Unknown { table, after, error, .. }: Unknown) -> Self {
        unknown(&table, after.version(), error)
    }
}

/// That the store does not say whether a version was committed.
pub(crate) fn unknown(table: &LakeTable, version: TableVersion, error: Error) -> Error {
    let name = table.schema().name();
    let why = format!(
        "it is not known whether version {version} of table {name:?} was committed, since the store failed: check before trying again"
    );
    Error::new(ErrorKind::Store, why).with_source(error)
}
