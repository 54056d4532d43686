//! The gauge of the log: its end, its bytes, and the records, rows and appends since the engine was opened.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    /// Whether others append, too.
    shared: AtomicBool,
    /// Whether this process appended last.
    leads: AtomicBool,
    /// Rows written again, as they held the log back.
    pub(crate) again: AtomicU64,
}

impl LogGauge {
    pub(crate) fn measure(&self, log: &dyn Log) {
        self.end.store(log.end().get(), Ordering::Relaxed);
        self.bytes.store(log.bytes(), Ordering::Relaxed);
        self.shared.store(log.is_shared(), Ordering::Relaxed);
        self.leads.store(log.leads(), Ordering::Relaxed);
    }

    pub(crate) fn end(&self) -> LogPosition {
        LogPosition::new(self.end.load(Ordering::Relaxed))
    }

    /// Whether others append, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// Whether it is for this process to land.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
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
