//! The refusal of a call: who, may, or how much. It never says whether something exists that the caller may not see.

use std::fmt;

use barograph_lake::Span;

use crate::Verb;

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It is not known who asks: gRPC `UNAUTHENTICATED`, HTTP 401.
    Unauthenticated,
    /// Who asks may not do it: gRPC `PERMISSION_DENIED`, HTTP 403.
    Denied,
    /// Who asks does it too often or too much: gRPC `RESOURCE_EXHAUSTED`, HTTP 429.
    Exhausted,
}

/// A call that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    kind: RefusalKind,
    message: String,
    bound: Option<&'static str>,
    retry_after: Option<Span>,
}

impl Refusal {
    /// It is not known who asks.
    pub(crate) fn unauthenticated(why: impl fmt::Display) -> Self {
        let message = format!("{why}; send the header `authorization: Bearer TOKEN`");
        Self { kind: RefusalKind::Unauthenticated, message, bound: None, retry_after: None }
    }

    /// Who asks may not do it.
    pub fn denied(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind: RefusalKind::Denied, message, bound: None, retry_after: None }
    }

    /// `name` may not do `verb` with a table; the same words whether there is such a table or not.
    pub(crate) fn of_table(name: &str, verb: Verb, table: &str) -> Self {
        Self::denied(format!("{name:?} may not {verb} table {table:?}"))
    }

    /// The bound `bound` is reached, for `retry_after`.
    pub(crate) fn exhausted(
        bound: &'static str,
        message: impl fmt::Display,
        retry_after: Span,
    ) -> Self {
        // As other bounds of the server say it.
        let ms = retry_after.duration().as_millis().max(1);
        Self {
            kind: RefusalKind::Exhausted,
            message: format!("{bound}: {message}; retry in {ms} ms"),
            bound: Some(bound),
            retry_after: Some(retry_after),
        }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The bound that is reached.
    pub fn bound(&self) -> Option<&'static str> {
        self.bound
    }

    /// When to come back.
    pub fn retry_after(&self) -> Option<Span> {
        self.retry_after
    }
}
