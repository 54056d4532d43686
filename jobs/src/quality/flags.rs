//! The flags of a table as a derived table, hour by hour: the values of neighbours are computed once for all keys,
//! then rows are read slice by slice of keys.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int16Array, RecordBatch, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use barograph_engine::rollup::SourceWatermark;
use barograph_engine::validate::logged_schema;
use barograph_engine::{Aggregate, Aggregation, Engine, Scan, ScanStream, View};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{Hour, Key, KeySelection, Span, TableSchema, TimeRange, Timestamp};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};

use super::key::Pass;
use super::neighbours::Neighbours;
use super::{Check, Checks, Site, checked, flags_of};
use crate::materialize::DerivedTable;
use crate::{Error, Result};

/// The flags of a table.
#[derive(Debug)]
pub(super) struct FlagsTable {
    source: TableSchema,
    table: Arc<TableSchema>,
    checks: Checks,
    sites: Vec<Site>,
    neighbours: OnceLock<Neighbours>,
}

/// The values of each checked column of a key that its neighbours suggest.
type Estimates = HashMap<Key, Vec<Option<f64>>>;

/// What is needed to flag the rows of an hour.
#[derive(Debug)]
struct Hours {
    table: Arc<TableSchema>,
    checks: Checks,
    columns: Vec<Check>,
    estimates: Estimates,
    from: Timestamp,
}

impl FlagsTable {
    pub(super) fn new(source: TableSchema, checks: Checks, sites: Vec<Site>) -> Result<Self> {
        let table = Arc::new(flags_of(&source, &checks)?);
        Ok(Self { source, table, checks, sites, neighbours: OnceLock::new() })
    }

    /// Hours before a reading that have a say in its flags.
    fn hours_before(&self) -> i64 {
        let back = self.checks.persistence_over.micros().max(self.checks.step_within.micros());
        (back + MICROS_PER_HOUR - 1) / MICROS_PER_HOUR
    }

    /// What neighbours say in an hour.
    async fn estimates(
        &self,
        engine: &Engine,
        view: &Arc<View>,
        hour: TimeRange,
    ) -> Result<Estimates> {
        let columns: Vec<_> = checked(&self.source, &self.checks).collect();
        let asked = |check: &Check| check.neighbour.is_some();
        let aggregates: Vec<_> = columns
            .iter()
            .filter(|(_, check)| asked(check))
            .map(|(column, _)| (*column, vec![Aggregate::Mean]))
            .collect();
        if aggregates.is_empty() || self.sites.is_empty() {
            return Ok(Estimates::new());
        }
        let aggregation = Some(Aggregation { every: Span::HOUR, aggregates });
        let scan = scan(KeySelection::All, hour, Vec::new(), aggregation);
        let mut windows = engine.scan(Arc::clone(view), scan).await?;
        let mut means: HashMap<Key, Vec<Option<f64>>> = HashMap::new();
        while let Some(batch) = windows.batches.try_next().await? {
            let keys = whole(batch.column(KEY_COLUMN))?;
            let values: Vec<Float64Array> =
                batch.columns().iter().skip(FIRST_VALUE_COLUMN).map(wide).collect::<Result<_>>()?;
            for (row, key) in keys.values().iter().enumerate() {
                let of = |column: &Float64Array| column.is_valid(row).then(|| column.value(row));
                means.insert(Key::new(*key), values.iter().map(of).collect());
            }
        }
        let neighbours =
            self.neighbours.get_or_init(|| Neighbours::new(self.sites.clone(), &self.checks));
        let estimates = means.keys().map(|&key| {
            let mut next = 0;
            let of = |check: &Check| {
                if !asked(check) {
                    return None;
                }
                let column = next;
                next += 1;
                let mean = |key: Key| means.get(&key)?.get(column).copied().flatten();
                neighbours.estimate(key, check.height, self.checks.near_least, mean)
            };
            (key, columns.iter().map(|(_, check)| *check).map(of).collect())
        });
        Ok(estimates.collect())
    }
}

impl DerivedTable for FlagsTable {
    fn source(&self) -> &str {
        self.source.name()
    }

    fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    fn definition(&self) -> String {
        let checks = serde_json::to_string(&self.checks).unwrap_or_default();
        let heights = self.sites.iter().filter(|site| site.elevation.is_some()).count();
        let (source, sites) = (self.source.name(), self.sites.len());
        format!("flags of {source}, {sites} sites, {heights} of known height, {checks}")
    }

    fn windows(&self, hours: &BTreeSet<Hour>) -> BTreeSet<Timestamp> {
        let after = 0..=self.hours_before();
        let windows = hours
            .iter()
            .flat_map(|hour| after.clone().map(|later| hour.start() + later * Span::HOUR));
        windows.collect()
    }

