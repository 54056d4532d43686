//! The Delta kernel, which blocks, called from asynchronous code: its work runs on a thread for blocking work, its I/O
//! on the runtime of the caller.

use std::future::Future;
use std::sync::Arc;

use delta_kernel::{KernelError, KernelResult};
use delta_kernel_default_engine::executor::TaskExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use tokio::runtime::{EnterGuard, Handle};

use crate::store::LakeStore;
use crate::{Error, ErrorKind, Result};

/// Runs `work` with a kernel engine over `store` on a thread that may block.
pub(super) async fn with_engine<T: Send + 'static>(
    store: &LakeStore,
    work: impl FnOnce(&DefaultEngine<CallerRuntime>) -> Result<T> + Send + 'static,
) -> Result<T> {
    with_engine_over(store.object().clone(), work).await
}

/// The same over the objects of a store.
pub(super) async fn with_engine_over<T: Send + 'static>(
    object: Arc<dyn ObjectStore>,
    work: impl FnOnce(&DefaultEngine<CallerRuntime>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let runtime = CallerRuntime(Handle::current());
    tokio::task::spawn_blocking(move || {
        let engine =
            DefaultEngineBuilder::new(object).with_task_executor(Arc::new(runtime)).build();
        work(&engine)
    })
    .await
    .map_err(|e| {
        // The readers of checkpoints panic at some that are damaged, which carry no checksum.
        let kind = if e.is_panic() { ErrorKind::Damage } else { ErrorKind::Internal };
        Error::new(kind, "reading the Delta log ended early").with_source(e)
    })?
}

/// Runs the kernel's I/O on the caller's runtime, so that the connections of an object store stay with the
/// runtime that opened them.
pub(super) struct CallerRuntime(Handle);

impl TaskExecutor for CallerRuntime {
    type Guard<'a> = EnterGuard<'a>;

    fn block_on<T>(&self, task: T) -> T::Output
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        // Allowed here: `with_engine` calls the kernel on a thread for blocking work only.
        self.0.block_on(task)
    }

    fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(task);
    }

    fn spawn_blocking<T, R>(&self, task: T) -> BoxFuture<'_, KernelResult<R>>
    where
        T: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let task = self.0.spawn_blocking(task);
        async move { task.await.map_err(|e| KernelError::generic(e.to_string())) }.boxed()
    }

    fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }
}

/// An error of the kernel about the log at `store`.
pub(super) fn kernel_error(store: &LakeStore, error: KernelError) -> Error {
    let kind = match root(&error) {
        KernelError::ObjectStore(_) | KernelError::IOError(_) => ErrorKind::Store,
        KernelError::FileNotFound(_) => ErrorKind::NotFound,
        KernelError::InternalError(_) => ErrorKind::Internal,
        _ => ErrorKind::Damage,
    };
    Error::new(kind, format!("Delta log of {}", store.url())).with_source(error)
}

fn root(error: &KernelError) -> &KernelError {
    match error {
        KernelError::Backtraced { source, .. } => root(source),
        other => other,
    }
}
