//! `system.files`, `system.hours`, `system.tail` and `system.log`: where the rows are stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use barograph_engine::HourView;
use barograph_engine::Result;
use barograph_engine::scan::Scan;
use barograph_engine::scan::{Source, sources};
use barograph_lake::{FileEntry, KeySelection, TimeRange, Timestamp};

use super::{ColumnKind, ColumnSpec, ServerState, times, whole};
use crate::table::provider::Pinned;

pub(super) const FILES: &[ColumnSpec] = &[
    ("table_name", ColumnKind::Text, false),
    ("path", ColumnKind::Text, false),
    ("tier", ColumnKind::Text, false),
    ("period_start", ColumnKind::Time, false),
    ("rows", ColumnKind::Whole, false),
    ("bytes", ColumnKind::Whole, false),
    ("key_min", ColumnKind::Whole, false),
    ("key_max", ColumnKind::Whole, false),
    ("time_min", ColumnKind::Time, false),
    ("time_max", ColumnKind::Time, false),
    ("through_position", ColumnKind::Whole, false),
];

pub(super) const HOURS: &[ColumnSpec] = &[
    ("table_name", ColumnKind::Text, false),
    ("hour", ColumnKind::Time, false),
    ("tier", ColumnKind::Text, false),
    ("landed", ColumnKind::Flag, false),
    ("lake_rows", ColumnKind::Whole, false),
    ("lake_bytes", ColumnKind::Whole, false),
    ("tail_rows", ColumnKind::Whole, false),
    ("tail_bytes", ColumnKind::Whole, false),
];

pub(super) const TAIL: &[ColumnSpec] = &[
    ("table_name", ColumnKind::Text, false),
    ("hour", ColumnKind::Time, false),
    ("rows", ColumnKind::Whole, false),
    ("keys", ColumnKind::Whole, false),
    ("bytes", ColumnKind::Whole, false),
    ("key_min", ColumnKind::Whole, true),
    ("key_max", ColumnKind::Whole, true),
    ("time_min", ColumnKind::Time, true),
    ("time_max", ColumnKind::Time, true),
    ("first_position", ColumnKind::Whole, false),
    ("through_position", ColumnKind::Whole, false),
];

pub(super) const LOG: &[ColumnSpec] = &[
    ("end_position", ColumnKind::Whole, false),
    ("bytes", ColumnKind::Whole, false),
    ("records_appended", ColumnKind::Whole, false),
    ("rows_appended", ColumnKind::Whole, false),
    ("appends", ColumnKind::Whole, false),
    ("rows_written_again", ColumnKind::Whole, false),
    ("records_recovered", ColumnKind::Whole, false),
    ("rows_recovered", ColumnKind::Whole, false),
    ("rows_landed_before", ColumnKind::Whole, false),
    ("torn_bytes", ColumnKind::Whole, false),
    ("lost", ColumnKind::Text, true),
];

/// The files of all tables.
pub(super) fn files(_: &ServerState, pinned: &Pinned) -> Result<Vec<ArrayRef>> {
    let mut list: Vec<(&str, &Arc<FileEntry>)> = Vec::new();
    for (name, view) in pinned.views() {
        list.extend(view.snapshot.files().iter().map(|file| (name.as_str(), file)));
    }
    let numbers = |of: fn(&FileEntry) -> i64| -> ArrayRef {
        Arc::new(list.iter().map(|(_, file)| Some(of(file))).collect::<Int64Array>())
    };
    let instants =
        |of: fn(&FileEntry) -> Timestamp| times(list.iter().map(|(_, file)| Some(of(file))));
    Ok(vec![
        Arc::new(list.iter().map(|(name, _)| Some(*name)).collect::<StringArray>()),
        Arc::new(list.iter().map(|(_, f)| Some(f.path.to_string())).collect::<StringArray>()),
        Arc::new(
            list.iter()
                .map(|(_, f)| Some(f.path.period().tier().to_string()))
                .collect::<StringArray>(),
        ),
        instants(|file| file.path.period().start()),
        numbers(|file| whole(file.rows)),
        numbers(|file| whole(file.bytes)),
        numbers(|file| file.keys.0.get()),
        numbers(|file| file.keys.1.get()),
        instants(|file| file.times.0),
        instants(|file| file.times.1),
        numbers(|file| whole(file.path.through().get())),
    ])
}

