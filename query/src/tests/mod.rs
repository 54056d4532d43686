//! Tests of SQL against a real engine: hours in the lake, late rows for them in the tail, open hours with repeats, and
//! a dimension.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bounds;
mod columns;
mod conditions;
mod deletion;
mod dialect;
mod executors;
mod function_memory;
mod fuzz;
mod guard;
mod newest;
mod planning;
mod plans;
mod random;
mod readers;
mod statements;
mod system;
mod time_travel;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use barograph_engine::{Durability, Engine, EngineSettings, LogSource, ManualClock, Result};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{LakeStore, Size, Span, TableSchema, TimeRange, Timestamp};
use barograph_test_support::landing_on_request;
use futures::TryStreamExt;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::ScalarValue;
use crate::Sql;
use crate::SqlSession;
use crate::SqlSettings;

/// 2026-01-01T00:00:00Z in µs.
const START: i64 = 1_767_225_600_000_000;
const MINUTE: i64 = 60_000_000;
const CITIES: i32 = 100;
const LANDED_HOURS: i64 = 4;
const HOURS: i64 = 6;

struct Fixture {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    sql: Arc<Sql>,
    session: SqlSession,
    /// Expected rows of the tables: the last row of every (city, instant).
    model: BTreeMap<(i32, i64), Row>,
    folder: tempfile::TempDir,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    temperature: Option<f32>,
    humidity: Option<f32>,
    pressure: Option<f64>,
    direction: Option<i16>,
    count: Option<i64>,
    note: Option<String>,
    seen_at: Option<i64>,
}

/// The instant `minutes` after the start.
fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_micros(START + minutes * MINUTE)
}

/// The time from a minute after the start to another.
fn minutes(from: i64, to: i64) -> TimeRange {
    TimeRange { from: minute(from), to: minute(to) }
}

fn table() -> TableSchema {
    let declaration = TableDeclaration::new("city_id", "reading_at")
        .column(ValueColumn::new("temperature", ValueType::Float32).range(-90.0, 60.0))
        .column(ValueColumn::new("humidity", ValueType::Float32))
        .column(ValueColumn::new("pressure", ValueType::Float64).range(-10.0, 1100.0))
        .column(ValueColumn::new("wind_direction", ValueType::Int16))
        .column(ValueColumn::new("flashes", ValueType::Int64))
        .column(ValueColumn::new("note", ValueType::Utf8))
        .column(ValueColumn::new("seen_at", ValueType::Timestamp));
    TableSchema::new("readings", declaration).unwrap()
}

fn batch(rows: &[((i32, i64), Row)]) -> RecordBatch {
    let times = |of: fn(&(i32, i64), &Row) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(|(key, row)| of(key, row)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "city_id",
            Arc::new(rows.iter().map(|((city, _), _)| Some(*city)).collect::<Int32Array>()),
        ),
        ("reading_at", times(|key, _| Some(key.1))),
        (
            "temperature",
            Arc::new(rows.iter().map(|(_, r)| r.temperature).collect::<Float32Array>()),
        ),
        ("humidity", Arc::new(rows.iter().map(|(_, r)| r.humidity).collect::<Float32Array>())),
        ("pressure", Arc::new(rows.iter().map(|(_, r)| r.pressure).collect::<Float64Array>())),
        ("wind_direction", Arc::new(rows.iter().map(|(_, r)| r.direction).collect::<Int16Array>())),
        ("flashes", Arc::new(rows.iter().map(|(_, r)| r.count).collect::<Int64Array>())),
        ("note", Arc::new(rows.iter().map(|(_, r)| r.note.clone()).collect::<StringArray>())),
        ("seen_at", times(|_, row| row.seen_at)),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, !["city_id", "reading_at"].contains(&name))),
    )
    .unwrap()
}

fn row(rng: &mut SmallRng, at: i64) -> Row {
    let mut maybe = |share: f64| rng.random_bool(share);
    let known =
        [maybe(0.9), maybe(0.8), maybe(0.9), maybe(0.9), maybe(0.7), maybe(0.6), maybe(0.5)];
    let zero = maybe(0.05);
    let nan = maybe(0.05);
    let temperature = f32::from(rng.random_range(-200_i16..400)) / 10.0;
    Row {
        temperature: known[0].then_some(if zero { -0.0 } else { temperature }),
        humidity: known[1].then_some(match (nan, temperature > 0.0) {
            (true, true) => f32::NAN,
            (true, false) => -f32::NAN,
            _ => f32::from(rng.random_range(0_i16..1000)) / 10.0,
        }),
        pressure: known[2].then_some(if zero {
            0.0
        } else {
            900.0 + f64::from(rng.random_range(0..1000)) / 8.0
        }),
        direction: known[3].then_some(rng.random_range(0..360)),
        count: known[4].then_some(rng.random_range(-5..50)),
        note: known[5]
            .then(|| ["calm", "gusts", "fog", "Zürich"][rng.random_range(0..4)].to_owned()),
        seen_at: known[6].then_some(at + rng.random_range(0..1_000_000)),
    }
}

fn cities() -> RecordBatch {
    let ids = (0..CITIES + 5).collect::<Vec<_>>();
    let name = |id: &i32| Some(format!("city {id}"));
    let country = |id: &i32| Some(["CH", "FR", "JP"][(*id % 3) as usize]);
    RecordBatch::try_from_iter([
        ("city_id", Arc::new(Int32Array::from(ids.clone())) as ArrayRef),
        ("name", Arc::new(ids.iter().map(name).collect::<StringArray>())),
        ("country", Arc::new(ids.iter().map(country).collect::<StringArray>())),
        (
            "latitude",
            Arc::new(ids.iter().map(|&id| Some(f64::from(id) - 30.0)).collect::<Float64Array>()),
        ),
    ])
    .unwrap()
}

