//! The sink that takes the rows of an import through a log: a server, reached through a client.

use std::future::Future;

use arrow::array::RecordBatch;
use barograph_engine::validate::Rejected;

use crate::Result;

/// Numbers of rows that went into the table and to the dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutOutcome {
    /// Rows that went into the table.
    pub accepted: u64,
    /// Rows that went to `dead_letters`.
    pub rejected: u64,
}

/// A taker of rows for a table.
///
/// 1. When a call returns `Ok`, every row handed over is durable: in the table, or in `dead_letters`.
/// 2. `accepted + rejected` is the number of rows handed over.
/// 3. After an error some of the rows may be in the table; handing them over again changes nothing.
/// 4. At a bound of memory a call fails with `ErrorKind::Resources`; the same call works later.
/// 5. Calls may run at the same time.
pub trait Sink: Send + Sync {
    /// Takes rows whose columns are named as in the table.
    fn put(
        &self,
        table: &str,
        rows: RecordBatch,
        source: &str,
    ) -> impl Future<Output = Result<PutOutcome>> + Send;

    /// Takes rows that never became rows of the table.
    fn put_rejected(
        &self,
        table: &str,
        rejected: &[Rejected],
        source: &str,
    ) -> impl Future<Output = Result<PutOutcome>> + Send;
}
