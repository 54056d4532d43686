//! Requests: their parameters, what they accept, and their bodies, read within bounds.

mod accept;
mod body;
mod parameters;

pub(crate) use accept::{Coding, FORMATS, Format, coding_of, format_of, takes};
pub(crate) use body::{Bodies, Body, content_type};
pub(crate) use parameters::{Parameter, Query};

use barograph_flight::door::Asked;
use http::request::Parts;

use crate::failure::Failure;

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    pub(crate) body: axum::body::Body,
    /// Its name in the log and in errors.
    pub(crate) id: String,
}

impl Call {
    /// A header as text.
    pub(crate) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Reads the body, in no longer than the request may take.
    pub(crate) async fn read_body(&mut self, bodies: &Bodies) -> Result<Body, Failure> {
        let body = std::mem::take(&mut self.body);
        tokio::select! {
            body = bodies.read(&self.parts.headers, body) => body,
            error = self.asked.timed_out() => Err(error.into()),
        }
    }

    /// The table in the path `/api/v1/tables/{table}/…`.
    pub(crate) fn table(&self) -> &str {
        self.parts.uri.path().split('/').nth(4).unwrap_or_default()
    }
}
