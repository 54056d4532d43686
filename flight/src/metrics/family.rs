//! A family of metrics: one name with its type, unit, labels and help.

use barograph_engine::statistics::HistogramReading;

/// A family, as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    pub(super) name: &'static str,
    pub(super) kind: FamilyKind,
    pub(super) unit: Option<&'static str>,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// The type of a family, by OpenMetrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FamilyKind {
    /// It only grows, and begins at 0 with the process or the engine.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
    /// Labels that say something, with the value 1.
    Info,
}

/// The value of a sample.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
    /// A histogram.
    Histogram(HistogramReading),
    /// No number: the labels are the value.
    Info,
}

impl Family {
    /// A counter; its samples have the suffix `_total`.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Counter, unit: None, labels: &[], help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { kind: FamilyKind::Gauge, ..Self::counter(name, help) }
    }

    /// A histogram of durations in seconds; its name ends with `_seconds`.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { kind: FamilyKind::Histogram, unit: Some("seconds"), ..Self::counter(name, help) }
    }

    /// Labels that say something; the sample has the suffix `_info`.
    pub const fn info(name: &'static str, help: &'static str) -> Self {
        Self { kind: FamilyKind::Info, ..Self::counter(name, help) }
    }

    /// The same with a unit, with which its name ends.
    #[must_use]
    pub const fn unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// The same with labels.
    #[must_use]
    pub const fn labels(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// Its name as queries write it, with the suffix that its type demands.
    pub fn query_name(&self) -> String {
        match self.kind {
            FamilyKind::Counter => format!("{}_total", self.name),
            FamilyKind::Info => format!("{}_info", self.name),
            FamilyKind::Gauge | FamilyKind::Histogram => self.name.to_owned(),
        }
    }

    /// Name of its type, as OpenMetrics writes it.
    pub(super) fn type_name(&self) -> &'static str {
        match self.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
            FamilyKind::Info => "info",
        }
    }

    /// Its name without the unit.
    pub(super) fn stem(&self) -> &'static str {
        let stem = self.unit.and_then(|unit| self.name.strip_suffix(unit)?.strip_suffix('_'));
        stem.unwrap_or(self.name)
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<HistogramReading> for Value {
    fn from(histogram: HistogramReading) -> Self {
        Self::Histogram(histogram)
    }
}
