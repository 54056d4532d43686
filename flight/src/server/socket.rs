//! The socket of a connection, which sends large answers in few calls. HTTP/2 cuts them into frames of 16 KiB, and its
//! library flushes after each; several frames are held here, and go out together.
//!
//! ```text
//! frame, flush   held
//! frame, flush   held       ──► full: one call with all of them
//! …
//! no more        the connection looks for requests ──► what is held goes out
//! ```
//!
//! A connection that ends tells the client so, and reads on until that has ended its side, too: the system resets a
//! connection that is closed with unread bytes, and a reset takes the end of the last answer with it (RFC 9112, 9.6).

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use barograph_engine::Clock;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::connections::Place;
use crate::call::Peer;
use crate::tls::certificate_names;

/// Bytes that are held at most: in the nearest caches, so that holding them costs little.
const HELD_MAX: usize = 128 << 10;
/// A flush of fewer bytes is done at once: they are a small answer, or no part of one.
const HELD_MIN: usize = 16 << 10;
/// How long a client has to read the end of its last answer and to end its side.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read at once while nobody needs them.
const UNREAD: usize = 4 << 10;

/// What a connection is made of.
#[derive(Debug)]
pub(super) enum Stream {
    /// Bytes go out as they are.
    Plain(TcpStream),
    /// Bytes go out encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// The address of the other end, and the names in the certificate that it has shown.
    fn peer(&self) -> Peer {
        let names = match self {
            Self::Plain(_) => Vec::new(),
            Self::Tls(stream) => {
                let own = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                own.map(certificate_names).unwrap_or_default()
            }
        };
        Peer { address: self.tcp().peer_addr().ok(), names: names.into() }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Reads bytes that nobody needs, encrypted or not, until the client has ended its side.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (tcp, mut unread) = (self.tcp(), [0; UNREAD]);
        loop {
            if ready!(tcp.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match tcp.try_read(&mut unread) {
                Ok(1..) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

/// A connection that holds what is written until there is much of it, or no more comes.
pub(super) struct Socket {
    stream: Stream,
    held: Vec<u8>,
    /// How many of the held bytes have gone out.
    sent: usize,
    clock: Arc<dyn Clock>,
    /// Comes when the client had its time to end its side; set once this side has ended.
    lingers: Option<BoxFuture<'static, ()>>,
    /// Among the open connections.
    _place: Option<Place>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Socket {
    pub(super) fn new(stream: Stream, place: Option<Place>, clock: Arc<dyn Clock>) -> Self {
        Self { stream, held: Vec::new(), sent: 0, clock, lingers: None, _place: place }
    }

    /// Sends all that is held.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.held.get(self.sent..).filter(|left| !left.is_empty()) {
            match ready!(self.stream.poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Where a connection looks for requests it has nothing more to write. If the socket is full, it is
        // woken when there is room.
        match self.poll_send(cx) {
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            // What TLS still holds of it goes out, too.
            Poll::Ready(Ok(())) => {
                if let Poll::Ready(Err(e)) = self.stream.poll_flush(cx) {
                    return Poll::Ready(Err(e));
                }
            }
            Poll::Pending => {}
        }
        self.stream.poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.held.len() + bytes > HELD_MAX {
            ready!(self.poll_send(cx))?;
        }
        if bytes > HELD_MAX {
            return self.stream.poll_write_vectored(cx, slices);
        }
        slices.iter().for_each(|slice| self.held.extend_from_slice(slice));
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// With many bytes held this only makes sure that the connection is asked again.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.len() - self.sent >= HELD_MIN {
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = &mut *self;
        if socket.lingers.is_none() {
            ready!(socket.poll_send(cx))?;
            ready!(socket.stream.poll_shutdown(cx))?;
        }
        let lingers = socket.lingers.get_or_insert_with(|| socket.clock.sleep(LINGER));
        match lingers.poll_unpin(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => socket.stream.poll_end(cx).map(Ok),
        }
    }
}

impl Connected for Socket {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.peer()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::future::poll_fn;
    use std::pin::pin;

    use barograph_engine::{ManualClock, SystemClock};
    use barograph_lake::{Span, Timestamp};
    use futures::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::Plain(listener.accept().await.unwrap().0);
        (Socket::new(stream, None, Arc::new(SystemClock)), other)
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|at| (at * 31 / 7) as u8).collect()
    }

    #[tokio::test]
    async fn a_small_answer_goes_out_at_once() {
        let (mut socket, mut other) = pair().await;
        socket.write_all(b"few").await.unwrap();
        socket.flush().await.unwrap();
        let mut got = [0; 3];
        other.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"few");
    }

    #[tokio::test]
    async fn many_bytes_are_held_until_requests_are_looked_for() {
        let (mut socket, mut other) = pair().await;
        let sent = bytes(HELD_MAX / 2);
        socket.write_all(&sent).await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(socket.held, sent);
        let mut request = [0; 1];
        while !socket.held.is_empty() {
            assert!(poll!(pin!(socket.read(&mut request))).is_pending());
            tokio::task::yield_now().await;
        }
        let mut got = vec![0; sent.len()];
        other.read_exact(&mut got).await.unwrap();
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn every_byte_arrives_in_order_however_it_is_written_and_read() {
        let (mut socket, mut other) = pair().await;
        let sent = bytes(9_000_000);
        let reader = tokio::spawn(async move {
            let (mut got, mut buffer) = (Vec::new(), vec![0; 70_000]);
            loop {
                tokio::task::yield_now().await;
                match other.read(&mut buffer).await.unwrap() {
                    0 => return got,
                    read => got.extend_from_slice(&buffer[..read]),
                }
            }
        });
        let sizes = [1, 9, 16_384, 16_393, 131_072, 131_073, 400_000].into_iter().cycle();
        let (mut rest, mut held_most) = (sent.as_slice(), 0);
        for size in sizes {
            let (frame, left) = rest.split_at(size.min(rest.len()));
            socket.write_all(frame).await.unwrap();
            socket.flush().await.unwrap();
            held_most = held_most.max(socket.held.len());
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        poll_fn(|cx| Pin::new(&mut socket).poll_shutdown(cx)).await.unwrap();
        assert!(held_most <= HELD_MAX);
        assert!(reader.await.unwrap() == sent);
    }

    #[tokio::test]
    async fn an_answer_arrives_whole_though_the_client_has_sent_what_nobody_read() {
        let (mut socket, mut other) = pair().await;
        // More than the client's side takes before it reads.
        let sent = bytes(120_000);
        other.write_all(b"unread").await.unwrap();
        socket.stream.tcp().readable().await.unwrap();
        socket.write_all(&sent).await.unwrap();
        let ended = tokio::spawn(async move { socket.shutdown().await });
        let mut got = Vec::new();
        other.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
        drop(other);
        ended.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_end_its_side_has_two_seconds() {
        let (mut socket, _other) = pair().await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        socket.clock = clock.clone();
        let mut ended = pin!(socket.shutdown());
        assert!(poll!(&mut ended).is_pending());
        clock.set(clock.now() + Span::from_duration(LINGER));
        ended.await.unwrap();
    }
}
