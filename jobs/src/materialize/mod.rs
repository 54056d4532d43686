//! Materialization of derived tables: they are computed from the rows of another table and kept up to date as those
//! change, window by window.
//!
//! ```text
//! commits of the source ─hours─► windows that are stale ─► rows computed anew of the source ┐
//!        ▲ since the watermark                             rows that the table has          ┴► those that differ
//!        └────── progress: version, stale windows ◄──────────────────── put, durable ◄──────────┘
//! ```
//!
//! A window that is computed twice is put once: what is there already is not put again. So a run may be cut
//! off anywhere, and rows that came late change the rows of their windows alone.
//!
//! - `progress`: through which version a table is computed, from run to run.
//! - `pending`: which files may not expire yet, as something is still to be computed from them.
//! - `replace`: which rows are to be put in a window.
//! - `job`: the run; `rollup`: the windows of a table.

mod job;
mod pending;
mod progress;
mod replace;
mod rollup;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use barograph_engine::rollup::SourceWatermark;
use barograph_engine::{Engine, ScanStream, View};
use barograph_lake::{Hour, KeySelection, Snapshot, TableSchema, TimeRange, Timestamp};
use futures::future::BoxFuture;

pub use job::Materialize;
pub use rollup::rollups;

use crate::Result;

/// A table that is computed from another.
///
/// 1. What `compute` gives depends on the rows of the source alone.
/// 2. If rows of an hour change, it changes in the windows that `windows` names for that hour and in no other; for
///    keys, the same holds with `keys`.
/// 3. Its rows are ordered by (key, time), and all rows of a key stand in one batch.
pub trait DerivedTable: Debug + Send + Sync {
    /// Name of the table that it is computed from.
    fn source(&self) -> &str;

    /// The table that holds the computed rows.
    fn table(&self) -> &Arc<TableSchema>;

    /// A text that tells it from other computations: if it changes, everything is computed anew.
    fn definition(&self) -> String;

    /// First instants of the windows that rows of `hours` contribute to.
    fn windows(&self, hours: &BTreeSet<Hour>) -> BTreeSet<Timestamp>;

    /// The window that holds an instant.
    fn window(&self, instant: Timestamp) -> TimeRange;

    /// First instant of the windows that can be computed from the source: rows of earlier windows may have expired,
    /// and those windows stay as they were computed.
    fn computed_from(&self, source: &Snapshot) -> Timestamp {
        let expired = source.expired_through();
        let windows = self.windows(&expired.into_iter().collect());
        windows.last().map_or(Timestamp::MIN, |&last| self.window(last).to)
    }

    /// The keys whose rows change if rows of `keys` change.
    fn keys(&self, keys: &KeySelection) -> KeySelection;

    /// The rows of some keys in a window, all columns but `ingested_at`, as `view` of the source has them.
    ///
    /// # Errors
    /// As of a scan.
    fn compute<'a>(
        &'a self,
        engine: &'a Engine,
        view: Arc<View>,
        keys: KeySelection,
        window: TimeRange,
    ) -> BoxFuture<'a, Result<ScanStream>>;

    /// Empty rows, to stand in the place of rows that the computation gives no more.
    ///
    /// # Errors
    /// `Internal`.
    fn emptied(&self, keys: ArrayRef, times: ArrayRef) -> Result<RecordBatch>;

    /// Tells the engine how far the table is computed.
    fn report(&self, engine: &Engine, watermark: &SourceWatermark);
}
