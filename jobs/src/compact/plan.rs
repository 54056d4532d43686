//! The plan of a compaction: which hours become a day, and which days a month, as a pure function of the active files
//! and of the time.
//!
//! ```text
//! hours of a day    ──`day_after` its end────► day      one file, sorted by key, then time
//! days of a month   ──`month_after` its end──► month    one file, or several of different keys
//! ```

use std::sync::Arc;

use barograph_lake::{FileEntry, Period, Size, Snapshot, Span, Tier, TimeRange, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Hours of up to so many rows become a month at once: compacting them twice costs more than it saves.
const DIRECT_ROWS: u64 = 4_000_000;

/// When hours become days, and days months.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompactionSettings {
    /// How long after its end a day is compacted: its hours become one file. Readings that arrive later are merged into
    /// that file.
    pub day_after: Span,
    /// How long after its end a month is compacted.
    pub month_after: Span,
    /// Target size of a month's files. Once a file has reached it, the next key begins another file.
    pub file_bytes: Size,
}

impl Default for CompactionSettings {
    fn default() -> Self {
        Self {
            day_after: Span::seconds(3 * 3600),
            month_after: Span::seconds(3 * 24 * 3600),
            file_bytes: Size::mebibytes(512),
        }
    }
}

impl CompactionSettings {
    /// Refuses settings that nothing can be compacted with.
    ///
    /// # Errors
    /// `Request` with the name of the setting, its value and what it may be.
    pub fn check(&self) -> Result<()> {
        if self.file_bytes.get() == 0 {
            return Err(Error::request("compaction.file_bytes 0B: write a size, such as 512MiB"));
        }
        Ok(())
    }
}

/// A compaction: files that become those of one period.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compaction {
    /// The period.
    pub target: Period,
    /// All active files in it, in their order.
    pub files: Vec<Arc<FileEntry>>,
}

/// The compactions that are due, in order of time, of periods that lie within `time`. Those that need others first
/// become due when the others are done.
pub(crate) fn due_compactions(
    snapshot: &Snapshot,
    now: Timestamp,
    time: TimeRange,
    settings: &CompactionSettings,
) -> Vec<Compaction> {
    let due = |period: Period, after: Span| {
        is_due(period, after, now) && time.from <= period.start() && period.end() <= time.to
    };
    let mut due_compactions = Vec::new();
    for month in within(snapshot.files(), Tier::Month) {
        let whole = due(month.target, settings.month_after);
        let rows: u64 = month.files.iter().map(|file| file.rows).sum();
        let has_hours = month.files.iter().any(|file| file.path.period().tier() == Tier::Hour);
        if whole && (rows <= DIRECT_ROWS || !has_hours) {
            due_compactions.push(month);
            continue;
        }
        let days = within(&month.files, Tier::Day);
        due_compactions.extend(days.into_iter().filter(|day| due(day.target, settings.day_after)));
    }
    due_compactions
}

/// The period whose files hold a reading of `instant` once all due compactions are done; `None` outside the years that
/// a date can name.
pub(crate) fn compacted_period(
    instant: Timestamp,
    now: Timestamp,
    settings: &CompactionSettings,
) -> Option<Period> {
    let due =
        |(tier, after)| Period::of(tier, instant).filter(|&period| is_due(period, after, now));
    let tiers = [(Tier::Month, settings.month_after), (Tier::Day, settings.day_after)];
    tiers.into_iter().find_map(due).or_else(|| Period::of(Tier::Hour, instant))
}

fn is_due(period: Period, after: Span, now: Timestamp) -> bool {
    period.end().saturating_add(after) <= now
}

/// The periods of `tier` in which shorter ones have files.
fn within(files: &[Arc<FileEntry>], tier: Tier) -> Vec<Compaction> {
    let of = |file: &Arc<FileEntry>| Period::of(tier, file.path.period().start());
    let periods = files.chunk_by(|file, then| of(file) == of(then));
    periods
        .filter_map(|files| Some(Compaction { target: of(files.first()?)?, files: files.to_vec() }))
        .filter(|compaction| compaction.files.iter().any(|file| file.path.period().tier() < tier))
        .collect()
}
