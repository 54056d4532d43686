//! The caller of a request: its address, and the headers that it sent.

use std::net::SocketAddr;

use http::HeaderMap;
use tonic::transport::server::TcpConnectInfo;

/// The one that sent a request. Nothing of it is read before SQL needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    headers: &'a HeaderMap,
    peer: Option<SocketAddr>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(headers: &'a HeaderMap, peer: Option<SocketAddr>) -> Self {
        Self { headers, peer }
    }

    /// The caller of a request that did not come through the generated service.
    pub(crate) fn of(parts: &'a http::request::Parts) -> Self {
        let peer = parts.extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        Self::new(&parts.headers, peer)
    }

    /// How the caller is named in the list of queries and in records: the address it asks from.
    pub(crate) fn user(&self) -> String {
        self.peer.map_or_else(|| "local".to_owned(), |peer| peer.ip().to_string())
    }

    /// Where rows that it appends by SQL come from.
    pub(crate) fn source(&self) -> String {
        self.source_by("flight-sql")
    }

    /// Where rows that it appends by a protocol come from.
    pub(crate) fn source_by(&self, protocol: &str) -> String {
        match self.peer {
            Some(peer) => format!("{protocol}:{peer}"),
            None => protocol.to_owned(),
        }
    }

    pub(crate) fn headers(&self) -> &'a HeaderMap {
        self.headers
    }
}
