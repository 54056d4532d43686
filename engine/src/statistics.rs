//! The statistics of a running engine: counters and histograms, each added to where something happens and read by whoever
//! watches the engine. Adding takes an atomic addition or two, and is done once a request, append or round.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use barograph_lake::{CacheUse, Span, Timestamp};

pub use crate::silence::KeyActivity;

/// Upper bounds of the buckets of a histogram, in µs: from a point read in memory to a query at its time limit.
const BOUNDS: [u64; 18] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    60_000_000,
    300_000_000,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// A histogram of durations. Lock-free; a reader may see an addition in its bucket before it is in the sum.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramReading {
    /// Upper bound of each bucket in seconds, the last one infinite, with how many durations it holds that the ones
    /// before do not.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all durations, in seconds.
    pub seconds: f64,
}

impl HistogramReading {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl Histogram {
    /// Adds a duration.
    pub fn add(&self, length: Span) {
        self.add_many(length, 1);
    }

    /// Adds a duration that `count` requests took together.
    pub fn add_many(&self, length: Span, count: u64) {
        let length = length.micros().max(0).unsigned_abs();
        let at = BOUNDS.partition_point(|bound| *bound < length);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(length.saturating_mul(count), Ordering::Relaxed);
    }

    /// What it holds.
    pub fn read(&self) -> HistogramReading {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let seconds = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        HistogramReading { buckets: bounds.zip(counts).collect(), seconds }
    }
}

/// Why a row was rejected, in the order of [`PutStatistics::rejected`].
pub const REJECTIONS: [&str; 7] =
    ["null", "unfit", "unknown_key", "outside", "future", "implausible", "unreadable"];
/// Place of rows that never became typed rows.
pub(crate) const UNREADABLE: usize = REJECTIONS.len() - 1;

/// Counts the puts into a table.
#[derive(Debug, Default)]
pub(crate) struct PutCounts {
    batches: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    rejected: [AtomicU64; REJECTIONS.len()],
    last_at: AtomicI64,
}

/// The puts into a table since the engine was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutStatistics {
    /// Acknowledged batches.
    pub batches: u64,
    /// Rows of them that went in.
    pub rows: u64,
    /// Bytes of them in memory, as they were sent.
    pub bytes: u64,
    /// Rows that were rejected, by reason, as [`REJECTIONS`] names them.
    pub rejected: [u64; REJECTIONS.len()],
    /// When the last batch with a row that went in was acknowledged.
    pub last_at: Option<Timestamp>,
}

impl PutCounts {
    pub(crate) fn acknowledged(&self, rows: u64, bytes: usize, now: Timestamp) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if rows > 0 {
            self.last_at.store(now.as_micros(), Ordering::Relaxed);
        }
    }

    pub(crate) fn rejected(&self, at: usize, rows: u64) {
        if let Some(rejected) = self.rejected.get(at).filter(|_| rows > 0) {
            rejected.fetch_add(rows, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> PutStatistics {
        let last_at = self.last_at.load(Ordering::Relaxed);
        PutStatistics {
            batches: self.batches.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            rejected: std::array::from_fn(|at| {
                self.rejected.get(at).map_or(0, |rows| rows.load(Ordering::Relaxed))
            }),
            last_at: (last_at != 0).then_some(Timestamp::from_micros(last_at)),
        }
    }
}

/// Counts what landing does.
#[derive(Debug, Default)]
pub(crate) struct LandingCounts {
    rounds: AtomicU64,
    failures: AtomicU64,
    files: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
}

/// What landing has done since the engine was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LandingStatistics {
    /// Rounds through all tables, also those that found nothing to land.
    pub rounds: u64,
    /// Hours, days, months and tables that could not land, each time that they were tried.
    pub failures: u64,
    /// Files written.
    pub files: u64,
    /// Rows in them, also those that were there before and were written again with late ones.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Time that the rounds took.
    pub time: Duration,
}

impl LandingCounts {
    pub(crate) fn landed(&self, files: u64, rows: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn round(&self, length: Span) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(length.micros().max(0).unsigned_abs(), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> LandingStatistics {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LandingStatistics {
            rounds: of(&self.rounds),
            failures: of(&self.failures),
            files: of(&self.files),
            rows: of(&self.rows),
            bytes: of(&self.bytes),
            time: Duration::from_micros(of(&self.micros)),
        }
    }
}

/// Memory under a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// The setting that sets the limit.
    pub setting: &'static str,
    /// Bytes in use.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

/// The statistics of an engine at one moment.
#[derive(Debug, Clone, Default)]
pub struct EngineStatistics {
    /// The puts into each table.
    pub puts: Vec<(String, PutStatistics)>,
    /// How long acknowledgements took from the arrival of their batch, by level.
    pub acknowledgements: Vec<(&'static str, HistogramReading)>,
    /// How long appends took that were synced.
    pub log_syncs: HistogramReading,
    /// What landing has done.
    pub landing: LandingStatistics,
    /// How often files were open already.
    pub file_cache: CacheUse,
    /// How often pages were decompressed already.
    pub page_cache: CacheUse,
    /// Memory by limit.
    pub memory: Vec<MemoryUse>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_is_not_shorter() {
        let histogram = Histogram::default();
        for (length, count) in [(-1, 1), (50, 1), (51, 2), (i64::MAX, 1)] {
            histogram.add_many(Span::from_micros(length), count);
        }
        let read = histogram.read();
        let held: Vec<_> = read.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(held, [&(50e-6, 2), &(100e-6, 2), &(f64::INFINITY, 1)]);
        assert_eq!(read.count(), 5);
    }

    #[test]
    fn puts_are_counted_by_reason() {
        let counts = PutCounts::default();
        assert_eq!(counts.read().last_at, None);
        counts.acknowledged(3, 40, Timestamp::from_micros(7));
        counts.acknowledged(0, 2, Timestamp::from_micros(9));
        counts.rejected(UNREADABLE, 5);
        counts.rejected(UNREADABLE + 1, 5);
        let read = counts.read();
        assert_eq!((read.batches, read.rows, read.bytes), (2, 3, 42));
        assert_eq!(read.last_at, Some(Timestamp::from_micros(7)));
        assert_eq!(read.rejected, [0, 0, 0, 0, 0, 0, 5]);
    }
}
