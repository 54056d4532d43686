//! Limits of all queries together: their memory is counted and bounded, their files on disk are bounded, and no more of
//! them run or wait than allowed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use barograph_engine::{Error, Result, retry};
use datafusion::common::Result as QueryResult;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::errors::engine_error;
use crate::limits::function_memory::ProcessLimitedPool;
use crate::limits::queries::Meter;
use crate::limits::spill;
use crate::settings::SqlSettings;

/// Threads of queries that wait for their readers without a slot: each query keeps its executor.
const PARKED_THREADS: usize = 1_024;

/// Memory and disk of all queries together.
pub(crate) fn runtime(settings: &SqlSettings) -> Result<Arc<RuntimeEnv>> {
    let pool = FairSpillPool::new(settings.memory_bytes_max.get());
    let pool = ProcessLimitedPool { pool, process_limit: settings.process_limit() };
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(spill::disk(settings)?)
        .build_arc()
        .map_err(engine_error)
}

/// The runtime of one query: the shared one, with the query's memory counted.
pub(crate) fn metered(shared: &RuntimeEnv, meter: &Arc<Meter>) -> Arc<RuntimeEnv> {
    let pool = MeteredPool { shared: Arc::clone(&shared.memory_pool), meter: Arc::clone(meter) };
    Arc::new(RuntimeEnv { memory_pool: Arc::new(pool), ..shared.clone() })
}

/// Passes everything on to the shared pool, and counts it.
#[derive(Debug)]
struct MeteredPool {
    shared: Arc<dyn MemoryPool>,
    meter: Arc<Meter>,
}

impl fmt::Display for MeteredPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one query's part of {}", self.shared)
    }
}

impl MemoryPool for MeteredPool {
    fn name(&self) -> &str {
        "metered"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.shared.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.shared.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.shared.grow(reservation, additional);
        self.meter.grow(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        // In this order another thread that takes what is given back is never counted beside it.
        self.meter.shrink(shrink);
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> QueryResult<()> {
        self.shared.try_grow(reservation, additional)?;
        self.meter.grow(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.meter.memory()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.shared.memory_limit()
    }
}

/// Slots of running queries, and the queue of those that wait.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    /// Permits to wait for a reader without a slot.
    parks: Semaphore,
}

/// One waiting query, counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// Slots for queries that run on `threads` threads each.
    pub(crate) fn new(settings: &SqlSettings, threads: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(settings.queries_max.max(1))),
            waiting: AtomicUsize::new(0),
            waiting_max: settings.queue_max,
            parks: Semaphore::new(PARKED_THREADS / threads.max(1)),
        }
    }

    /// Waits for a free slot; refused if too many queries wait already.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Place> {
        let place = |place| Place { gate: Arc::clone(self), held: Mutex::new(Some(place)) };
        if let Ok(free) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place(free));
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if waiting >= self.waiting_max {
            return Err(Error::resources(
                "sql.queue_max",
                format!("{waiting} queries are waiting already"),
                retry::STATEMENT_ENDS,
            ));
        }
        self.free().await.map(place)
    }

    async fn free(&self) -> Result<OwnedSemaphorePermit> {
        let closed = |e| Error::internal("the queue of queries is closed").with_source(e);
        Arc::clone(&self.places).acquire_owned().await.map_err(closed)
    }
}

/// The slot of a query.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Place {
    /// Gives the slot to others for good.
    pub(crate) fn give_back(&self) {
        drop(self.held.lock().take());
    }

    /// Gives the slot to others for a while; `None` if as many queries wait without one as allowed.
    pub(crate) fn park(&self) -> Option<Parked<'_>> {
        let leave = self.gate.parks.try_acquire().ok()?;
        self.give_back();
        Some(Parked { place: self, _leave: leave })
    }
}

/// A query that waits without its slot.
pub(crate) struct Parked<'a> {
    place: &'a Place,
    _leave: SemaphorePermit<'a>,
}

impl Parked<'_> {
    /// Waits for a slot again, however many queries wait for one.
    pub(crate) async fn retake(self) -> Result<()> {
        let place = self.place.gate.free().await?;
        *self.place.held.lock() = Some(place);
        Ok(())
    }
}
