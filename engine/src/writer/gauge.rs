//! The gauge of the log: its end, its bytes, and the records, rows and appends since the engine was opened.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use barograph_lake::{LogPosition, Span, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::Clock;
use crate::cluster::Standing;
use crate::log::{KnownFloor, Leader, Log};
use crate::statistics::Histogram;

/// An instant by the time of day and by elapsed time.
pub(super) type Moment = (Timestamp, Span);

/// This instant.
pub(super) fn moment(clock: &dyn Clock) -> Moment {
    (clock.now(), clock.elapsed())
}

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
    /// Segments that the log is divided into.
    segments: AtomicU64,
    /// How long appends took that were synced.
    pub(crate) syncs: Histogram,
    /// Whether others append, too.
    shared: AtomicBool,
    /// Whether this process appended last.
    leads: AtomicBool,
    /// Who did, if others append, too.
    leader: RwLock<Option<Leader>>,
    floor: Mutex<Option<KnownFloor>>,
    /// Whether the floor has passed what this process knows.
    passed: AtomicBool,
    /// Everything before is in the views.
    applied: watch::Sender<u64>,
    /// How often a view was given another snapshot.
    swapped: watch::Sender<u64>,
    /// When this process was last known to be at the end, by the time of day and by elapsed time.
    at_end: Mutex<Moment>,
    /// Rows written again, as they held the log back.
    pub(crate) again: AtomicU64,
    /// How often the log was read anew, as its floor had passed this process.
    anew: AtomicU64,
}

impl LogGauge {
    pub(crate) fn measure(&self, log: &dyn Log) {
        self.end.store(log.end().get(), Ordering::Relaxed);
        self.bytes.store(log.bytes(), Ordering::Relaxed);
        self.segments.store(log.segments(), Ordering::Relaxed);
        self.shared.store(log.is_shared(), Ordering::Relaxed);
        self.leads.store(log.leads(), Ordering::Relaxed);
        if log.is_shared() {
            *self.floor.lock() = log.floor();
            let leader = log.leader();
            if *self.leader.read() != leader {
                *self.leader.write() = leader;
            }
        }
    }

    /// The views show everything before `end`, which was the end of the log at `at_end`, if it is known to have been.
    pub(super) fn applied(&self, end: LogPosition, at_end: Option<Moment>) {
        if let Some(at_end) = at_end {
            *self.at_end.lock() = at_end;
        }
        self.applied.send_if_modified(|applied| {
            let is_new = *applied != end.get();
            *applied = end.get();
            is_new
        });
    }

    /// The engine has just read the log to `end`.
    pub(crate) fn opened(&self, end: LogPosition, clock: &dyn Clock) {
        self.applied(end, Some(moment(clock)));
    }

    /// Everything before is in the views.
    pub(crate) fn applied_to(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// A view has another snapshot.
    pub(super) fn swapped(&self) {
        self.swapped.send_modify(|count| *count += 1);
    }

    /// Changes whenever a view has another snapshot.
    pub(crate) fn swaps(&self) -> watch::Receiver<u64> {
        self.swapped.subscribe()
    }

    /// For how long it has not been known that this process is at the end of the log. A clock that was set back, and one
    /// that does not count while the machine is suspended, make it no shorter.
    pub(crate) fn behind(&self, clock: &dyn Clock) -> Duration {
        if !self.is_shared() {
            return Duration::ZERO;
        }
        let (now, elapsed) = *self.at_end.lock();
        clock.now().since(now).max(clock.elapsed().saturating_sub(elapsed)).duration()
    }

    /// How far this process has come.
    pub(crate) fn standing(&self, clock: &dyn Clock) -> Standing {
        let position = LogPosition::new(*self.applied.borrow());
        Standing { position, leads: self.leads(), behind: self.behind(clock) }
    }

    /// The process that appended last; `None` if no others can, or nobody has.
    pub(crate) fn leader(&self) -> Option<Leader> {
        self.leader.read().clone()
    }

    /// The floor of a log that others share.
    pub(crate) fn floor(&self) -> Option<KnownFloor> {
        *self.floor.lock()
    }

    /// Whether the floor has passed what this process knows.
    pub(crate) fn is_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }

    pub(super) fn set_passed(&self, passed: bool) {
        self.passed.store(passed, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) -> LogPosition {
        LogPosition::new(self.end.load(Ordering::Relaxed))
    }

    /// Whether others append, too.
    pub fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// Whether it is for this process to land.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Segments that the log is divided into.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// Rows that were written to the log again because they held back its truncation.
    pub fn rows_written_again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    /// How often a log that others share was read anew, as its floor had passed this process.
    pub fn reads_anew(&self) -> u64 {
        self.anew.load(Ordering::Relaxed)
    }

    pub(super) fn count_read_anew(&self) {
        self.anew.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn rows_again(&self, rows: u64) {
        self.again.fetch_add(rows, Ordering::Relaxed);
    }
}
