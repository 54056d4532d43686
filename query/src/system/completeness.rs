//! `system.completeness`: the readings that are missing. Absence is data: a key that has reported is expected to report
//! at a fixed interval from then on.
//!
//! | column | a row is a key in an hour |
//! |---|---|
//! | `expected` | readings due in the part of the hour that has passed; the current turn's is due once it has come |
//! | `received` | readings that are there |
//! | `late` | of them, accepted after the hour was closed (its end and `lateness`) |
//! | `silent_since` | the key's last reading, if it had been silent for two turns when the hour ended |
//!
//! A key is expected from the hour on in which it reported first, among the hours asked for and the last one before
//! them that has readings. The counts of an hour's file are kept, so that asking again reads nothing; if only a few
//! keys are asked for, they are read separately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use barograph_engine::View;
use barograph_engine::dead_letters::DEAD_LETTERS;
use barograph_engine::filter::{Builder, Predicate, Wanted};
use barograph_engine::scan::Scan;
use barograph_engine::scan::Source;
use barograph_engine::validate::key_at;
use barograph_engine::{Engine, Error, Result};
use barograph_lake::schema::{KEY_COLUMN, KeyType, TIME_COLUMN, TableDeclaration};
use barograph_lake::schema::{ValueColumn, ValueType};
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{
    FilePath, Hour, Key, KeySelection, Period, Span, TableSchema, Tier, TimeRange, Timestamp,
};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as QueryResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::future::ready;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{ColumnKind, ColumnSpec, declared, times};
use crate::errors::external;
use crate::opaque::Planned;
use crate::pushdown::translate::Translator;
use crate::table::provider::Pinned;

const COLUMNS: &[ColumnSpec] = &[
    ("key", ColumnKind::Whole, false),
    ("hour", ColumnKind::Time, false),
    ("table_name", ColumnKind::Text, false),
    ("expected", ColumnKind::Whole, false),
    ("received", ColumnKind::Whole, false),
    ("late", ColumnKind::Whole, false),
    ("silent_since", ColumnKind::Time, true),
];
/// Columns on which conditions are pushed down.
const FILTERED: usize = 3;
/// Rows that are counted at a time.
const SLICE_ROWS: usize = 1 << 20;
/// Memory for the counts of files.
const KEPT_BYTES: usize = 32 << 20;

/// The readings of a key in an hour.
#[derive(Debug, Clone, Copy)]
struct KeyHour {
    key: Key,
    received: u32,
    late: u32,
    last: Timestamp,
}

/// Counts of the hours of files; the oldest are dropped first.
#[derive(Debug, Default)]
struct CachedHours {
    hours: HashMap<(FilePath, Hour), Arc<[KeyHour]>>,
    order: VecDeque<(FilePath, Hour)>,
    bytes: usize,
}

impl CachedHours {
    fn keep(&mut self, hour: (FilePath, Hour), keys: &Arc<[KeyHour]>) {
        self.bytes += size_of_val(keys.as_ref());
        if let Some(before) = self.hours.insert(hour, Arc::clone(keys)) {
            self.bytes -= size_of_val(before.as_ref());
        } else {
            self.order.push_back(hour);
        }
        while self.bytes > KEPT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.hours.remove(&oldest);
            self.bytes -= gone.map_or(0, |keys| size_of_val(keys.as_ref()));
        }
    }
}

/// The table `system.completeness`.
#[derive(Debug)]
pub(super) struct CompletenessTable {
    engine: Arc<Engine>,
    schema: SchemaRef,
    /// The columns on which conditions are pushed down, as a table of their own.
    filtered: Arc<TableSchema>,
    every: Span,
    kept: Arc<Mutex<CachedHours>>,
}

impl CompletenessTable {
    pub(super) fn new(engine: &Arc<Engine>, every: Span) -> Result<Self> {
        let declaration = TableDeclaration::new("key", "hour")
            .key_type(KeyType::Int64)
            .column(ValueColumn::new("table_name", ValueType::Utf8));
        Ok(Self {
            engine: Arc::clone(engine),
            schema: declared(COLUMNS),
            filtered: Arc::new(TableSchema::new("completeness", declaration)?),
            every,
            kept: Arc::default(),
        })
    }
}

