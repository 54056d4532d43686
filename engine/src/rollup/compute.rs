//! The computation of a rollup: the aggregating scan over its source gives its rows, the windows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, new_null_array,
};
use arrow::datatypes::{Int64Type, SchemaRef};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{KeySelection, TimeRange};

use super::{COUNTS, Rollup};
use crate::validate::logged_schema;
use crate::{Error, Result, Scan};

impl Rollup {
    /// The scan of the source for some keys and whole windows.
    pub fn scan(&self, keys: KeySelection, windows: TimeRange) -> Scan {
        Scan {
            keys,
            time: windows,
            columns: Vec::new(),
            filter: None,
            aggregation: Some(self.aggregation.clone()),
            limit: None,
        }
    }

    /// The columns that are computed: all but `ingested_at`.
    pub fn given(&self) -> SchemaRef {
        logged_schema(&self.table)
    }

    /// Windows of the aggregating scan as rows.
    pub(crate) fn rows(&self, windows: &RecordBatch) -> Result<RecordBatch> {
        let counts = windows.columns().get(FIRST_VALUE_COLUMN);
        let counts = counts.and_then(|counts| counts.as_primitive_opt::<Int64Type>());
        let counts = counts.ok_or_else(|| Error::internal("rollup: windows without a count"))?;
        let [key, time] = [KEY_COLUMN, TIME_COLUMN].map(|at| Arc::clone(windows.column(at)));
        let mut columns = vec![key, time];
        columns.extend(self.counts(counts));
        columns.extend(windows.columns().iter().skip(FIRST_VALUE_COLUMN + 1).cloned());
        Ok(RecordBatch::try_new(self.given(), columns)?)
    }

    /// The rows of windows all of whose readings were deleted.
    pub fn emptied(&self, keys: ArrayRef, windows: ArrayRef) -> Result<RecordBatch> {
        let counts = Int64Array::from_value(0, keys.len());
        let schema = self.given();
        let mut columns = vec![keys, windows];
        columns.extend(self.counts(&counts));
        let values = schema.fields().iter().skip(FIRST_VALUE_COLUMN + COUNTS.len());
        columns.extend(values.map(|field| new_null_array(field.data_type(), counts.len())));
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// Rows, expected rows and completeness.
    fn counts(&self, rows: &Int64Array) -> [ArrayRef; 3] {
        let shares = rows.values().iter().map(|&rows| rows as f64 / self.expected as f64);
        [
            Arc::new(rows.clone()),
            Arc::new(Int64Array::from_value(self.expected, rows.len())),
            Arc::new(Float64Array::from_iter_values(shares)),
        ]
    }
}
