//! Aggregates for weather that SQL lacks: the mean wind direction, the first and the last value by time, the growth of
//! a counter that restarts, and the most frequent value.

mod by_time;
mod counter;
mod direction;
mod mode;

use datafusion::common::Result;
use datafusion::logical_expr::AggregateUDF;

use super::reference::Entry;

/// Every aggregate.
pub(super) fn functions() -> Result<Vec<(&'static Entry, AggregateUDF)>> {
    Ok(vec![
        direction::mean_direction()?,
        by_time::first()?,
        by_time::last()?,
        counter::counter_sum()?,
        mode::mode()?,
    ])
}
