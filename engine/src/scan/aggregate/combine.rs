//! The combination of states: those of several sources become one state per window.

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::take;
use arrow::datatypes::TimestampMicrosecondType;
use barograph_lake::TableSchema;

use super::reduce::{pick, reduce};
use super::segments::Segments;
use super::{Aggregation, ColumnStates, Part};
use crate::scan::merge::{Repeats, join};
use crate::{Error, Result};

impl Aggregation {
    /// One state for every (key, window) of `states`, each sorted by (key, window).
    ///
    /// # Errors
    /// Those of [`Aggregation::check`]; `Request` if a sum of integers leaves 64 bits.
    pub fn combine(&self, table: &TableSchema, states: &[RecordBatch]) -> Result<RecordBatch> {
        let layout = self.layout(table)?;
        if states.is_empty() {
            return Ok(RecordBatch::new_empty(layout.schema));
        }
        let sorted = join(states, Repeats::Kept)?;
        let segments = Segments::equal(&sorted)?;
        if segments.len() == sorted.num_rows() {
            return Ok(sorted);
        }
        let mut arrays = vec![segments.keys.clone(), segments.windows.clone()];
        for states in &layout.columns {
            arrays.extend(states.combine(&sorted, &segments)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(segments.len()));
        Ok(RecordBatch::try_new_with_options(layout.schema, arrays, &options)?)
    }
}

impl ColumnStates {
    fn combine(&self, states: &RecordBatch, segments: &Segments) -> Result<Vec<ArrayRef>> {
        let part = |part: Part| Ok::<_, Error>(states.column(self.place(part)?));
        // Of windows in several sources, the earliest first and the latest last value.
        let end = |time: Part, value: Part| -> Result<ArrayRef> {
            let column = part(time)?;
            let times = column.as_primitive::<TimestampMicrosecondType>().values();
            #[expect(clippy::indexing_slicing, reason = "rows are those of the states")]
            let rows = match time {
                Part::FirstTime => pick(column, segments, |best, row| times[row] < times[best]),
                _ => pick(column, segments, |best, row| times[row] >= times[best]),
            };
            Ok(take(part(value)?, &rows, None)?)
        };
        self.parts
            .iter()
            .map(|&kept| match kept {
                Part::First | Part::FirstTime => end(Part::FirstTime, kept),
                Part::Last | Part::LastTime => end(Part::LastTime, kept),
                // Counts add up; everything else reduces as values do.
                _ => {
                    let reduction = match kept {
                        Part::Count => Part::WholeSum,
                        Part::East | Part::North | Part::Way => Part::FloatSum,
                        kept => kept,
                    };
                    let mut reduced = reduce(part(kept)?, segments, &[reduction])?;
                    reduced.pop().ok_or_else(|| Error::internal("aggregate: a part is missing"))
                }
            })
            .collect()
    }
}
