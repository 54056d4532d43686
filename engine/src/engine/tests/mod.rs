//! Tests of the engine over a store and a log that fail when a test says so, with a clock that stands where it is
//! set.
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits for what is to hold, and looks at it now and then"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod announced;
mod landing;
mod log_space;
mod opening;
mod shared;
mod steps;
mod texts;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Float32Array, Int32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::store::faults::{FaultPlan, FaultStore};
use barograph_lake::{
    KeySelection, LakeStore, LogPosition, Span, TableSchema, TimeRange, Timestamp,
};
use futures::TryStreamExt;
use object_store::memory::InMemory;

use crate::log::{MemoryDisk, MemoryLog};
use crate::scan::Scan;
use crate::{Ack, Durability, Engine, EngineSettings, LogSource, ManualClock, Result};

/// 2026-01-01T00:00:00Z in µs.
const START: i64 = 1_767_225_600_000_000;
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// How long a condition is waited for: longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// A row: key, instant, value.
type Row = (i32, i64, f32);

/// What outlives an engine.
struct Bed {
    disk: MemoryDisk,
    objects: Arc<InMemory>,
    store: Arc<FaultStore>,
    clock: Arc<ManualClock>,
    settings: EngineSettings,
    tables: Vec<&'static str>,
}

impl Bed {
    fn new(settings: EngineSettings) -> Self {
        let objects = Arc::new(InMemory::new());
        Self {
            disk: MemoryDisk::default(),
            store: FaultStore::new(objects.clone(), FaultPlan::none()),
            objects,
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(START))),
            settings,
            tables: vec!["readings", "tides"],
        }
    }

    async fn open(&self) -> Arc<Engine> {
        self.try_open(self.tables.iter().map(|name| table(name)).collect()).await.unwrap()
    }

    fn lake(&self) -> LakeStore {
        LakeStore::with_store(self.store.clone(), "memory:///lake".parse().unwrap())
    }

    async fn try_open(&self, tables: Vec<TableSchema>) -> Result<Arc<Engine>> {
        let log = MemoryLog::open(&self.disk, &self.settings.log, LogPosition::new(0)).unwrap();
        Engine::builder(self.lake())
            .settings(self.settings.clone())
            .log(LogSource::Ready(Box::new(log)))
            .clock(self.clock.clone())
            .tables(tables)
            .open()
            .await
    }
}

impl Bed {
    fn clock_now(&self) -> i64 {
        crate::Clock::now(self.clock.as_ref()).as_micros()
    }

    /// Lets time pass until the clock shows `now`, in µs.
    fn set(&self, now: i64) {
        self.clock.set(Timestamp::from_micros(now));
    }

    /// Sets the clock by µs, while no time passes.
    fn step(&self, by: i64) {
        self.clock.step(Span::from_micros(by));
    }
}

fn table(name: &str) -> TableSchema {
    let declaration =
        TableDeclaration::new("id", "at").column(ValueColumn::new("value", ValueType::Float32));
    TableSchema::new(name, declaration).unwrap()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.1)).collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()) as _),
        ("at", Arc::new(times.with_timezone("UTC")) as _),
        ("value", Arc::new(rows.iter().map(|row| row.2).collect::<Float32Array>()) as _),
    ])
    .unwrap()
}

async fn put(engine: &Arc<Engine>, table: &str, rows: &[Row]) -> Result<Ack> {
    engine.put(table, batch(rows), "test", Durability::Disk).await
}

/// Everything a table holds, with what the engine says when each row came.
async fn rows_with_arrival(engine: &Arc<Engine>, table: &str) -> Result<Vec<(Row, i64)>> {
    let scan = Scan {
        keys: KeySelection::All,
        time: TimeRange::ALL,
        columns: vec![2, 3],
        filter: None,
        aggregation: None,
        limit: None,
    };
    let answer = engine.scan(engine.view(table)?, scan).await?;
    let batches: Vec<_> = answer.batches.try_collect().await?;
    let mut rows = Vec::new();
    for batch in batches {
        let keys = batch.column_by_name("id").unwrap().as_primitive::<Int32Type>();
        let times = batch.column_by_name("at").unwrap().as_primitive::<TimestampMicrosecondType>();
        let values = batch.column_by_name("value").unwrap().as_primitive::<Float32Type>();
        let arrived = batch.column_by_name("ingested_at").unwrap();
        let arrived = arrived.as_primitive::<TimestampMicrosecondType>();
        rows.extend((0..batch.num_rows()).map(|row| {
            ((keys.value(row), times.value(row), values.value(row)), arrived.value(row))
        }));
    }
    rows.sort_by_key(|((key, time, _), _)| (*key, *time));
    Ok(rows)
}

async fn rows(engine: &Arc<Engine>, table: &str) -> Result<Vec<Row>> {
    Ok(rows_with_arrival(engine, table).await?.into_iter().map(|(row, _)| row).collect())
}

/// Waits until `status` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}
