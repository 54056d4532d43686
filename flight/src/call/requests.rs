//! Requests for rows, by kind: how long they took, how many failed, and a line in the log for each that was slow.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use barograph_engine::Clock;
use barograph_engine::statistics::{Histogram, HistogramReading};
use barograph_lake::Span;
use barograph_query::Cost;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// A ticket for the newest readings.
    Latest,
    /// A ticket for the readings at a time.
    At,
    /// A ticket for a range.
    Range,
    /// A point query of an exchange.
    Exchange,
    /// A statement of SQL.
    Sql,
}

/// All kinds with their names.
const KINDS: [(RequestKind, &str); 5] = [
    (RequestKind::Latest, "latest"),
    (RequestKind::At, "at"),
    (RequestKind::Range, "range"),
    (RequestKind::Exchange, "exchange"),
    (RequestKind::Sql, "sql"),
];

#[derive(Debug, Default)]
struct Counts {
    time: Histogram,
    failures: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// The requests of one kind so far.
#[derive(Debug, Clone)]
pub(crate) struct RequestReading {
    pub(crate) kind: &'static str,
    /// From the arrival of the request to the last byte of its answer.
    pub(crate) time: HistogramReading,
    /// Those that ended with an error, or whose client left before the end.
    pub(crate) failures: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Counts requests by kind.
#[derive(Debug, Default)]
pub(crate) struct Requests([Counts; KINDS.len()]);

impl Requests {
    fn of(&self, kind: RequestKind) -> Option<&Counts> {
        self.0.get(kind as usize)
    }

    /// Counts `count` point queries that were answered together.
    pub(crate) fn answered(&self, kind: RequestKind, time: Span, count: usize, bytes: usize) {
        if let Some(counts) = self.of(kind) {
            counts.time.add_many(time, count as u64);
            counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Counts a point query that was refused.
    pub(crate) fn failed(&self, kind: RequestKind) {
        if let Some(counts) = self.of(kind) {
            counts.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts of each kind.
    pub(crate) fn read(&self) -> Vec<RequestReading> {
        let counts = self.0.iter().zip(KINDS);
        counts
            .map(|(counts, (_, kind))| RequestReading {
                kind,
                time: counts.time.read(),
                failures: counts.failures.load(Ordering::Relaxed),
                rows: counts.rows.load(Ordering::Relaxed),
                bytes: counts.bytes.load(Ordering::Relaxed),
            })
            .collect()
    }
}

/// Tells the cost of a request, when it is asked for.
type CostOf = Box<dyn FnOnce() -> Option<Cost> + Send>;

/// A request that is being answered; counted when it is dropped.
pub(crate) struct Observed {
    requests: Arc<Requests>,
    clock: Arc<dyn Clock>,
    begun: Span,
    slow: Duration,
    kind: RequestKind,
    /// The table, or the kind of statement.
    subject: String,
    rows: u64,
    bytes: u64,
    cost: Option<CostOf>,
    done: bool,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Observed {
    /// A request that came at `begun`, by elapsed time, and is reported if it takes as long as `slow`.
    pub(crate) fn new(
        requests: &Arc<Requests>,
        clock: &Arc<dyn Clock>,
        slow: Duration,
        begun: Span,
        kind: RequestKind,
        subject: &str,
    ) -> Self {
        Self {
            requests: Arc::clone(requests),
            clock: Arc::clone(clock),
            begun,
            slow,
            kind,
            subject: subject.to_owned(),
            rows: 0,
            bytes: 0,
            cost: None,
            done: false,
        }
    }

    /// Says what it is about, if that is known later.
    pub(crate) fn is_about(&mut self, subject: &str) {
        subject.clone_into(&mut self.subject);
    }

    /// Asks `cost` for its cost if it is slow.
    pub(crate) fn with_cost(
        mut self,
        cost: impl FnOnce() -> Option<Cost> + Send + 'static,
    ) -> Self {
        self.cost = Some(Box::new(cost));
        self
    }

    /// Adds rows that are sent.
    pub(crate) fn sends(&mut self, rows: usize, bytes: usize) {
        self.rows += rows as u64;
        self.bytes += bytes as u64;
    }

    /// Its answer is complete.
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let took = self.clock.elapsed().saturating_sub(self.begun);
        if let Some(counts) = self.requests.of(self.kind) {
            counts.time.add(took);
            counts.rows.fetch_add(self.rows, Ordering::Relaxed);
            counts.bytes.fetch_add(self.bytes, Ordering::Relaxed);
            counts.failures.fetch_add(u64::from(!self.done), Ordering::Relaxed);
        }
        let time = took.duration();
        if time >= self.slow {
            let cost = self.cost.take().and_then(|cost| cost());
            let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |of| of.1);
            tracing::warn!(
                target: "slow_query",
                kind,
                of = self.subject,
                seconds = time.as_secs_f64(),
                complete = self.done,
                rows = self.rows,
                bytes = self.bytes,
                cost_files = cost.map(|cost| cost.files),
                cost_rows = cost.map(|cost| cost.rows),
                cost_bytes = cost.map(|cost| cost.bytes),
                "slow query"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_counts_at_its_place() {
        let requests = Requests::default();
        for (at, (kind, name)) in KINDS.into_iter().enumerate() {
            requests.answered(kind, Span::from_micros(7), at, 0);
            requests.failed(kind);
            let read = &requests.read()[at];
            assert_eq!((read.kind, read.failures), (name, 1));
            assert_eq!(read.time.count(), at as u64);
        }
    }
}
