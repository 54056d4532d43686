//! `system.queries`: the running queries and the last finished ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use barograph_engine::Result;
use barograph_lake::Timestamp;

use super::{ColumnKind, ColumnSpec, ServerState, times, whole};
use crate::limits::queries::QueryInfo;
use crate::table::provider::Pinned;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ("id", ColumnKind::Whole, false),
    ("user_name", ColumnKind::Text, false),
    ("state", ColumnKind::Text, false),
    ("text", ColumnKind::Text, false),
    ("created_at", ColumnKind::Time, false),
    ("started_at", ColumnKind::Time, true),
    ("finished_at", ColumnKind::Time, true),
    ("duration_ms", ColumnKind::Number, false),
    ("rows_read", ColumnKind::Whole, false),
    ("rows", ColumnKind::Whole, false),
    ("bytes", ColumnKind::Whole, false),
    ("memory_bytes", ColumnKind::Whole, false),
    ("memory_bytes_peak", ColumnKind::Whole, false),
    ("cost_files", ColumnKind::Whole, true),
    ("cost_rows", ColumnKind::Whole, true),
    ("cost_bytes", ColumnKind::Whole, true),
    ("tasks", ColumnKind::Whole, false),
    ("error", ColumnKind::Text, true),
];

/// The running queries, then the finished ones, newest first: those of all, or those of whoever asks.
pub(super) fn rows(server: &ServerState, pinned: &Pinned) -> Result<Vec<ArrayRef>> {
    let (mut list, now) = (server.queries.list(), server.engine.now());
    list.retain(|query| pinned.shows_queries_of(&query.user));
    let texts = |of: fn(&QueryInfo) -> Option<String>| -> ArrayRef {
        Arc::new(list.iter().map(of).collect::<StringArray>())
    };
    let counts = |of: fn(&QueryInfo) -> Option<u64>| -> ArrayRef {
        Arc::new(list.iter().map(|query| of(query).map(whole)).collect::<Int64Array>())
    };
    let instants = |of: fn(&QueryInfo) -> Option<Timestamp>| times(list.iter().map(of));
    let durations = list.iter().map(|query| {
        let end = query.finished_at.unwrap_or(now);
        Some(end.since(query.created_at).micros() as f64 / 1_000.0)
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
