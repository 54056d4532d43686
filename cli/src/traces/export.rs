//! The exporter: it posts spans to the collector as they come, several at a time. A collector that does not answer is tried
//! again, ever less often, while others wait in the queue; what it refuses is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use barograph_engine::{Clock, SystemClock};
use prost::Message;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::figures::TraceFigures;
use super::message::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, KeyValue,
    Resource, ResourceSpans, ScopeSpans, Span, Value,
};
use super::settings::TracesSettings;
use crate::{Error, Result};

/// Spans that are posted together at most.
const BATCH_MAX: usize = 512;
/// How long the first of them waits for others.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// How long a collector may take.
const POST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it is left alone after it did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// How long the last spans may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer of a collector that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The collector.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client,
    url: Url,
}

/// What sends spans.
#[derive(Debug)]
pub(crate) struct Exporter {
    collector: Collector,
    queue: mpsc::Receiver<Span>,
    /// Spans that were taken and are not sent.
    waiting: Vec<Span>,
    figures: Arc<TraceFigures>,
}

/// An exporter at work.
#[derive(Debug)]
pub(crate) struct Exporting {
    stop: oneshot::Sender<()>,
    work: JoinHandle<()>,
}

impl Collector {
    /// The collector of the settings, if traces are on.
    pub(super) fn of(settings: &TracesSettings) -> Result<Option<Self>> {
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let wrong = |what: &str, e: &dyn std::fmt::Display| Error::usage(format!("{what}: {e}"));
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|e| wrong("traces.endpoint", &e))?;
        let mut client = Client::builder()
            .timeout(POST_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_built_in_root_certs(settings.ca.is_none() && url.scheme() == "https");
        if let Some(path) = &settings.ca {
            let name = format!("traces.ca {}", path.display());
            let bytes = std::fs::read(path).map_err(|e| wrong(&name, &e))?;
            let of_file = reqwest::Certificate::from_pem_bundle(&bytes);
            let of_file = of_file.map_err(|e| wrong(&name, &e))?;
            if of_file.is_empty() {
                return Err(Error::usage(format!("{name}: there is no certificate in it")));
            }
            client = of_file.into_iter().fold(client, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = client.build().map_err(|e| wrong("traces.endpoint", &e))?;
        Ok(Some(Self { client, url }))
    }

    /// Posts spans; how many of them the collector did not take, or the error if it may take them later.
    async fn post(&self, body: Vec<u8>, count: u64) -> Result<u64, String> {
        let posted = self.client.post(self.url.clone());
        let posted = posted.header(CONTENT_TYPE, "application/x-protobuf").body(body).send().await;
        let mut answer = posted.map_err(|e| chain(&e))?;
        let status = answer.status();
        if status.is_success() {
            let mut bytes = Vec::new();
            while let Ok(Some(more)) = answer.chunk().await {
                if bytes.len() + more.len() > ANSWER_BYTES_MAX {
                    return Ok(0);
                }
                bytes.extend_from_slice(&more);
            }
            let answer = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap_or_default();
            let refused = answer.partial_success.unwrap_or_default();
            if refused.rejected_spans > 0 {
                tracing::warn!(
                    spans = refused.rejected_spans,
                    why = refused.error_message,
                    "the collector of traces did not take all spans"
                );
            }
            return Ok(u64::try_from(refused.rejected_spans).unwrap_or(0).min(count));
        }
        // Those that OTLP says are worth another try.
        let may_succeed_later = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if may_succeed_later {
            return Err(format!("it answers {status}"));
        }
        tracing::warn!(%status, "the collector of traces refused spans: see traces.endpoint");
        Ok(count)
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Exporter {
    pub(super) fn new(
        collector: Collector,
        queue: mpsc::Receiver<Span>,
        figures: Arc<TraceFigures>,
    ) -> Self {
        Self { collector, queue, waiting: Vec::new(), figures }
    }

    /// What it reports.
    pub(crate) fn figures(&self) -> Arc<TraceFigures> {
        Arc::clone(&self.figures)
    }

    /// Begins to send.
    pub(crate) fn start(mut self) -> Exporting {
        let (stop, mut stopped) = oneshot::channel();
        let work = tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    is_open = self.gather() => if !is_open { return },
                    _ = &mut stopped => return self.send_last().await,
                }
                tokio::select! {
                    () = self.send() => {}
                    _ = &mut stopped => return self.send_last().await,
                }
            }
        });
        Exporting { stop, work }
    }

    /// Takes the next spans; whether there are any.
    async fn gather(&mut self) -> bool {
        if self.waiting.is_empty() {
            self.queue.recv_many(&mut self.waiting, BATCH_MAX).await;
        }
        let late = SystemClock.sleep(GATHERED_FOR);
        tokio::pin!(late);
        while self.waiting.len() < BATCH_MAX {
            tokio::select! {
                () = &mut late => break,
                more = self.queue.recv() => match more {
                    Some(span) => self.waiting.push(span),
                    None => break,
                },
            }
        }
        !self.waiting.is_empty()
    }

    /// Sends what was taken, however long it takes.
    async fn send(&mut self) {
        let count = self.waiting.len() as u64;
        let body = request(self.waiting.clone()).encode_to_vec();
        let mut wait = RETRY_AFTER;
        let refused = loop {
            let error = match self.collector.post(body.clone(), count).await {
                Ok(refused) => break refused,
                Err(error) => error,
            };
            if wait == RETRY_AFTER {
                tracing::warn!(
                    error,
                    "the collector of traces does not take spans: it is tried again"
                );
            }
            SystemClock.sleep(wait).await;
            wait = (wait * 2).min(RETRY_AFTER_MAX);
        };
        self.figures.sent.fetch_add(count - refused, Ordering::Relaxed);
        self.figures.refused.fetch_add(refused, Ordering::Relaxed);
        self.waiting.clear();
    }

    /// Sends what waits, if the collector takes it at once.
    async fn send_last(&mut self) {
        while let Ok(span) = self.queue.try_recv() {
            self.waiting.push(span);
        }
        if self.waiting.is_empty() {
            return;
        }
        tokio::select! {
            () = self.send() => {}
            () = SystemClock.sleep(STOP_TIMEOUT) => {}
        }
    }
}

impl Exporting {
    /// Sends what waits, and ends.
    pub(crate) async fn stop(self) {
        // An error says that it has ended.
        let _ = self.stop.send(());
        let _ = self.work.await;
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let text = |text: &str| Value::Text(text.to_owned());
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![
        KeyValue::new("service.name", text("barograph")),
        KeyValue::new("service.version", text(version)),
        KeyValue::new("process.pid", Value::Int(i64::from(std::process::id()))),
    ];
    let (name, version) = ("barograph".to_owned(), version.to_owned());
    let scope = Some(InstrumentationScope { name, version });
    let scope_spans = vec![ScopeSpans { scope, spans }];
    let resource = Some(Resource { attributes });
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
}
