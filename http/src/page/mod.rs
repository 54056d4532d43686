//! The page at `/`: files that lie in the binary, compressed once, served with a tag and with a policy that lets a browser
//! run no other script and ask no other server. They tell nothing of tables: their scripts ask the API for that, as who
//! signed in.

mod files;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::OnceLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::answer::{is_match, tag_of_bytes};
use crate::request::{Coding, takes};

pub(crate) use files::FILES;

/// What the page may do. Scripts and styles come from files alone, and nothing may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What it says beside its type.
const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    // Kept, but asked for each time by its tag: a server of another version has other files.
    ("cache-control", "no-cache"),
];

/// A file of the page.
#[derive(Debug)]
pub(crate) struct PageFile {
    pub(crate) path: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    packed: OnceLock<Option<Bytes>>,
}

impl PageFile {
    const fn new(path: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { path, media_type, bytes, packed: OnceLock::new() }
    }

    /// Its bytes by gzip; none where that is not shorter.
    fn packed(&self) -> Option<Bytes> {
        let pack = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(self.bytes).ok()?;
            let packed = encoder.finish().ok()?;
            (packed.len() < self.bytes.len()).then(|| packed.into())
        };
        self.packed.get_or_init(pack).clone()
    }

    /// The answer to a request for it.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Some(tag) = tag_of_bytes(self.bytes, self.path) {
            let is_known = is_match(asked, &tag);
            headers.insert(header::ETAG, tag);
            if is_known {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return response;
            }
        }
        let packed = self.packed().filter(|_| takes(asked, Coding::Gzip));
        let body = match packed {
            Some(packed) => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                packed
            }
            None => Bytes::from_static(self.bytes),
        };
        *response.body_mut() = Body::from(body);
        response
    }
}
