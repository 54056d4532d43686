//! The work on a slice: its rows source by source, merged.
//!
//! ```text
//! slice of keys ─► per period: file rows ─filter─┐
//!                              tail rows ────────┴merge (tail wins)─filter─► rows or window states
//!               ─► merge of the periods by (key, time) ─► batch
//! ```
//!
//! Rows of a file may be filtered before the merge, rows of the tail only after it: a tail row that
//! does not match still hides the row it replaces.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use barograph_lake::{KeySelection, TimeRange};
use futures::{StreamExt, TryStreamExt, stream};

use crate::Result;
use crate::scan::files::{project, touched};
use crate::scan::merge::merge;
use crate::scan::plan::{PERIODS_AT_ONCE, Plan, Slice, Source};

impl Plan {
    /// The answer for a slice.
    pub(super) async fn slice(&self, slice: &Slice) -> Result<RecordBatch> {
        // A closure over borrowed sources inside the stream would make the future not provably `Send`.
        let Slice { keys, time } = slice;
        let sources = self.sources_in(*time).iter();
        let sources = sources
            .filter(|source| source.period.start() < time.to && time.from < source.period.end());
        let sources: Vec<_> = sources.map(|source| self.source(source, keys, *time)).collect();
        let found: Vec<RecordBatch> = stream::iter(sources)
            .buffered(PERIODS_AT_ONCE)
            .try_filter(|rows| std::future::ready(rows.num_rows() > 0))
            .try_collect()
            .await?;
        let schema = self.schema()?;
        if found.is_empty() {
            return Ok(RecordBatch::new_empty(schema));
        }
        let table = self.table();
        match &self.request().aggregation {
            Some(aggregation) => aggregation.finish(table, &aggregation.combine(table, &found)?),
            None => merge(&found),
        }
    }

    /// Rows, or window states, of one source within `time`.
    async fn source(
        &self,
        source: &Source,
        keys: &KeySelection,
        time: TimeRange,
    ) -> Result<RecordBatch> {
        let (columns, given) = self.columns();
        let read = self.file_read(keys, time);
        let mut runs = Vec::with_capacity(source.files.len() + source.tails.len());
        for file in touched(source, keys, time) {
            runs.push(self.filter(self.files().file(file, &read).await?)?);
        }
        let landed = runs.len();
        for tail in &source.tails {
            let late = tail.read(keys, time, columns)?;
            if late.num_rows() > 0 {
                runs.push(late);
            }
        }
        let rows = match (runs.len(), landed) {
            (0, _) => RecordBatch::new_empty(project(self.table(), columns)?),
            (all, landed) if all == landed => merge(&runs)?,
            _ => self.filter(merge(&runs)?)?,
        };
        let rows = if given.len() < rows.num_columns() { rows.project(given)? } else { rows };
        match &self.request().aggregation {
            Some(aggregation) => aggregation.partial(self.table(), &rows),
            None => Ok(rows),
        }
    }

    fn filter(&self, rows: RecordBatch) -> Result<RecordBatch> {
        match &self.request().filter {
            Some(filter) if rows.num_rows() > 0 => {
                let selected = filter.select(&rows, self.columns().0)?;
                Ok(filter_record_batch(&rows, &BooleanArray::new(selected, None))?)
            }
            _ => Ok(rows),
        }
    }
}
