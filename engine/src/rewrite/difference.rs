//! The difference that runs make to a table: none if the active files hold their rows already, whenever those were
//! ingested.

use arrow::array::RecordBatch;
use futures::future::BoxFuture;

use super::Rewrite;
use crate::scan::Executor;
use crate::{Error, Result};

impl Rewrite {
    /// Whether the rows would differ from those of the active files alone, `ingested_at` aside. To be asked before
    /// the first step; reads no further than to the first slice that differs.
    pub fn differs(&self) -> BoxFuture<'static, Result<bool>> {
        let (before, after) = (self.plan.of_first_sources(self.landed), self.plan.clone());
        let columns = self.table.schema().ingested_at();
        let on = self.bounds.on.clone();
        Box::pin(async move {
            let executor = Executor::one_thread(on.clone());
            let unbounded = |_| Ok::<_, Error>(());
            let mut before = before.run(executor.clone(), unbounded)?;
            let mut after = after.run(executor, unbounded)?;
            let ended = |e| Error::internal("comparing a slice ended early").with_source(e);
            while let Some(after) = after.next().await? {
                let differs = match before.next().await? {
                    Some(before) => {
                        let differs = on.spawn_blocking(move || !same(&before, &after, columns));
                        differs.await.map_err(ended)?
                    }
                    // There are no active files.
                    None => after.num_rows() > 0,
                };
                if differs {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

/// Whether the first `columns` columns hold the same.
fn same(a: &RecordBatch, b: &RecordBatch, columns: usize) -> bool {
    a.num_rows() == b.num_rows()
        && a.columns().iter().zip(b.columns()).take(columns).all(|(a, b)| a == b)
}
