//! The opening of an engine: the newest snapshot of each table is read, and the records of the log beyond it are
//! replayed into the tail.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::ipc::reader::StreamReader;
use barograph_lake::file::FileCache;
use barograph_lake::internal::claim;
use barograph_lake::schema::{INGESTED_AT, TIME_COLUMN};
use barograph_lake::table::Prepared;
use barograph_lake::time::{MICROS_PER_SECOND, format_instant};
use barograph_lake::{Hour, LakeStore, LakeTable, LogId, LogPosition, Micros, TableSchema};
use tokio::sync::{Notify, Semaphore};

use super::{Bounds, Engine, EngineBuilder, LogSource, Recovery};
use crate::clock::roughly;
use crate::dead_letters::{self, DEAD_LETTERS, Ids};
use crate::landing::{Faults, Lander, LanderParts};
use crate::log::{Log, Record, SegmentLog};
use crate::memory::Budget;
use crate::table::Table;
use crate::tail::Tail;
use crate::validate::{KnownKeys, complete, logged_schema};
use crate::writer::{LogGauge, State, Writer};
use crate::{EngineSettings, Error, ErrorKind, Result};

/// Clocks differ by less.
const AHEAD_MAX: Micros = 60 * MICROS_PER_SECOND;

impl Engine {
    pub(super) async fn open(builder: EngineBuilder) -> Result<Arc<Self>> {
        let EngineBuilder { settings, lake, log, clock, tables, dimensions } = builder;
        let log = EngineBuilder::owed_log(log)?;
        let tail_budget = Budget::new("tail_bytes_max", settings.tail_bytes_max.get());
        let mut openings = prepare(&lake, tables, &dimensions, &tail_budget).await?;
        let (mut log, mut recovery, place) = open_log(log, &settings, &openings)?;
        if let Some((id, folder)) = place {
            claim(&lake, id, &folder).await?;
        }
        let replayed = replay(log.as_mut(), &mut openings, &mut recovery)?;
        let first = replayed.first.unwrap_or_else(|| log.end());
        let mut opened = BTreeMap::new();
        for (name, opening) in openings {
            opened.insert(name, opening.open(first).await?);
        }
        let last_ingested = replayed.last_ingested;
        tell_of_rows_ahead(last_ingested, clock.now());
        let engine =
            Self::start(settings, clock, log, opened, recovery, tail_budget, last_ingested)?;
        for table in engine.tables.values() {
            if table.view.load().snapshot.has_foreign_commits() {
                engine.lander.poll_commits(Arc::clone(table)).await;
            }
        }
        Ok(engine)
    }

    fn start(
        settings: EngineSettings,
        clock: Arc<dyn crate::Clock>,
        log: Box<dyn Log>,
        opened: BTreeMap<String, (Arc<Table>, Tail)>,
        recovery: Recovery,
        tail_budget: Arc<Budget>,
        last_ingested: Micros,
    ) -> Result<Arc<Self>> {
        let mut tables = BTreeMap::new();
        let mut tails = BTreeMap::new();
        for (name, (table, tail)) in opened {
            tables.insert(name.clone(), table);
            tails.insert(name, tail);
        }
        let letter_ids = Ids::after(tables.get(DEAD_LETTERS).and_then(|table| {
            let view = table.view.load();
            let landed = view.snapshot.files().iter().map(|file| file.keys.1);
            let held = view.tail.hours().iter().filter_map(|hour| Some(hour.keys()?.1));
            landed.chain(held).max()
        }));
        let wake_lander = Arc::new(Notify::new());
        let gauge = Arc::new(LogGauge::default());
        let faults = Arc::new(Faults::default());
        gauge.measure(log.as_ref());
        let writer = Writer::start(State {
            log,
            gauge: Arc::clone(&gauge),
            tails,
            clock: Arc::clone(&clock),
            last_ingested,
            wake_lander: Arc::clone(&wake_lander),
            budget: Arc::clone(&tail_budget),
            newest_hour: None,
            sync_at: None,
        })?;
        let (known, pages) = (settings.file_cache_bytes.get(), settings.page_cache_bytes.get());
        let files = FileCache::with_pages(known, pages);
        let lander = Lander::start(LanderParts {
            tables: tables.values().cloned().collect(),
            settings: settings.clone(),
            clock: Arc::clone(&clock),
            files: Arc::clone(&files),
            writer: writer.handle(),
            budget: Arc::clone(&tail_budget),
            wake: wake_lander,
            gauge: Arc::clone(&gauge),
            faults: Arc::clone(&faults),
            stop: Arc::default(),
        });
        let thread_count = match settings.scan_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let bounds = Arc::new(Bounds {
            scan: Budget::new("scan_bytes_max", settings.scan_bytes_max.get()),
            threads: Arc::new(Semaphore::new(thread_count)),
            thread_count,
            slice_rows: settings.scan_slice_rows.max(1_024),
        });
        Ok(Arc::new(Self {
            settings,
            clock,
            tables,
            files,
            tail_budget,
            bounds,
            letter_ids,
            redriving: tokio::sync::Mutex::default(),
            gauge,
            writer,
            lander,
            faults,
            rollups: Default::default(),
            recovery,
        }))
    }
}

