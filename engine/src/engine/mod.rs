//! The engine: its tables, their views, and the one way in.
//!
//! ```text
//! put ─validate─► queue ─► writer thread: log ─► tail ─► view ─► acknowledgement
//!                               ▲                                    
//! lander ─file, Delta commit────┘ (swaps tail and snapshot in one view)
//! ```

mod builder;
mod cluster;
mod open;
mod put;
mod read;
mod redrive;
mod rollups;
mod status;
#[cfg(test)]
mod tests;
mod time_travel;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use barograph_lake::file::FileCache;
use barograph_lake::table::Deletion;
use barograph_lake::{LakeStore, LogId, TableSchema, TableVersion, Timestamp};
use tokio::sync::Semaphore;

use crate::cluster::{Feed, Offered};
use crate::dead_letters::Ids;
use crate::landing::{
    Candidates, DeletionReport, DeletionRequest, Faults, FlushReport, Lander, LandingFault,
    find_candidates,
};
use crate::memory::Budget;
use crate::statistics::LandingCounts;
use crate::subscription::Subscription;
use crate::table::Table;
use crate::view::View;
use crate::watch::Watch;
use crate::writer::{Heard, LogGauge, Writer};
use crate::{Clock, Durability, EngineSettings, Error, ErrorKind, Result};

use status::AckCounts;

pub use builder::{EngineBuilder, LogSource};
pub use put::{Prepared, Submitted, batch_bytes};
pub use redrive::RedriveReport;

/// How often views are taken anew because one changed meanwhile. Each try costs less than a µs a table,
/// and views change some hundred times a second at most.
const VIEW_TRIES: usize = 64;

/// A table as it is listed to clients.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Its declaration and Arrow schema.
    pub schema: Arc<TableSchema>,
    /// Rows in lake and tail, before tail rows replace lake rows.
    pub rows: u64,
    /// Bytes of its lake files.
    pub bytes: u64,
}

/// The findings of the recovery when the engine was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Log records read.
    pub records: u64,
    /// Rows put back into the tail.
    pub rows: u64,
    /// Rows skipped because they had landed.
    pub landed_rows: u64,
    /// Bytes of a torn last group that was cut off; none of it was acknowledged.
    pub torn_bytes: u64,
    /// Log ranges that an operator's flag gave up.
    pub lost: Vec<String>,
}

/// Bounds that running reads share.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) scan: Arc<Budget>,
    pub(crate) threads: Arc<Semaphore>,
    pub(crate) thread_count: usize,
    pub(crate) slice_rows: usize,
}

/// The place of an engine among those that share its log.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) watch: Watch,
    /// To the groups of the leader, if it is reached.
    pub(crate) subscription: Option<Subscription>,
    pub(crate) offered: Arc<Offered>,
    /// The log that all of them append to.
    pub(crate) log: LogId,
    /// What the log promises, whatever is asked for.
    pub(crate) durability: Durability,
}

