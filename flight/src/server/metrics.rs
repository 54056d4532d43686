//! `GET /metrics`: the metrics of the server, as OpenMetrics or in the text format of Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use barograph_access::{Door, Verb};
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
    let entered = state.enter(&headers, &extensions, (Door::Http, "metrics"));
    let entered = entered.and_then(|mut call| {
        call.require(Verb::Observe, "/metrics")?;
        Ok(call)
    });
    let mut call = match entered {
        Ok(call) => call,
        Err(error) => {
            error.count();
            return refused(&error);
        }
    };
    let clock = Arc::clone(state.engine.clock());
    let samples = tokio::select! {
        samples = collect(&state, &scraped.figures) => samples,
        () = clock.sleep(SCRAPE_TIMEOUT) => {
            let text = "not collected in time: a part of the server does not answer\n";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    match samples.text(format) {
        Ok(text) => {
            // A scraper is not slowed down: who has read too much is refused the next time.
            call.sent(0, text.len() as u64);
            call.done();
            ([(header::CONTENT_TYPE, format.media_type())], text).into_response()
        }
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
        ErrorKind::Resources => {
            let seconds = error.retry_after().map_or(1, |wait| wait.as_secs_f64().ceil() as u64);
            let wait = [(header::RETRY_AFTER, seconds.max(1).to_string())];
            (StatusCode::TOO_MANY_REQUESTS, wait, format!("{error}\n")).into_response()
        }
        _ => (StatusCode::FORBIDDEN, format!("{error}\n")).into_response(),
    }
}
