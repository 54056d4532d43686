//! The call that an answer or a put is charged to: one of its own, or one that several of a request share, which is recorded
//! as done if all of them were.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barograph_access::{Allowed, Call, Identity, Verb};
use barograph_lake::Span;
use tracing::Span as Traced;

use crate::Result;

/// What an answer or a put is charged to.
pub(crate) enum Charged {
    Own(Call),
    Part(Part),
}

/// A call that several answers and puts share.
#[derive(Debug)]
pub(crate) struct SharedCall {
    /// Taken when it is dropped.
    call: Mutex<Option<Call>>,
    identity: Arc<Identity>,
    span: Traced,
    begun: AtomicUsize,
    done: AtomicUsize,
}

/// The share of an answer or put in a call.
#[derive(Debug)]
pub(crate) struct Part(Arc<SharedCall>);

impl From<Call> for Charged {
    fn from(call: Call) -> Self {
        Self::Own(call)
    }
}

impl From<Part> for Charged {
    fn from(part: Part) -> Self {
        Self::Part(part)
    }
}

impl SharedCall {
    pub(crate) fn new(call: Call) -> Arc<Self> {
        let (identity, span) = (Arc::clone(call.identity()), call.span().clone());
        let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { call: Mutex::new(Some(call)), identity, span, begun, done })
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The span that its work is traced below.
    pub(crate) fn span(&self) -> &Traced {
        &self.span
    }

    /// Begins a part. The call has failed unless it is done, too.
    pub(crate) fn part(self: &Arc<Self>) -> Part {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Part(Arc::clone(self))
    }

    /// Whether who asks may do `verb` with `table`, and with what of it.
    pub(crate) fn allow(&self, verb: Verb, table: &str) -> Result<Allowed> {
        let allowed = match self.call().as_mut() {
            Some(call) => call.allow(verb, table),
            None => Err(self.identity.refused(verb, table)),
        };
        if allowed.is_err() {
            // What was refused is never done.
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
        Ok(allowed?)
    }

    /// Does something with the call itself.
    pub(crate) fn with<T>(&self, of: impl FnOnce(&mut Call) -> T) -> Option<T> {
        self.call().as_mut().map(of)
    }

    fn call(&self) -> MutexGuard<'_, Option<Call>> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SharedCall {
    fn drop(&mut self) {
        let are_done = self.begun.load(Ordering::Relaxed) == self.done.load(Ordering::Relaxed);
        if let (true, Some(call)) = (are_done, self.call().take()) {
            call.done();
        }
    }
}

impl Part {
    /// The span that its work is traced below.
    pub(crate) fn span(&self) -> &Traced {
        self.0.span()
    }

    pub(crate) fn done(self) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Charged {
    /// The span that its work is traced below.
    pub(crate) fn span(&self) -> &Traced {
        match self {
            Self::Own(call) => call.span(),
            Self::Part(part) => part.span(),
        }
    }

    /// Counts what was sent; the next may be sent after the returned time.
    pub(crate) fn sent(&mut self, rows: u64, bytes: u64) -> Span {
        match self {
            Self::Own(call) => call.sent(rows, bytes),
            Self::Part(part) => part.0.with(|call| call.sent(rows, bytes)).unwrap_or(Span::ZERO),
        }
    }

    /// Counts what was put; the next may be taken after the returned time.
    pub(crate) fn received(&mut self, rows: u64, bytes: u64) -> Span {
        match self {
            Self::Own(call) => call.received(rows, bytes),
            Self::Part(part) => {
                part.0.with(|call| call.received(rows, bytes)).unwrap_or(Span::ZERO)
            }
        }
    }

    /// Refuses whoever asks if it is not known any more.
    pub(crate) fn recheck(&self) -> Result<()> {
        match self {
            Self::Own(call) => Ok(call.recheck()?),
            Self::Part(part) => Ok(part.0.with(|call| call.recheck()).unwrap_or(Ok(()))?),
        }
    }

    /// The answer or put is complete.
    pub(crate) fn done(self) {
        match self {
            Self::Own(call) => call.done(),
            Self::Part(part) => part.done(),
        }
    }
}