/// A table that can be opened. Nothing is written for it until all are prepared and the log is replayed.
struct Opening {
    prepared: Prepared,
    known_keys: Option<Arc<KnownKeys>>,
    landed: Landed,
    tail: Tail,
}

/// Judges all tables before the first of them is made.
async fn prepare(
    lake: &LakeStore,
    tables: Vec<TableSchema>,
    dimensions: &HashMap<String, Arc<KnownKeys>>,
    budget: &Arc<Budget>,
) -> Result<BTreeMap<String, Opening>> {
    let mut openings = BTreeMap::new();
    for schema in tables.into_iter().chain([dead_letters::schema()?]) {
        let name = schema.name().to_owned();
        let known_keys = match &schema.declaration().dimension {
            None => None,
            Some(dimension) => Some(Arc::clone(dimensions.get(dimension).ok_or_else(|| {
                Error::request(format!("table {name:?}: there is no dimension {dimension:?}"))
            })?)),
        };
        let schema = Arc::new(schema);
        let prepared = LakeTable::prepare(lake.child(&name), Arc::clone(&schema)).await?;
        let landed = match prepared.snapshot() {
            Some(snapshot) => Landed::of(prepared.table().landed_through(snapshot).await?),
            None => Landed::of(HashMap::new()),
        };
        let tail = Tail::new(schema, Arc::clone(budget));
        let opening = Opening { prepared, known_keys, landed, tail };
        if openings.insert(name.clone(), opening).is_some() {
            return Err(Error::request(match name.as_str() {
                DEAD_LETTERS => format!("the table {name:?} is the engine's own: rename yours"),
                _ => format!("the table {name:?} is declared twice"),
            }));
        }
    }
    Ok(openings)
}

impl Opening {
    /// Opens the table, as the log begins at `first`.
    async fn open(self, first: LogPosition) -> Result<(Arc<Table>, Tail)> {
        let Self { prepared, known_keys, tail, .. } = self;
        let (lake, snapshot) = prepared.open().await?;
        let name = lake.schema().name();
        if let Err(error) = lake.settle_deletions().await {
            tracing::warn!(%error, table = name, "could not finish the records of deletions: trying again at the next start");
        }
        if let Err(error) = lake.forget_landed(first).await {
            tracing::warn!(%error, table = name, "landed watermarks that are not needed stay until the next start");
        }
        let table = Table::new(lake, snapshot, tail.view(), known_keys);
        Ok((Arc::new(table), tail))
    }
}

/// Which log it is, and the folder of its files.
type LogPlace = (LogId, String);

/// The log, what was found in it, and which it is if it has files.
fn open_log(
    source: LogSource,
    settings: &EngineSettings,
    openings: &BTreeMap<String, Opening>,
) -> Result<(Box<dyn Log>, Recovery, Option<LogPlace>)> {
    let mut recovery = Recovery::default();
    let mut place = None;
    let log = match source {
        LogSource::Ready(log) => log,
        LogSource::Folder { path, accept_damage } => {
            let in_lake = openings.values().filter_map(|opening| opening.landed.newest).max();
            let at_least = LogPosition::new(in_lake.map_or(0, |through| through.get() + 1));
            let (log, opened) = SegmentLog::open(&path, &settings.log, at_least, accept_damage)?;
            recovery.torn_bytes = opened.torn_bytes;
            recovery.lost = opened.lost.iter().map(ToString::to_string).collect();
            let folder = std::fs::canonicalize(&path).unwrap_or(path);
            place = Some((log.id(), folder.display().to_string()));
            Box::new(log)
        }
    };
    Ok((log, recovery, place))
}

/// Through which positions of the log the rows of a table have landed.
struct Landed {
    /// Those of each hour.
    hours: HashMap<Hour, LogPosition>,
    /// The largest.
    newest: Option<LogPosition>,
}

