//! The watcher of a query, which ends it before its answer is complete: its time is up, it was cancelled, or its client
//! left. It runs on the threads of the caller and tells the client at once, since the threads of the query may be in a
//! long operation.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use barograph_engine::{Engine, Error, ErrorKind, Result};
use futures::FutureExt;
use futures::future::{BoxFuture, Fuse};
use tokio::sync::{mpsc, oneshot};

use crate::limits::executors::Lease;
use crate::limits::gate::Place;
use crate::limits::queries::{Queries, Query, QueryId, QueryState};
use crate::statement::rows::Rows;

/// Why a query ended early; received at the moment when it does.
pub(crate) type Reason = Fuse<oneshot::Receiver<Error>>;

/// A query that stays in the list of running ones until this is dropped.
#[derive(Debug)]
pub(crate) struct ListedQuery {
    pub(crate) query: Arc<Query>,
    queries: Arc<Queries>,
    pub(crate) engine: Arc<Engine>,
}

impl ListedQuery {
    pub(crate) fn new(query: Arc<Query>, queries: Arc<Queries>, engine: &Arc<Engine>) -> Self {
        Self { query, queries, engine: Arc::clone(engine) }
    }

    /// Records how it ended; the first call counts.
    pub(crate) fn end(&self, state: QueryState, error: Option<String>) {
        self.queries.end(&self.query, state, error, self.engine.now());
    }

    /// Records that it ended with an error, and returns the error.
    pub(crate) fn failed(&self, error: Error) -> Error {
        self.end(error.kind().into(), Some(error.to_string()));
        error
    }

    /// Removes it without a trace.
    pub(crate) fn forget(&self) {
        self.queries.forget(&self.query);
    }
}

impl Drop for ListedQuery {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end(QueryState::Failed, Some("a bug in the server".to_owned()));
        } else {
            self.end(QueryState::Cancelled, None);
        }
    }
}

impl From<ErrorKind> for QueryState {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Timeout => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

pub(crate) fn cancelled(id: QueryId) -> Error {
    Error::new(ErrorKind::Cancelled, format!("query {id} was cancelled: its answer is incomplete"))
}

pub(crate) fn timed_out(allowed: Duration) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "the query took longer than the {} ms that it is allowed: ask for less, or allow more (session option timeout, up to sql.timeout)",
            allowed.as_millis()
        ),
    )
}

/// The query's side of a watch.
pub(crate) struct WatchHandle {
    /// Ready once the watcher has ended the query.
    pub(crate) ended: oneshot::Receiver<()>,
    /// Dropped with the query, which ends the watch.
    pub(crate) running: oneshot::Sender<()>,
}

/// Watches a query that holds `place` and works under `lease`, until `deadline`.
pub(crate) fn watch(
    listed: &ListedQuery,
    place: &Arc<Place>,
    lease: &Arc<Lease>,
    sender: &mpsc::Sender<Rows>,
    deadline: BoxFuture<'static, ()>,
    allowed: Duration,
) -> (WatchHandle, Reason) {
    let (query, queries) = (Arc::clone(&listed.query), Arc::clone(&listed.queries));
    let (engine, place) = (Arc::clone(&listed.engine), Arc::clone(place));
    let (lease, sender) = (Arc::downgrade(lease), sender.clone());
    let (tell, reason) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let (running, done) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let error = tokio::select! {
            biased;
            _ = done => return,
            () = query.cancelled.notified() => cancelled(query.id),
            () = sender.closed() => cancelled(query.id),
            () = deadline => timed_out(allowed),
        };
        let state = error.kind().into();
        if queries.end(&query, state, Some(error.to_string()), engine.now()) {
            place.give_back();
            let _ = tell.send(error);
        }
        abandon(&lease);
        drop(end);
    });
    (WatchHandle { ended, running }, reason.fuse())
}

/// Tells work under a lease to stop, and counts it until it has.
pub(crate) fn abandon(lease: &Weak<Lease>) {
    if let Some(lease) = lease.upgrade() {
        lease.stop().now();
        lease.abandon();
    }
}

/// The columns of an answer that is being planned, or the reason why there is none.
pub(crate) async fn planned(
    planned: oneshot::Receiver<Result<SchemaRef>>,
    reason: &mut Reason,
    id: QueryId,
) -> Result<SchemaRef> {
    tokio::select! {
        biased;
        Ok(error) = reason => Err(error),
        planned = planned => planned
            .map_err(|_| Error::internal(format!("query {id} ended without a result")))?,
    }
}
