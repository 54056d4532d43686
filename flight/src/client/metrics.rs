//! The metrics of a server, read over the connection of the calls: encrypted and by the same identity as they are.

use barograph_engine::ErrorKind;
use http::header::ACCEPT;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use tonic::body::Body;
use tonic::client::GrpcService;

use super::{AUTHORIZATION, Client};
use crate::{Error, Result};

/// Longest answer that is read, in bytes.
const BYTES_MAX: usize = 16 << 20;

impl Client {
    /// The metrics of the server that is asked, in the text format of Prometheus.
    ///
    /// # Errors
    /// `Unauthenticated` and `Denied` without the right `observe`, `Unavailable` if the server does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let mut request = Request::get("/metrics").header(ACCEPT, "text/plain");
        if let Some(authorization) = &self.authorization {
            let value = HeaderValue::from_bytes(authorization.as_bytes()).map_err(wrong)?;
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Body::empty()).map_err(wrong)?;
        let mut channel = self.addresses.current_channel()?;
        let unavailable =
            |e| Error::new(ErrorKind::Unavailable, "the server does not answer").with_source(e);
        std::future::poll_fn(|cx| GrpcService::<Body>::poll_ready(&mut channel, cx))
            .await
            .map_err(unavailable)?;
        let response = GrpcService::call(&mut channel, request).await.map_err(unavailable)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
        let body = body.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "the metrics ended early").with_source(e)
        })?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        let kind = match status {
            StatusCode::OK => return Ok(text),
            StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
            StatusCode::FORBIDDEN => ErrorKind::Denied,
            StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Err(Error::new(kind, format!("GET /metrics: {status}: {}", text.trim())))
    }
}

fn wrong(error: impl Into<http::Error>) -> Error {
    Error::new(ErrorKind::Internal, "GET /metrics").with_source(error.into())
}
