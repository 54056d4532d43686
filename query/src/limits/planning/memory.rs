//! Memory of planning, counted as part of `sql.memory_bytes_max`.
//!
//! The planner reports nothing of what it allocates, so it is taken from the [allocator's
//! count](barograph_engine::internal::CountingAllocator): a plan is made by one task, and the memory that it holds is the sum of what
//! was allocated while the task was polled.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parking_lot::Mutex;

use barograph_engine::internal::held;

/// Change in bytes after which the memory held is counted again.
const STEP: usize = 1 << 20;

tokio::task_local! {
    static PLANNING: Planning;
}

/// Memory held by one plan that is being made.
struct Planning {
    reservation: Mutex<MemoryReservation>,
    /// Bytes held at the end of the last poll.
    before: AtomicIsize,
    /// The thread's count at the beginning of the current poll.
    since: AtomicIsize,
}

impl Planning {
    fn held(&self) -> usize {
        let since = held().wrapping_sub(self.since.load(Ordering::Relaxed));
        let held = self.before.load(Ordering::Relaxed).wrapping_add(since);
        usize::try_from(held).unwrap_or(0)
    }

    fn begin(&self) {
        self.since.store(held(), Ordering::Relaxed);
    }

    fn pause(&self) {
        let since = held().wrapping_sub(self.since.load(Ordering::Relaxed));
        self.before.fetch_add(since, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        let held = self.held();
        let reservation = self.reservation.lock();
        if held.abs_diff(reservation.size()) < STEP {
            return Ok(());
        }
        reservation.try_resize(held)
    }
}

/// Runs the work of planning, counting what it holds in `pool` until it has ended.
pub(crate) async fn accounted<T>(pool: &Arc<dyn MemoryPool>, work: impl Future<Output = T>) -> T {
    let planning = Planning {
        reservation: Mutex::new(MemoryConsumer::new("planning").register(pool)),
        before: AtomicIsize::new(0),
        since: AtomicIsize::new(held()),
    };
    let work = async {
        let mut work = pin!(work);
        poll_fn(|cx| {
            PLANNING.with(Planning::begin);
            let polled = work.as_mut().poll(cx);
            PLANNING.with(Planning::pause);
            polled
        })
        .await
    };
    PLANNING.scope(planning, work).await
}

/// Fails if the plan that the calling task makes holds more than the queries' memory has left.
pub(crate) fn check() -> Result<()> {
    PLANNING.try_with(Planning::check).unwrap_or(Ok(()))
}
