//! The opening of an engine: the newest snapshot of each table is read, and the records of the log beyond it are
//! replayed into the tail.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use barograph_lake::file::FileCache;
use barograph_lake::internal::claim;
use barograph_lake::schema::INGESTED_AT;
use barograph_lake::table::Prepared;
use barograph_lake::{LakeStore, LakeTable, LogId, LogPosition, Span, TableSchema, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use super::status::AckCounts;
use super::{Bounds, Cluster, Engine, EngineBuilder, LogSource, Recovery};
use crate::clock::roughly;
use crate::cluster::{Feed, Members, Offered, Peers};
use crate::dead_letters::{self, DEAD_LETTERS, Ids};
use crate::landing::{COMMITS_MAX, FLOOR_AGE_MAX, Faults, Lander, LanderParts, overtaken};
use crate::log::{KnownFloor, Log, SegmentLog, SharedLog};
use crate::logged::{LandedThrough, LoggedRows};
use crate::memory::Budget;
use crate::statistics::LandingCounts;
use crate::subscription::{Subscription, SubscriptionParts};
use crate::table::Table;
use crate::tail::Tail;
use crate::validate::KnownKeys;
use crate::watch::{Watch, WatchParts};
use crate::writer::{Forwarder, Heard, LogGauge, Repeats, State, Writer};
use crate::{Clock, Durability, EngineSettings, Error, ErrorKind, Result};

/// Clocks differ by less.
const AHEAD_MAX: Span = Span::MINUTE;

impl Engine {
    pub(super) async fn open(builder: EngineBuilder) -> Result<Arc<Self>> {
        let EngineBuilder { settings, lake, log, clock, tables, dimensions, peers } = builder;
        let log = EngineBuilder::owed_log(log)?;
        let log = open_shared(log, &lake, &settings, &clock).await?;
        let (place, floor) = match &log {
            LogSource::Shared(log) => (Some((log.address().to_owned(), log.id())), log.floor()),
            _ => (None, None),
        };
        let tail_budget = Budget::new("tail_bytes_max", settings.tail_bytes_max.get());
        let mut openings = prepare(&lake, tables, &dimensions, &tail_budget, floor).await?;
        let (mut log, mut recovery, owner) = open_log(log, &settings, &openings).await?;
        if let Some((id, folder)) = owner {
            claim(&lake, id, &folder).await?;
        }
        if floor.is_some_and(|floor| !floor.is_within(clock.as_ref(), FLOOR_AGE_MAX)) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the tables took so long to be read that the log may have gone past what was read of it: start again",
            ));
        }
        if log.is_shared() {
            openings.values_mut().for_each(|opening| opening.tail.keep_positions());
        }
        let replayed = replay(log.as_mut(), &mut openings, &mut recovery)?;
        let first = replayed.first.unwrap_or_else(|| log.end());
        let mut opened = BTreeMap::new();
        let is_shared = log.is_shared();
        for (name, opening) in openings {
            opened.insert(name, opening.open(first, is_shared).await?);
        }
        let last_ingested = replayed.last_ingested;
        tell_of_rows_ahead(last_ingested, clock.now());
        let shared = place.map(|(address, id)| Shared { lake, address, id, peers });
        let start = Start { settings, clock, log, recovery, tail_budget, last_ingested, shared };
        let engine = Self::start(start, opened)?;
        for table in engine.tables.values() {
            if table.view.load().snapshot.has_foreign_commits() {
                engine.lander.poll_commits(Arc::clone(table)).await;
            }
        }
        Ok(engine)
    }

    fn start(start: Start, opened: BTreeMap<String, Opened>) -> Result<Arc<Self>> {
        let Start { settings, clock, mut log, recovery, tail_budget, last_ingested, shared } =
            start;
        let mut tables = BTreeMap::new();
        let mut tails = BTreeMap::new();
        let mut landed = BTreeMap::new();
        for (name, (table, tail, through)) in opened {
            tables.insert(name.clone(), table);
            tails.insert(name.clone(), tail);
            landed.insert(name, through);
        }
        let letter_ids = Ids::after(tables.get(DEAD_LETTERS).and_then(|table| {
            let view = table.view.load();
            let landed = view.snapshot.files().iter().map(|file| file.keys.1);
            let held = view.tail.hours().iter().filter_map(|hour| Some(hour.keys()?.1));
            landed.chain(held).max()
        }));
        let wake_lander = Arc::new(Notify::new());
        let gauge = Arc::new(LogGauge::default());
        let is_shared = log.is_shared();
        let faults = Arc::new(Faults::default());
        let heard = Arc::new(Heard::default());
        let (feed, offered) = (Arc::<Feed>::default(), Arc::<Offered>::default());
        // What was told since the tables were read.
        heard.hear(log.notices());
        gauge.measure(log.as_ref());
        gauge.opened(log.end(), clock.as_ref());
        let writer = Writer::start(State {
            log,
            gauge: Arc::clone(&gauge),
            tails,
            tables: tables.clone(),
            landed,
            clock: Arc::clone(&clock),
            last_ingested,
            wake_lander: Arc::clone(&wake_lander),
            budget: Arc::clone(&tail_budget),
            newest_hour: None,
            sync_at: None,
            follow_at: is_shared.then_some(Span::ZERO),
            tell_at: None,
            heard: Arc::clone(&heard),
            awaits_tails: false,
            feed: Arc::clone(&feed),
            offered: Arc::clone(&offered),
            forwarder: shared.as_ref().and_then(Shared::forwarder),
            repeats: (!is_shared).then(Repeats::default),
        })?;
        let (known, pages) = (settings.file_cache_bytes.get(), settings.page_cache_bytes.get());
        let files = FileCache::with_pages(known, pages);
        let landings = Arc::new(LandingCounts::default());
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
            counts: Arc::clone(&landings),
            heard: Arc::clone(&heard),
            stop: Arc::default(),
        });
        let cluster = shared.map(|shared| shared.join(&clock, &gauge, &offered, &writer));
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
            cluster,
            feed,
            heard,
            writer,
            lander,
            faults,
            landings,
            acknowledgements: AckCounts::default(),
            rollups: Default::default(),
            recovery,
        }))
    }
}

