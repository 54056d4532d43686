//! The gauge of the log: its end, its bytes, and the records, rows and appends since the engine was opened.

use std::sync::atomic::{AtomicU64, Ordering};

use barograph_lake::LogPosition;

use crate::log::Log;

/// Figures of the log, kept up to date by the writer.
#[derive(Debug, Default)]
pub struct LogGauge {
    pub end: AtomicU64,
    pub bytes: AtomicU64,
    /// Records and rows appended since the engine was opened.
    pub records: AtomicU64,
    pub rows: AtomicU64,
    /// Appends: each one write, and at most one sync, for all its records.
    pub groups: AtomicU64,
    /// Rows written again, as they held the log back.
    pub(crate) again: AtomicU64,
}

impl LogGauge {
    pub(crate) fn measure(&self, log: &dyn Log) {
        self.end.store(log.end().get(), Ordering::Relaxed);
        self.bytes.store(log.bytes(), Ordering::Relaxed);
    }

    pub(crate) fn end(&self) -> LogPosition {
        LogPosition::new(self.end.load(Ordering::Relaxed))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Rows that were written to the log again because they held back its truncation.
    pub fn rows_written_again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    pub(super) fn rows_again(&self, rows: u64) {
        self.again.fetch_add(rows, Ordering::Relaxed);
    }
}
