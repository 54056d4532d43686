//! The figures of traces: what became of the spans of sampled requests.

use std::sync::atomic::{AtomicU64, Ordering};

use barograph_flight::metrics::{Family, Figures, Samples};
use futures::future::BoxFuture;

/// What traces report.
pub(crate) static TRACES: [Family; 1] = [Family::counter(
    "barograph_trace_spans",
    "Spans of sampled requests: sent to the collector, dropped as too many waited or belonged to one request, or refused by the collector.",
)
.labels(&["outcome"])];

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct TraceFigures {
    pub(super) sent: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl TraceFigures {
    /// Counts a span that nobody gets.
    pub(super) fn drops(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Figures for TraceFigures {
    fn families(&self) -> &'static [Family] {
        &TRACES
    }

    fn collect<'a>(&'a self, samples: &'a mut Samples) -> BoxFuture<'a, ()> {
        let [spans] = &TRACES;
        for (outcome, count) in
            [("sent", &self.sent), ("dropped", &self.dropped), ("refused", &self.refused)]
        {
            samples.add(spans, &[outcome], count.load(Ordering::Relaxed));
        }
        Box::pin(std::future::ready(()))
    }
}
