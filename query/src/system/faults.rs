//! `system.faults`: hours, days, months and tables that cannot land, since when, why, and the remedy.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use barograph_engine::LandingFault;
use barograph_engine::Result;
use barograph_lake::{Period, Timestamp};

use super::{ColumnKind, ColumnSpec, ServerState, times, whole};
use crate::table::provider::Pinned;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ("table_name", ColumnKind::Text, false),
    ("tier", ColumnKind::Text, true),
    ("period_start", ColumnKind::Time, true),
    ("files", ColumnKind::Text, true),
    ("tail_rows", ColumnKind::Whole, false),
    ("tail_bytes", ColumnKind::Whole, false),
    ("since", ColumnKind::Time, false),
    ("tries", ColumnKind::Whole, false),
    ("tried_at", ColumnKind::Time, false),
    ("next_at", ColumnKind::Time, false),
    ("error", ColumnKind::Text, false),
    ("cure", ColumnKind::Text, false),
];

/// The faults of all tables.
pub(super) fn rows(server: &ServerState, pinned: &Pinned) -> Result<Vec<ArrayRef>> {
    let faults = server.engine.landing_faults();
    let held: Vec<(usize, u64)> = faults
        .iter()
        .map(|fault| {
            let view = pinned.views().get(&fault.table);
            view.map_or((0, 0), |view| fault.held(view))
        })
        .collect();
    let text = |of: fn(&LandingFault) -> Option<String>| -> ArrayRef {
        Arc::new(faults.iter().map(of).collect::<StringArray>())
    };
    let time = |of: fn(&LandingFault) -> Option<Timestamp>| times(faults.iter().map(of));
    Ok(vec![
        text(|fault| Some(fault.table.clone())),
        text(|fault| Some(fault.period?.tier().to_string())),
        time(|fault| fault.period.map(Period::start)),
        text(|fault| (!fault.files.is_empty()).then(|| fault.files.join(", "))),
        Arc::new(Int64Array::from_iter_values(held.iter().map(|held| whole(held.1)))),
        Arc::new(Int64Array::from_iter_values(held.iter().map(|held| whole(held.0 as u64)))),
        time(|fault| Some(fault.since)),
        Arc::new(Int64Array::from_iter_values(faults.iter().map(|f| i64::from(f.tries)))),
        time(|fault| Some(fault.tried_at)),
        time(|fault| Some(fault.next_at())),
        text(|fault| Some(fault.error.clone())),
        text(|fault| Some(fault.cure.clone())),
    ])
}
