//! The lake: tables as sorted Parquet files under a Delta Lake log, in a local folder or an object store.
//!
//! A table is declared by a [`TableSchema`], changed by a [`Transaction`], and read through a [`Snapshot`]: the set of
//! active files at one version, with their statistics in memory.

pub mod blocking;
pub mod delta;
pub mod error;
pub mod file;
pub mod owner;
pub mod paths;
pub mod period;
pub mod priority;
pub mod register;
pub mod schema;
pub mod select;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod time;
pub mod transaction;
pub mod trusted_time;
pub mod units;

pub use error::{Error, ErrorKind, Result};
pub use owner::LogId;
pub use paths::{FilePath, LogPosition, TableVersion};
pub use period::{Period, Tier};
pub use schema::{Key, KeyType, TableDeclaration, TableSchema, ValueColumn, ValueType};
pub use select::KeySelection;
pub use snapshot::{DeletionVector, FileEntry, ForeignFile, Snapshot};
pub use store::LakeStore;
pub use table::{AsOf, LakeTable};
pub use time::{Hour, Micros, TimeRange};
pub use transaction::{Change, Operation, Outcome, Retry, Transaction};
pub use trusted_time::TrustedTime;
pub use units::{Size, Span};
