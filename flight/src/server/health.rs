//! The health of the server over HTTP, for clients that do not speak gRPC: `GET /health` gives 200 while the server
//! takes calls, and 503 when it does not, or can write nothing more until it is started again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, header};
use serde_json::json;
use tonic::Status;

use crate::call::{Phase, Serving};

pub(super) async fn answer(Shared(serving): Shared<Arc<Serving>>) -> Response {
    let state = serving.current();
    let failure = state.engine.failure();
    let (code, status) = match (state.shutdown.phase(), &failure) {
        (Phase::Draining | Phase::Stopped, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (Phase::Serving, Some(_)) => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
        (Phase::Serving, None) => (StatusCode::OK, "serving"),
    };
    // Clients of InfluxDB want a name and a message.
    let mut answer = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "name": "barograph",
        "message": status,
    });
    if let (Some(failure), Some(answer)) = (failure, answer.as_object_mut()) {
        answer.insert("error".to_owned(), failure.to_string().into());
    }
    (code, Json(answer)).into_response()
}

/// The answer to a path that does not exist.
pub(super) async fn unknown(request: Request<axum::body::Body>) -> Response {
    let path = request.uri().path();
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        return Status::unimplemented(format!("there is no method {path}")).into_http();
    }
    let error = format!(
        "there is no path {path}: there are /health, /ready, /version and /metrics, and what /api/v1/openapi.json lists"
    );
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}
