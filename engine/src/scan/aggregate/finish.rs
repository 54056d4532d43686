//! The last step of an aggregation: states become answers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Float64Type, Int64Type};
use barograph_lake::TableSchema;
use barograph_lake::schema::KEY_COLUMN;

use super::{Aggregate, Aggregation, ColumnStates, Part, WINDOW_COLUMN, winds};
use crate::{Error, Result};

impl Aggregation {
    /// The answer for `states`, in the columns of [`Aggregation::output_schema`].
    ///
    /// # Errors
    /// Those of [`Aggregation::check`].
    pub fn finish(&self, table: &TableSchema, states: &RecordBatch) -> Result<RecordBatch> {
        let layout = self.layout(table)?;
        if states.num_columns() != layout.schema.fields().len() {
            return Err(Error::internal("aggregate: states of another aggregation"));
        }
        let mut arrays =
            vec![states.column(KEY_COLUMN).clone(), states.column(WINDOW_COLUMN).clone()];
        for ((_, aggregates), columns) in self.aggregates.iter().zip(&layout.columns) {
            for aggregate in aggregates {
                arrays.push(columns.finish(*aggregate, states)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(states.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.output_schema(table), arrays, &options)?)
    }
}

impl ColumnStates {
    fn finish(&self, aggregate: Aggregate, states: &RecordBatch) -> Result<ArrayRef> {
        let part = |part: Part| Ok::<_, Error>(states.column(self.place(part)?).clone());
        match aggregate {
            Aggregate::Count => part(Part::Count),
            Aggregate::Sum if self.parts.contains(&Part::WholeSum) => part(Part::WholeSum),
            Aggregate::Sum => part(Part::FloatSum),
            Aggregate::Mean => {
                let (sums, counts) = (part(Part::FloatSum)?, part(Part::Count)?);
                let (sums, counts) =
                    (sums.as_primitive::<Float64Type>(), counts.as_primitive::<Int64Type>());
                let means = sums.values().iter().zip(counts.values());
                let means: Vec<f64> = means.map(|(&sum, &count)| sum / count as f64).collect();
                Ok(Arc::new(Float64Array::try_new(means.into(), sums.nulls().cloned())?))
            }
            Aggregate::Min => part(Part::Min),
            Aggregate::Max => part(Part::Max),
            Aggregate::First => part(Part::First),
            Aggregate::Last => part(Part::Last),
            Aggregate::MeanDirection { .. } => {
                Ok(winds::directions(&part(Part::East)?, &part(Part::North)?, &part(Part::Way)?))
            }
        }
    }
}
