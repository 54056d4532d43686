//! `GET /metrics`: the metrics of the server, as OpenMetrics or in the text format of Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use barograph_access::Verb;
use barograph_engine::ErrorKind;
use http::{Extensions, HeaderMap, StatusCode, header};

use crate::Error;
use crate::call::Serving;
use crate::metrics::{Figures, collect, format_of};

/// What a scrape reads.
#[derive(Debug, Clone)]
pub(super) struct Scraped {
    pub(super) serving: Arc<Serving>,
    pub(super) figures: Arc<[Arc<dyn Figures>]>,
}

/// A scrape that takes longer is given up: Prometheus waits for 10 s.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(9);

pub(super) async fn answer(
    Shared(scraped): Shared<Scraped>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = format_of(accept.unwrap_or_default());
    let state = scraped.serving.current();
    let identity = state.identify(&headers, &extensions);
    let seen = identity.and_then(|of| Ok(of.require(Verb::Observe, "/metrics")?));
    if let Err(error) = seen {
        error.count();
        return refused(&error);
    }
    let clock = Arc::clone(state.engine.clock());
    let samples = tokio::select! {
        samples = collect(&state, &scraped.figures) => samples,
        () = clock.sleep(SCRAPE_TIMEOUT) => {
            let text = "not collected in time: a part of the server does not answer\n";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    match samples.text(format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.media_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The answer to those who may not see metrics.
fn refused(error: &Error) -> Response {
    match error.kind() {
        ErrorKind::Unauthenticated => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer, Basic realm=\"barograph\"")];
            (StatusCode::UNAUTHORIZED, challenge, format!("{error}\n")).into_response()
        }
        _ => (StatusCode::FORBIDDEN, format!("{error}\n")).into_response(),
    }
}
