//! The figures of the HTTP API for `/metrics`: requests by endpoint, and lines of line protocol.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use barograph_engine::statistics::Histogram;
use barograph_flight::metrics::{Family, Figures, Samples};
use barograph_lake::Span;
use futures::future::BoxFuture;
use http::StatusCode;

use crate::endpoints::ENDPOINTS;

/// What the HTTP API reports.
pub static FAMILIES: [Family; 4] = [
    Family::histogram(
        "barograph_http_seconds",
        "Time from a request over HTTP to the beginning of its answer, by endpoint.",
    )
    .labels(&["endpoint"]),
    Family::counter(
        "barograph_http_answers",
        "Answers over HTTP, by endpoint and class of status (`2xx`, `3xx`, `4xx`, `5xx`).",
    )
    .labels(&["endpoint", "status"]),
    Family::counter(
        "barograph_line_protocol_lines",
        "Lines of line protocol: those that became rows, and those that went to `dead_letters`.",
    )
    .labels(&["outcome"]),
    Family::counter(
        "barograph_station_forms",
        "Forms of weather stations: those that became rows, and those that went to `dead_letters`.",
    )
    .labels(&["outcome"]),
];

/// The name under which files of the page are counted.
pub(crate) const PAGE: &str = "page";
/// The classes of status that are counted.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// What becomes of what is sent.
const OUTCOMES: [&str; 2] = ["accepted", "rejected"];

#[derive(Default)]
struct Counts {
    time: Histogram,
    answers: [AtomicU64; CLASSES.len()],
}

/// Counts requests.
pub(crate) struct HttpFigures {
    endpoints: BTreeMap<&'static str, Counts>,
    /// Lines that became rows, and others.
    lines: [AtomicU64; OUTCOMES.len()],
    forms: [AtomicU64; OUTCOMES.len()],
}

impl Default for HttpFigures {
    fn default() -> Self {
        let names = ENDPOINTS.iter().map(|of| of.name).chain([PAGE]);
        let endpoints = names.map(|name| (name, Counts::default())).collect();
        Self { endpoints, lines: Default::default(), forms: Default::default() }
    }
}

impl fmt::Debug for HttpFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFigures").finish_non_exhaustive()
    }
}

impl HttpFigures {
    /// Counts an answer that began after `time`.
    pub(crate) fn answered(&self, endpoint: &str, status: StatusCode, time: Span) {
        let Some(counts) = self.endpoints.get(endpoint) else { return };
        counts.time.add(time);
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        if let Some(count) = counts.answers.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts lines of line protocol.
    pub(crate) fn lines(&self, accepted: u64, rejected: u64) {
        for (count, more) in self.lines.iter().zip([accepted, rejected]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Counts a form of a station.
    pub(crate) fn forms(&self, is_accepted: bool) {
        if let Some(count) = self.forms.get(usize::from(!is_accepted)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Figures for HttpFigures {
    fn families(&self) -> &'static [Family] {
        &FAMILIES
    }

    fn collect<'a>(&'a self, samples: &'a mut Samples) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let [time, answers, lines, forms] = &FAMILIES;
            for (endpoint, counts) in &self.endpoints {
                samples.add(time, &[*endpoint], counts.time.read());
                for (class, count) in CLASSES.iter().zip(&counts.answers) {
                    samples.add(answers, &[*endpoint, *class], count.load(Ordering::Relaxed));
                }
            }
            for (family, counts) in [(lines, &self.lines), (forms, &self.forms)] {
                for (outcome, count) in OUTCOMES.iter().zip(counts) {
                    samples.add(family, &[*outcome], count.load(Ordering::Relaxed));
                }
            }
        })
    }
}
