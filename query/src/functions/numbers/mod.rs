//! Which numbers does SQL give exactly, or not at all? Whole numbers that leave their type are errors, and an exact
//! percentile is exact.
//!
//! - `arithmetic`: `+`, `-`, `*` and the sign of whole numbers, which a rule puts in the place of DataFusion's that
//!   wrap around; `size` tells where none can. `sum`: the same of sums.
//! - `correlation`: `corr`, from moments that join without loss.
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

/// The aggregates that stand in the place of DataFusion's of the same name.
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

/// The rows that a filter lets through, as those that are valid.
fn passed(filter: &BooleanArray) -> NullBuffer {
    NullBuffer::new(match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    })
}

/// The states of rows by themselves, null where a filter does not let them through.
fn filtered(states: &ArrayRef, filter: &BooleanArray) -> Result<ArrayRef> {
    let failed = BooleanArray::new(!passed(filter).inner(), None);
    Ok(nullif(states, &failed)?)
}
