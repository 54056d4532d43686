//! The connections of the port: plain ones as they come, or those that have shaken hands by TLS.

use std::io;
use std::sync::Arc;

use barograph_engine::Clock;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;

use super::connections::{Connections, Place};
use super::socket::{Socket, Stream as Transport};
use crate::tls::{Accepted, ServerTls, accept, refusing};

/// Connections without TLS that wait to be refused; more are dropped.
const REFUSED_MAX: usize = 64;

/// The connections, at most `per_address` from one address, and what has to be done beside them, which never ends.
pub(super) fn incoming(
    tcp: TcpIncoming,
    tls: Option<Arc<ServerTls>>,
    clock: Arc<dyn Clock>,
    per_address: usize,
) -> (BoxStream<'static, io::Result<Socket>>, BoxFuture<'static, ()>) {
    let tcp = counted(tcp, per_address);
    let Some(tls) = tls else {
        let socket = move |(stream, place)| {
            Socket::new(Transport::Plain(stream), Some(place), Arc::clone(&clock))
        };
        let sockets = tcp.map(move |accepted| accepted.map(&socket)).boxed();
        return (sockets, Box::pin(std::future::pending()));
    };
    let (refused, plain) = mpsc::channel(REFUSED_MAX);
    let of_sockets = Arc::clone(&clock);
    let sockets = accept(tcp, Arc::clone(&tls), Arc::clone(&clock)).filter_map(move |accepted| {
        std::future::ready(match accepted {
            Ok((Accepted::Tls(stream), place)) => {
                Some(Ok(Socket::new(Transport::Tls(stream), Some(place), Arc::clone(&of_sockets))))
            }
            Ok((Accepted::Plain(stream), _)) => {
                let _ = refused.try_send(Ok(stream));
                None
            }
            Err(error) => Some(Err(error)),
        })
    });
    let beside = async move {
        let refusing = async {
            refusing(ReceiverStream::new(plain)).await;
            std::future::pending().await
        };
        tokio::select! {
            () = refusing => {}
            () = tls.reload(clock) => {}
        }
    };
    (sockets.boxed(), Box::pin(beside))
}

/// The connections that have a place; others are closed.
fn counted(
    tcp: TcpIncoming,
    per_address: usize,
) -> impl Stream<Item = io::Result<(TcpStream, Place)>> + Send + 'static {
    let connections = Connections::new(per_address);
    tcp.filter_map(move |accepted| {
        let placed = match accepted {
            Ok(stream) => {
                let address = stream.peer_addr().ok().map(|address| address.ip());
                connections.take(address).map(|place| Ok((stream, place)))
            }
            Err(error) => Some(Err(error)),
        };
        std::future::ready(placed)
    })
}