/// What an engine starts with, beside its tables.
struct Start {
    settings: EngineSettings,
    clock: Arc<dyn Clock>,
    log: Box<dyn Log>,
    recovery: Recovery,
    tail_budget: Arc<Budget>,
    last_ingested: Timestamp,
    /// Of a log that others share.
    shared: Option<Shared>,
}

/// A process among those that share a log.
struct Shared {
    lake: LakeStore,
    /// Where the others reach it.
    address: String,
    /// The log.
    id: LogId,
    peers: Option<Arc<dyn Peers>>,
}

impl Shared {
    fn forwarder(&self) -> Option<Forwarder> {
        let peers = Arc::clone(self.peers.as_ref()?);
        let (runtime, address) = (Handle::current(), self.address.clone());
        Some(Forwarder { peers, runtime, address, log: self.id })
    }

    /// Makes the process one of the members.
    fn join(
        self,
        clock: &Arc<dyn Clock>,
        gauge: &Arc<LogGauge>,
        offered: &Arc<Offered>,
        writer: &Writer,
    ) -> Cluster {
        let Self { lake, address, id, peers } = self;
        let durability = match lake.url().scheme() {
            "file" => Durability::Disk,
            _ => Durability::Replicated,
        };
        let (clock, gauge) = (Arc::clone(clock), Arc::clone(gauge));
        let members = Arc::new(Members::new(&lake, Arc::clone(&clock), &address));
        let subscription = peers.clone().map(|peers| {
            Subscription::start(SubscriptionParts {
                peers,
                log: id,
                address,
                clock: Arc::clone(&clock),
                gauge: Arc::clone(&gauge),
                offered: Arc::clone(offered),
                writer: writer.handle(),
            })
        });
        let writer = writer.handle();
        let watch = Watch::start(WatchParts { members, peers, clock, gauge, writer });
        Cluster { watch, subscription, offered: Arc::clone(offered), log: id, durability }
    }
}

/// A table in the running engine, its tail, and what of it has landed.
type Opened = (Arc<Table>, Tail, LandedThrough);

/// A table that can be opened. Nothing is written for it until all are prepared and the log is replayed.
struct Opening {
    prepared: Prepared,
    known_keys: Option<Arc<KnownKeys>>,
    landed: LandedThrough,
    tail: Tail,
}

