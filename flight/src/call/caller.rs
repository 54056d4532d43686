//! The caller of a request: who it is, its address, and the headers that it sent. There is none before access has let the
//! request in.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use barograph_access::{Allowed, Call, Credentials, Decision, Door, Identity, Proof, Verb};
use barograph_engine::{ErrorKind, Restriction};
use barograph_lake::TableSchema;
use barograph_query::{Sql, SqlSession};
use http::{Extensions, HeaderMap, header};

use super::State;
use crate::{Error, Result};

/// The other end of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: Option<SocketAddr>,
    /// The names in the certificate that it has shown.
    pub(crate) names: Arc<[String]>,
}

/// The one that sent a request.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    headers: &'a HeaderMap,
    peer: Option<SocketAddr>,
    identity: &'a Identity,
}

impl State {
    /// Lets a request in that came by `door`, to which `action` says what it is for records.
    ///
    /// # Errors
    /// `Unauthenticated` and `Resources`.
    pub(crate) fn enter(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        (door, action): (Door, &'static str),
    ) -> Result<Call> {
        Ok(self.access.enter(&credentials(headers, extensions), door, action)?)
    }

    /// How it is known who sends these headers, if it is; no call begins by that.
    pub(crate) fn proof(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<Proof> {
        let identity = self.access.identify(&credentials(headers, extensions));
        identity.ok().map(|identity| identity.proof())
    }

    /// A table about which `identity` knows.
    ///
    /// # Errors
    /// `NotFound`, without the names of other tables for those who may not see all.
    pub(crate) fn table(&self, identity: &Identity, table: &str) -> Result<Arc<TableSchema>> {
        self.engine.schema(table).map_err(|error| match identity.rights().is_everything() {
            true => error.into(),
            false => missing(table),
        })
    }
}

/// A table that is not there, as those are told who may not see all.
fn missing(table: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no table {table:?}"))
}

/// What is given of `table` for reading.
///
/// # Errors
/// `Denied` if a condition on its rows does not fit its columns.
pub(crate) fn restriction(
    table: &Arc<TableSchema>,
    allowed: &Allowed,
) -> Result<Option<Arc<Restriction>>> {
    Ok(Restriction::new(table, allowed)?)
}

/// What is given of `table` to read without a call of its own, as in lists; `None` for nothing.
pub(crate) fn shown(identity: &Identity, table: &Arc<TableSchema>) -> Option<Shown> {
    match identity.decide(Verb::Read, table.name()) {
        Decision::Deny => None,
        Decision::Allow(allowed) => Restriction::new(table, &allowed).ok().map(Shown),
    }
}

/// What is shown of a table, if not all.
pub(crate) struct Shown(pub(crate) Option<Arc<Restriction>>);

fn credentials<'a>(headers: &'a HeaderMap, extensions: &'a Extensions) -> Credentials<'a> {
    let peer = extensions.get::<Peer>();
    Credentials {
        // What is no text is no credential that is known, and must not be passed over.
        authorization: headers.get(header::AUTHORIZATION).map(|of| of.to_str().unwrap_or_default()),
        certificate: peer.map_or(&[], |peer| &peer.names),
        address: peer.and_then(|peer| peer.address).map(|address| address.ip()),
        traceparent: headers.get("traceparent").and_then(|of| of.to_str().ok()),
    }
}

impl<'a> Caller<'a> {
    /// The caller whose request was let in as that of `identity`.
    pub(crate) fn new(
        headers: &'a HeaderMap,
        extensions: &Extensions,
        identity: &'a Identity,
    ) -> Self {
        let peer = extensions.get::<Peer>().and_then(|peer| peer.address);
        Self { headers, peer, identity }
    }

    /// How the caller is named in the list of queries and in records: by its name, or the address it asks from if it
    /// has none.
    pub(crate) fn user(&self) -> String {
        match self.identity.proof() {
            Proof::Open | Proof::Anonymous => {
                self.peer.map_or_else(|| "local".to_owned(), |peer| peer.ip().to_string())
            }
            _ => self.identity.name().to_owned(),
        }
    }

    /// Who has what the caller makes, such as prepared statements: where nobody says who they are, all have it.
    pub(crate) fn owner(&self) -> String {
        match self.identity.proof() {
            Proof::Open => String::new(),
            _ => self.user(),
        }
    }

    /// Whether what `user` has asked is the caller's to end.
    pub(crate) fn may_end(&self, user: &str) -> bool {
        self.identity.may(Verb::Admin) || self.user() == user
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

    /// Where rows that it puts come from.
    pub(crate) fn native_source(&self) -> String {
        match self.peer {
            Some(peer) => format!("flight:{peer}"),
            None => "flight".to_owned(),
        }
    }

    pub(crate) fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    pub(crate) fn identity(&self) -> &'a Identity {
        self.identity
    }

    /// SQL over what the caller may see.
    pub(crate) fn sql(&self, state: &State) -> Result<Arc<Sql>> {
        Ok(state.sql.shown_by(self.identity.rights())?)
    }

    /// `session` for the statements of the caller.
    pub(crate) fn session(&self, session: SqlSession) -> SqlSession {
        let cost_bytes_max = self.identity.cost_bytes_max();
        let memory_bytes_max = self.identity.memory_bytes_max();
        let is_one_of_several = !matches!(self.identity.proof(), Proof::Open | Proof::Anonymous);
        SqlSession {
            user: self.user(),
            cost_bytes_max,
            memory_bytes_max,
            is_one_of_several,
            ..session
        }
    }
}

impl fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("identity", &self.identity.name()).finish_non_exhaustive()
    }
}
