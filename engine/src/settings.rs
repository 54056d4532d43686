//! The settings of the engine. Every setting has a default that suits one machine.

use barograph_lake::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::log::LogSettings;
use crate::{Error, Result};

/// More threads than any machine has.
pub const THREADS_MAX: usize = 4_096;

/// Settings of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// How long an hour stays open for late readings after its end, before it lands. Longer means fewer rewrites of
    /// landed files; shorter means a smaller tail.
    pub lateness: Span,
    /// How far in the future a reading may lie. Beyond that, the clock of its source is taken to be wrong, and the
    /// reading goes to the dead letters.
    pub future_max: Span,
    /// How long a key may be without a reading before it counts as silent, in `barograph_keys`. Raise it for stations that
    /// report less often than every half hour.
    pub silent_after: Span,
    /// How often late readings of landed hours are merged into their files. Shorter means that other readers of the
    /// lake see late readings sooner, at the cost of more rewriting.
    pub late_merge_every: Span,
    /// How often late readings of compacted days and months are merged into their files, each of which is rewritten for
    /// it. Until then, the readings are served from the tail.
    #[serde(alias = "folded_merge_every")]
    pub compacted_merge_every: Span,
    /// Most memory for the tail and the batches on their way to it. At three quarters of it, open hours land early; at
    /// the limit, a put is refused with RESOURCE_EXHAUSTED.
    pub tail_bytes_max: Size,
    /// Largest batch that a single put may carry.
    pub batch_bytes_max: Size,
    /// Memory for the footers, page indexes and dictionaries of lake files.
    pub file_cache_bytes: Size,
    /// Memory for the page cache: decompressed pages of lake files that reads of few keys have used twice, so that the
    /// next read of the same keys neither fetches nor decompresses them. 0 disables the cache.
    pub page_cache_bytes: Size,
    /// Most memory for all running range reads together. At the limit, a read is refused with RESOURCE_EXHAUSTED.
    pub scan_bytes_max: Size,
    /// Rows that a range read processes at a time, per thread; up to eight times as many when they come from many
    /// hours. More takes more memory, and is slower once the rows of a slice no longer fit in the processor's caches.
    pub scan_slice_rows: usize,
    /// Threads for range reads; 0 means one per processor.
    pub scan_threads: usize,
    /// Number of commits to a table after which a checkpoint is written. Checkpoints keep opening the table fast.
    pub checkpoint_commits: u64,
    /// How often the engine checks whether another process has committed to a table, such as a job run by hand or
    /// `barograph lake restore`. Shorter means that queries see the commit sooner, at the cost of one request to the
    /// store per table.
    #[serde(alias = "notice_every")]
    pub poll_commits_every: Span,
    /// The log.
    pub log: LogSettings,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lateness: Span::seconds(5 * 60),
            future_max: Span::seconds(5 * 60),
            silent_after: Span::seconds(60 * 60),
            late_merge_every: Span::seconds(5 * 60),
            compacted_merge_every: Span::seconds(60 * 60),
            tail_bytes_max: Size::mebibytes(256),
            batch_bytes_max: Size::mebibytes(32),
            file_cache_bytes: Size::mebibytes(64),
            page_cache_bytes: Size::mebibytes(48),
            scan_bytes_max: Size::mebibytes(256),
            scan_slice_rows: 16_384,
            scan_threads: 0,
            checkpoint_commits: 20,
            poll_commits_every: Span::seconds(10),
            log: LogSettings::default(),
        }
    }
}

impl EngineSettings {
    /// Refuses settings under which no engine can work.
    ///
    /// # Errors
    /// `Request` with the name of the setting below `engine`, its value and what it may be.
    pub fn check(&self) -> Result<()> {
        self.log.check()?;
        let sizes = [
            ("tail_bytes_max", self.tail_bytes_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("scan_bytes_max", self.scan_bytes_max),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| size.get() < 64 << 10) {
            return Err(Error::request(format!("{name} is {size}: give 64KiB or more")));
        }
        check_count("scan_slice_rows", self.scan_slice_rows, 1, 1 << 24)?;
        check_count("scan_threads", self.scan_threads, 0, THREADS_MAX)?;
        if self.checkpoint_commits == 0 {
            return Err(Error::request("checkpoint_commits is 0: give at least 1"));
        }
        Ok(())
    }
}

/// Refuses a number that is not in `min` to `max`.
pub fn check_count(name: &str, count: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    Err(Error::request(format!("{name} is {count}: give {min} to {max}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn former_names_of_settings_are_read() {
        let former = r#"{"folded_merge_every": "2h", "notice_every": "3s"}"#;
        let settings: EngineSettings = serde_json::from_str(former).unwrap();
        assert_eq!(settings.compacted_merge_every, Span::seconds(2 * 60 * 60));
        assert_eq!(settings.poll_commits_every, Span::seconds(3));
    }

    #[test]
    fn what_no_engine_can_work_with_is_refused() {
        type Change = fn(&mut EngineSettings);
        EngineSettings::default().check().unwrap();
        let changes: [(Change, &str); 7] = [
            (|s| s.tail_bytes_max = Size::bytes(0), "tail_bytes_max is 0B"),
            (|s| s.batch_bytes_max = Size::bytes(0), "batch_bytes_max is 0B"),
            (|s| s.scan_bytes_max = Size::bytes(1), "scan_bytes_max is 1B"),
            (|s| s.scan_slice_rows = 0, "scan_slice_rows is 0"),
            (|s| s.scan_threads = 1 << 40, "scan_threads is 1099511627776: give 0 to 4096"),
            (|s| s.checkpoint_commits = 0, "checkpoint_commits is 0"),
            (|s| s.log.segment_bytes = Size::bytes(1), "log.segment_bytes is 1B"),
        ];
        for (change, why) in changes {
            let mut settings = EngineSettings::default();
            change(&mut settings);
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