/// Judges all tables before the first of them is made.
async fn prepare(
    lake: &LakeStore,
    tables: Vec<TableSchema>,
    dimensions: &HashMap<String, Arc<KnownKeys>>,
    budget: &Arc<Budget>,
    floor: Option<KnownFloor>,
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
        let (prepared, landed) = newest(&lake.child(&name), &schema, floor).await?;
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

/// The newest version of a table, and through which positions its hours have landed in it.
async fn newest(
    folder: &LakeStore,
    schema: &Arc<TableSchema>,
    floor: Option<KnownFloor>,
) -> Result<(Prepared, LandedThrough)> {
    for _ in 0..COMMITS_MAX {
        let prepared = LakeTable::prepare(folder.clone(), Arc::clone(schema)).await?;
        let Some(snapshot) = prepared.snapshot() else {
            return Ok((prepared, LandedThrough::default()));
        };
        let landed = prepared.table().landed_through(snapshot).await?;
        let Some(floor) = floor else { return Ok((prepared, LandedThrough::of(landed))) };
        let is_settled = snapshot.has_foreign_commits()
            || !prepared.table().is_behind(snapshot.version()).await?;
        if is_settled {
            return Ok((prepared, LandedThrough::above(landed, floor.position())));
        }
    }
    Err(overtaken(schema.name()))
}

impl Opening {
    /// Opens the table, as the log begins at `first`.
    async fn open(self, first: LogPosition, is_shared: bool) -> Result<Opened> {
        let Self { prepared, known_keys, landed, tail } = self;
        let (lake, snapshot) = prepared.open().await?;
        let name = lake.schema().name();
        if let Err(error) = lake.settle_deletions().await {
            tracing::warn!(%error, table = name, "could not finish the records of deletions: trying again at the next start");
        }
        // Others may hold rows from before: the process that leads forgets what lies below the floor.
        if !is_shared && let Err(error) = lake.forget_landed(first).await {
            tracing::warn!(%error, table = name, "landed watermarks that are not needed stay until the next start");
        }
        let table = Table::new(lake, snapshot, tail.view(), known_keys);
        Ok((Arc::new(table), tail, landed))
    }
}

/// Which log it is, and the folder of its files.
type LogPlace = (LogId, String);

/// A log that others share is read before the tables: what moves out of it afterwards is in them.
async fn open_shared(
    log: LogSource,
    lake: &LakeStore,
    settings: &EngineSettings,
    clock: &Arc<dyn Clock>,
) -> Result<LogSource> {
    let LogSource::Store { address } = log else { return Ok(log) };
    let (lake, settings, clock) = (lake.clone(), settings.log.clone(), Arc::clone(clock));
    let open = move || {
        let mut log = SharedLog::open(&lake, &settings, clock, LogPosition::new(0), &address)?;
        // The tables are read afterwards.
        log.notices();
        Ok(log)
    };
    Ok(LogSource::Shared(Box::new(waiting(open).await?)))
}

/// What `work` gives, on a thread that may wait for it.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|e| Error::internal("opening the log").with_source(e))?
}

/// The log, what was found in it, and which it is if it has files.
async fn open_log(
    source: LogSource,
    settings: &EngineSettings,
    openings: &BTreeMap<String, Opening>,
) -> Result<(Box<dyn Log>, Recovery, Option<LogPlace>)> {
    let mut recovery = Recovery::default();
    let mut place = None;
    let in_lake = openings.values().filter_map(|opening| opening.landed.newest).max();
    let at_least = LogPosition::new(in_lake.map_or(0, |through| through.get() + 1));
    let log: Box<dyn Log> = match source {
        LogSource::Ready(log) => log,
        LogSource::Store { .. } => return Err(Error::internal("a shared log was not opened")),
        LogSource::Shared(mut log) => {
            let log = waiting(move || log.skip_to(at_least).map(|()| log)).await?;
            place = Some((log.id(), log.place().to_owned()));
            log
        }
        LogSource::Folder { path, accept_damage } => {
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

/// What the log holds.
struct Replayed {
    /// Where its first record stands.
    first: Option<LogPosition>,
    /// The largest `ingested_at`.
    last_ingested: Timestamp,
}

/// Puts the rows that are not in the lake yet back into the tails.
fn replay(
    log: &mut dyn Log,
    openings: &mut BTreeMap<String, Opening>,
    recovery: &mut Recovery,
) -> Result<Replayed> {
    let mut replayed = Replayed { first: None, last_ingested: Timestamp::MIN };
    let is_shared = log.is_shared();
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
        let logged = LoggedRows::read(position, &record)?;
        let rows = logged.decode(schema)?;
        let all = rows.num_rows();
        let rows = opening.landed.others(rows, position)?;
        if is_shared
            && rows.num_rows() > 0
            && let Some(column) = logged.unknown_column(schema)?
        {
            return Err(Error::request(format!(
                "the log holds rows of table {:?} at position {position} with a column {column:?}, which the settings do not declare: declare it",
                schema.name()
            )));
        }
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
fn tell_of_rows_ahead(last_ingested: Timestamp, now: Timestamp) {
    let ahead = last_ingested.since(now);
    if ahead > AHEAD_MAX {
        tracing::warn!(
            "the log holds rows that were accepted at {last_ingested}, {} ahead of the clock, which has been set back since: {INGESTED_AT} continues from there, since it decides which of two rows was accepted later",
            roughly(ahead)
        );
    }
}
