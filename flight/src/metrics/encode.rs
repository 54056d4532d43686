//! The answer to a scrape as text: OpenMetrics, or the older text format of Prometheus, which has other names for counters
//! and no units.

use barograph_engine::ErrorKind;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::family::{Family, FamilyKind, Value};
use crate::{Error, Result};

/// The samples of a scrape, by family.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<(&'static Family, Vec<Sample>)>);

#[derive(Debug, Clone)]
struct Sample {
    /// Values of the family's labels, in their order.
    labels: Vec<String>,
    value: Value,
}

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Prometheus,
}

impl Format {
    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The format that an `Accept` header prefers: OpenMetrics, unless it prefers plain text.
pub(crate) fn format_of(accept: &str) -> Format {
    let (mut metrics, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        let quality = quality.unwrap_or(1.0);
        match kind.as_str() {
            "application/openmetrics-text" | "application/*" | "*/*" => {
                metrics = metrics.max(quality);
            }
            "text/plain" | "text/*" | "text/html" => plain = plain.max(quality),
            _ => {}
        }
    }
    if plain > metrics { Format::Prometheus } else { Format::OpenMetrics }
}

impl Samples {
    /// No samples of `families` yet.
    pub(crate) fn of(families: impl Iterator<Item = &'static Family>) -> Self {
        Self(families.map(|family| (family, Vec::new())).collect())
    }

    /// Adds a sample with a value for each label of the family.
    pub fn add(&mut self, family: &Family, labels: &[&str], value: impl Into<Value>) {
        let own = self.0.iter_mut().find(|(own, _)| own.name == family.name);
        if let Some((_, samples)) = own {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            samples.push(Sample { labels, value: value.into() });
        }
    }

    /// The text of a scrape.
    pub(crate) fn text(self, format: Format) -> Result<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        let encoded = match format {
            Format::OpenMetrics => text::encode(&mut text, &registry),
            Format::Prometheus => prometheus_text::encode(&mut text, &registry),
        };
        match encoded {
            Ok(()) => Ok(text),
            Err(e) => Err(Error::new(ErrorKind::Internal, "metrics").with_source(e)),
        }
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        for (family, samples) in &self.0 {
            let unit = family.unit.map(|unit| match unit {
                "seconds" => Unit::Seconds,
                "bytes" => Unit::Bytes,
                other => Unit::Other(other.to_owned()),
            });
            let kind = match family.kind {
                FamilyKind::Counter => MetricType::Counter,
                FamilyKind::Gauge => MetricType::Gauge,
                FamilyKind::Histogram => MetricType::Histogram,
                FamilyKind::Info => MetricType::Info,
            };
            let mut encoder =
                encoder.encode_descriptor(family.stem(), family.help, unit.as_ref(), kind)?;
            for sample in samples {
                let labels: Vec<(&str, &str)> = family
                    .labels
                    .iter()
                    .copied()
                    .zip(sample.labels.iter().map(String::as_str))
                    .collect();
                match (&sample.value, family.kind) {
                    (Value::Info, _) => encoder.encode_info(&labels)?,
                    (value, _) if labels.is_empty() => number(value, family, &mut encoder)?,
                    (value, _) => number(value, family, &mut encoder.encode_family(&labels)?)?,
                }
            }
        }
        Ok(())
    }
}

fn number(value: &Value, family: &Family, encoder: &mut MetricEncoder<'_>) -> std::fmt::Result {
    type NoLabels = [(&'static str, &'static str); 0];
    let is_counter = family.kind == FamilyKind::Counter;
    match value {
        Value::Count(count) if is_counter => {
            encoder.encode_counter::<NoLabels, _, u64>(count, None)
        }
        Value::Number(number) if is_counter => {
            encoder.encode_counter::<NoLabels, _, f64>(number, None)
        }
        Value::Count(count) => encoder.encode_gauge(count),
        Value::Number(number) => encoder.encode_gauge(number),
        Value::Histogram(reading) => encoder.encode_histogram::<NoLabels>(
            reading.seconds,
            reading.count(),
            &reading.buckets,
            None,
        ),
        Value::Info => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use barograph_engine::statistics::Histogram;

    use super::*;

    static SOME: [Family; 3] = [
        Family::counter("a_seconds", "Time.").unit("seconds").labels(&["table"]),
        Family::histogram("b_seconds", "Times."),
        Family::info("c", "What it is.").labels(&["version"]),
    ];

    fn samples() -> Samples {
        let mut samples = Samples::of(SOME.iter());
        samples.add(&SOME[0], &["x\"\\\n"], 1.5);
        let histogram = Histogram::default();
        histogram.add(barograph_lake::Span::from_micros(75));
        samples.add(&SOME[1], &[], histogram.read());
        samples.add(&SOME[2], &["1"], Value::Info);
        samples
    }

    #[test]
    fn open_metrics_has_units_and_an_end() {
        let text = samples().text(Format::OpenMetrics).unwrap();
        for line in [
            "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n",
            "a_seconds_total{table=\"x\\\"\\\\\\n\"} 1.5\n",
            "b_seconds_sum 0.000075\n",
            "b_seconds_count 1\n",
            "b_seconds_bucket{le=\"0.00005\"} 0\n",
            "b_seconds_bucket{le=\"+Inf\"} 1\n",
            "c_info{version=\"1\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_text_of_prometheus_names_counters_as_queries_do() {
        let text = samples().text(Format::Prometheus).unwrap();
        assert!(text.starts_with("# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\n"));
        assert!(text.contains("# TYPE c_info gauge\nc_info{"), "{text}");
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }

    #[test]
    fn the_format_is_the_one_that_is_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            (prometheus, Format::OpenMetrics),
            ("text/plain", Format::Prometheus),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Prometheus),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Prometheus),
            ("application/openmetrics-text, text/plain;q=0", Format::OpenMetrics),
        ] {
            assert_eq!(format_of(accept), expected, "{accept}");
        }
    }
}
