//! The status of the engine for whoever watches it: its statistics, and whether it can take puts and answer reads.

use std::time::Duration;

use barograph_lake::CacheUse;

use super::Engine;
use crate::dead_letters::DEAD_LETTERS;
use crate::memory::Budget;
use crate::statistics::{EngineStatistics, Histogram, HistogramReading, KeyActivity, MemoryUse};
use crate::{Durability, Error, ErrorKind, Result};

/// How long acknowledgements took, by level.
#[derive(Debug, Default)]
pub(super) struct AckCounts {
    memory: Histogram,
    disk: Histogram,
    replicated: Histogram,
}

impl AckCounts {
    pub(super) fn of(&self, durability: Durability) -> &Histogram {
        match durability {
            Durability::Memory => &self.memory,
            Durability::Disk => &self.disk,
            Durability::Replicated => &self.replicated,
        }
    }

    /// Each level with its name.
    fn read(&self) -> Vec<(&'static str, HistogramReading)> {
        vec![
            ("memory", self.memory.read()),
            ("disk", self.disk.read()),
            ("replicated", self.replicated.read()),
        ]
    }
}

impl Engine {
    /// What was put, synced and landed since the engine was opened, and what its caches and memory limits hold.
    pub fn statistics(&self) -> EngineStatistics {
        let (file_cache, page_cache) = (self.files.cache_use(), self.files.page_cache_use());
        let budget = |setting, budget: &Budget| MemoryUse {
            setting,
            used: budget.used() as u64,
            limit: budget.limit() as u64,
        };
        let cache =
            |setting, of: CacheUse| MemoryUse { setting, used: of.bytes, limit: of.bytes_max };
        EngineStatistics {
            puts: self.tables.iter().map(|(name, of)| (name.clone(), of.puts.read())).collect(),
            acknowledgements: self.acknowledgements.read(),
            log_syncs: self.gauge.syncs.read(),
            landing: self.landings.read(),
            file_cache,
            page_cache,
            memory: vec![
                budget("engine.tail_bytes_max", &self.tail_budget),
                budget("engine.scan_bytes_max", &self.bounds.scan),
                cache("engine.file_cache_bytes", file_cache),
                cache("engine.page_cache_bytes", page_cache),
            ],
        }
    }

    /// Which keys of each table report, and which are silent, as far as this process has seen them within a week; not of
    /// rollups and dead letters, whose rows nobody sends.
    pub fn key_activity(&self) -> Vec<(String, KeyActivity)> {
        let (now, rollups) = (self.clock.now(), self.rollups());
        let sent = self.tables.iter().filter(|(name, _)| {
            name.as_str() != DEAD_LETTERS && !rollups.contains_key(name.as_str())
        });
        let activity = sent.map(|(name, table)| {
            let view = table.view.load_full();
            let now = table.reported.activity(
                |saw| view.tail.each_newest(saw),
                now,
                self.settings.silent_after,
            );
            (name.clone(), now)
        });
        activity.collect()
    }

    /// Whether a put of a few rows would find room in the tail and a log that takes it.
    ///
    /// # Errors
    /// Why it would not.
    pub fn takes_puts(&self) -> Result<()> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let (used, limit) = (self.tail_budget.used(), self.tail_budget.limit());
        if used >= limit {
            return Err(Error::new(
                ErrorKind::Resources,
                format!(
                    "engine.tail_bytes_max: {used} of {limit} bytes are in use: puts are refused until hours have landed"
                ),
            ));
        }
        Ok(())
    }

    /// For how long this process has not known that it is at the end of the log, if others append to it.
    pub fn follower_lag(&self) -> Option<Duration> {
        self.gauge.is_shared().then(|| self.staleness())
    }

    /// Asks the store of the lake for something small.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer as it should.
    pub async fn ask_store(&self) -> Result<()> {
        match self.tables.values().next() {
            None => Ok(()),
            Some(table) => Ok(table.lake.store().ask().await?),
        }
    }
}
