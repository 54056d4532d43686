//! The body of an answer: what is small goes out as a whole, with a tag and its length; the rest piece by piece, as the
//! client reads it. One that fails on the way is cut off, so that nobody takes it for a whole one.

use std::io;

use arrow::array::RecordBatch;
use axum::body::Body;
use axum::response::Response;
use barograph_flight::door::Rows;
use barograph_flight::{Error, Result};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::cache::{Freshness, is_match, tag_of_bytes};
use super::encode::Encoder;
use super::pack::Packer;
use crate::failure::{ErrorShape, Failure};
use crate::request::{Coding, Format, coding_of};

/// Rows that are encoded at a time.
const PIECE_ROWS: usize = 8_192;
/// An answer of so many bytes goes out as a whole.
const WHOLE_BYTES: usize = 64 << 10;
/// An answer of fewer bytes is not compressed.
const PACKED_BYTES: usize = 1 << 10;
/// What an answer depends on beside its path.
const VARY: &str =
    "accept, accept-encoding, authorization, origin, x-barograph-after, x-barograph-time-zone";

/// Rows in pieces that are encoded without holding others up for long.
struct Pieces {
    rows: Rows,
    rest: Option<RecordBatch>,
}

impl Pieces {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.rows.next().await? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            },
        };
        if batch.num_rows() <= PIECE_ROWS {
            return Some(Ok(batch));
        }
        self.rest = Some(batch.slice(PIECE_ROWS, batch.num_rows() - PIECE_ROWS));
        Some(Ok(batch.slice(0, PIECE_ROWS)))
    }

    /// Encodes a piece.
    fn encode(&mut self, encoder: &mut Encoder, piece: &RecordBatch) -> Result<Vec<u8>> {
        encoder.write(piece)?;
        let bytes = encoder.take();
        self.rows.sends(piece.num_rows(), bytes.len());
        Ok(bytes)
    }
}

/// The answer with rows. Without a `tag`, what is small has that of its bytes.
pub(crate) async fn rows(
    asked: &HeaderMap,
    id: &str,
    format: Format,
    rows: Rows,
    tag: Option<HeaderValue>,
    freshness: Option<Freshness>,
) -> Result<Response, Failure> {
    let mut encoder = Encoder::new(format, rows.schema())?;
    let mut pieces = Pieces { rows, rest: None };
    let mut first = Vec::new();
    // What fails before this much is there fails with a status of its own.
    let is_whole = loop {
        if first.len() > WHOLE_BYTES {
            break false;
        }
        match pieces.next().await {
            None => break true,
            Some(piece) => first.extend(pieces.encode(&mut encoder, &piece?)?),
        }
    };
    if is_whole {
        first.extend(encoder.finish()?);
        let tag = tag.or_else(|| freshness.and_then(|_| tag_of_bytes(&first, format.name())));
        return Ok(whole(asked, format.media_type(), first, tag, freshness));
    }
    let coding = match format {
        Format::Parquet => Coding::Plain,
        _ => coding_of(asked),
    };
    let mut packer = Packer::new(coding).map_err(internal)?;
    let first = packer.push(first).map_err(internal)?;
    let running = Running { pieces, encoder, packer, format, id: id.to_owned() };
    let others = stream::unfold(Next::Rows(Box::new(running)), Running::next);
    let first = stream::iter([Ok::<_, io::Error>(Bytes::from(first))]);
    let body = Body::from_stream(futures::StreamExt::chain(first, others));
    let mut response = Response::new(body);
    describe(&mut response, format.media_type(), coding, tag, freshness);
    Ok(response)
}

/// The answer with bytes that are there.
pub(crate) fn whole(
    asked: &HeaderMap,
    media_type: &'static str,
    bytes: Vec<u8>,
    tag: Option<HeaderValue>,
    freshness: Option<Freshness>,
) -> Response {
    if let Some(tag) = tag.as_ref().filter(|tag| is_match(asked, tag)) {
        return unchanged(tag, freshness);
    }
    let coding = match bytes.len() < PACKED_BYTES {
        true => Coding::Plain,
        false => coding_of(asked),
    };
    let packed = Packer::new(coding).and_then(|mut packer| {
        let mut packed = packer.push(bytes)?;
        packed.extend(packer.finish()?);
        Ok(packed)
    });
    match packed {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            describe(&mut response, media_type, coding, tag, freshness);
            response
        }
        Err(error) => internal(error).answer(ErrorShape::Problem, ""),
    }
}

/// The answer to a client that has it.
pub(crate) fn unchanged(tag: &HeaderValue, freshness: Option<Freshness>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    describe(&mut response, "", Coding::Plain, Some(tag.clone()), freshness);
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

fn describe(
    response: &mut Response,
    media_type: &'static str,
    coding: Coding,
    tag: Option<HeaderValue>,
    freshness: Option<Freshness>,
) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::VARY, HeaderValue::from_static(VARY));
    if let Some(name) = coding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    let kept = freshness.map_or(HeaderValue::from_static("no-store"), Freshness::header);
    headers.insert(header::CACHE_CONTROL, kept);
}

fn internal(error: io::Error) -> Failure {
    let kind = barograph_engine::ErrorKind::Internal;
    Error::new(kind, "compressing an answer").with_source(error).into()
}

/// An answer that is being sent.
struct Running {
    pieces: Pieces,
    encoder: Encoder,
    packer: Packer,
    format: Format,
    id: String,
}

/// What comes next of an answer.
enum Next {
    Rows(Box<Running>),
    /// The connection is cut off.
    CutOff(Error),
    Nothing,
}

type Piece = io::Result<Bytes>;

impl Running {
    async fn next(next: Next) -> Option<(Piece, Next)> {
        let mut this = match next {
            Next::Rows(this) => this,
            Next::CutOff(error) => return Some((Err(io::Error::other(error)), Next::Nothing)),
            Next::Nothing => return None,
        };
        loop {
            let piece = match this.pieces.next().await {
                None => return Some(this.end()),
                Some(piece) => piece,
            };
            let encoded = piece.and_then(|piece| this.pieces.encode(&mut this.encoder, &piece));
            let packed = encoded.and_then(|bytes| Ok(this.packer.push(bytes)?));
            match packed {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some((Ok(bytes.into()), Next::Rows(this))),
                Err(error) => return Some(this.fail(error)),
            }
        }
    }

    fn end(self) -> (Piece, Next) {
        let Self { encoder, mut packer, id, .. } = self;
        let last = encoder.finish().and_then(|bytes| {
            let mut last = packer.push(bytes)?;
            last.extend(packer.finish()?);
            Ok(last)
        });
        match last {
            Ok(bytes) => (Ok(bytes.into()), Next::Nothing),
            Err(error) => {
                tracing::warn!(request = id, %error, "an answer was cut short");
                (Err(io::Error::other(error)), Next::Nothing)
            }
        }
    }

    /// Says in the log, and in lines also to the client, what ended the answer.
    fn fail(mut self, error: Error) -> (Piece, Next) {
        tracing::warn!(request = self.id, %error, "an answer was cut short");
        let failure = Failure::from(error);
        let mut line = Vec::new();
        if self.format == Format::Ndjson {
            let text = format!("{{\"error\":{}}}\n", failure.problem(&self.id));
            line = self.packer.push(text.into_bytes()).unwrap_or_default();
            line.extend(self.packer.finish().unwrap_or_default());
        }
        failure.error().count();
        let error = Error::new(failure.error().kind(), failure.error().to_string());
        (Ok(line.into()), Next::CutOff(error))
    }
}
