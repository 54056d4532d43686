//! The lease of an executor: whatever works for a statement holds it, the tasks that DataFusion starts included. The
//! executor is free when the last of them drops the lease.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use barograph_engine::{Error, Result};
use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

use super::{Executor, Executors};
use crate::limits::stop::Stop;

tokio::task_local! {
    static LEASE: Arc<Lease>;
}

/// An executor for one statement, until its last task has ended.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) executors: Arc<Executors>,
    /// There until the lease ends.
    pub(super) executor: Option<Executor>,
    pub(super) stop: Stop,
    pub(super) abandoned: AtomicBool,
    pub(super) large: AtomicBool,
}

impl Lease {
    /// Starts work; tasks of it that are left once it has ended are abandoned.
    ///
    /// # Errors
    /// `Internal` if the threads have ended.
    pub(crate) fn spawn<T: Send + 'static>(
        self: Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        let executor = self.executor.as_ref();
        let executor = executor.ok_or_else(|| Error::internal("the executor has ended"))?;
        let handle = executor.threads.handle()?.clone();
        let work = async {
            let done = work.await;
            LEASE.with(|lease| lease.abandon());
            done
        };
        Ok(handle.spawn(LEASE.scope(self, work)))
    }

    /// The flag that tells work under this lease to stop, as soon as it checks.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Marks the statement as ended: work that continues under the lease is counted until it has ended, too.
    pub(crate) fn abandon(&self) {
        if !self.abandoned.swap(true, Ordering::AcqRel) {
            self.executors.state.lock().abandoned += 1;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let abandoned = *self.abandoned.get_mut();
        if let Some(executor) = self.executor.take() {
            self.executors.give_back(executor, abandoned, *self.large.get_mut());
        }
    }
}

/// Fails if the statement that the calling task works for was told to stop.
pub(crate) fn check() -> datafusion::common::Result<()> {
    LEASE.try_with(|lease| lease.stop.check()).unwrap_or(Ok(()))
}

/// Marks the statement of the calling task as one that uses much stack, which is not to be kept.
pub(crate) fn is_large() {
    let _ = LEASE.try_with(|lease| lease.large.store(true, Ordering::Relaxed));
}

/// Makes DataFusion's tasks hold the lease of the task that starts them.
pub(super) fn follow_tasks() {
    // Whoever was first has done it.
    let _ = set_join_set_tracer(&LeaseTracer);
}

struct LeaseTracer;

type Output = Box<dyn Any + Send>;

impl JoinSetTracer for LeaseTracer {
    fn trace_future(&self, work: BoxFuture<'static, Output>) -> BoxFuture<'static, Output> {
        match LEASE.try_with(Arc::clone) {
            Ok(lease) => Box::pin(LEASE.scope(lease, work)),
            Err(_) => work,
        }
    }

    fn trace_block(
        &self,
        work: Box<dyn FnOnce() -> Output + Send>,
    ) -> Box<dyn FnOnce() -> Output + Send> {
        match LEASE.try_with(Arc::clone) {
            Ok(lease) => Box::new(move || LEASE.sync_scope(lease, work)),
            Err(_) => work,
        }
    }
}
