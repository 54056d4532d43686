//! The connections of the port: plain ones as they come, or those that have shaken hands by TLS.

use std::io;
use std::sync::Arc;

use barograph_engine::Clock;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;

use super::socket::{Socket, Stream};
use crate::tls::{Accepted, ServerTls, accept, refusing};

/// Connections without TLS that wait to be refused; more are dropped.
const REFUSED_MAX: usize = 64;

/// The connections, and what has to be done beside them, which never ends.
pub(super) fn incoming(
    tcp: TcpIncoming,
    tls: Option<Arc<ServerTls>>,
    clock: Arc<dyn Clock>,
) -> (BoxStream<'static, io::Result<Socket>>, BoxFuture<'static, ()>) {
    let Some(tls) = tls else {
        let socket = move |stream| Socket::new(Stream::Plain(stream), Arc::clone(&clock));
        return (tcp.map_ok(socket).boxed(), Box::pin(std::future::pending()));
    };
    let (refused, plain) = mpsc::channel(REFUSED_MAX);
    let of_sockets = Arc::clone(&clock);
    let sockets = accept(tcp, Arc::clone(&tls), Arc::clone(&clock)).filter_map(move |accepted| {
        std::future::ready(match accepted {
            Ok(Accepted::Tls(stream)) => {
                Some(Ok(Socket::new(Stream::Tls(stream), Arc::clone(&of_sockets))))
            }
            Ok(Accepted::Plain(stream)) => {
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
