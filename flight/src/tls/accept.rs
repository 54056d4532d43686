//! The acceptance of connections on a port that speaks TLS: handshakes run beside each other, and none takes for ever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::Clock;
use futures::{Stream, StreamExt};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ServerTls;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at one time; connections beyond that wait.
const HANDSHAKES_MAX: usize = 1_024;
/// First byte of a TLS record that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

/// A connection that was accepted.
pub(crate) enum Accepted {
    /// It speaks TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// It does not.
    Plain(TcpStream),
}

/// The connections of `incoming` once they have shaken hands. One whose handshake fails is dropped, with a message.
/// What comes with a connection stays with it.
pub(crate) fn accept<T: Send + 'static>(
    incoming: impl Stream<Item = io::Result<(TcpStream, T)>> + Send + 'static,
    tls: Arc<ServerTls>,
    clock: Arc<dyn Clock>,
) -> impl Stream<Item = io::Result<(Accepted, T)>> + Send {
    let handshake = move |stream: io::Result<(TcpStream, T)>| {
        let (tls, clock) = (Arc::clone(&tls), Arc::clone(&clock));
        // On a task of its own: cryptography takes time.
        tokio::spawn(async move {
            let (stream, with) = match stream {
                Ok(stream) => stream,
                Err(error) => return Some(Err(error)),
            };
            let peer = stream.peer_addr().ok();
            let shaken = tokio::select! {
                shaken = shake(stream, &tls) => shaken,
                () = clock.sleep(HANDSHAKE_TIMEOUT) => Err(io::ErrorKind::TimedOut.into()),
            };
            let shaken = shaken.map_err(|error| report(peer, &error)).ok();
            shaken.map(|shaken| Ok((shaken, with)))
        })
    };
    incoming
        .map(handshake)
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(|accepted| std::future::ready(accepted.ok().flatten()))
}

async fn shake(stream: TcpStream, tls: &ServerTls) -> io::Result<Accepted> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first != [HANDSHAKE] {
        return Ok(Accepted::Plain(stream));
    }
    let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
    Ok(Accepted::Tls(Box::new(stream)))
}

/// A handshake on a connection that has asked for TLS in the words of another protocol, whose name clients may offer.
pub(crate) async fn upgrade(
    stream: TcpStream,
    tls: &ServerTls,
    protocol: &[u8],
    clock: &dyn Clock,
) -> io::Result<Box<TlsStream<TcpStream>>> {
    let mut config = ServerConfig::clone(&tls.config());
    config.alpn_protocols = vec![protocol.to_vec()];
    let shaken = tokio::select! {
        shaken = TlsAcceptor::from(Arc::new(config)).accept(stream) => shaken,
        () = clock.sleep(HANDSHAKE_TIMEOUT) => Err(io::ErrorKind::TimedOut.into()),
    };
    Ok(Box::new(shaken?))
}

/// Says which handshake failed. Probes of load balancers connect and say nothing: that is no failure.
fn report(peer: Option<SocketAddr>, error: &io::Error) {
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            tracing::debug!(peer, %error, "TLS: a connection was closed before its handshake ended");
        }
        _ => tracing::warn!(peer, %error, "TLS: a handshake failed"),
    }
}
