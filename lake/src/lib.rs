//! The lake: tables as sorted Parquet files under a Delta Lake log, in a local folder or an object store.
//!
//! A table is declared by a [`TableSchema`], changed by a [`Transaction`], and read through a [`Snapshot`]: the set of
//! active files at one version, with their statistics in memory.
//!
//! | module | what it is for |
//! |---|---|
//! | the root | tables, snapshots, transactions, and the vocabulary of the domain: keys, hours, positions, versions |
//! | [`schema`] | the declaration of a table, and where its fixed columns stand |
//! | [`time`] | instants as text and as numbers |
//! | [`table`] | what can be done with a table as a whole: alter, check, delete, restore, sweep |
//! | [`mod@file`] | one data file: how it is written, read, and its cost known from its page index |
//! | [`store`] | where the lake lives, and a store that fails as planned, for tests |
//! | [`register`] | numbered objects, put if absent, of which the highest counts |

mod blocking;
mod cache_use;
mod delta;
mod error;
pub mod file;
mod owner;
mod paths;
mod period;
mod priority;
pub mod register;
pub mod schema;
mod select;
mod snapshot;
pub mod store;
pub mod table;
pub mod time;
mod transaction;
mod trusted_time;
mod units;

pub use cache_use::CacheUse;
pub use error::{Error, ErrorKind, Result};
pub use owner::LogId;
pub use paths::{FilePath, LogPosition, TableVersion};
pub use period::{Period, Tier};
pub use schema::{Key, KeyType, TableDeclaration, TableSchema, ValueColumn, ValueType};
pub use select::KeySelection;
pub use snapshot::{ColumnStats, DeletionVector, FileEntry, ForeignFile, Snapshot};
pub use store::LakeStore;
pub use table::{AsOf, LakeTable};
pub use time::{Hour, TimeRange, Timestamp};
pub use transaction::{Change, Conflict, Operation, Outcome, Retry, Transaction, Unknown};
pub use trusted_time::TrustedTime;
pub use units::{Size, Span};

/// What the other crates of Barograph share with this one. It may change with any version.
#[doc(hidden)]
pub mod internal {
    pub use crate::blocking::may_wait;
    pub use crate::delta::spans;
    pub use crate::error::{Cause, because};
    pub use crate::file::places::check_places;
    pub use crate::owner::{claim, is_released, owner, release};
    pub use crate::priority::{lower_priority, yield_if_background};
    pub use crate::snapshot::key_ranges;
}

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_fuzz::Allocator<std::alloc::System> =
    barograph_fuzz::Allocator(std::alloc::System);
