//! The maintenance jobs: `expire` removes rows that are too old, `sweep` deletes files that no version needs, `verify`
//! checks that every file is there as it was written.

mod expire;
mod retention;
mod sweep;
#[cfg(test)]
mod tests;
mod verify;

pub use expire::Expire;
pub use retention::Retention;
pub use sweep::Sweep;
pub use verify::Verify;

use barograph_lake::{LakeStore, LakeTable, Snapshot, table};

use crate::schedule::{Context, Plan};
use crate::{Error, Result};

/// A table and its newest version.
pub(crate) struct Opened {
    pub(crate) name: String,
    pub(crate) table: LakeTable,
    pub(crate) snapshot: Snapshot,
}

/// Tables that a job works on, by name, and those that cannot be opened.
pub(crate) struct Tables<T> {
    opened: Vec<T>,
    failed: Vec<(String, Error)>,
}

impl<T> Tables<T> {
    fn new() -> Self {
        Self { opened: Vec::new(), failed: Vec::new() }
    }

    fn add(&mut self, name: &str, opened: Result<T>) {
        match opened {
            Ok(opened) => self.opened.push(opened),
            Err(error) => self.failed.push((name.to_owned(), error)),
        }
    }

    /// Names of those that cannot be opened.
    fn unopened(&self) -> impl Iterator<Item = &str> {
        self.failed.iter().map(|(name, _)| name.as_str())
    }

    /// Those that can be worked on; of the others `plan` says why not.
    pub(crate) fn planned(self, plan: &mut Plan) -> Vec<T> {
        for (name, error) in self.failed {
            plan.cannot(&name, &error);
        }
        self.opened
    }

    /// Those that can be worked on; the others have failed.
    pub(crate) fn begun(self, context: &Context) -> Result<Vec<T>> {
        for (name, error) in self.failed {
            context.failed(&name, "all", error)?;
        }
        Ok(self.opened)
    }
}

/// The tables of a lake.
pub(crate) async fn tables(lake: &LakeStore) -> Result<Tables<Opened>> {
    let mut tables = Tables::new();
    for name in table::names(lake).await? {
        tables.add(&name, open(lake, &name).await);
    }
    Ok(tables)
}

async fn open(lake: &LakeStore, name: &str) -> Result<Opened> {
    let (table, snapshot) = LakeTable::open_existing(lake.child(name)).await?;
    Ok(Opened { name: name.to_owned(), table, snapshot })
}
