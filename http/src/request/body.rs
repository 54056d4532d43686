//! The body of a request, read and decompressed within bounds: of one request, and of all together.

use std::io::Read;
use std::sync::Arc;

use barograph_engine::{ErrorKind, retry};
use barograph_flight::Error;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::HttpSettings;
use crate::failure::Failure;

/// Memory is counted in pieces of so many bytes.
const PIECE: usize = 16 << 10;
/// Decompressed bytes that are asked for at a time.
const STEP: usize = 256 << 10;

/// The bounds of bodies.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    most: usize,
    all: Arc<Semaphore>,
    all_bytes: usize,
}

/// A body, with its share of the memory.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _shares: Vec<OwnedSemaphorePermit>,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy)]
enum Packed {
    Gzip,
    Zstd,
}

/// What a body has taken of the memory.
#[derive(Debug, Default)]
struct Taken {
    bytes: usize,
    shares: Vec<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let all_bytes = settings.bodies_bytes_max.get();
        let all = Arc::new(Semaphore::new((all_bytes / PIECE).min(Semaphore::MAX_PERMITS)));
        Self { most: settings.body_bytes_max.get(), all, all_bytes }
    }

    /// Reads a body to its end, decompressed as its headers say.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: axum::body::Body,
    ) -> Result<Body, Failure> {
        let mut taken = Taken::default();
        let mut sent = Vec::new();
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| {
                Failure::from(Error::request("the body ended early").with_source(e))
            })?;
            let Ok(data) = frame.into_data() else { break };
            self.check(sent.len() + data.len())?;
            self.share(sent.len() + data.len(), &mut taken)?;
            sent.extend_from_slice(&data);
        }
        let coding = match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"" | b"identity") => {
                return Ok(Body { bytes: Bytes::from(sent), _shares: taken.shares });
            }
            Some(b"gzip" | b"x-gzip") => Packed::Gzip,
            Some(b"zstd") => Packed::Zstd,
            Some(other) => {
                let other = String::from_utf8_lossy(other).into_owned();
                let text = format!("content-encoding {other:?}: send gzip, zstd or identity");
                return Err(Failure::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, Error::request(text)));
            }
        };
        // It may take long: not where others are answered.
        let this = self.clone();
        let unpacking = tokio::task::spawn_blocking(move || match coding {
            Packed::Gzip => {
                this.unpack(flate2::read::MultiGzDecoder::new(sent.as_slice()), sent.len(), taken)
            }
            Packed::Zstd => {
                let reader = zstd::stream::read::Decoder::new(sent.as_slice());
                this.unpack(reader.map_err(|e| unreadable("zstd", e))?, sent.len(), taken)
            }
        });
        let ended = |e| Error::new(ErrorKind::Internal, "decompression ended early").with_source(e);
        unpacking.await.map_err(ended)?
    }

    fn unpack(
        &self,
        mut reader: impl Read,
        held: usize,
        mut taken: Taken,
    ) -> Result<Body, Failure> {
        let mut plain = Vec::new();
        loop {
            self.share(held + plain.len() + STEP, &mut taken)?;
            let read = reader.by_ref().take(STEP as u64).read_to_end(&mut plain);
            if read.map_err(|e| unreadable("the compressed body", e))? == 0 {
                return Ok(Body { bytes: Bytes::from(plain), _shares: taken.shares });
            }
            self.check(plain.len())?;
        }
    }

    fn check(&self, bytes: usize) -> Result<(), Failure> {
        if bytes <= self.most {
            return Ok(());
        }
        let text = format!(
            "the body has more than {} bytes (http.body_bytes_max): send it in smaller parts",
            self.most
        );
        Err(Failure::of(StatusCode::PAYLOAD_TOO_LARGE, Error::request(text)))
    }

    /// Takes a share of the memory for so many bytes.
    fn share(&self, bytes: usize, taken: &mut Taken) -> Result<(), Failure> {
        if bytes <= taken.bytes {
            return Ok(());
        }
        let pieces = (bytes - taken.bytes).div_ceil(PIECE);
        let share = Arc::clone(&self.all).try_acquire_many_owned(pieces as u32).map_err(|_| {
            let text =
                format!("{} bytes are taken by the bodies of other requests", self.all_bytes);
            Error::resources("http.bodies_bytes_max", text, retry::READ_ENDS)
        })?;
        taken.bytes += pieces * PIECE;
        taken.shares.push(share);
        Ok(())
    }
}

fn unreadable(what: &str, error: std::io::Error) -> Failure {
    Error::request(format!("{what} cannot be decompressed")).with_source(error).into()
}

/// The media type of a body, without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use barograph_lake::Size;
    use http::HeaderValue;

    use super::*;

    fn bodies(most: u64, all: u64) -> Bodies {
        Bodies::new(&HttpSettings {
            body_bytes_max: Size::bytes(most),
            bodies_bytes_max: Size::bytes(all),
            ..HttpSettings::default()
        })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn coded(coding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))])
    }

    #[tokio::test]
    async fn bodies_are_read_as_they_are_and_decompressed() {
        let bodies = bodies(1 << 20, 4 << 20);
        let text = b"weather,city=1 t=1\n".repeat(1_000);
        let zstd = zstd::encode_all(text.as_slice(), 1).unwrap();
        for (coding, sent) in [("identity", text.clone()), ("gzip", gzip(&text)), ("zstd", zstd)] {
            let body = bodies.read(&coded(coding), sent.into()).await.unwrap();
            assert_eq!(body.bytes, text, "{coding}");
        }
        let failure = bodies.read(&coded("br"), text.into()).await.unwrap_err();
        assert_eq!(failure.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let failure = bodies.read(&coded("gzip"), gzip(b"abc")[..10].to_vec().into()).await;
        assert_eq!(failure.unwrap_err().status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn a_small_body_that_becomes_a_large_one_is_refused_on_the_way() {
        let bodies = bodies(1 << 20, 64 << 20);
        let failure =
            bodies.read(&coded("gzip"), gzip(&vec![0; 32 << 20]).into()).await.unwrap_err();
        assert_eq!(failure.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_bound_and_give_it_back() {
        let bodies = bodies(64 << 10, 128 << 10);
        let read = || async { bodies.read(&HeaderMap::new(), vec![0; 60 << 10].into()).await };
        let first = read().await.unwrap();
        let _second = read().await.unwrap();
        assert_eq!(read().await.unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);
        drop(first);
        assert!(read().await.is_ok());
    }
}