/// What the log holds.
struct Replayed {
    /// Where its first record stands.
    first: Option<LogPosition>,
    /// The largest `ingested_at`.
    last_ingested: Micros,
}

/// Puts the rows that are not in the lake yet back into the tails.
fn replay(
    log: &mut dyn Log,
    openings: &mut BTreeMap<String, Opening>,
    recovery: &mut Recovery,
) -> Result<Replayed> {
    let mut replayed = Replayed { first: None, last_ingested: Micros::MIN };
    log.replay(LogPosition::new(0), &mut |position, record| {
        replayed.first.get_or_insert(position);
        replayed.last_ingested = replayed.last_ingested.max(record.ingested_at);
        recovery.records += 1;
        let Some(opening) = openings.get_mut(record.table.as_ref() as &str) else {
            return Err(Error::new(
                ErrorKind::Request,
                format!(
                    "the log holds rows of table {:?} at position {position}, which the settings do not declare: declare it",
                    record.table
                ),
            ));
        };
        let schema = opening.prepared.schema();
        if let Some(columns) = opening.prepared.other_columns() {
            return Err(Error::request(format!(
                "the log holds rows of table {:?} at position {position} with other columns than declared ({columns}): declare it as it was",
                schema.name()
            )));
        }
        let rows = decode(schema, position, &record)?;
        let all = rows.num_rows();
        let rows = opening.landed.others(rows, position)?;
        recovery.rows += rows.num_rows() as u64;
        recovery.landed_rows += (all - rows.num_rows()) as u64;
        if rows.num_rows() > 0 {
            opening.tail.append(position, &rows)?;
        }
        Ok(())
    })?;
    Ok(replayed)
}

/// Says in a message that rows were accepted at a time which is still to come.
fn tell_of_rows_ahead(last_ingested: Micros, now: Micros) {
    let ahead = last_ingested.saturating_sub(now);
    if ahead > AHEAD_MAX {
        tracing::warn!(
            "the log holds rows that were accepted at {}, {} ahead of the clock, which has been set back since: {INGESTED_AT} continues from there, since it decides which of two rows was accepted later",
            format_instant(last_ingested),
            roughly(ahead)
        );
    }
}

/// The rows of a record as the table has them. Rows that were written again say themselves when they came.
fn decode(schema: &TableSchema, position: LogPosition, record: &Record) -> Result<RecordBatch> {
    let rows = body(position, record)?;
    let logged = logged_schema(schema);
    let arrived = rows.column_by_name(INGESTED_AT).cloned();
    let rows = fit(&rows, logged).map_err(|e| unreadable(position, e))?;
    let Some(arrived) = arrived else { return complete(schema, &rows, record.ingested_at) };
    let columns = rows.columns().iter().cloned().chain([arrived]).collect();
    RecordBatch::try_new(Arc::clone(schema.arrow()), columns).map_err(|e| unreadable(position, e))
}

fn body(position: LogPosition, record: &Record) -> Result<RecordBatch> {
    let mut reader = StreamReader::try_new(Cursor::new(&record.body), None)
        .map_err(|e| unreadable(position, e))?;
    let batch = reader.next().transpose().map_err(|e| unreadable(position, e))?;
    batch.ok_or_else(|| {
        Error::new(ErrorKind::Damage, format!("log record at position {position} has no rows"))
    })
}

fn unreadable(position: LogPosition, error: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Damage, format!("log record at position {position}")).with_source(error)
}

/// The rows with the columns of `logged`. Value columns declared since the record was written are null in it.
fn fit(batch: &RecordBatch, logged: SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    if batch.schema_ref() == &logged {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let columns = logged.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => arrow::compute::cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), rows)),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(logged, columns)
}

impl Landed {
    fn of(hours: HashMap<Hour, LogPosition>) -> Self {
        let newest = hours.values().copied().max();
        Self { hours, newest }
    }

    /// The rows that have not landed.
    fn others(&self, rows: RecordBatch, position: LogPosition) -> Result<RecordBatch> {
        if self.newest.is_none_or(|newest| newest < position) {
            return Ok(rows);
        }
        let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
        let landed = |&time| {
            let through = Hour::of(time).and_then(|hour| self.hours.get(&hour));
            through.is_some_and(|&through| position <= through)
        };
        let keep: BooleanArray = times.values().iter().map(|time| Some(!landed(time))).collect();
        Ok(filter_record_batch(&rows, &keep)?)
    }
}