/// Opens the engine and SQL over a folder.
async fn open(
    folder: &tempfile::TempDir,
    clock: &Arc<ManualClock>,
    settings: SqlSettings,
) -> (Arc<Engine>, Arc<Sql>) {
    let lake = LakeStore::local(&folder.path().join("lake")).unwrap();
    open_at(lake, folder, clock, settings).await
}

/// Like [`open`], over another lake store.
async fn open_at(
    lake: LakeStore,
    folder: &tempfile::TempDir,
    clock: &Arc<ManualClock>,
    settings: SqlSettings,
) -> (Arc<Engine>, Arc<Sql>) {
    open_as(table(), lake, folder, clock, settings).await.unwrap()
}

/// Like [`open_at`], with readings declared as `table`.
async fn open_as(
    table: TableSchema,
    lake: LakeStore,
    folder: &tempfile::TempDir,
    clock: &Arc<ManualClock>,
    settings: SqlSettings,
) -> Result<(Arc<Engine>, Arc<Sql>)> {
    let engine_settings = EngineSettings {
        scan_slice_rows: 1_024,
        scan_threads: 2,
        poll_commits_every: barograph_lake::Span::millis(0),
        tail_bytes_max: Size::mebibytes(512),
        ..landing_on_request()
    };
    let engine = Engine::builder(lake)
        .settings(engine_settings)
        .log(LogSource::folder(folder.path().join("log")))
        .clock(Arc::clone(clock) as _)
        .table(table)
        .open()
        .await?;
    let dimensions = BTreeMap::from([("cities".to_owned(), cities())]);
    let sql = Sql::with_dimensions(Arc::clone(&engine), settings, dimensions)?;
    Ok((engine, sql))
}

impl Fixture {
    /// Hours in lake and tail, with late rows between them.
    async fn new() -> Self {
        Self::with(SqlSettings { threads: 2, ..SqlSettings::default() }).await
    }

    async fn with(settings: SqlSettings) -> Self {
        let mut fixture = Self::empty(settings).await;
        let mut rng = SmallRng::seed_from_u64(7);
        let mut landed = Vec::new();
        for hour in 0..LANDED_HOURS {
            landed.extend(hour_of(&mut rng, hour, 10));
        }
        fixture.put(landed).await;
        fixture.engine.flush().await.unwrap();
        // Late rows: some replace, some are new, one instant comes twice.
        let mut late = Vec::new();
        for _ in 0..150 {
            let at = START + rng.random_range(0..2 * 12) * 5 * MINUTE + 60 * MINUTE;
            late.push(((rng.random_range(0..CITIES), at), row(&mut rng, at)));
        }
        fixture.put(late).await;
        for hour in LANDED_HOURS..HOURS {
            let rows = hour_of(&mut rng, hour, 10);
            let again: Vec<_> = rows.iter().filter(|_| rng.random_bool(0.02)).cloned().collect();
            fixture.put(rows).await;
            fixture
                .put(again.into_iter().map(|(key, _)| (key, row(&mut rng, key.1))).collect())
                .await;
        }
        fixture
    }

    async fn empty(settings: SqlSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(minute(HOURS * 60)));
        let (engine, sql) = open(&folder, &clock, settings).await;
        let session = SqlSession { user: "tester".to_owned(), ..SqlSession::default() };
        Self { engine, clock, sql, session, model: BTreeMap::new(), folder }
    }

    async fn put(&mut self, rows: Vec<((i32, i64), Row)>) {
        if rows.is_empty() {
            return;
        }
        let ack =
            self.engine.put("readings", batch(&rows), "test", Durability::Memory).await.unwrap();
        assert_eq!(ack.rejected, 0);
        self.model.extend(rows);
    }

    async fn try_ask(&self, text: &str, parameters: &[ScalarValue]) -> Result<RecordBatch> {
        let statement = self.sql.prepare(&self.session, text).await?;
        let answer = self.sql.execute(&self.session, &statement, parameters).await?;
        let schema = Arc::clone(&answer.schema);
        let batches: Vec<_> = answer.batches.try_collect().await?;
        Ok(concat_batches(&schema, &batches).unwrap())
    }

    async fn ask(&self, text: &str) -> RecordBatch {
        match self.try_ask(text, &[]).await {
            Ok(rows) => rows,
            Err(error) => panic!("{text}\n{error}"),
        }
    }

    /// The answer as text, a row per line, with cells separated by a bar.
    async fn lines(&self, text: &str) -> Vec<String> {
        lines(&self.ask(text).await)
    }

    async fn refused(&self, text: &str) -> String {
        match self.try_ask(text, &[]).await {
            Ok(rows) => panic!("{text} gave {} rows", rows.num_rows()),
            Err(error) => error.to_string(),
        }
    }

    /// The physical plan as EXPLAIN prints it.
    async fn plan(&self, text: &str) -> String {
        let rows = self.ask(&format!("EXPLAIN {text}")).await;
        let shown = pretty_format_batches(&[rows]).unwrap().to_string();
        shown[shown.find("physical_plan").unwrap()..].to_owned()
    }
}

fn lines(rows: &RecordBatch) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<_> =
        rows.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
    (0..rows.num_rows())
        .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// An hour of readings, one every `step` minutes, with some cities missing.
fn hour_of(rng: &mut SmallRng, hour: i64, step: i64) -> Vec<((i32, i64), Row)> {
    let mut rows = Vec::new();
    for city in 0..CITIES {
        for minute in (0..60).step_by(step as usize) {
            if rng.random_bool(0.1) {
                continue;
            }
            let at = START + (hour * 60 + minute) * MINUTE;
            rows.push(((city, at), row(rng, at)));
        }
    }
    rows
}
