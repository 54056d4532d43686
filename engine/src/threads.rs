//! Background threads of low priority, so that ingestion and point reads go before the work on them.

use barograph_lake::internal;
use tokio::runtime::{Handle, Runtime};

use crate::{Error, Result};

/// Blocking work of a rewrite beside one piece for each of its threads: the end of a file, and names of hosts.
const MORE_BLOCKING: usize = 2;
/// Blocking work at a time where nothing bounds it: tokio's own bound.
const ANY_BLOCKING: usize = 512;

/// A pool of threads of low priority. They end when it is dropped, without being waited for.
#[derive(Debug)]
pub struct Threads(Option<Runtime>);

impl Threads {
    /// Starts `count` threads named `name`.
    pub fn start(name: &str, count: usize) -> Result<Self> {
        Self::blocking(name, count, ANY_BLOCKING, None)
    }

    /// Starts `count` threads, each with a stack of `bytes` bytes, of which only the used part takes memory.
    pub fn with_stack(name: &str, count: usize, bytes: usize) -> Result<Self> {
        Self::blocking(name, count, ANY_BLOCKING, Some(bytes))
    }

    /// Starts `count` threads for a [rewrite](crate::rewrite) that keeps as many busy. Blocking work takes few
    /// threads in turn, as each of them keeps memory for its next piece.
    pub fn for_rewrite(name: &str, count: usize) -> Result<Self> {
        Self::blocking(name, count, count + MORE_BLOCKING, None)
    }

    fn blocking(name: &str, count: usize, blocking: usize, stack: Option<usize>) -> Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Some(bytes) = stack {
            builder.thread_stack_size(bytes);
        }
        let runtime = builder
            .worker_threads(count.max(1))
            .max_blocking_threads(blocking)
            .thread_name(name)
            .on_thread_start(lower_priority)
            .enable_all()
            .build()
            .map_err(|e| Error::internal(format!("start the threads {name}")).with_source(e))?;
        Ok(Self(Some(runtime)))
    }

    /// The handle that gives work to them.
    ///
    /// # Errors
    /// `Internal` if they have ended.
    pub fn handle(&self) -> Result<&Handle> {
        let ended = || Error::internal("the threads have ended");
        self.0.as_ref().map(Runtime::handle).ok_or_else(ended)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lets ingestion and point reads go before the calling thread.
fn lower_priority() {
    if let Err(error) = internal::lower_priority() {
        tracing::warn!(%error, "could not lower the priority of a background thread");
    }
}
