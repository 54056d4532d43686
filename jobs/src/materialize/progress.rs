//! The progress of derived tables: the version of its source through which each is computed, as one JSON object for
//! all tables of a job.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use barograph_engine::Engine;
use barograph_engine::rollup::{Changed, SourceWatermark};
use barograph_lake::{KeySelection, TableVersion, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

use super::DerivedTable;
use crate::Result;

/// Keys by the first instant of a window in which rows of no other key are out of date.
pub(super) type StaleKeys = HashMap<Timestamp, KeySelection>;

/// The progress of the tables of a job, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    tables: BTreeMap<String, Computed>,
}

/// How far a table is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Computed {
    /// How it is computed.
    definition: String,
    /// The version of the source.
    version: u64,
    /// Ranges of windows that are still to be computed: first instant, first instant after.
    stale: Vec<(String, String)>,
}

impl Progress {
    /// How far a table is computed; `None` if that is not known, or was in another way.
    pub(super) fn get(&self, derived: &dyn DerivedTable) -> Result<Option<SourceWatermark>> {
        let computed = self.tables.get(derived.table().name());
        let same = |computed: &&Computed| computed.definition == derived.definition();
        let Some(computed) = computed.filter(same) else { return Ok(None) };
        let mut stale = BTreeSet::new();
        for (from, to) in &computed.stale {
            let range = TimeRange { from: from.parse()?, to: to.parse()? };
            stale.extend(starts(derived, range));
        }
        Ok(Some(SourceWatermark { version: TableVersion::new(computed.version), stale }))
    }

    /// Says how far a table is computed.
    pub(super) fn set(&mut self, derived: &dyn DerivedTable, watermark: &SourceWatermark) {
        let mut stale: Vec<TimeRange> = Vec::new();
        for &start in &watermark.stale {
            let window = derived.window(start);
            match stale.last_mut() {
                Some(last) if last.to == window.from => last.to = window.to,
                _ => stale.push(window),
            }
        }
        let text = |range: TimeRange| (range.from.to_string(), range.to.to_string());
        let computed = Computed {
            definition: derived.definition(),
            version: watermark.version.get(),
            stale: stale.into_iter().map(text).collect(),
        };
        let name = derived.table().name().to_owned();
        self.tables.insert(name, computed);
    }

    /// What is to be done for a table to be computed as its source is at the moment, and the windows of which
    /// it is to be done for some keys alone.
    pub(super) async fn find_stale(
        &self,
        engine: &Engine,
        derived: &dyn DerivedTable,
    ) -> Result<(SourceWatermark, StaleKeys)> {
        let view = engine.view(derived.source())?;
        let version = view.snapshot.version();
        if let Some(mut watermark) = self.get(derived)? {
            let changes = engine.changes(derived.source(), watermark.version, version);
            if let Some(changes) = changes.await? {
                let mut stale_keys = StaleKeys::new();
                for Changed { hours, keys } in changes {
                    let keys = derived.keys(&keys);
                    for start in derived.windows(&hours) {
                        if watermark.stale.insert(start) {
                            stale_keys.insert(start, keys.clone());
                        } else if let Some(others) = stale_keys.get_mut(&start) {
                            *others = others.or(&keys);
                        }
                    }
                }
                return Ok((SourceWatermark { version, ..watermark }, stale_keys));
            }
        }
        let kept = engine.view(derived.table().name())?;
        let landed = view.snapshot.files().iter().flat_map(|file| file.hours());
        let mut stale = derived.windows(&landed.collect());
        // What is there of hours that are gone.
        let there = kept.hours().into_iter();
        stale.extend(there.map(|hour| derived.window(hour.start()).from));
        Ok((SourceWatermark { version, stale }, StaleKeys::new()))
    }
}

/// First instants of the windows in a range.
pub(super) fn starts(
    derived: &dyn DerivedTable,
    range: TimeRange,
) -> impl Iterator<Item = Timestamp> + '_ {
    let first = Some(derived.window(range.from).from).filter(|_| !range.is_empty());
    std::iter::successors(first, |&start| Some(derived.window(start).to))
        .take_while(move |&start| start < range.to)
}
