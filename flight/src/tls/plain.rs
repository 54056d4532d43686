//! Clients that do not speak TLS on a port that does: each request is told so, in gRPC or HTTP as it came, and nothing
//! else is done for it.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{StatusCode, header};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::service::Routes;

const TEXT: &str =
    "this port speaks TLS: connect with https:// (grpc+tls:// in other Flight clients)";

/// Answers the requests of `connections` until there are no more.
pub(crate) async fn refusing(connections: impl Stream<Item = std::io::Result<TcpStream>>) {
    let routes = Routes::from(Router::new().fallback(refuse));
    let served = tonic::transport::Server::builder()
        .accept_http1(true)
        .add_routes(routes)
        .serve_with_incoming(connections)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "TLS: refusing connections without it ended");
    }
}

async fn refuse(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE);
    match kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        true => Status::failed_precondition(TEXT).into_http(),
        false => (StatusCode::UPGRADE_REQUIRED, format!("{TEXT}\n")).into_response(),
    }
}
