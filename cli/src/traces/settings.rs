//! The settings of traces.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Most spans that may wait.
const QUEUE_MAX: usize = 1 << 20;

/// Traces of requests, sent to a collector of OpenTelemetry by OTLP over HTTP. [docs/operations.md](operations.md#traces)
/// describes the spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracesSettings {
    /// URL of the collector, such as `http://127.0.0.1:4318`; spans are posted to `/v1/traces` below it. If absent,
    /// nothing is traced. Spans name identities and tables: use `https://` unless the collector is on the same machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// File with the certificates of the authorities that the collector's is checked against, in PEM. If absent, those
    /// that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Share of requests that are traced, from 0 to 1, among those whose callers do not say. A request with the header
    /// `traceparent` is traced if its caller's is.
    pub sampled: f64,
    /// Most spans that may wait to be sent. More are dropped, and counted in `barograph_trace_spans_total`.
    pub queue_max: usize,
}

impl Default for TracesSettings {
    fn default() -> Self {
        Self { endpoint: None, ca: None, sampled: 0.01, queue_max: 8_192 }
    }
}

impl TracesSettings {
    /// Refuses what cannot be meant.
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.sampled) {
            let text = format!("traces.sampled is {}: give a share from 0 to 1", self.sampled);
            return Err(Error::usage(text));
        }
        if !(1..=QUEUE_MAX).contains(&self.queue_max) {
            let text = format!("traces.queue_max is {}: give 1 to {QUEUE_MAX}", self.queue_max);
            return Err(Error::usage(text));
        }
        match self.endpoint.as_deref().map(reqwest::Url::parse) {
            None => Ok(()),
            Some(Ok(url)) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
            Some(_) => Err(Error::usage(
                "traces.endpoint is no URL of a collector: write one like http://127.0.0.1:4318",
            )),
        }
    }
}
