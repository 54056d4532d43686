//! The failure of a request: a status, and a body in the shape that clients of its path expect. Ours is that of RFC 9457
//! (`application/problem+json`); each names the thing, the value and the mend.

use axum::body::Body;
use axum::response::Response;
use barograph_engine::ErrorKind;
use barograph_flight::Error;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// How callers may say who they are.
const CHALLENGE: &str = "Bearer, Basic realm=\"barograph\"";

/// The shape of an error's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorShape {
    /// RFC 9457.
    Problem,
    /// As Open-Meteo answers: `{"error": true, "reason": …}`.
    OpenMeteo,
    /// As InfluxDB 1 and 3 answer: `{"error": …}`.
    Influx,
    /// As InfluxDB 2 answers: `{"code": …, "message": …}`.
    Influx2,
    /// As Weather Underground answers: text, which for who is not known begins with a word of its own.
    Station,
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    error: Error,
}

impl Failure {
    pub(crate) fn of(status: StatusCode, error: Error) -> Self {
        Self { status, error }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// The answer that tells it.
    pub(crate) fn answer(&self, shape: ErrorShape, id: &str) -> Response {
        self.error.count();
        let message = self.error.to_string();
        let body = match shape {
            ErrorShape::Problem => self.problem(id),
            ErrorShape::OpenMeteo => json!({ "error": true, "reason": message }),
            ErrorShape::Influx => json!({ "error": message }),
            ErrorShape::Influx2 => json!({ "code": self.influx_code(), "message": message }),
            ErrorShape::Station => Value::Null,
        };
        let text = match (shape, self.status) {
            (ErrorShape::Station, StatusCode::UNAUTHORIZED) => {
                format!("INVALIDPASSWORDID|{message}\n")
            }
            (ErrorShape::Station, _) => format!("{message}\n"),
            _ => body.to_string(),
        };
        let kind = match shape {
            ErrorShape::Problem => "application/problem+json",
            ErrorShape::Station => "text/plain; charset=utf-8",
            _ => "application/json",
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        if let Some(after) = self.error.retry_after() {
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        response
    }

    /// As RFC 9457 writes it.
    pub(crate) fn problem(&self, id: &str) -> Value {
        let mut problem = json!({
            "type": format!("urn:barograph:problem:{}", self.kind()),
            "title": self.title(),
            "status": self.status.as_u16(),
            "detail": self.error.to_string(),
            "request_id": id,
        });
        let after = self.error.retry_after().map(|after| after.as_millis() as u64);
        if let (Some(after), Some(problem)) = (after, problem.as_object_mut()) {
            problem.insert("retry_after_ms".to_owned(), after.into());
        }
        problem
    }

    fn kind(&self) -> &'static str {
        match self.error.kind() {
            ErrorKind::Request => "request",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Denied => "denied",
            ErrorKind::Resources => "resources",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Unavailable | ErrorKind::Behind => "unavailable",
            ErrorKind::Damage => "damage",
            _ => "internal",
        }
    }

    fn title(&self) -> &'static str {
        match self.error.kind() {
            ErrorKind::Request => "The request is wrong: mend it and send it again",
            ErrorKind::NotFound => "It does not exist",
            ErrorKind::Unauthenticated => "The server asks who you are",
            ErrorKind::Denied => "You may not do that",
            ErrorKind::Resources => "A bound is reached: come back later",
            ErrorKind::Cancelled => "It was cancelled",
            ErrorKind::Timeout => "It took longer than it may",
            ErrorKind::Unavailable | ErrorKind::Behind => "It cannot be done now: try again",
            ErrorKind::Damage => "Stored bytes are damaged: call an operator",
            _ => "A defect of the server",
        }
    }

    /// The codes of InfluxDB 2.
    fn influx_code(&self) -> &'static str {
        match self.status {
            StatusCode::NOT_FOUND => "not found",
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::PAYLOAD_TOO_LARGE => "request too large",
            StatusCode::TOO_MANY_REQUESTS => "too many requests",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_client_error() => "invalid",
            _ => "internal error",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Request => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Resources => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Cancelled | ErrorKind::Unavailable | ErrorKind::Behind => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error }
    }
}

impl From<barograph_engine::Error> for Failure {
    fn from(error: barograph_engine::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<arrow::error::ArrowError> for Failure {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bound_says_when_to_come_back() {
        let error = Error::resources("flight.streams_max", "8 run", Duration::from_millis(1_200));
        let failure = Failure::from(error);
        let answer = failure.answer(ErrorShape::Problem, "a");
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
        let problem = failure.problem("a");
        assert_eq!(problem["retry_after_ms"], 1_200);
        assert_eq!(problem["type"], "urn:barograph:problem:resources");
    }
}
