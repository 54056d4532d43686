//! Preparation of a table: the commit that makes it match its declaration, decided before anything is written, so that
//! several tables can be checked before the first is created.
//!
//! | stored | declared | committed |
//! |---|---|---|
//! | nothing | anything | version 0 |
//! | the same columns | other units, ranges or order | the declaration |
//! | value columns | more, or with room for more values | the declaration; they are null in existing rows |
//! | the same, but not the columns whose statistics readers may use | the same | the declaration |
//! | other columns, and never a row | anything | the declaration |
//! | other columns, and rows | | refused |
//!
//! A table whose newest commits are by other programs opens at the last version before them; the program that serves it
//! adopts what came since.

use std::sync::Arc;

use super::{LakeTable, next, refused};
use crate::delta::{self, Columns, Commit, Difference, Loaded, Metadata};
use crate::register::Put;
use crate::snapshot::{Incompatibility, IncompatibilityKind};
use crate::store::LakeStore;
use crate::transaction::{Conflict, unknown};
use crate::{Error, ErrorKind, Result, Retry, Snapshot, TableSchema, TableVersion};

/// A table that can be opened as it is declared. Nothing has been written for it.
#[derive(Debug)]
pub struct Prepared {
    table: LakeTable,
    state: State,
}

/// How a table stands to its declaration.
#[derive(Debug)]
enum State {
    /// It is as declared.
    Ready(Snapshot),
    /// It is so once this is committed.
    PendingCommit(PendingCommit),
}

#[derive(Debug)]
struct PendingCommit {
    version: TableVersion,
    commit: Commit,
    /// As it is stored, if it is.
    snapshot: Option<Snapshot>,
    /// As other programs have made it since.
    foreign: Option<Snapshot>,
    /// In which columns it differs.
    columns: Option<String>,
}

impl LakeTable {
    /// Checks whether the table whose folder is `store` can be opened as `schema` declares it. Writes nothing.
    ///
    /// # Errors
    /// A request error if the table holds rows, or has held some, with other columns than `schema` declares.
    pub async fn prepare(store: LakeStore, schema: Arc<TableSchema>) -> Result<Prepared> {
        let mut table = Self { store, schema, former: Arc::new([]) };
        let state = table.state().await?;
        Ok(Prepared { table, state })
    }

    async fn state(&mut self) -> Result<State> {
        let schema = Arc::clone(&self.schema);
        let schema = &schema;
        let loaded = match delta::load(&self.store).await {
            // Another program may have made of it what this one cannot read.
            Err(e) if e.kind() == ErrorKind::Damage => match delta::last_own(&self.store).await? {
                Some(own) => return self.state_at(own, Err(e)).await,
                None => return Err(delta::explained(&self.store, e).await?),
            },
            loaded => loaded?,
        };
        let Some(loaded) = loaded else {
            let commit = Commit::create(&Metadata::new(schema)?, schema)?;
            let version = TableVersion::new(0);
            return Ok(State::PendingCommit(PendingCommit::new(version, commit)));
        };
        if let Some(own) = loaded.snapshot.own() {
            return self.state_at(own, Ok(loaded)).await;
        }
        let Loaded { metadata, schema: stored, snapshot, .. } = loaded;
        self.former = metadata.former()?;
        let (columns, replaced) = match Difference::between(&stored, schema) {
            Difference::None if metadata.states_skipping(schema) => {
                return Ok(State::Ready(snapshot));
            }
            Difference::None | Difference::Description => (Columns::default(), None),
            Difference::Columns(columns) => (columns, None),
            Difference::Unlike(difference) if self.never_held_rows(&snapshot).await? => {
                (Columns::default(), Some(difference))
            }
            Difference::Unlike(difference) => return Err(self.unlike(&difference)),
        };
        let version = next(snapshot.version());
        let commit = self.redeclare(&metadata, &columns, version)?;
        let due = PendingCommit::new(version, commit);
        Ok(State::PendingCommit(PendingCommit {
            snapshot: Some(snapshot),
            columns: replaced,
            ..due
        }))
    }