impl TableProvider for CompletenessTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> QueryResult<Vec<TableProviderFilterPushDown>> {
        let translator = Translator::new(&self.filtered);
        Ok(filters
            .iter()
            .map(|filter| match translator.condition(filter) {
                Some(translated) if translated.exact => TableProviderFilterPushDown::Exact,
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    fn scan<'s, 'n, 'p, 'f, 'a>(
        &'s self,
        session: &'n dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'f [Expr],
        limit: Option<usize>,
    ) -> Planned<'a>
    where
        Self: 'a,
        's: 'a,
        'n: 'a,
        'p: 'a,
        'f: 'a,
    {
        let (Wanted { keys, time, rest }, exact) = Translator::new(&self.filtered).wanted(filters);
        let query = CompletenessQuery {
            engine: Arc::clone(&self.engine),
            pinned: Pinned::of(session, &self.engine),
            schema: Arc::clone(&self.schema),
            keys,
            hours: time,
            filter: Builder { schema: &self.filtered }.predicate(rest),
            every: self.every,
            kept: Arc::clone(&self.kept),
        };
        let partition: Arc<dyn PartitionStream> = Arc::new(CompletenessStream(Arc::new(query)));
        let exec = StreamingTableExec::try_new(
            Arc::clone(&self.schema),
            vec![partition],
            projection,
            None,
            false,
            limit.filter(|_| exact),
        );
        Box::pin(ready(exec.map(|exec| Arc::new(exec) as _)))
    }
}

/// One scan of the table.
#[derive(Debug)]
struct CompletenessQuery {
    engine: Arc<Engine>,
    pinned: Arc<Pinned>,
    schema: SchemaRef,
    keys: KeySelection,
    hours: TimeRange,
    filter: Option<Predicate>,
    every: Span,
    kept: Arc<Mutex<CachedHours>>,
}

#[derive(Debug)]
struct CompletenessStream(Arc<CompletenessQuery>);

impl PartitionStream for CompletenessStream {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let query = Arc::clone(&self.0);
        let tables: VecDeque<_> = query
            .pinned
            .views()
            .iter()
            .filter(|(name, _)| *name != DEAD_LETTERS)
            .map(|(_, view)| Arc::clone(view))
            .collect();
        let schema = Arc::clone(&query.schema);
        let state = (query, tables, None::<Walk>);
        let batches =
            futures::stream::try_unfold(state, |(query, mut tables, mut walk)| async move {
                loop {
                    let mut current = match walk.take() {
                        Some(current) => current,
                        None => match tables.pop_front() {
                            Some(view) => Walk::new(&query, view).await.map_err(external)?,
                            None => return Ok(None),
                        },
                    };
                    if let Some(batch) = current.next(&query).await.map_err(external)? {
                        return Ok(Some((batch, (query, tables, Some(current)))));
                    }
                }
            });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

/// Progress through the hours of one table.
struct Walk {
    view: Arc<View>,
    next: Option<Hour>,
    /// Hours from here on are not returned.
    end: Timestamp,
    now: Timestamp,
    /// Last reading of every key known so far.
    last: BTreeMap<Key, Timestamp>,
}

impl Walk {
    async fn new(query: &CompletenessQuery, view: Arc<View>) -> Result<Self> {
        let now = query.engine.now();
        let held = view.hours();
        let end =
            held.last().map_or(Timestamp::MIN, |hour| hour.end().max(now)).min(query.hours.to);
        let mut next = held.first().copied().filter(|first| first.start() < end);
        if let Some(first) = next
            && first.start() < query.hours.from
        {
            let start = Hour::of(query.hours.from);
            next =
                start.map(|hour| if hour.start() < query.hours.from { hour.next() } else { hour });
        }
        let mut walk = Self { view, next, end, now, last: BTreeMap::new() };
        let before = next.and_then(|next| held.into_iter().rfind(|hour| *hour < next));
        if let Some(before) = before {
            walk.see(&query.hour(&walk.view, before).await?);
        }
        Ok(walk)
    }

    fn see(&mut self, keys: &[KeyHour]) {
        for seen in keys {
            let last = self.last.entry(seen.key).or_insert(seen.last);
            *last = seen.last.max(*last);
        }
    }

    /// The rows of the next hour.
    async fn next(&mut self, query: &CompletenessQuery) -> Result<Option<RecordBatch>> {
        let Some(hour) = self.next.filter(|hour| hour.start() < self.end) else { return Ok(None) };
        self.next = Some(hour.next());
        let held = query.hour(&self.view, hour).await?;
        self.see(&held);
        let passed = hour.end().min(self.now).max(hour.start());
        let due = passed.since(hour.start()).micros() / query.every.micros().max(1);
        let running = hour.start() + due * query.every;
        let expected = self.last.values().map(|&last| {
            let is_there = last >= running && running < hour.end();
            due + i64::from(is_there)
        });
        let by_key: HashMap<Key, &KeyHour> = held.iter().map(|held| (held.key, held)).collect();
        let of = |count: fn(&KeyHour) -> u32| -> ArrayRef {
            let counts = self
                .last
                .keys()
                .map(|key| Some(by_key.get(key).map_or(0, |held| i64::from(count(held)))));
            Arc::new(counts.collect::<Int64Array>())
        };
        let silent = self.last.values().map(|&last| {
            let turns = passed.since(last).micros() / query.every.micros().max(1);
            (turns >= 2).then_some(last)
        });
        let rows = self.last.len();
        let name = self.view.schema.name();
        let batch = RecordBatch::try_new(
            Arc::clone(&query.schema),
            vec![
                Arc::new(Int64Array::from_iter_values(self.last.keys().map(|key| key.get()))),
                times(std::iter::repeat_n(Some(hour.start()), rows)),
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, rows))),
                Arc::new(Int64Array::from_iter_values(expected)),
                of(|held| held.received),
                of(|held| held.late),
                times(silent),
            ],
        )?;
        query.filter(batch).map(Some)
    }
}

