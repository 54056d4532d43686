//! Results of rolling windows as arrays.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use datafusion::common::Result;

/// The sums `values`, null where `nulls` says so.
pub(super) fn floats(values: Vec<f64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    Ok(Arc::new(Float64Array::try_new(values.into(), nulls)?))
}

/// The whole numbers `values`.
pub(super) fn wholes(values: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    Ok(Arc::new(Int64Array::try_new(values.into(), nulls)?))
}