/// The engine.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{Float32Array, Int32Array, RecordBatch, TimestampMicrosecondArray};
/// use barograph_engine::{Durability, Engine, LogSource, Point, PointQuery};
/// use barograph_lake::{Key, LakeStore, TableDeclaration, TableSchema, ValueColumn, ValueType};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let temperature = ValueColumn::new("temperature", ValueType::Float32);
/// let readings = TableDeclaration::new("city_id", "reading_at").column(temperature);
/// let engine = Engine::builder(LakeStore::local(&folder.join("lake"))?)
///     .log(LogSource::folder(folder.join("log")))
///     .table(TableSchema::new("readings", readings)?)
///     .open()
///     .await?;
///
/// let now = engine.now().as_micros();
/// let times = TimestampMicrosecondArray::from_value(now, 2).with_timezone("UTC");
/// let batch = RecordBatch::try_from_iter([
///     ("city_id", Arc::new(Int32Array::from(vec![1, 2])) as _),
///     ("reading_at", Arc::new(times) as _),
///     ("temperature", Arc::new(Float32Array::from(vec![21.5, 18.0])) as _),
/// ])?;
/// let ack = engine.put("readings", batch, "documentation", Durability::Disk).await?;
/// assert_eq!((ack.accepted, ack.rejected), (2, 0));
///
/// let newest = PointQuery { keys: Some(vec![Key::new(2)]), point: Point::Latest, columns: vec![2] };
/// let newest = engine.point(&engine.view("readings")?, &newest).await?;
/// assert_eq!(newest.num_rows(), 1);
/// engine.shutdown().await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    settings: EngineSettings,
    clock: Arc<dyn Clock>,
    tables: BTreeMap<String, Arc<Table>>,
    files: Arc<FileCache>,
    tail_budget: Arc<Budget>,
    bounds: Arc<Bounds>,
    letter_ids: Ids,
    /// Letters are put again by one at a time.
    redriving: tokio::sync::Mutex<()>,
    gauge: Arc<LogGauge>,
    /// Of a log that others share.
    cluster: Option<Cluster>,
    /// Those who follow this process while it leads.
    feed: Arc<Feed>,
    /// What was told through such a log.
    heard: Arc<Heard>,
    writer: Writer,
    lander: Lander,
    faults: Arc<Faults>,
    landings: Arc<LandingCounts>,
    acknowledgements: AckCounts,
    rollups: crate::rollup::RollupRegistry,
    recovery: Recovery,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("tables", &self.tables.keys()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine whose tables live in `lake`.
    pub fn builder(lake: LakeStore) -> EngineBuilder {
        EngineBuilder::new(lake)
    }

    /// All tables, by name.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.tables
            .values()
            .map(|table| {
                let view = table.view.load();
                TableInfo {
                    schema: Arc::clone(&table.schema),
                    rows: view.rows(),
                    bytes: view.lake_bytes(),
                }
            })
            .collect()
    }

    /// The declaration of a table, or an error that lists the tables.
    pub fn schema(&self, table: &str) -> Result<Arc<TableSchema>> {
        self.table(table).map(|table| Arc::clone(&table.schema))
    }

    /// The current view of a table.
    pub fn view(&self, table: &str) -> Result<Arc<View>> {
        self.table(table).map(|table| table.view.load_full())
    }

    /// The current views of all tables by name, seen at one instant: none of them changed while they
    /// were taken together.
    pub fn views(&self) -> BTreeMap<String, Arc<View>> {
        let take = || -> BTreeMap<String, Arc<View>> {
            let views = self.tables.iter();
            views.map(|(name, table)| (name.clone(), table.view.load_full())).collect()
        };
        let mut views = take();
        for _ in 0..VIEW_TRIES {
            let again = take();
            if views.iter().zip(&again).all(|((_, a), (_, b))| Arc::ptr_eq(a, b)) {
                break;
            }
            views = again;
        }
        views
    }

    /// The time by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The engine's clock, to wait by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// The findings of the recovery when it was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Bytes of the tail and of batches on their way to it.
    pub fn tail_bytes(&self) -> usize {
        self.tail_budget.used()
    }

    /// Figures of the log.
    pub fn log_gauge(&self) -> &LogGauge {
        &self.gauge
    }

    /// Faults of landing, by table and time. The rows concerned stay in the log and the tail.
    pub fn landing_faults(&self) -> Vec<LandingFault> {
        self.faults.all()
    }

    /// Lands everything in the tail, open hours included.
    ///
    /// # Errors
    /// The reason why some of it could not land, once everything else has.
    pub async fn flush(&self) -> Result<FlushReport> {
        self.lander.flush().await
    }

    /// Lands the hours that are due, as the background task does by itself.
    pub async fn land_due(&self) -> Result<FlushReport> {
        self.lander.land_due().await
    }

    /// Deletes rows of a table that are acknowledged already. No view taken after it has returned holds them,
    /// whatever happens to the process; where others share the log, none that they take for the position in the report. The
    /// deletion continues even if nobody waits for it.
    ///
    /// # Errors
    /// `Unavailable` if the store failed: either all of the rows are deleted or none; ask again. Also if the others could
    /// not be told.
    pub async fn delete(
        self: &Arc<Self>,
        table: &str,
        request: DeletionRequest,
    ) -> Result<DeletionReport> {
        let (engine, table) = (Arc::clone(self), Arc::clone(self.table(table)?));
        let deleting = tokio::spawn(async move {
            let snapshot = Arc::clone(&table.view.load().snapshot);
            let mut candidates = Candidates::default();
            find_candidates(&engine.files, &table, &snapshot, &request, &mut candidates).await?;
            let report = engine.lander.delete(Arc::clone(&table), request, candidates).await?;
            engine.announce_deletion(&table, report).await
        });
        deleting.await.map_err(|e| Error::internal("a deletion ended early").with_source(e))?
    }

    /// Tells those who share the log of a deletion, also if an earlier try of it was the one that deleted the rows.
    async fn announce_deletion(
        &self,
        table: &Table,
        report: DeletionReport,
    ) -> Result<DeletionReport> {
        let shown = table.view.load().snapshot.version();
        let version = report.version.map_or(shown, TableVersion::new);
        let told = self.announce(table.schema.name(), version).await;
        let position = told.map_err(|error| {
            let untold = format!(
                "the rows are deleted as of version {version}, of which the others that share the log could not be told: delete them again"
            );
            Error::new(error.kind(), untold).with_source(error)
        })?;
        Ok(DeletionReport { position, ..report })
    }

    /// The deletions of a table, oldest first.
    pub async fn deletions(&self, table: &str) -> Result<Vec<Deletion>> {
        Ok(self.table(table)?.lake.deletions().await?)
    }

    /// The failure that stopped all writing until the engine is opened again; `None` while it works. Reads go on.
    pub fn failure(&self) -> Option<Error> {
        self.writer.status().failure()
    }

    /// Ready with [`Self::failure`] when there is one.
    pub async fn failed(&self) -> Error {
        self.writer.status().failed().await
    }

    /// Takes no more batches, finishes the hours that are landing, syncs the log and releases it.
    pub async fn shutdown(&self) -> Result<()> {
        if let Some(cluster) = &self.cluster {
            cluster.subscription.iter().for_each(Subscription::stop);
            self.feed.close();
            cluster.watch.stop().await;
        }
        self.lander.stop().await;
        self.writer.stop().await
    }

    /// Whether the newest readings in the lake are known for `view`, without a file being read: for tests.
    #[doc(hidden)]
    pub fn knows_newest(&self, table: &str, view: &View) -> Result<bool> {
        Ok(self.table(table)?.newest.knows(view))
    }

    /// A table, or an error that lists the tables.
    pub(crate) fn table(&self, name: &str) -> Result<&Arc<Table>> {
        self.tables.get(name).ok_or_else(|| {
            let names: Vec<_> = self.tables.keys().map(String::as_str).collect();
            Error::new(
                ErrorKind::NotFound,
                format!("there is no table {name:?}: there are {}", names.join(", ")),
            )
        })
    }
}
