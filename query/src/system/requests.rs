//! `system.requests`: the requests of this process to the object store, with bytes and price, by who asked, verb and kind of
//! object.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use barograph_engine::Result;
use barograph_lake::store::{RequestCount, requests};

use super::{ColumnKind, ColumnSpec, ServerState, whole};
use crate::table::provider::Pinned;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ("asked_by", ColumnKind::Text, false),
    ("verb", ColumnKind::Text, false),
    ("object", ColumnKind::Text, false),
    ("requests", ColumnKind::Whole, false),
    ("hedged", ColumnKind::Whole, false),
    ("failed", ColumnKind::Whole, false),
    ("bytes_sent", ColumnKind::Whole, false),
    ("bytes_received", ColumnKind::Whole, false),
    ("seconds", ColumnKind::Number, false),
    ("price", ColumnKind::Number, false),
];

/// The requests since the process began.
pub(super) fn rows(_: &ServerState, _: &Pinned) -> Result<Vec<ArrayRef>> {
    let counts = requests();
    let text = |of: fn(&RequestCount) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(counts.iter().map(of)))
    };
    let count = |of: fn(&RequestCount) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(counts.iter().map(|it| whole(of(it)))))
    };
    let number = |of: fn(&RequestCount) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(counts.iter().map(of)))
    };
    Ok(vec![
        text(|it| &it.asked_by),
        text(|it| it.verb),
        text(|it| it.object),
        count(|it| it.requests),
        count(|it| it.hedged),
        count(|it| it.failed),
        count(|it| it.bytes_sent),
        count(|it| it.bytes_received),
        number(|it| it.waited.as_secs_f64()),
        number(|it| it.price),
    ])
}