/// The hours of all tables, and the days and months that hours were compacted into.
pub(super) fn hours(_: &ServerState, pinned: &Pinned) -> Result<Vec<ArrayRef>> {
    let everything = Scan::of(KeySelection::All, TimeRange::ALL);
    let mut list: Vec<(&str, Source)> = Vec::new();
    for (name, view) in pinned.views() {
        list.extend(sources(view, &everything).into_iter().map(|source| (name.as_str(), source)));
    }
    let lake = |of: fn(&FileEntry) -> u64| -> ArrayRef {
        let counts = list
            .iter()
            .map(|(_, source)| Some(whole(source.files.iter().map(|file| of(file)).sum())));
        Arc::new(counts.collect::<Int64Array>())
    };
    let tail = |of: fn(&HourView) -> u64| -> ArrayRef {
        let counts = list.iter().map(|(_, source)| Some(whole(source.tails.iter().map(of).sum())));
        Arc::new(counts.collect::<Int64Array>())
    };
    let tiers = list.iter().map(|(_, source)| Some(source.period.tier().to_string()));
    let landed = list.iter().map(|(_, source)| Some(!source.files.is_empty()));
    Ok(vec![
        Arc::new(list.iter().map(|(name, _)| Some(*name)).collect::<StringArray>()),
        times(list.iter().map(|(_, source)| Some(source.period.start()))),
        Arc::new(tiers.collect::<StringArray>()),
        Arc::new(landed.collect::<BooleanArray>()),
        lake(|file| file.rows),
        lake(|file| file.bytes),
        tail(HourView::rows),
        tail(|hour| hour.bytes() as u64),
    ])
}

/// The hours in the tails of all tables.
pub(super) fn tail(_: &ServerState, pinned: &Pinned) -> Result<Vec<ArrayRef>> {
    let mut list: Vec<(&str, &HourView)> = Vec::new();
    for (name, view) in pinned.views() {
        list.extend(view.tail.hours().iter().map(|hour| (name.as_str(), hour)));
    }
    let numbers = |of: fn(&HourView) -> Option<i64>| -> ArrayRef {
        Arc::new(list.iter().map(|(_, hour)| of(hour)).collect::<Int64Array>())
    };
    let instants =
        |of: fn(&HourView) -> Option<Timestamp>| times(list.iter().map(|(_, hour)| of(hour)));
    Ok(vec![
        Arc::new(list.iter().map(|(name, _)| Some(*name)).collect::<StringArray>()),
        instants(|hour| Some(hour.hour().start())),
        numbers(|hour| Some(whole(hour.rows()))),
        numbers(|hour| Some(whole(hour.key_counts().len() as u64))),
        numbers(|hour| Some(whole(hour.bytes() as u64))),
        numbers(|hour| Some(hour.keys()?.0.get())),
        numbers(|hour| Some(hour.keys()?.1.get())),
        instants(|hour| Some(hour.times()?.0)),
        instants(|hour| Some(hour.times()?.1)),
        numbers(|hour| Some(whole(hour.first().get()))),
        numbers(|hour| Some(whole(hour.through().get()))),
    ])
}

/// The log, and what its replay recovered when the engine was opened.
pub(super) fn log(server: &ServerState, _: &Pinned) -> Result<Vec<ArrayRef>> {
    let (gauge, recovery) = (server.engine.log_gauge(), server.engine.recovery());
    let one = |count: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![whole(count)])) };
    let lost = (!recovery.lost.is_empty()).then(|| recovery.lost.join("; "));
    Ok(vec![
        one(gauge.end.load(Ordering::Relaxed)),
        one(gauge.bytes.load(Ordering::Relaxed)),
        one(gauge.records.load(Ordering::Relaxed)),
        one(gauge.rows.load(Ordering::Relaxed)),
        one(gauge.groups.load(Ordering::Relaxed)),
        one(gauge.rows_written_again()),
        one(recovery.records),
        one(recovery.rows),
        one(recovery.landed_rows),
        one(recovery.torn_bytes),
        Arc::new(StringArray::from(vec![lost])),
    ])
}
