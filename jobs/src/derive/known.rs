//! The progress of derived tables: the version of its source through which each is computed, as one JSON object for
//! all tables of a job.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use barograph_engine::Engine;
use barograph_engine::rollup::{Changed, Followed};
use barograph_lake::time::{format_instant, parse_instant};
use barograph_lake::{KeySelection, Micros, TableVersion, TimeRange};
use serde::{Deserialize, Serialize};

use super::Derivation;
use crate::Result;

/// Keys by the first instant of a window in which rows of no other key are out of date.
pub(super) type Narrow = HashMap<Micros, KeySelection>;

/// What a job knows of its tables, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
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
    /// Stretches of windows that are still to be computed: first instant, first instant after.
    stale: Vec<(String, String)>,
}

impl Known {
    /// How far a table is computed; `None` if that is not known, or was in another way.
    pub(super) fn get(&self, derivation: &dyn Derivation) -> Result<Option<Followed>> {
        let computed = self.tables.get(derivation.table().name());
        let same = |computed: &&Computed| computed.definition == derivation.definition();
        let Some(computed) = computed.filter(same) else { return Ok(None) };
        let mut stale = BTreeSet::new();
        for (from, to) in &computed.stale {
            let stretch = TimeRange { from: parse_instant(from)?, to: parse_instant(to)? };
            stale.extend(starts(derivation, stretch));
        }
        Ok(Some(Followed { version: TableVersion(computed.version), stale }))
    }

    /// Says how far a table is computed.
    pub(super) fn set(&mut self, derivation: &dyn Derivation, followed: &Followed) {
        let mut stale: Vec<TimeRange> = Vec::new();
        for &start in &followed.stale {
            let window = derivation.window(start);
            match stale.last_mut() {
                Some(last) if last.to == window.from => last.to = window.to,
                _ => stale.push(window),
            }
        }
        let text = |stretch: TimeRange| (format_instant(stretch.from), format_instant(stretch.to));
        let computed = Computed {
            definition: derivation.definition(),
            version: followed.version.0,
            stale: stale.into_iter().map(text).collect(),
        };
        let name = derivation.table().name().to_owned();
        self.tables.insert(name, computed);
    }

    /// What is to be done for a table to be computed as its source is at the moment, and the windows of which
    /// it is to be done for some keys alone.
    pub(super) async fn follow(
        &self,
        engine: &Engine,
        derivation: &dyn Derivation,
    ) -> Result<(Followed, Narrow)> {
        let view = engine.view(derivation.source())?;
        let version = view.snapshot.version();
        if let Some(mut followed) = self.get(derivation)? {
            let changes = engine.changes(derivation.source(), followed.version, version);
            if let Some(changes) = changes.await? {
                let mut narrow = Narrow::new();
                for Changed { hours, keys } in changes {
                    let keys = derivation.keys(&keys);
                    for start in derivation.windows(&hours) {
                        if followed.stale.insert(start) {
                            narrow.insert(start, keys.clone());
                        } else if let Some(others) = narrow.get_mut(&start) {
                            *others = others.or(&keys);
                        }
                    }
                }
                return Ok((Followed { version, ..followed }, narrow));
            }
        }
        let kept = engine.view(derivation.table().name())?;
        let landed = view.snapshot.files().iter().flat_map(|file| file.hours());
        let mut stale = derivation.windows(&landed.collect());
        // What is there of hours that are gone.
        let there = kept.hours().into_iter();
        stale.extend(there.map(|hour| derivation.window(hour.start()).from));
        Ok((Followed { version, stale }, Narrow::new()))
    }
}

/// First instants of the windows in a stretch.
pub(super) fn starts(
    derivation: &dyn Derivation,
    stretch: TimeRange,
) -> impl Iterator<Item = Micros> + '_ {
    let first = Some(derivation.window(stretch.from).from).filter(|_| !stretch.is_empty());
    std::iter::successors(first, |&start| Some(derivation.window(start).to))
        .take_while(move |&start| start < stretch.to)
}
