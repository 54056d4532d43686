//! A connection with what has come and not been read, and what is to go and has not been sent.

use std::io;

use barograph_flight::door::Transport;
use bytes::{Buf, BytesMut};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{First, first, message};
use crate::failure::{Failure, Result};

/// So much is read ahead of the message that is worked on.
const AHEAD_BYTES: usize = 64 << 10;
/// So much is read at a time, at least.
const READ_BYTES: usize = 4 << 10;
/// So much is kept before it is sent.
const KEPT_BYTES: usize = 64 << 10;
/// A buffer that became larger is let go.
const LARGE_BYTES: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    input: BytesMut,
    /// What is to be sent; rows are written here without a message of their own.
    pub(crate) output: BytesMut,
}

impl Connection {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, input: BytesMut::new(), output: BytesMut::new() }
    }

    /// Whether nothing has come that was not read.
    pub(crate) fn is_read(&self) -> bool {
        self.input.is_empty()
    }

    /// The transport, of which nothing was read that is not dealt with.
    pub(crate) fn into_transport(self) -> Transport {
        self.transport
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// What the connection begins with; `None` at its end.
    pub(crate) async fn first(&mut self) -> Result<Option<First>> {
        loop {
            if let Some(first) = first(&mut self.input)? {
                return Ok(Some(first));
            }
            if !self.read().await {
                return Ok(None);
            }
        }
    }

    /// The next message; `None` at the end of the connection.
    pub(crate) async fn next(&mut self, bytes_max: usize) -> Result<Option<PgWireFrontendMessage>> {
        loop {
            if let Some(message) = message(&mut self.input, bytes_max)? {
                if self.input.is_empty() && self.input.capacity() > LARGE_BYTES {
                    self.input = BytesMut::new();
                }
                return Ok(Some(message));
            }
            if !self.read().await {
                return Ok(None);
            }
        }
    }

    /// Reads some more; whether there was more.
    async fn read(&mut self) -> bool {
        self.input.reserve(READ_BYTES);
        matches!(self.transport.read_buf(&mut self.input).await, Ok(count) if count > 0)
    }

    /// Ready when the client has gone. What it sends until then is kept, up to a bound.
    pub(crate) async fn gone(&mut self) {
        while self.input.len() < AHEAD_BYTES {
            if !self.read().await {
                return;
            }
        }
        std::future::pending().await
    }

    /// Keeps a message until it is sent.
    pub(crate) fn put(&mut self, message: PgWireBackendMessage) -> Result<()> {
        message.encode(&mut self.output).map_err(|error| {
            Failure::fatal("XX000", format!("an answer cannot be written: {error}"))
        })
    }

    /// Whether so much is kept that it should be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= KEPT_BYTES
    }

    /// Sends what is kept. Given up midway, it goes on where it was when it is called again.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let count = self.transport.write(&self.output).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.output.advance(count);
        }
        if self.output.capacity() > LARGE_BYTES {
            self.output = BytesMut::new();
        }
        self.transport.flush().await
    }

    /// Sends what is kept, and ends.
    pub(crate) async fn close(&mut self) {
        if self.flush().await.is_ok() {
            let _ = self.transport.shutdown().await;
        }
    }
}