    /// The same of a table that was this program's last at version `own`, and is `newest` since, if that can be read.
    async fn state_at(&mut self, own: TableVersion, newest: Result<Loaded>) -> Result<State> {
        let before = delta::load_at(&self.store, own).await?;
        self.former = before.metadata.former()?;
        let columns = match Difference::between(&before.schema, &self.schema) {
            Difference::None | Difference::Description => Columns::default(),
            Difference::Columns(columns) => columns,
            Difference::Unlike(difference) => return Err(self.unlike(&difference)),
        };
        let snapshot = before.snapshot.under(&before.schema, &self.schema).with_own(Some(own));
        if columns == Columns::default() {
            return Ok(State::Ready(snapshot));
        }
        let Loaded { metadata, snapshot: newest, columns: stored, .. } = newest?;
        if let Some(incompatibility) = newest.incompatibility() {
            let unfit = match incompatibility.of {
                IncompatibilityKind::NewColumns | IncompatibilityKind::Columns => {
                    delta::unfit(&stored, &before.schema, &self.schema)
                }
                _ => Some(incompatibility.why.clone()),
            };
            if let Some(why) = unfit {
                let incompatibility = Incompatibility { why, ..incompatibility.clone() };
                return Err(refused(&self.store, &self.schema, &newest, &incompatibility));
            }
        }
        let version = next(newest.version());
        let commit = self.redeclare(&metadata, &columns, version)?;
        let due = PendingCommit::new(version, commit);
        Ok(State::PendingCommit(PendingCommit {
            snapshot: Some(snapshot),
            foreign: Some(newest),
            ..due
        }))
    }

    fn redeclare(
        &self,
        metadata: &Metadata,
        columns: &Columns,
        version: TableVersion,
    ) -> Result<Commit> {
        if *columns != Columns::default() {
            let (table, added, widened) = (self.schema.name(), &columns.added, &columns.widened);
            tracing::info!(table, %version, ?added, ?widened, "columns change");
        }
        Commit::redeclare(&metadata.redeclared(&self.schema)?, &self.schema, columns)
    }

    fn unlike(&self, difference: &str) -> Error {
        Error::request(format!(
            "table {0:?} at {1} has other columns than declared: {difference}. Value columns can be added and \
             widened; `barograph lake alter {0} --drop COLUMN` drops one and `--rename COLUMN=NEW` renames one, without a server; declare the others as they are stored, or move that folder away if its rows are not needed",
            self.schema.name(),
            self.store.url()
        ))
    }

    /// Whether there is no version whose files would be read with columns that they do not have.
    async fn never_held_rows(&self, snapshot: &Snapshot) -> Result<bool> {
        if !snapshot.files().is_empty() || snapshot.expired_through().is_some() {
            return Ok(false);
        }
        let history = self.history().await?;
        let whole = history.len() as u64 == snapshot.version().get().saturating_add(1);
        Ok(whole && history.iter().all(|commit| commit.files_added == 0))
    }
}

impl PendingCommit {
    fn new(version: TableVersion, commit: Commit) -> Self {
        Self { version, commit, snapshot: None, foreign: None, columns: None }
    }
}

impl Prepared {
    /// The table, which is as declared once it is opened.
    pub fn table(&self) -> &LakeTable {
        &self.table
    }

    /// The table's declaration and Arrow schema.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.table.schema
    }

    /// The newest version, if the table is stored.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match &self.state {
            State::Ready(snapshot) => Some(snapshot),
            State::PendingCommit(due) => due.snapshot.as_ref(),
        }
    }

    /// Whether nothing has to be committed for it.
    pub fn is_as_declared(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// The difference between the stored and the declared columns, for a table that has never held a row.
    pub fn other_columns(&self) -> Option<&str> {
        match &self.state {
            State::Ready(_) => None,
            State::PendingCommit(due) => due.columns.as_deref(),
        }
    }

    /// Commits what is due, and returns the table with its newest version.
    ///
    /// # Errors
    /// As of [`LakeTable::prepare`], if another changed the table meanwhile.
    pub async fn open(self) -> Result<(LakeTable, Snapshot)> {
        let (Self { mut table, mut state }, mut retry) = (self, Retry::default());
        loop {
            let due = match state {
                State::Ready(snapshot) => return Ok((table, snapshot)),
                State::PendingCommit(due) => due,
            };
            if let Some(newest) = &due.foreign {
                table.put_watermarks_of_removed(newest).await?;
            }
            match delta::log(&table.store).put(due.version.get(), &due.commit).await? {
                Put::Made | Put::Found(_) => {}
                Put::Taken => retry.wait(Conflict::new(&table, due.version)).await?,
                // Whoever opens it again finds out.
                Put::Unknown(error) => {
                    return Err(unknown(&table, due.version, error));
                }
            }
            // Made, by us or by another: it is read like any table.
            state = table.state().await?;
        }
    }
}
