//! Beside: what a protocol with a port of its own stands on: the door, the certificates of the server, and places for
//! connections by address.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use barograph_engine::Clock;
use http::header::{AUTHORIZATION, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::connections::{Connections, Place};
use super::door::Door;
use crate::call::Peer;
use crate::sql::{TIME_ZONE_HEADER, TIMEOUT_HEADER};
use crate::tls::{ServerTls, certificate_names, upgrade};
use crate::{Error, Result};

/// What a protocol with a port of its own stands on.
#[derive(Debug, Clone)]
pub struct Beside {
    door: Door,
    tls: Option<Arc<ServerTls>>,
    connections: Arc<Connections>,
    clock: Arc<dyn Clock>,
}

/// A connection, encrypted or not.
pub enum Transport {
    /// As it came.
    Plain(TcpStream),
    /// By TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The other end of a connection: what it has shown, and what it asks for all its statements.
#[derive(Clone)]
pub struct Connected(Parts);

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}

impl fmt::Debug for Connected {
    /// Without what it has shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").finish_non_exhaustive()
    }
}

impl Beside {
    pub(super) fn new(
        door: Door,
        tls: Option<Arc<ServerTls>>,
        connections: Arc<Connections>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { door, tls, connections, clock }
    }

    /// How it asks.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// The clock of the server.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whether connections can be encrypted.
    pub fn encrypts(&self) -> bool {
        self.tls.is_some()
    }

    /// A place for a connection from `address`; `None` if it has too many.
    pub fn place(&self, address: SocketAddr) -> Option<Place> {
        self.connections.take(Some(address.ip()))
    }

    /// Encrypts a connection, with the certificate of the server that is there at present.
    ///
    /// # Errors
    /// Those of the handshake, `TimedOut` among them.
    pub async fn encrypt(&self, stream: TcpStream, protocol: &[u8]) -> io::Result<Transport> {
        let Some(tls) = &self.tls else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = upgrade(stream, tls, protocol, &*self.clock).await?;
        Ok(Transport::Tls(stream))
    }
}

impl Transport {
    /// The other end.
    pub fn connected(&self) -> Connected {
        let (address, names) = match self {
            Self::Plain(stream) => (stream.peer_addr().ok(), Arc::default()),
            Self::Tls(stream) => {
                let (stream, tls) = stream.get_ref();
                let own = tls.peer_certificates().and_then(|chain| chain.first());
                let names = own.map(certificate_names).unwrap_or_default();
                (stream.peer_addr().ok(), names.into())
            }
        };
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.extensions.insert(Peer { address, names });
        Connected(parts)
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl Connected {
    /// Shows a name with a secret.
    ///
    /// # Errors
    /// `Request` for a name or a secret that no header can carry.
    pub fn shows(&mut self, name: &str, secret: &str) -> Result<()> {
        self.set(AUTHORIZATION, &barograph_access::basic(name, secret))
    }

    /// Reads and shows times in a zone.
    ///
    /// # Errors
    /// `Request` for what is no name of a zone.
    pub fn in_zone(&mut self, zone: &str) -> Result<()> {
        self.set(HeaderName::from_static(TIME_ZONE_HEADER), zone)
    }

    /// Limits the time of each statement, in ms; `None` for what the server allows.
    ///
    /// # Errors
    /// None that a number can have.
    pub fn within_ms(&mut self, most: Option<u64>) -> Result<()> {
        let name = HeaderName::from_static(TIMEOUT_HEADER);
        match most {
            Some(most) => self.set(name, &format!("{most}ms")),
            None => {
                self.0.headers.remove(name);
                Ok(())
            }
        }
    }

    /// As a request of HTTP would show the same.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    fn set(&mut self, name: HeaderName, value: &str) -> Result<()> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Error::request(format!("{name}: it has characters that cannot be sent"))
        })?;
        value.set_sensitive(name == AUTHORIZATION);
        self.0.headers.insert(name, value);
        Ok(())
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
