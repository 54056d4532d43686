//! The freshness of a rollup: up to date are the windows that no commit to the source changed since they were
//! computed, and of which the tail holds no row.
//!
//! ```text
//! version of the source   … 41 ──────── 42 ──────── 43      the view of a query
//! rolled up through          41, of which window 7 is still to do
//! commits since                         hour 9      moved   (compaction changes no hour)
//! tail                                                hour 10
//! stale                      windows 7, 9 and 10
//! ```
//!
//! Windows of which rows have expired stay as they were computed, for ever: they cannot be computed from the rows
//! that are left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use barograph_lake::table::CommitInfo;
use barograph_lake::{Hour, KeySelection, Micros, TableVersion};

use super::Rollup;
use crate::{Engine, Error, Result, View};

/// The version of its source up to which a rollup is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The version.
    pub version: TableVersion,
    /// First instants of the windows that are still to be computed as of that version.
    pub stale: BTreeSet<Micros>,
}

/// The hours and keys that commits changed: no rows of other hours, and none of other keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The hours.
    pub hours: BTreeSet<Hour>,
    /// The keys.
    pub keys: KeySelection,
}

impl Changed {
    /// What a commit says; `None` if it says nothing.
    fn of(commit: CommitInfo) -> Option<Self> {
        let keys = commit.keys.map_or(KeySelection::All, KeySelection::list);
        Some(Self { hours: commit.hours?.into_iter().collect(), keys })
    }
}

/// A rollup of the engine.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The rollup.
    pub rollup: Arc<Rollup>,
    /// How far it is computed; absent if that is not known, and then no row of it counts.
    pub followed: Option<Arc<Followed>>,
}

/// The rollups by name.
pub type Rollups = BTreeMap<String, Declared>;

/// The rollups of an engine, as reported by the job that computes them.
#[derive(Debug, Default)]
pub struct Told(ArcSwap<Rollups>);

impl Engine {
    /// Declares a rollup to the engine.
    ///
    /// # Errors
    /// `NotFound` if its table or its source is none of the engine's.
    pub fn declare_rollup(&self, rollup: Rollup) -> Result<()> {
        self.table(rollup.source().name())?;
        self.table(rollup.table().name())?;
        let name = rollup.table().name().to_owned();
        let declared = Declared { rollup: Arc::new(rollup), followed: None };
        self.rollups.0.rcu(|rollups| {
            let mut rollups = Rollups::clone(rollups);
            rollups.insert(name.clone(), declared.clone());
            rollups
        });
        Ok(())
    }

    /// The rollups by name, and how far each is computed. Views taken afterwards have at least the rows computed up
    /// to there.
    pub fn rollups(&self) -> Arc<BTreeMap<String, Declared>> {
        self.rollups.0.load_full()
    }

    /// Records how far a rollup is computed: all rows of it up to there can be read.
    pub fn rolled_up_through(&self, rollup: &str, followed: Followed) {
        let followed = Arc::new(followed);
        self.rollups.0.rcu(|rollups| {
            let mut rollups = Rollups::clone(rollups);
            if let Some(declared) = rollups.get_mut(rollup) {
                declared.followed = Some(Arc::clone(&followed));
            }
            rollups
        });
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
        declared: &Declared,
        [source, kept]: [&View; 2],
    ) -> Result<BTreeSet<Micros>> {
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
        declared: &Declared,
        source: &View,
    ) -> Result<Option<BTreeSet<Micros>>> {
        let Some(followed) = &declared.followed else { return Ok(None) };
        let (table, through) = (declared.rollup.source().name(), source.snapshot.version());
        let Some(changes) = self.changes(table, followed.version, through).await? else {
            return Ok(None);
        };
        let mut hours: BTreeSet<Hour> =
            changes.into_iter().flat_map(|changed| changed.hours).collect();
        hours.extend(source.tail.hours().iter().map(|hour| hour.hour()));
        let mut windows = declared.rollup.windows(&hours);
        windows.extend(followed.stale.iter().copied());
        Ok(Some(windows))
    }
}

impl Declared {
    /// The error for a name that is no rollup.
    pub fn missing(rollups: &Rollups, name: &str) -> Error {
        let names: Vec<_> = rollups.keys().map(String::as_str).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::request(format!(
            "there is no rollup {name:?}: there are {there}; the settings declare them as [rollups.{name}]"
        ))
    }
}
