//! `system.queries`: the running queries and the last finished ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use barograph_engine::Result;

use super::{Declared, Of, Told, times, whole};
use crate::limits::queries::QueryInfo;
use crate::table::provider::Pinned;

pub(super) const COLUMNS: &[Declared] = &[
    ("id", Of::Whole, false),
    ("user_name", Of::Text, false),
    ("state", Of::Text, false),
    ("text", Of::Text, false),
    ("created_at", Of::Time, false),
    ("started_at", Of::Time, true),
    ("finished_at", Of::Time, true),
    ("duration_ms", Of::Number, false),
    ("rows_read", Of::Whole, false),
    ("rows", Of::Whole, false),
    ("bytes", Of::Whole, false),
    ("memory_bytes", Of::Whole, false),
    ("memory_bytes_peak", Of::Whole, false),
    ("price_files", Of::Whole, true),
    ("price_rows", Of::Whole, true),
    ("price_bytes", Of::Whole, true),
    ("tasks", Of::Whole, false),
    ("error", Of::Text, true),
];

/// The running queries, then the finished ones, newest first.
pub(super) fn rows(told: &Told, _: &Pinned) -> Result<Vec<ArrayRef>> {
    let (list, now) = (told.queries.list(), told.engine.now());
    let texts = |of: fn(&QueryInfo) -> Option<String>| -> ArrayRef {
        Arc::new(list.iter().map(of).collect::<StringArray>())
    };
    let counts = |of: fn(&QueryInfo) -> Option<u64>| -> ArrayRef {
        Arc::new(list.iter().map(|query| of(query).map(whole)).collect::<Int64Array>())
    };
    let instants = |of: fn(&QueryInfo) -> Option<i64>| times(list.iter().map(of));
    let durations = list.iter().map(|query| {
        let end = query.finished_at.unwrap_or(now);
        Some(end.saturating_sub(query.created_at) as f64 / 1_000.0)
    });
    Ok(vec![
        counts(|query| Some(query.id.get())),
        texts(|query| Some(query.user.clone())),
        texts(|query| Some(query.state.to_string())),
        texts(|query| Some(query.text.clone())),
        instants(|query| Some(query.created_at)),
        instants(|query| query.started_at),
        instants(|query| query.finished_at),
        Arc::new(durations.collect::<Float64Array>()),
        counts(|query| Some(query.rows_read)),
        counts(|query| Some(query.rows)),
        counts(|query| Some(query.bytes)),
        counts(|query| Some(query.memory_bytes)),
        counts(|query| Some(query.memory_bytes_peak)),
        counts(|query| query.cost.map(|cost| cost.files)),
        counts(|query| query.cost.map(|cost| cost.rows)),
        counts(|query| query.cost.map(|cost| cost.bytes)),
        counts(|query| Some(query.tasks)),
        texts(|query| query.error.clone()),
    ])
}
