//! Reads: a view is pinned, a plan is made of it, and a bounded number of threads work on its slices.

use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_access::SPANS;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use tokio::runtime::Handle;
use tracing::Instrument;

use super::Engine;
use crate::memory::Reservation;
use crate::scan::files::{Files, head};
use crate::scan::point::PointRead;
use crate::scan::{Executor, Plan, PointQuery, Scan, ScanStream};
use crate::table::Table;
use crate::view::View;
use crate::{Restriction, Result, retry};

/// Bytes that a small read reserves.
const SMALL_READ_BYTES: usize = 1 << 20;

impl Engine {
    /// The plan of a range read over `view`: its inputs, and a bound on its cost.
    pub fn plan(&self, view: &View, scan: Scan) -> Result<Plan> {
        let table = self.table(view.schema.name())?;
        Ok(Plan::of_view(self.files_of(table, view), view, scan, self.bounds.slice_rows))
    }

    /// Divides a plan into at most `count` partitions with about equally many rows.
    pub fn divided(&self, plan: Plan, count: usize) -> BoxFuture<'_, Result<Plan>> {
        Box::pin(async move {
            let known = &self.table(plan.table().name())?.divisions;
            plan.divided(count, known).await
        })
    }

    /// Answers a range read over `view`, ordered by (key, time).
    ///
    /// # Errors
    /// `Resources` if the reads that are running take all of `scan_bytes_max`. An error inside the
    /// stream ends it; an answer that ends without one is whole.
    pub fn scan(&self, view: Arc<View>, scan: Scan) -> BoxFuture<'_, Result<ScanStream>> {
        Box::pin(async move {
            let plan = async { self.plan(&view, scan)?.sliced().await };
            let plan = plan.instrument(tracing::trace_span!(target: SPANS, "plan")).await?;
            let schema = plan.schema()?;
            if plan.is_small() {
                let limit = plan.request().limit.unwrap_or(usize::MAX);
                let executor = Executor::Caller { permits: None };
                let mut slices = plan.run(executor, |_| self.reserve_scan(SMALL_READ_BYTES))?;
                let rows = slices.next().await?.map(|rows| head(rows, limit));
                let batches = stream::iter(rows.filter(|rows| rows.num_rows() > 0).map(Ok));
                return Ok(ScanStream { schema, batches: batches.boxed() });
            }
            let executor = Executor::Blocking {
                on: Handle::current(),
                permits: Arc::clone(&self.bounds.threads),
                at_once: self.bounds.thread_count,
            };
            let most = self.bounds.scan.limit() / 2;
            let slices = plan.run(executor, |bytes| self.reserve_scan(bytes.min(most)))?;
            Ok(ScanStream { schema, batches: slices.stream().boxed() })
        })
    }

    /// Answers a point read over `view`: one batch of key, time and the columns asked for.
    pub async fn point(&self, view: &Arc<View>, query: &PointQuery) -> Result<RecordBatch> {
        let table = self.table(view.schema.name())?;
        let files = self.files_of(table, view);
        let read = PointRead { files: &files, view, newest: &table.newest };
        read.answer(query).instrument(tracing::trace_span!(target: SPANS, "point")).await
    }

    /// Answers a point read as [`Self::point`] does, with those of its rows that `restriction` lets through.
    pub async fn point_within(
        &self,
        view: &Arc<View>,
        query: &PointQuery,
        restriction: Option<&Restriction>,
    ) -> Result<RecordBatch> {
        let Some(restriction) = restriction else { return self.point(view, query).await };
        let asked = restriction.point(query);
        let rows = self.point(view, &asked).await?;
        let columns = head_columns(&asked.columns);
        restriction.let_through(&rows, &columns, FIRST_VALUE_COLUMN + query.columns.len())
    }

    /// The executor of slices for callers that are there to work: of all of them together, and the reads of the engine,
    /// a bounded number works at a time.
    pub fn caller(&self) -> Executor {
        Executor::Caller { permits: Some(Arc::clone(&self.bounds.threads)) }
    }

    fn files_of(&self, table: &Table, view: &View) -> Files {
        Files {
            cache: Arc::clone(&self.files),
            store: table.lake.store().clone(),
            schema: Arc::clone(&view.schema),
        }
    }

    fn reserve_scan(&self, bytes: usize) -> Result<Reservation> {
        self.bounds.scan.try_reserve(bytes, retry::READ_ENDS)
    }
}

/// Indexes of all columns of an answer.
fn head_columns(columns: &[usize]) -> Vec<usize> {
    [KEY_COLUMN, TIME_COLUMN].into_iter().chain(columns.iter().copied()).collect()
}
