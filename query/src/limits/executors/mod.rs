//! Executors: small runtimes, each of which works on one statement at a time. DataFusion yields only between batches,
//! and one batch may take a thread for minutes.
//!
//! ```text
//! idle ──lease──► leased ──last task ended──► idle
//!                   └─ statement ended, tasks go on: abandoned, until the last of them ends
//! ```
//!
//! An abandoned statement keeps its executor and nothing else: neither a slot nor the threads of others.

mod lease;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use barograph_engine::internal::Threads;
use barograph_engine::{Clock, Error, Result, retry};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::limits::stack;
use crate::limits::stop::Stop;
use crate::settings::SqlSettings;

pub(crate) use lease::{Lease, check, is_large};

/// How long a statement waits for an abandoned one to end when there are too many; most end within milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);
/// Threads of executors that are kept while nothing runs.
const KEPT_THREADS: usize = 64;

/// All executors.
#[derive(Debug)]
pub(crate) struct Executors {
    threads: usize,
    stack_bytes: usize,
    kept_max: usize,
    abandoned_max: usize,
    state: Mutex<State>,
    /// Notified when an abandoned executor is free.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Idle executors; the one used last is last and is taken first, since its threads are warm.
    idle: Vec<Executor>,
    alive: BTreeMap<u64, Handle>,
    started: u64,
    abandoned: usize,
    /// Time that executors worked which have ended.
    ended: Duration,
}

/// A runtime of its own.
#[derive(Debug)]
struct Executor {
    number: u64,
    threads: Threads,
}

impl Executors {
    pub(crate) fn new(settings: &SqlSettings) -> Arc<Self> {
        lease::follow_tasks();
        let threads = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        Arc::new(Self {
            threads,
            stack_bytes: stack::bytes_for(&settings.bounds()),
            kept_max: (KEPT_THREADS / threads).clamp(2, settings.queries_max.max(2)),
            abandoned_max: settings.abandoned_max,
            state: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Threads of each executor.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// An executor on which nothing runs; it is free again once the lease and all work under it are gone.
    ///
    /// # Errors
    /// `Resources` if as many are abandoned as allowed, or the system gives no more threads.
    pub(crate) async fn lease(self: &Arc<Self>, clock: &dyn Clock) -> Result<Arc<Lease>> {
        let mut patience = clock.sleep(PATIENCE);
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(executor) = self.take()? {
                return Ok(Arc::new(Lease {
                    executors: Arc::clone(self),
                    executor: Some(executor),
                    stop: Stop::default(),
                    abandoned: AtomicBool::new(false),
                    large: AtomicBool::new(false),
                }));
            }
            tokio::select! {
                biased;
                () = freed => {}
                () = &mut patience => return Err(self.too_many()),
            }
        }
    }

    fn too_many(&self) -> Error {
        Error::resources(
            "sql.abandoned_max",
            format!(
                "{} statements have ended but still occupy threads, in operations that cannot be interrupted: SELECT * FROM system.queries WHERE tasks > 0 AND finished_at IS NOT NULL shows them; \
                 wait for them, or raise it",
                self.abandoned_max
            ),
            retry::FAULT_MENDED,
        )
    }

    /// A free executor; `None` if too many are abandoned.
    fn take(&self) -> Result<Option<Executor>> {
        let number = {
            let mut state = self.state.lock();
            if state.abandoned >= self.abandoned_max {
                return Ok(None);
            }
            if let Some(executor) = state.idle.pop() {
                return Ok(Some(executor));
            }
            state.started += 1;
            state.started
        };
        // The runtime panics if the system has no thread left.
        let started = catch_unwind(AssertUnwindSafe(|| {
            Threads::with_stack("barograph-sql", self.threads, self.stack_bytes)
        }));
        let threads = started.unwrap_or_else(|_| {
            let message =
                "the system allows the process no more threads: stop other processes, or raise its limit";
            Err(Error::resources("threads", message, retry::FAULT_MENDED))
        })?;
        self.state.lock().alive.insert(number, threads.handle()?.clone());
        Ok(Some(Executor { number, threads }))
    }

    /// Takes back the executor of a lease.
    fn give_back(&self, executor: Executor, abandoned: bool, large: bool) {
        let ended = {
            let mut state = self.state.lock();
            state.abandoned -= usize::from(abandoned);
            // The stacks of a thread keep what was once used of them.
            if !large && state.idle.len() < self.kept_max {
                state.idle.push(executor);
                None
            } else {
                let handle = state.alive.remove(&executor.number);
                state.ended += handle.map_or(Duration::ZERO, |handle| busy(&handle));
                Some(executor)
            }
        };
        drop(ended);
        if abandoned {
            self.freed.notify_waiters();
        }
    }

    /// Executors whose statements have ended and that are still working.
    #[cfg(test)]
    pub(crate) fn abandoned(&self) -> usize {
        self.state.lock().abandoned
    }

    /// Time that all threads have worked so far, summed.
    pub(crate) fn busy(&self) -> Duration {
        let state = self.state.lock();
        state.ended + state.alive.values().map(busy).sum::<Duration>()
    }
}

fn busy(threads: &Handle) -> Duration {
    let metrics = threads.metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}
