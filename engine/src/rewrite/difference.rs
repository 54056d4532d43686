//! The difference that runs make to a table: none if the active files hold their rows already, whenever those were
//! ingested.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::future::BoxFuture;

use super::Rewrite;
use crate::scan::execute::Execution;
use crate::{Error, Result};

impl Rewrite {
    /// Whether the rows would differ from those of the active files alone, `ingested_at` aside. To be asked before
    /// the first step; reads no further than to the first slice that differs.
    pub fn differs(&self) -> BoxFuture<'static, Result<bool>> {
        let sources = self.execution.sources.iter().take(self.landed).cloned().collect();
        let (files, scan) = (self.execution.files.clone(), self.execution.scan.clone());
        let before = Arc::new(Execution::new(files, sources, scan));
        let after = Arc::clone(&self.execution);
        let columns = self.table.schema().ingested_at();
        let (slices, on) = (self.slices.clone(), self.bounds.on.clone());
        Box::pin(async move {
            for slice in slices {
                let (before, after, then) = (Arc::clone(&before), Arc::clone(&after), on.clone());
                let read = move || -> Result<bool> {
                    let before = then.block_on(before.slice(&slice))?;
                    Ok(!same(&before, &then.block_on(after.slice(&slice))?, columns))
                };
                let ended = |e| Error::internal("comparing a slice ended early").with_source(e);
                if on.spawn_blocking(read).await.map_err(ended)?? {
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
