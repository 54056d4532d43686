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
use barograph_lake::{Hour, KeySelection, TableVersion, Timestamp};

use super::Rollup;
use crate::Error;

/// The version of its source up to which a rollup is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceWatermark {
    /// The version.
    pub version: TableVersion,
    /// First instants of the windows that are still to be computed as of that version.
    pub stale: BTreeSet<Timestamp>,
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
    pub(crate) fn of(commit: CommitInfo) -> Option<Self> {
        let keys = commit.keys.map_or(KeySelection::All, KeySelection::list);
        Some(Self { hours: commit.hours?.into_iter().collect(), keys })
    }
}

/// A rollup that is declared to the engine, and how far it is computed.
#[derive(Debug, Clone)]
pub struct RegisteredRollup {
    /// The rollup.
    pub rollup: Arc<Rollup>,
    /// How far it is computed; absent if that is not known, and then no row of it counts.
    pub watermark: Option<Arc<SourceWatermark>>,
}

/// The rollups by name.
pub type Rollups = BTreeMap<String, RegisteredRollup>;

/// The rollups of an engine, as reported by the job that computes them.
#[derive(Debug, Default)]
pub(crate) struct RollupRegistry(ArcSwap<Rollups>);

impl RollupRegistry {
    /// The rollups, and how far each is computed.
    pub(crate) fn all(&self) -> Arc<Rollups> {
        self.0.load_full()
    }

    /// Adds a rollup, of which nothing is computed.
    pub(crate) fn declare(&self, rollup: Rollup) {
        let name = rollup.table().name().to_owned();
        let declared = RegisteredRollup { rollup: Arc::new(rollup), watermark: None };
        self.0.rcu(|rollups| {
            let mut rollups = Rollups::clone(rollups);
            rollups.insert(name.clone(), declared.clone());
            rollups
        });
    }

    /// Records how far a rollup is computed.
    pub(crate) fn follow(&self, rollup: &str, watermark: SourceWatermark) {
        let watermark = Arc::new(watermark);
        self.0.rcu(|rollups| {
            let mut rollups = Rollups::clone(rollups);
            if let Some(declared) = rollups.get_mut(rollup) {
                declared.watermark = Some(Arc::clone(&watermark));
            }
            rollups
        });
    }
}

impl RegisteredRollup {
    /// The error for a name that is no rollup.
    pub fn missing(rollups: &Rollups, name: &str) -> Error {
        let names: Vec<_> = rollups.keys().map(String::as_str).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::request(format!(
            "there is no rollup {name:?}: there are {there}; the settings declare them as [rollups.{name}]"
        ))
    }
}
