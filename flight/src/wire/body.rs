//! The HTTP/2 body of an answer: pieces of data, then the gRPC status in the trailers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use tonic::{Code, Status};

use super::Pieces;

/// Where the pieces of an answer come from.
pub(crate) type PieceStream = Pin<Box<dyn Stream<Item = Result<Pieces, Status>> + Send>>;

/// The body of a gRPC answer.
pub(crate) struct GrpcBody {
    pieces: Pieces,
    more: Option<PieceStream>,
    ended: bool,
}

impl GrpcBody {
    /// An answer that is there already.
    pub(crate) fn whole(pieces: Pieces) -> Self {
        Self { pieces, more: None, ended: false }
    }

    /// An answer that begins with `first` and is made while it is sent. An error ends it with its status.
    pub(crate) fn stream(first: Pieces, more: PieceStream) -> Self {
        Self { pieces: first, more: Some(more), ended: false }
    }

    /// The HTTP response with this body.
    pub(crate) fn into_response(self) -> axum::response::Response {
        let mut response = axum::response::Response::new(axum::body::Body::new(self));
        response.headers_mut().insert(http::header::CONTENT_TYPE, GRPC);
        response
    }
}

/// The content type of gRPC.
pub(crate) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

impl Body for GrpcBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(bytes) = self.pieces.pop() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let next = match &mut self.more {
                Some(more) => ready!(more.as_mut().poll_next(cx)),
                None => None,
            };
            match next {
                Some(Ok(pieces)) => self.pieces = pieces,
                end => {
                    self.ended = true;
                    self.more = None;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(
                        end.and_then(Result::err),
                    )))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

fn trailers(error: Option<Status>) -> HeaderMap {
    let status = error.unwrap_or_else(|| Status::new(Code::Ok, ""));
    let mut trailers = HeaderMap::with_capacity(4);
    if status.add_header(&mut trailers).is_err() {
        // Only a message that is no header value can fail; the code still says what happened.
        trailers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
    trailers
}
