//! The memory limit of the process: a memory pool that refuses queries while the process holds too much, whatever the
//! pool has left.

use std::fmt;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

use barograph_engine::internal::ProcessMemoryLimit;

/// Smaller requests are granted without asking the system.
const ASKED: usize = 1 << 20;

/// A pool under the ceiling of the process.
#[derive(Debug)]
pub(crate) struct ProcessLimitedPool<P> {
    pub(crate) pool: P,
    pub(crate) process_limit: ProcessMemoryLimit,
}

impl<P: MemoryPool> fmt::Display for ProcessLimitedPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.pool, f)
    }
}

impl<P: MemoryPool> MemoryPool for ProcessLimitedPool<P> {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if additional >= ASKED {
            let refused = |error: barograph_engine::Error| {
                DataFusionError::ResourcesExhausted(error.to_string())
            };
            self.process_limit.check(additional).map_err(refused)?;
        }
        self.pool.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::UnboundedMemoryPool;

    use super::*;

    #[test]
    fn a_process_that_holds_too_much_gives_no_more() {
        if !std::path::Path::new("/proc/self/statm").exists() {
            return;
        }
        let process_limit = ProcessMemoryLimit::new(Some(1 << 20));
        let pool = ProcessLimitedPool { pool: UnboundedMemoryPool::default(), process_limit };
        let pool: Arc<dyn MemoryPool> = Arc::new(pool);
        let reservation = MemoryConsumer::new("a sort").register(&pool);
        let error = reservation.try_grow(ASKED).unwrap_err();
        assert!(matches!(error, DataFusionError::ResourcesExhausted(_)), "{error}");
        let engine_error = crate::errors::engine_error(error).to_string();
        assert!(
            engine_error.starts_with("sql.server_bytes_max: the server holds"),
            "{engine_error}"
        );
        assert!(reservation.try_grow(ASKED / 2).is_ok());
    }
}
