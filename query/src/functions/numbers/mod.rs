//! Exact numbers: operators and aggregates whose result is exact, or an error. Whole numbers that overflow their type
//! are errors, and a percentile is exact.
//!
//! - `arithmetic`: `+`, `-`, `*` and the sign of whole numbers; a rule puts them in the place of DataFusion's, which
//!   wrap around, and `size` tells where none can. `sum`: the same for sums.
//! - `correlation`: `corr`, from moments that are joined without loss.
//! - `extremes`: `min` and `max` of floats, whatever the order of rows.
//! - `mean`: `avg` of durations.
//! - `percentile`: `percentile_cont`, interpolated in double precision.

mod arithmetic;
mod correlation;
mod extremes;
mod mean;
mod percentile;
mod size;
mod sum;

pub(super) use arithmetic::ArithmeticRule;
pub(super) use sum::fitting;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use datafusion::common::Result;
use datafusion::logical_expr::AggregateUDF;

/// The aggregates that replace DataFusion's of the same name.
pub(super) fn aggregates() -> [AggregateUDF; 6] {
    [
        sum::sum(),
        mean::avg(),
        percentile::percentile_cont(),
        extremes::min(),
        extremes::max(),
        correlation::corr(),
    ]
}

/// The rows that a filter passes, as the valid ones.
fn passed(filter: &BooleanArray) -> NullBuffer {
    NullBuffer::new(match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    })
}

/// The states of single rows, null where a filter drops the row.
fn filtered(states: &ArrayRef, filter: &BooleanArray) -> Result<ArrayRef> {
    let failed = BooleanArray::new(!passed(filter).inner(), None);
    Ok(nullif(states, &failed)?)
}
