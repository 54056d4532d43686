//! The bound on the headers of HTTP/1; those of HTTP/2 are bounded by its settings.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Version};

use super::HEADER_BYTES_MAX;

/// Bytes of a header beside its name and value: a colon, a space and the end of the line.
const LINE_BYTES: usize = 4;

/// Answers what has no more headers than it may.
pub(super) async fn bounded(request: Request, next: Next) -> Response {
    if request.version() < Version::HTTP_2 && bytes(request.headers()) > HEADER_BYTES_MAX as usize {
        let text = format!("the headers have more than {HEADER_BYTES_MAX} bytes: send fewer\n");
        return (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text).into_response();
    }
    next.run(request).await
}

fn bytes(headers: &HeaderMap) -> usize {
    let lines = headers.iter();
    lines.map(|(name, value)| name.as_str().len() + value.len() + LINE_BYTES).sum()
}
