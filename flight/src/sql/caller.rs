//! The caller of a request: its address, and the session that its headers carry.

use std::net::SocketAddr;

use http::HeaderMap;
use tonic::transport::server::TcpConnectInfo;

use super::session::Session;
use crate::Result;

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

    /// The session that the request's headers carry.
    pub(super) fn session(&self) -> Result<Session> {
        Session::read(self.headers)
    }

    /// How the caller is named in the list of queries and in records: the address it asks from.
    pub(crate) fn user(&self) -> String {
        self.peer.map_or_else(|| "local".to_owned(), |peer| peer.ip().to_string())
    }

    /// Where rows that it sends come from.
    pub(super) fn source(&self) -> String {
        match self.peer {
            Some(peer) => format!("flight-sql:{peer}"),
            None => "flight-sql".to_owned(),
        }
    }

    pub(super) fn headers(&self) -> &'a HeaderMap {
        self.headers
    }
}
