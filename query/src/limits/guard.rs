//! Limits of all queries together: their memory is counted and bounded, for each caller, too, and their files on disk are
//! bounded.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use barograph_engine::Result;
use datafusion::common::{DataFusionError, Result as QueryResult};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::errors::{OF_USER, engine_error};
use crate::limits::function_memory::ProcessLimitedPool;
use crate::limits::queries::Meter;
use crate::limits::spill;
use crate::settings::SqlSettings;

/// Callers that are kept; beyond that, those without a query are forgotten.
const USERS_MAX: usize = 1_024;

/// The memory of callers, by their names.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<HashMap<String, Weak<UserMemory>>>);

/// The memory that the queries of one caller hold together.
#[derive(Debug)]
pub(crate) struct UserMemory {
    user: String,
    held: AtomicUsize,
}

/// The part of a query in the memory of its caller.
#[derive(Debug, Clone)]
pub(crate) struct UserShare {
    pub(crate) memory: Arc<UserMemory>,
    /// What the queries of the caller may hold together.
    pub(crate) most: usize,
}

impl Users {
    /// The memory of `user`.
    pub(crate) fn memory(&self, user: &str) -> Arc<UserMemory> {
        let mut users = self.0.lock();
        if let Some(memory) = users.get(user).and_then(Weak::upgrade) {
            return memory;
        }
        if users.len() >= USERS_MAX {
            users.retain(|_, memory| memory.strong_count() > 0);
        }
        let memory = Arc::new(UserMemory { user: user.to_owned(), held: AtomicUsize::new(0) });
        users.insert(user.to_owned(), Arc::downgrade(&memory));
        memory
    }
}

impl UserShare {
    fn try_grow(&self, additional: usize) -> QueryResult<()> {
        let UserMemory { user, held } = &*self.memory;
        let more = |held: usize| held.checked_add(additional).filter(|held| *held <= self.most);
        match held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(held) => Err(DataFusionError::ResourcesExhausted(format!(
                "{OF_USER}: the queries of {user:?} hold {held} of {} bytes, and one wants {additional} more",
                self.most
            ))),
        }
    }

    fn grow(&self, additional: usize) {
        self.memory.held.fetch_add(additional, Ordering::Relaxed);
    }

    fn shrink(&self, bytes: usize) {
        self.memory.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

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

/// The runtime of one query: the shared one, with the query's memory counted as its own and as that of its caller.
pub(crate) fn metered(
    shared: &RuntimeEnv,
    meter: &Arc<Meter>,
    user: Option<UserShare>,
) -> Arc<RuntimeEnv> {
    let (shared_pool, meter) = (Arc::clone(&shared.memory_pool), Arc::clone(meter));
    let pool = MeteredPool { shared: shared_pool, meter, user };
    Arc::new(RuntimeEnv { memory_pool: Arc::new(pool), ..shared.clone() })
}

/// Passes everything on to the shared pool, and counts it.
#[derive(Debug)]
struct MeteredPool {
    shared: Arc<dyn MemoryPool>,
    meter: Arc<Meter>,
    user: Option<UserShare>,
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
        self.user.iter().for_each(|user| user.grow(additional));
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        // In this order another thread that takes what is given back is never counted beside it.
        self.meter.shrink(shrink);
        self.user.iter().for_each(|user| user.shrink(shrink));
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> QueryResult<()> {
        self.user.iter().try_for_each(|user| user.try_grow(additional))?;
        if let Err(error) = self.shared.try_grow(reservation, additional) {
            self.user.iter().for_each(|user| user.shrink(additional));
            return Err(error);
        }
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

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::UnboundedMemoryPool;

    use super::*;

    #[test]
    fn queries_of_one_caller_share_what_it_may_hold() {
        let users = Users::default();
        let shared: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let query = |user: &str| {
            let user = Some(UserShare { memory: users.memory(user), most: 100 });
            let (shared, meter) = (Arc::clone(&shared), Arc::default());
            let pool: Arc<dyn MemoryPool> = Arc::new(MeteredPool { shared, meter, user });
            MemoryConsumer::new("a sort").register(&pool)
        };
        let (first, second, other) = (query("anna"), query("anna"), query("ben"));
        first.try_grow(60).unwrap();
        let error = engine_error(second.try_grow(41).unwrap_err());
        let text = error.to_string();
        assert!(
            text.starts_with("access.limits.memory_bytes_max: the queries of \"anna\""),
            "{text}"
        );
        assert!(error.retry_after().is_some());
        second.try_grow(40).unwrap();
        other.try_grow(100).unwrap();
        drop(first);
        second.try_grow(60).unwrap();
        drop((second, other));
        assert_eq!(users.memory("anna").held.load(Ordering::Relaxed), 0);
    }
}
