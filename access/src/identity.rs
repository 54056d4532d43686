//! The identity of a caller, and the credentials that it is known by.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use barograph_lake::Timestamp;

use crate::quotas::Account;
use crate::{Decision, Refusal, Rights, Verb};

/// What a caller shows of itself.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The header `authorization`: `Bearer TOKEN`, or `Basic` with a name and a token.
    pub authorization: Option<&'a str>,
    /// Names in the certificate that the caller has shown, if the connection is encrypted and it has shown one.
    pub certificate: &'a [String],
    /// The address that it asks from.
    pub address: Option<IpAddr>,
    /// The header `traceparent`: the trace that its request is a part of.
    pub traceparent: Option<&'a str>,
}

/// How an identity was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By nothing: the server is open to all that reach it.
    Open,
    /// By nothing: callers without credentials have a role.
    Anonymous,
    /// By a token of the tokens file.
    Token,
    /// By a JSON web token.
    Jwt,
    /// By a client's certificate.
    Certificate,
}

/// Who asks.
#[derive(Debug)]
pub struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) proof: Proof,
    pub(crate) roles: Arc<[String]>,
    pub(crate) rights: Arc<Rights>,
    pub(crate) account: Arc<Account>,
    /// Until when it counts.
    pub(crate) expires_at: Option<Timestamp>,
    /// Whether it was taken back.
    pub(crate) revoked: AtomicBool,
}

impl Identity {
    /// Its name, as lists and records show it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it was proved.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// Its roles.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// What it may do. Two identities may see the same if their rights are equal.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// Whether it may do `verb` with `table`, and with what of it.
    pub fn decide(&self, verb: Verb, table: &str) -> Decision {
        self.rights.decide(verb, table)
    }

    /// Whether it may do `verb`, which is about the server.
    pub fn may(&self, verb: Verb) -> bool {
        self.rights.may(verb)
    }

    /// The most that a statement may cost, in bytes of lake files.
    pub fn cost_bytes_max(&self) -> Option<u64> {
        self.account.cost_bytes_max()
    }

    /// The most memory that its statements may hold together, in bytes.
    pub fn memory_bytes_max(&self) -> Option<u64> {
        self.account.memory_bytes_max()
    }

    /// Takes it back: what runs by it ends.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whether the roles of `other` give the same, and as much.
    pub(crate) fn is_given_as(&self, other: &Self) -> bool {
        self.roles == other.roles
            && self.rights == other.rights
            && self.account.is_limited_as(&other.account)
    }

    /// The refusal of `verb` on `table`.
    pub fn refused(&self, verb: Verb, table: &str) -> Refusal {
        Refusal::of_table(&self.name, verb, table)
    }

    /// Refuses who may not do `verb`, which is about the server, for `what`.
    ///
    /// # Errors
    /// [`Refusal`] of the kind `Denied`.
    pub fn require(&self, verb: Verb, what: &str) -> Result<(), Refusal> {
        match self.may(verb) {
            true => Ok(()),
            false => Err(Refusal::denied(format!(
                "{:?} may not do that: {what} needs the verb {verb}",
                self.name
            ))),
        }
    }
}

impl Proof {
    /// As records name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Anonymous => "anonymous",
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Certificate => "certificate",
        }
    }
}

impl fmt::Debug for Credentials<'_> {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("address", &self.address).finish_non_exhaustive()
    }
}
