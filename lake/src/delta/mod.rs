//! The Delta Lake log: the commits that make a table of files.
//!
//! ```text
//! TABLE/_delta_log/00000000000000000000.json                 protocol and schema
//! TABLE/_delta_log/00000000000000000001.json                 files added and removed, with statistics
//! TABLE/_delta_log/00000000000000000001.checkpoint.parquet   all active files at a version
//! TABLE/_delta_log/_last_checkpoint                          where readers start
//! ```
//!
//! Commits are entries of a register, put if absent; the Delta kernel reads the log back and computes what a
//! checkpoint holds. Format: <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>.

mod actions;
mod change;
mod checkpoint;
mod commit;
mod deleted_rows;
mod difference;
mod expired;
mod foreign;
mod history;
mod kernel;
mod load;
mod log_path;
mod metadata;
mod note;
mod stats;
#[cfg(test)]
mod tests;
mod times;
mod unreadable;
mod versions;
mod without_hint;

pub use change::{Change, Operation};
pub use commit::spans;
pub use history::CommitInfo;

pub(crate) use checkpoint::{expire, write_checkpoint};
pub(crate) use commit::{Commit, Declared, Replacement, log};
pub(crate) use deleted_rows::deleted_rows;
pub(crate) use difference::{Columns, Difference};
pub(crate) use foreign::{is_foreign, last_own, newest, unfit};
pub(crate) use history::{between, commit_of, history, removed_since, written};
pub(crate) use load::{Loaded, load, load_at, made_here};
pub(crate) use log_path::{LOG_FOLDER, LogName};
pub(crate) use metadata::{Former, Metadata};
pub(crate) use note::FileNote;
pub(crate) use unreadable::{explained, unreadable};
pub(crate) use versions::Versions;
