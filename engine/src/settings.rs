//! What can be set in the engine? Every setting has a default that suits one machine.

use barograph_lake::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::log::LogSettings;

/// Settings of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// How long after its end an hour stays open for late readings before it is landed. Longer means
    /// fewer rewrites of landed files; shorter means smaller tails.
    pub lateness: Span,
    /// How far in the future a reading may lie before it is taken for a clock gone wrong and goes to
    /// the dead letters.
    pub future_max: Span,
    /// How often readings that came late for landed hours are merged into their files. Shorter means
    /// that outside readers of the lake see late readings sooner, at the price of more rewriting.
    pub late_merge_every: Span,
    /// How often readings that came late for days and months that hours were folded into are merged into
    /// their files, each of which is written anew for it. Until then they are answered from the tail.
    pub folded_merge_every: Span,
    /// Memory that the tail, and the batches on their way to it, may take. At three quarters of it
    /// open hours are landed early; at the bound a put is refused with RESOURCE_EXHAUSTED.
    pub tail_bytes_max: Size,
    /// Largest batch that a single put may carry.
    pub batch_bytes_max: Size,
    /// Memory for footers, page indexes and dictionaries of lake files.
    pub file_cache_bytes: Size,
    /// Memory for pages of lake files, unpacked, that reads of few keys came by twice: the next read of the same keys
    /// neither reads nor unpacks them. 0 keeps none.
    pub page_cache_bytes: Size,
    /// Memory that running range reads may take together. At the bound a read is refused with
    /// RESOURCE_EXHAUSTED.
    pub scan_bytes_max: Size,
    /// Rows that a range read works on at a time, per thread; up to eight times as many if they come from
    /// many hours. More takes more memory, and is slower once the rows of a slice outgrow the
    /// processor's caches.
    pub scan_slice_rows: usize,
    /// Threads that work on range reads; 0 is one per processor.
    pub scan_threads: usize,
    /// After how many commits of a table a checkpoint is written, which keeps opening it fast.
    pub checkpoint_commits: u64,
    /// How often the engine looks whether another process has committed to a table, such as a job that is
    /// run by hand or `barograph lake restore`. Shorter means that queries see it sooner, at the price of a
    /// request to the store for each table.
    pub notice_every: Span,
    /// The log.
    pub log: LogSettings,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lateness: Span::seconds(5 * 60),
            future_max: Span::seconds(5 * 60),
            late_merge_every: Span::seconds(5 * 60),
            folded_merge_every: Span::seconds(60 * 60),
            tail_bytes_max: Size::mebibytes(256),
            batch_bytes_max: Size::mebibytes(32),
            file_cache_bytes: Size::mebibytes(64),
            page_cache_bytes: Size::mebibytes(48),
            scan_bytes_max: Size::mebibytes(256),
            scan_slice_rows: 16_384,
            scan_threads: 0,
            checkpoint_commits: 20,
            notice_every: Span::seconds(10),
            log: LogSettings::default(),
        }
    }
}
