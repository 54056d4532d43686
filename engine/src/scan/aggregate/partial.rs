//! The first step of an aggregation: sorted rows become states.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take;
use barograph_lake::TableSchema;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, TIME_COLUMN};

use super::reduce::{end, reduce};
use super::segments::Segments;
use super::winds::Winds;
use super::{Aggregation, ColumnStates, Part};
use crate::{Error, Result};

impl Aggregation {
    /// One state for every (key, window) of `rows`, which are sorted by (key, time) and have the
    /// columns key, time and then [`Aggregation::columns`].
    ///
    /// # Errors
    /// Those of [`Aggregation::check`]; `Request` if a sum of integers leaves 64 bits.
    pub fn partial(&self, table: &TableSchema, rows: &RecordBatch) -> Result<RecordBatch> {
        let layout = self.layout(table)?;
        if rows.num_columns() != FIRST_VALUE_COLUMN + self.columns().len() {
            return Err(Error::internal(format!(
                "aggregate: {} columns were read in place of {}",
                rows.num_columns(),
                FIRST_VALUE_COLUMN + self.columns().len()
            )));
        }
        let segments = Segments::windows(rows, self.every)?;
        let mut arrays = vec![segments.keys.clone(), segments.windows.clone()];
        for states in &layout.columns {
            arrays.extend(states.partial(rows, &segments)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(segments.len()));
        Ok(RecordBatch::try_new_with_options(layout.schema, arrays, &options)?)
    }
}

impl ColumnStates {
    fn partial(&self, rows: &RecordBatch, segments: &Segments) -> Result<Vec<ArrayRef>> {
        let (column, times) = (rows.column(self.position), rows.column(TIME_COLUMN));
        let wants = |part: Part| self.parts.contains(&part);
        let first = wants(Part::First).then(|| end(column, segments, false));
        let last = wants(Part::Last).then(|| end(column, segments, true));
        let pick = |column: &ArrayRef, rows: &Option<UInt64Array>| -> Result<ArrayRef> {
            let rows = rows.as_ref().ok_or_else(|| Error::internal("aggregate: no rows picked"))?;
            Ok(take(column, rows, None)?)
        };
        let reductions: Vec<Part> =
            self.parts.iter().copied().filter(|part| part.is_reduction()).collect();
        let winds = if self.parts.iter().any(|part| part.is_wind()) {
            let speeds = self.speed.map(|speed| rows.column(speed));
            Some(Winds::of(column, speeds, segments)?)
        } else {
            None
        };
        let mut reduced = reduce(column, segments, &reductions)?.into_iter();
        self.parts
            .iter()
            .map(|part| match part {
                Part::First => pick(column, &first),
                Part::FirstTime => pick(times, &first),
                Part::Last => pick(column, &last),
                Part::LastTime => pick(times, &last),
                Part::East | Part::North | Part::Way => {
                    let winds =
                        winds.as_ref().ok_or_else(|| Error::internal("aggregate: no winds"))?;
                    Ok(winds.part(*part))
                }
                _ => reduced.next().ok_or_else(|| Error::internal("aggregate: a part is missing")),
            })
            .collect()
    }
}
