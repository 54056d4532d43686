//! Which jobs keep the lake in order? `expire` takes out what is too old, `sweep` deletes what no version
//! needs, `verify` looks whether all is there as it was written.

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

use crate::Result;

/// A table and its newest version.
pub(crate) struct Opened {
    pub(crate) name: String,
    pub(crate) table: LakeTable,
    pub(crate) snapshot: Snapshot,
}

/// The tables of a lake, by name.
pub(crate) async fn tables(lake: &LakeStore) -> Result<Vec<Opened>> {
    let mut opened = Vec::new();
    for name in table::names(lake).await? {
        opened.push(open(lake, &name).await?);
    }
    Ok(opened)
}

async fn open(lake: &LakeStore, name: &str) -> Result<Opened> {
    let (table, snapshot) = LakeTable::open_existing(lake.child(name)).await?;
    Ok(Opened { name: name.to_owned(), table, snapshot })
}