impl CompletenessQuery {
    /// The counts of an hour, ascending by key.
    async fn hour(&self, view: &Arc<View>, hour: Hour) -> Result<Arc<[KeyHour]>> {
        let mut source = Source::of(view, hour);
        source.tails.retain(|tail| tail.hour() == hour);
        let nothing = || Arc::from([]);
        let path = source.files.first().map(|file| file.path);
        let Some(path) = path.filter(|_| self.keys == KeySelection::All && source.tails.is_empty())
        else {
            let mut read = self.read(view, &source, hour.into()).await?;
            return Ok(read.pop().map_or_else(nothing, |(_, keys)| keys));
        };
        if let Some(kept) = self.kept.lock().hours.get(&(path, hour)) {
            return Ok(Arc::clone(kept));
        }
        // The hours of a day stand in the same pages.
        let day = Period::of(source.period.tier().min(Tier::Day), hour.start());
        let read = self.read(view, &source, day.unwrap_or_else(|| hour.into())).await?;
        let mut kept = self.kept.lock();
        read.iter().for_each(|(hour, keys)| kept.keep((path, *hour), keys));
        let found = read.into_iter().find(|(of, _)| *of == hour);
        Ok(found.map_or_else(nothing, |(_, keys)| keys))
    }

    /// Reads the counts of the hours of `period`, all of them from `source`.
    async fn read(
        &self,
        view: &Arc<View>,
        source: &Source,
        period: Period,
    ) -> Result<Vec<(Hour, Arc<[KeyHour]>)>> {
        let lateness = self.engine.settings().lateness;
        let ingested = view.schema.ingested_at();
        // Nothing is late of an hour that is still open, nor of a file whose newest row is not.
        let accepted = source.files.iter().map(|file| {
            let newest = file.columns.get(ingested).and_then(|stats| stats.max.as_ref()?.as_str());
            newest.and_then(|text| text.parse::<Timestamp>().ok()).unwrap_or(Timestamp::MAX)
        });
        let from_tail = (!source.tails.is_empty()).then(|| self.engine.now());
        let closed =
            Hour::of(period.start()).map_or(period.end(), Hour::end).saturating_add(lateness);
        let may_be_late = accepted.chain(from_tail).any(|accepted| accepted > closed);
        let columns = may_be_late.then_some(ingested).into_iter().collect();
        let scan = Scan { columns, ..Scan::of(self.keys.clone(), period.range()) };
        let plan = self.engine.plan(view, scan)?.sliced_by(SLICE_ROWS).await?;
        let mut slices = plan.run(self.engine.caller(), |_| Ok::<_, Error>(()))?;
        let mut hours: Vec<_> = period.hours().map(|hour| (hour, Vec::new())).collect();
        while let Some(rows) = slices.next().await? {
            summed(&rows, may_be_late.then_some(lateness), &mut hours)?;
        }
        Ok(hours.into_iter().map(|(hour, keys)| (hour, keys.into())).collect())
    }

    fn filter(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let mut batch = batch;
        if self.keys != KeySelection::All {
            let keys = batch.column(KEY_COLUMN);
            let wanted = (0..batch.num_rows()).map(|row| self.keys.contains(key_at(keys, row)));
            let wanted: Vec<bool> = wanted.collect();
            batch = filter_record_batch(&batch, &BooleanArray::from(wanted))?;
        }
        if let Some(filter) = &self.filter {
            let columns: Vec<usize> = (0..FILTERED).collect();
            let selected = filter.select(&batch, &columns)?;
            batch = filter_record_batch(&batch, &BooleanArray::new(selected, None))?;
        }
        Ok(batch)
    }
}

/// Counts rows sorted by (key, time), which follow those counted before, in consecutive `hours`; rows accepted later
/// than `lateness` after the end of their hour are late.
fn summed(
    rows: &RecordBatch,
    lateness: Option<Span>,
    hours: &mut [(Hour, Vec<KeyHour>)],
) -> Result<()> {
    let missing = || Error::internal("completeness: a column was not read");
    let instants = |column: usize| {
        let column = rows.columns().get(column).ok_or_else(missing)?;
        column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(missing)
    };
    let (keys, times) = (rows.column(KEY_COLUMN), instants(TIME_COLUMN)?);
    let accepted = lateness.map(|lateness| Ok::<_, Error>((lateness, instants(2)?))).transpose()?;
    let first = hours.first().map_or(Timestamp::UNIX_EPOCH, |(hour, _)| hour.start());
    for row in 0..keys.len() {
        let (key, last) = (key_at(keys, row), Timestamp::from_micros(times.value(row)));
        let place = usize::try_from(last.since(first).micros().div_euclid(MICROS_PER_HOUR)).ok();
        let Some((hour, counted)) = place.and_then(|place| hours.get_mut(place)) else { continue };
        let late = accepted.is_some_and(|(lateness, accepted)| {
            Timestamp::from_micros(accepted.value(row)) > hour.end().saturating_add(lateness)
        });
        match counted.last_mut() {
            Some(held) if held.key == key => {
                held.received += 1;
                held.late += u32::from(late);
                held.last = last;
            }
            _ => counted.push(KeyHour { key, received: 1, late: u32::from(late), last }),
        }
    }
    Ok(())
}
