//! The readiness of the server over HTTP: `GET /ready` tries what puts and reads stand on, and `GET /version` says what
//! runs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use barograph_engine::{Error, ErrorKind};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::{Phase, Serving};
use crate::ticket;

/// How long the store may take to answer a probe.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How far behind others a server may be that answers reads.
const LAG_MAX: Duration = Duration::from_secs(10);

/// 200 if all probes pass, else 503; either way with the outcome of each.
pub(super) async fn answer(Shared(serving): Shared<Arc<Serving>>) -> Response {
    let state = serving.current();
    let engine = &state.engine;
    let server = match state.shutdown.phase() {
        Phase::Serving => Ok(()),
        Phase::Draining | Phase::Stopped => {
            Err(Error::new(ErrorKind::Unavailable, "the server is shutting down"))
        }
    };
    let store = tokio::select! {
        answered = engine.ask_store() => answered,
        () = engine.clock().sleep(STORE_TIMEOUT) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("the store did not answer within {} s", STORE_TIMEOUT.as_secs()),
        )),
    };
    let mut probes = vec![("server", server), ("log", engine.takes_puts()), ("store", store)];
    if let Some(lag) = engine.follower_lag() {
        probes.push(("follower", follows(lag)));
    }
    let ready = probes.iter().all(|(_, outcome)| outcome.is_ok());
    let outcome = |(name, outcome): (&str, Result<(), Error>)| {
        let text = outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
        (name.to_owned(), Value::from(text))
    };
    let outcomes: Map<_, _> = probes.into_iter().map(outcome).collect();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": ready, "probes": outcomes }))).into_response()
}

/// Whether what others append to the log is seen in time.
fn follows(lag: Duration) -> Result<(), Error> {
    match lag <= LAG_MAX {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Unavailable,
            format!("what others append to the log was last seen {} s ago", lag.as_secs()),
        )),
    }
}

/// What runs.
pub(super) async fn version() -> Response {
    let answer = json!({
        "name": "barograph",
        "version": env!("CARGO_PKG_VERSION"),
        "ticket": ticket::VERSION,
    });
    Json(answer).into_response()
}
