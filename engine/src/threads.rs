//! Which work waits for other work? What runs on threads of its own here steps back before ingestion and point
//! reads.

use tokio::runtime::{Handle, Runtime};

use crate::{Error, Result};

/// How much less of busy processors a thread gets than one of ingestion: a tenth, where both want all they
/// can get (`nice` of POSIX).
const NICENESS: i32 = 10;

/// Threads that step back before others. They end when it is dropped, without being waited for.
#[derive(Debug)]
pub struct Threads(Option<Runtime>);

impl Threads {
    /// Starts `count` of them, named `name`.
    pub fn start(name: &str, count: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_name(name)
            .on_thread_start(step_back)
            .enable_all()
            .build()
            .map_err(|e| Error::internal(format!("start the threads {name}")).with_source(e))?;
        Ok(Self(Some(runtime)))
    }

    /// Where work is given to them.
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
fn step_back() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "a thread runs with the priority of ingestion");
    }
}