    fn window(&self, instant: Timestamp) -> TimeRange {
        let from = instant.floor_to(Span::HOUR);
        TimeRange { from, to: from + Span::HOUR }
    }

    /// A reading has a say in the flags of neighbours.
    fn keys(&self, _: &KeySelection) -> KeySelection {
        KeySelection::All
    }

    fn compute<'a>(
        &'a self,
        engine: &'a Engine,
        view: Arc<View>,
        keys: KeySelection,
        window: TimeRange,
    ) -> BoxFuture<'a, Result<ScanStream>> {
        Box::pin(async move {
            let estimates = self.estimates(engine, &view, window).await?;
            let (places, columns): (Vec<_>, Vec<_>) = checked(&self.source, &self.checks)
                .map(|(column, check)| (column, check.clone()))
                .unzip();
            let (table, checks) = (Arc::clone(&self.table), self.checks.clone());
            let from = window.from.saturating_sub(self.hours_before() * Span::HOUR);
            let time = TimeRange { from, to: window.to };
            let rows = engine.scan(view, scan(keys, time, places, None)).await?;
            let schema = logged_schema(&self.table);
            let hours = Hours { table, checks, columns, estimates, from: window.from };
            let flagged = rows.batches.map(move |rows| {
                hours.flag(&rows?).map_err(|error| {
                    barograph_engine::Error::internal("quality flags").with_source(error)
                })
            });
            Ok(ScanStream { schema, batches: flagged.boxed() })
        })
    }

    fn emptied(&self, keys: ArrayRef, times: ArrayRef) -> Result<RecordBatch> {
        let schema = logged_schema(&self.table);
        let rows = keys.len();
        let mut columns = vec![keys, times];
        let flags: ArrayRef = Arc::new(Int16Array::from_value(0, rows));
        columns.resize(schema.fields().len(), flags);
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn report(&self, _: &Engine, _: &SourceWatermark) {}
}

impl Hours {
    /// The rows of the hour that are flagged, of rows ordered by (key, time).
    fn flag(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let keys = whole(rows.column(KEY_COLUMN))?;
        let times = rows.column(TIME_COLUMN).as_primitive_opt::<TimestampMicrosecondType>();
        let times: &TimestampMicrosecondArray =
            times.ok_or_else(|| Error::internal("quality: rows without times"))?;
        let values: Vec<Float64Array> =
            rows.columns().iter().skip(FIRST_VALUE_COLUMN).map(wide).collect::<Result<_>>()?;
        let mut chosen = Vec::new();
        let mut flags: Vec<Vec<i16>> = vec![Vec::new(); values.len()];
        let mut row = 0;
        for run in keys.values().chunk_by(|key, next| key == next) {
            let estimates = run.first().and_then(|key| self.estimates.get(&Key::new(*key)));
            let passes = self.columns.iter().enumerate().map(|(at, check)| {
                let neighbours =
                    estimates.and_then(|estimates| estimates.get(at).copied().flatten());
                let (within, over) = (self.checks.step_within, self.checks.persistence_over);
                Pass::new(check, within, over, neighbours)
            });
            let mut passes: Vec<Pass<'_>> = passes.collect();
            for row in row..row + run.len() {
                let at = Timestamp::from_micros(times.value(row));
                let of = |(pass, column): (&mut Pass<'_>, &Float64Array)| match column.is_valid(row)
                {
                    true => pass.next(at, column.value(row)),
                    false => 0,
                };
                let found: Vec<i16> = passes.iter_mut().zip(&values).map(of).collect();
                if at >= self.from && found.iter().any(|&flags| flags != 0) {
                    chosen.push(row as u32);
                    for (flags, found) in flags.iter_mut().zip(found) {
                        flags.push(found);
                    }
                }
            }
            row += run.len();
        }
        let chosen = UInt32Array::from(chosen);
        let mut columns = vec![
            take(rows.column(KEY_COLUMN), &chosen, None)?,
            take(rows.column(TIME_COLUMN), &chosen, None)?,
        ];
        columns
            .extend(flags.into_iter().map(|flags| Arc::new(Int16Array::from(flags)) as ArrayRef));
        Ok(RecordBatch::try_new(logged_schema(&self.table), columns)?)
    }
}

fn scan(
    keys: KeySelection,
    time: TimeRange,
    columns: Vec<usize>,
    aggregation: Option<Aggregation>,
) -> Scan {
    Scan { keys, time, columns, filter: None, aggregation, limit: None }
}

fn wide(column: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

fn whole(column: &ArrayRef) -> Result<arrow::array::Int64Array> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}
