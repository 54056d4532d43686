//! The requests to object stores, counted as they leave: by who asked, verb, and kind of object, with bytes and price.
//!
//! They are counted where HTTP begins, below everything that repeats, divides or merges, so that the figures are those of
//! the bill: each try, each page of a listing and each part of an upload counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Result};
use parking_lot::Mutex;

use crate::store::StoreSettings;

/// Marks the second of two requests for the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hedged;

/// Requests of one kind since the process began.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestCount {
    /// Who asked: the server, a job, or a command.
    pub asked_by: String,
    /// `GET`, `HEAD`, `PUT`, `LIST` or `DELETE`. Beginning and completing an upload of parts counts as `PUT`.
    pub verb: &'static str,
    /// What was asked for: `data` (files of tables), `delta_log`, `jobs`, or `other`.
    pub object: &'static str,
    /// How many there were, those that were repeated included.
    pub requests: u64,
    /// How many of them were sent because another for the same took long.
    pub hedged: u64,
    /// How many failed on their way or were answered with 5xx or 429.
    pub failed: u64,
    /// Bytes of their bodies.
    pub bytes_sent: u64,
    /// Bytes of the bodies of the replies.
    pub bytes_received: u64,
    /// Time until the replies began, summed up.
    pub waited: Duration,
    /// What they cost, by the prices of the settings.
    pub price: f64,
}

type Kind = (Arc<str>, &'static str, &'static str);

#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    requests: u64,
    hedged: u64,
    failed: u64,
    bytes_sent: u64,
    bytes_received: u64,
    waited: Duration,
    price: f64,
}

/// Those of the process: a bill does not tell which of its stores asked.
static COUNTS: Mutex<BTreeMap<Kind, Figures>> = Mutex::new(BTreeMap::new());

/// The requests of the process to object stores so far, by kind. Local folders have none.
pub fn requests() -> Vec<RequestCount> {
    let counts = COUNTS.lock();
    let count = |((asked_by, verb, object), figures): (&Kind, &Figures)| RequestCount {
        asked_by: asked_by.to_string(),
        verb,
        object,
        requests: figures.requests,
        hedged: figures.hedged,
        failed: figures.failed,
        bytes_sent: figures.bytes_sent,
        bytes_received: figures.bytes_received,
        waited: figures.waited,
        price: figures.price,
    };
    counts.iter().map(count).collect()
}

/// Connects as another connector does, and counts.
#[derive(Debug)]
pub(super) struct CountingConnector<C> {
    inner: C,
    asked_by: Arc<str>,
    price_writes: f64,
    price_reads: f64,
}

impl<C> CountingConnector<C> {
    pub(super) fn new(inner: C, asked_by: &str, settings: &StoreSettings) -> Self {
        let StoreSettings { price_writes, price_reads, .. } = *settings;
        Self { inner, asked_by: asked_by.into(), price_writes, price_reads }
    }
}

impl<C: HttpConnector> HttpConnector for CountingConnector<C> {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(CountingService {
            client: self.inner.connect(options)?,
            asked_by: Arc::clone(&self.asked_by),
            price_writes: self.price_writes,
            price_reads: self.price_reads,
        }))
    }
}

#[derive(Debug)]
struct CountingService {
    client: HttpClient,
    asked_by: Arc<str>,
    price_writes: f64,
    price_reads: f64,
}

#[async_trait]
impl HttpService for CountingService {
    #[allow(clippy::disallowed_methods, reason = "says how long it took")]
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let verb = verb(request.method().as_str(), query);
        let kind = (Arc::clone(&self.asked_by), verb, object(request.uri().path(), query));
        let price = match verb {
            "GET" | "HEAD" => self.price_reads,
            "DELETE" => 0.0,
            _ => self.price_writes,
        };
        // Counted before it is waited for: whoever waits may give up.
        add(&kind, |figures| {
            figures.requests += 1;
            figures.hedged += u64::from(request.extensions().get::<Hedged>().is_some());
            figures.bytes_sent += request.body().content_length() as u64;
            figures.price += price / 1e6;
        });
        let begun = Instant::now();
        let reply = self.client.execute(request).await;
        add(&kind, |figures| {
            figures.waited += begun.elapsed();
            match &reply {
                Ok(reply) => {
                    let status = reply.status().as_u16();
                    figures.failed += u64::from(status >= 500 || status == 429);
                    let length = reply.headers().get("content-length");
                    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
                    figures.bytes_received += length.filter(|_| verb != "HEAD").unwrap_or(0);
                }
                Err(_) => figures.failed += 1,
            }
        });
        reply
    }
}

fn add(kind: &Kind, change: impl FnOnce(&mut Figures)) {
    let mut counts = COUNTS.lock();
    match counts.get_mut(kind) {
        Some(figures) => change(figures),
        None => change(counts.entry(kind.clone()).or_default()),
    }
}

/// What a request does, by the conventions of S3, Azure and Google.
fn verb(method: &str, query: &str) -> &'static str {
    let has = |name: &str| {
        query
            .split('&')
            .any(|pair| pair == name || pair.split_once('=').is_some_and(|p| p.0 == name))
    };
    let is_listing = has("list-type") || query.contains("comp=list") || has("prefix");
    match method {
        "GET" if is_listing && !query.contains("comp=blocklist") => "LIST",
        "GET" => "GET",
        "HEAD" => "HEAD",
        "DELETE" => "DELETE",
        "POST" if has("delete") || query.contains("comp=batch") => "DELETE",
        _ => "PUT",
    }
}

/// What is asked for, by the names that the lake gives to objects.
fn object(path: &str, query: &str) -> &'static str {
    let named = |name: &str| path.contains(name) || query.contains(name);
    let is_data = || ["/hour/", "/day/", "/month/"].iter().any(|tier| path.contains(tier));
    if named("_delta_log") {
        "delta_log"
    } else if path.ends_with(".parquet") || is_data() {
        "data"
    } else if path.contains("/jobs/") || query.contains("jobs%2F") {
        "jobs"
    } else {
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_they_are_billed() {
        for (method, query, expected) in [
            ("GET", "", "GET"),
            ("GET", "versionId=7", "GET"),
            ("GET", "list-type=2&prefix=lake%2F", "LIST"),
            ("GET", "comp=list&restype=container", "LIST"),
            ("HEAD", "", "HEAD"),
            ("PUT", "partNumber=1&uploadId=x", "PUT"),
            ("POST", "uploads=", "PUT"),
            ("POST", "uploads", "PUT"),
            ("POST", "delete", "DELETE"),
            ("POST", "comp=batch&restype=container", "DELETE"),
            ("DELETE", "uploadId=x", "DELETE"),
        ] {
            assert_eq!(verb(method, query), expected, "{method} {query}");
        }
        for (path, query, expected) in [
            ("/b/lake/readings/hour/2026-11-22T10/7-1f.parquet", "", "data"),
            ("/b/lake/readings/_delta_log/7.json", "", "delta_log"),
            ("/b/lake/readings/_delta_log/7.checkpoint.parquet", "", "delta_log"),
            ("/b", "prefix=lake%2Freadings%2F_delta_log%2F", "delta_log"),
            ("/b/jobs/compact/lease/7.json", "", "jobs"),
            ("/b/lake/_log.json", "", "other"),
        ] {
            assert_eq!(object(path, query), expected, "{path}?{query}");
        }
    }
}
