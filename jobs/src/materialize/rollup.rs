//! Rollups as derived tables: their rows are the windows of another table.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use barograph_engine::rollup::{Rollup, SourceWatermark};
use barograph_engine::{Engine, ScanStream, View};
use barograph_lake::{Hour, KeySelection, LakeStore, TableSchema, TimeRange, Timestamp};
use futures::future::BoxFuture;

use super::{DerivedTable, Materialize};
use crate::Result;

/// The job `rollup`, which keeps `rollups` up to date with their sources; its records and its progress lie in
/// `store`. Without an engine it can only be inspected.
pub fn rollups(engine: Option<Arc<Engine>>, store: LakeStore, rollups: &[Rollup]) -> Materialize {
    let mut rollups: Vec<_> = rollups.iter().collect();
    // What is made soonest is there soonest.
    rollups.sort_by_key(|rollup| rollup.every());
    let boxed = |rollup| Box::new(RollupTable::of(rollup)) as Box<dyn DerivedTable>;
    let derived_tables = rollups.into_iter().map(boxed);
    let about = "keeps rollups up to date with their source tables";
    Materialize::new("rollup", about, engine, store, derived_tables.collect())
}

/// A rollup and its table.
#[derive(Debug)]
pub(super) struct RollupTable {
    rollup: Arc<Rollup>,
}

impl RollupTable {
    pub(super) fn of(rollup: &Rollup) -> Self {
        Self { rollup: Arc::new(rollup.clone()) }
    }
}

impl DerivedTable for RollupTable {
    fn source(&self) -> &str {
        self.rollup.source().name()
    }

    fn table(&self) -> &Arc<TableSchema> {
        self.rollup.table()
    }

    fn definition(&self) -> String {
        self.rollup.to_string()
    }

    fn windows(&self, hours: &BTreeSet<Hour>) -> BTreeSet<Timestamp> {
        self.rollup.windows(hours)
    }

    fn window(&self, instant: Timestamp) -> TimeRange {
        self.rollup.window(instant)
    }

    fn keys(&self, keys: &KeySelection) -> KeySelection {
        keys.clone()
    }

    fn compute<'a>(
        &'a self,
        engine: &'a Engine,
        view: Arc<View>,
        keys: KeySelection,
        window: TimeRange,
    ) -> BoxFuture<'a, Result<ScanStream>> {
        Box::pin(async move { Ok(engine.roll_up(&self.rollup, view, keys, window).await?) })
    }

    fn emptied(&self, keys: ArrayRef, times: ArrayRef) -> Result<RecordBatch> {
        Ok(self.rollup.emptied(keys, times)?)
    }

    fn report(&self, engine: &Engine, watermark: &SourceWatermark) {
        engine.rolled_up_through(self.rollup.table().name(), watermark.clone());
    }
}
