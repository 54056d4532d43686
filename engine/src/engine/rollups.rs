//! The rollups of an engine: what is declared, how far each is computed, which of its windows are out of date, and the
//! rows of windows that are computed anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use barograph_lake::{Hour, KeySelection, TableVersion, TimeRange, Timestamp};
use futures::StreamExt;
use futures::future::BoxFuture;

use super::Engine;
use crate::rollup::{Changed, RegisteredRollup, Rollup, Rollups, SourceWatermark};
use crate::{Result, ScanStream, View};

impl Engine {
    /// The rows of a rollup for some keys and whole windows, as `view` of its source has them: all columns
    /// of the rollup but `ingested_at`, ordered by (key, window).
    ///
    /// # Errors
    /// As of [`Engine::scan`].
    pub fn roll_up<'a>(
        &'a self,
        rollup: &'a Arc<Rollup>,
        view: Arc<View>,
        keys: KeySelection,
        windows: TimeRange,
    ) -> BoxFuture<'a, Result<ScanStream>> {
        Box::pin(async move {
            let found = self.scan(view, rollup.scan(keys, windows)).await?;
            let schema = rollup.given();
            let rollup = Arc::clone(rollup);
            let batches = found.batches.map(move |windows| rollup.rows(&windows?));
            Ok(ScanStream { schema, batches: batches.boxed() })
        })
    }

    /// Declares a rollup to the engine.
    ///
    /// # Errors
    /// `NotFound` if its table or its source is none of the engine's.
    pub fn declare_rollup(&self, rollup: Rollup) -> Result<()> {
        self.table(rollup.source().name())?;
        self.table(rollup.table().name())?;
        self.rollups.declare(rollup);
        Ok(())
    }

    /// The rollups by name, and how far each is computed. Views taken afterwards have at least the rows computed up
    /// to there.
    pub fn rollups(&self) -> Arc<Rollups> {
        self.rollups.all()
    }

    /// Records how far a rollup is computed: all rows of it up to there can be read.
    pub fn rolled_up_through(&self, rollup: &str, watermark: SourceWatermark) {
        self.rollups.follow(rollup, watermark);
    }

    /// The hours and keys of a table that the commits after one version through another changed; `None` if that is
    /// not known, as a commit does not say it or is gone from the log.
    pub async fn changes(
        &self,
        table: &str,
        after: TableVersion,
        through: TableVersion,
    ) -> Result<Option<Vec<Changed>>> {
        if after >= through {
            return Ok((after == through).then(Vec::new));
        }
        let commits = self.table(table)?.lake.commits_between(after, through).await?;
        Ok(commits.and_then(|commits| commits.into_iter().map(Changed::of).collect()))
    }

    /// First instants of the windows of a rollup that are to be computed from `source`, as the rows of `kept` are out
    /// of date.
    pub async fn stale_windows(
        &self,
        declared: &RegisteredRollup,
        [source, kept]: [&View; 2],
    ) -> Result<BTreeSet<Timestamp>> {
        let rollup = &declared.rollup;
        let mut stale = match self.changed_windows(declared, source).await? {
            Some(changed) => changed,
            None => rollup.windows(source.hours().iter().chain(&kept.hours())),
        };
        Ok(stale.split_off(&rollup.computed_from(source)))
    }

    /// First instants of the windows that are not as when they were computed; `None` if that is not known.
    async fn changed_windows(
        &self,
        declared: &RegisteredRollup,
        source: &View,
    ) -> Result<Option<BTreeSet<Timestamp>>> {
        let Some(watermark) = &declared.watermark else { return Ok(None) };
        let (table, through) = (declared.rollup.source().name(), source.snapshot.version());
        let Some(changes) = self.changes(table, watermark.version, through).await? else {
            return Ok(None);
        };
        let mut hours: BTreeSet<Hour> =
            changes.into_iter().flat_map(|changed| changed.hours).collect();
        hours.extend(source.tail.hours().iter().map(|hour| hour.hour()));
        let mut windows = declared.rollup.windows(&hours);
        windows.extend(watermark.stale.iter().copied());
        Ok(Some(windows))
    }
}
