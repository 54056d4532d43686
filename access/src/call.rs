//! A call: one request of an identity, from when it is let in until its answer ends. It counts against limits, and is
//! recorded when it is dropped.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use barograph_lake::Span;

use crate::audit::{AuditEntry, Outcome};
use crate::quotas::Running;
use crate::{Access, Allowed, Decision, Identity, Refusal, Verb};

/// The door that a call came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Native Flight.
    Flight,
    /// Flight SQL.
    Sql,
    /// HTTP.
    Http,
    /// The protocol of PostgreSQL.
    Postgres,
}

/// A request that was let in.
pub struct Call {
    access: Arc<Access>,
    identity: Arc<Identity>,
    _running: Running,
    door: Door,
    action: &'static str,
    address: Option<IpAddr>,
    begun: Span,
    span: tracing::Span,
    tables: String,
    /// Whether it only reads.
    reads: bool,
    outcome: Outcome,
    detail: String,
    rows: u64,
    bytes: u64,
}

/// Where a call came from.
pub(crate) struct Origin {
    pub(crate) door: Door,
    pub(crate) action: &'static str,
    pub(crate) address: Option<IpAddr>,
    /// When, by elapsed time.
    pub(crate) begun: Span,
    pub(crate) span: tracing::Span,
}

impl Door {
    /// As records name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flight => "flight",
            Self::Sql => "sql",
            Self::Http => "http",
            Self::Postgres => "postgres",
        }
    }
}

impl Call {
    pub(crate) fn new(
        access: Arc<Access>,
        identity: Arc<Identity>,
        running: Running,
        origin: Origin,
    ) -> Self {
        let Origin { door, action, address, begun, span } = origin;
        Self {
            access,
            identity,
            _running: running,
            door,
            action,
            address,
            begun,
            span,
            tables: String::new(),
            reads: true,
            outcome: Outcome::Failed,
            detail: String::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Who asks.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The span that its work is traced below.
    pub fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// Whether who asks may do `verb` with `table`, and with what of it.
    ///
    /// # Errors
    /// [`Refusal`] of the kind `Denied`, the same whether there is such a table or not.
    pub fn allow(&mut self, verb: Verb, table: &str) -> Result<Allowed, Refusal> {
        self.is_about(table);
        self.reads &= verb == Verb::Read;
        match self.identity.decide(verb, table) {
            Decision::Allow(allowed) => Ok(allowed),
            Decision::Deny => Err(self.denied(self.identity.refused(verb, table))),
        }
    }

    /// Refuses who may not do `verb`, which is about the server, for `what`.
    ///
    /// # Errors
    /// [`Refusal`] of the kind `Denied`.
    pub fn require(&mut self, verb: Verb, what: &str) -> Result<(), Refusal> {
        self.reads &= verb == Verb::Observe;
        let required = self.identity.require(verb, what);
        required.map_err(|refusal| self.denied(refusal))
    }

    /// Refuses whoever asks if it is not known any more.
    ///
    /// # Errors
    /// [`Refusal`] of the kind `Unauthenticated`.
    pub fn recheck(&self) -> Result<(), Refusal> {
        self.access.recheck(&self.identity)
    }

    /// Counts another request that came by the same call, and refuses it where a rate is used up, or where who asks is
    /// not known any more.
    ///
    /// # Errors
    /// [`Refusal`] of the kinds `Unauthenticated` and `Exhausted`.
    pub fn again(&self) -> Result<(), Refusal> {
        self.access.recheck(&self.identity)?;
        self.identity.account.again(self.access.time().elapsed())
    }

    /// Says what it does, where that is known after it was let in.
    pub fn does(&mut self, action: &'static str) {
        self.action = action;
    }

    /// Says by which door it came, where that is known after it was let in.
    pub fn came_by(&mut self, door: Door) {
        self.door = door;
    }

    /// Says what it is about, for records.
    pub fn is_about(&mut self, table: &str) {
        if self.tables.split(',').any(|of| of == table) {
            return;
        }
        if !self.tables.is_empty() {
            self.tables.push(',');
        }
        self.tables.push_str(table);
    }

    /// Says that it changes something, so that it is always recorded.
    pub fn changes(&mut self) {
        self.reads = false;
    }

    /// Says more, for records: no secret, no text and no value of a request.
    pub fn detail(&mut self, detail: impl fmt::Display) {
        self.detail = detail.to_string();
    }

    /// Keeps a refusal for the record.
    pub fn denied(&mut self, refusal: Refusal) -> Refusal {
        self.outcome = Outcome::of(&refusal);
        self.detail = refusal.to_string();
        refusal
    }

    /// Counts what was put; the next may be taken after the returned time.
    pub fn received(&mut self, rows: u64, bytes: u64) -> Span {
        self.count(rows, bytes);
        self.identity.account.received(self.access.time().elapsed(), rows, bytes)
    }

    /// Counts what was sent; the next may be sent after the returned time.
    pub fn sent(&mut self, rows: u64, bytes: u64) -> Span {
        self.count(rows, bytes);
        self.identity.account.sent(self.access.time().elapsed(), rows, bytes)
    }

    fn count(&mut self, rows: u64, bytes: u64) {
        self.rows = self.rows.saturating_add(rows);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Its answer is complete.
    pub fn done(mut self) {
        self.outcome = Outcome::Done;
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("identity", &self.identity.name()).finish_non_exhaustive()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.span.record("action", self.action);
        self.span.record("tables", self.tables.as_str());
        self.span.record("outcome", self.outcome.name());
        self.span.record("rows", self.rows);
        self.span.record("bytes", self.bytes);
        let was_let_in = matches!(self.outcome, Outcome::Done | Outcome::Failed);
        if self.reads && was_let_in && !self.access.records_reads() {
            return;
        }
        let time = self.access.time();
        let took = time.elapsed().saturating_sub(self.begun);
        self.access.audit().record(AuditEntry {
            at: time.now(),
            identity: Arc::clone(&self.identity.name),
            proof: self.identity.proof.name(),
            address: self.address.map(|address| address.to_string()),
            door: self.door.name(),
            action: self.action,
            tables: std::mem::take(&mut self.tables),
            outcome: self.outcome,
            detail: std::mem::take(&mut self.detail),
            rows: self.rows,
            bytes: self.bytes,
            duration_us: u64::try_from(took.micros()).unwrap_or(0),
        });
    }
}
