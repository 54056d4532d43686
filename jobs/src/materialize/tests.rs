//! Tests of rollups: against a naive model and against SQL over their source, at any moment and wherever a run
//! is cut off.
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits for what is to hold, and looks at it now and then"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod columns;
mod expired;

use std::collections::BTreeMap;
use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use arrow::array::{ArrayRef, Float32Array, Int16Array, Int32Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use barograph_engine::rollup::{Rollup, RollupSettings};
use barograph_engine::{Clock, Durability, EngineSettings, ManualClock};
use barograph_fuzz::number;
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{LakeStore, Span};
use barograph_query::{Sql, SqlSession, SqlSettings};
use barograph_test_support::{engine_in, instants, landing_on_request};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use tokio::sync::watch;

use super::rollup::RollupTable;
use super::*;
use crate::schedule::{
    Job, JobSpec, RunRecord, RunRequest, RunState, Schedule, SchedulerSettings, Stop,
};

/// 2026-11-20T00:00:00Z.
const START: i64 = 1_795_132_800_000_000;
const HOURS: i64 = 60;
const MINUTE: i64 = 60_000_000;
const KEYS: u64 = 5;

/// A generator of numbers, the same for the same seed: SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Temperature, wind speed, wind direction. Quarters, whose sums are exact in any order; directions that
/// neither cancel out nor lie about north.
type Values = (Option<f32>, Option<f32>, Option<i16>);

struct Fixture {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    sql: Arc<Sql>,
    schedule: Arc<Schedule>,
    store: LakeStore,
    model: BTreeMap<(i32, i64), Values>,
    folder: tempfile::TempDir,
}

fn source() -> TableSchema {
    let column = |name: &str, value_type, unit: &str| ValueColumn::new(name, value_type).unit(unit);
    let declaration = TableDeclaration::new("id", "at")
        .column(column("temperature", ValueType::Float32, "°C"))
        .column(column("wind_speed", ValueType::Float32, "m/s"))
        .column(column("wind_direction", ValueType::Int16, "°"));
    TableSchema::new("readings", declaration).unwrap()
}

fn declared(source: &TableSchema) -> Vec<Rollup> {
    let rollup = |(name, every): (&str, i64)| {
        let every = Span::seconds(every * 3_600);
        let settings = RollupSettings { of: "readings".to_owned(), every };
        Rollup::new(name, &settings, Arc::new(source.clone()), Span::seconds(600)).unwrap()
    };
    [("readings_1h", 1), ("readings_1d", 24)].map(rollup).to_vec()
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock =
            Arc::new(ManualClock::new(Timestamp::from_micros(START + HOURS * MICROS_PER_HOUR)));
        let store =
            LakeStore::with_store(Arc::new(InMemory::new()), "memory:///jobs".parse().unwrap());
        Self::open(folder, clock, store).await
    }

    /// Over a folder, with what the job knows in `store`.
    async fn open(folder: tempfile::TempDir, clock: Arc<ManualClock>, store: LakeStore) -> Self {
        Self::open_as(source(), folder, clock, store).await
    }

    /// The same with readings declared as `source`.
    async fn open_as(
        source: TableSchema,
        folder: tempfile::TempDir,
        clock: Arc<ManualClock>,
        store: LakeStore,
    ) -> Self {
        let rollups = declared(&source);
        let mut tables = vec![source];
        tables.extend(rollups.iter().map(|rollup| TableSchema::clone(rollup.table())));
        let settings = EngineSettings {
            scan_slice_rows: 1_024,
            poll_commits_every: Span::millis(0),
            ..landing_on_request()
        };
        let engine = engine_in(folder.path()).settings(settings).clock(Arc::clone(&clock) as _);
        let engine = engine.tables(tables).open().await.unwrap();
        for rollup in &rollups {
            engine.declare_rollup(rollup.clone()).unwrap();
        }
        let sql = Sql::new(Arc::clone(&engine), SqlSettings::default()).unwrap();
        let job = super::rollups(Some(Arc::clone(&engine)), store.clone(), &rollups);
        let jobs: Vec<(Arc<dyn Job>, _)> = vec![(Arc::new(job), JobSpec::default())];
        let settings = SchedulerSettings::default();
        let schedule = Schedule::new(store.clone(), clock.clone(), settings, jobs);
        Self { engine, clock, sql, schedule, store, model: BTreeMap::new(), folder }
    }

    async fn put(&mut self, rows: Vec<((i32, i64), Values)>) {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(rows.iter().map(|((id, _), _)| Some(*id)).collect::<Int32Array>())),
            ("at", instants(rows.iter().map(|((_, at), _)| *at))),
            ("temperature", Arc::new(rows.iter().map(|(_, v)| v.0).collect::<Float32Array>())),
            ("wind_speed", Arc::new(rows.iter().map(|(_, v)| v.1).collect::<Float32Array>())),
            ("wind_direction", Arc::new(rows.iter().map(|(_, v)| v.2).collect::<Int16Array>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let ack = self.engine.put("readings", batch, "test", Durability::Memory).await.unwrap();
        assert_eq!(ack.rejected, 0);
        self.model.extend(rows);
    }

    /// Puts up to 40 readings, of any hour or of the newest ones.
    async fn put_some(&mut self, draw: &mut Draw) {
        let first = if draw.one_in(2) { 0 } else { HOURS as u64 - 4 };
        let rows = (0..1 + draw.below(40)).map(|_| {
            let hour = (first + draw.below(HOURS as u64 - first)) as i64;
            let at = START + hour * MICROS_PER_HOUR + draw.below(6) as i64 * 10 * MINUTE;
            let key = draw.below(KEYS) as i32;
            let quarters = |number: u64| number as f32 / 4.0;
            let temperature = (!draw.one_in(6)).then(|| quarters(draw.below(200)) - 20.0);
            let speed = (!draw.one_in(6)).then(|| quarters(draw.below(80)));
            let direction = (!draw.one_in(6)).then(|| 20 + draw.below(140) as i16);
            ((key, at), (temperature, speed, direction))
        });
        let rows: BTreeMap<_, _> = rows.collect();
        self.put(rows.into_iter().collect()).await;
    }

    async fn run(&self, request: RunRequest) -> RunRecord {
        let progress = watch::Sender::default();
        self.schedule.run("rollup", request, Stop::default(), progress).await.unwrap()
    }

    /// The stale windows of a rollup, with the keys whose rows are to be computed.
    async fn due(&self, rollup: &Rollup) -> Vec<(i64, KeySelection)> {
        let job = super::rollups(None, self.store.clone(), &[]);
        let (known, rolled) = (job.progress().await.unwrap(), RollupTable::of(rollup));
        let (watermark, stale_keys) = known.find_stale(&self.engine, &rolled).await.unwrap();
        let keys = |start| stale_keys.get(&start).cloned().unwrap_or(KeySelection::All);
        watermark.stale.into_iter().map(|start| (start.as_micros(), keys(start))).collect()
    }

    async fn lines(&self, text: &str) -> Vec<String> {
        let session = SqlSession::default();
        let statement = self.sql.prepare(&session, text).await.unwrap();
        let answer = self.sql.execute(&session, &statement, &[]).await.unwrap();
        let schema = Arc::clone(&answer.schema);
        let batches: Vec<_> = answer.batches.try_collect().await.unwrap();
        let rows = concat_batches(&schema, &batches).unwrap();
        let options = FormatOptions::default().with_null("null");
        let columns: Vec<_> =
            rows.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        (0..rows.num_rows())
            .map(|row| {
                columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|")
            })
            .collect()
    }

    /// The model's windows as lines: rows, and count, sum, least, greatest, first and last temperature.
    fn modelled(&self, every: i64) -> Vec<String> {
        let mut windows: BTreeMap<(i32, i64), (u64, Vec<f32>)> = BTreeMap::new();
        for ((key, at), (temperature, _, _)) in &self.model {
            let window = windows.entry((*key, at - at.rem_euclid(every))).or_default();
            window.0 += 1;
            window.1.extend(temperature);
        }
        let line = |((key, start), (rows, values)): (&(i32, i64), &(u64, Vec<f32>))| {
            let text = |value: Option<f32>| value.map_or("null".to_owned(), |v| format!("{v:?}"));
            let sum: f64 = values.iter().copied().map(f64::from).sum();
            let sum = if values.is_empty() { "null".to_owned() } else { format!("{sum:?}") };
            let [min, max] = [f32::min, f32::max].map(|of| text(values.iter().copied().reduce(of)));
            let [first, last] = [values.first(), values.last()].map(|end| text(end.copied()));
            let count = values.len();
            let start = Timestamp::from_micros(*start);
            format!("{key}|{start}|{rows}|{count}|{sum}|{min}|{max}|{first}|{last}")
        };
        windows.iter().map(line).collect()
    }

    /// Holds a table of windows against the model.
    async fn check_model(&self, from: &str, rollup: &str, seed: u64) {
        let every = if rollup == "readings_1h" { MICROS_PER_HOUR } else { 24 * MICROS_PER_HOUR };
        let temperature = ["count", "sum", "min", "max", "first", "last"]
            .map(|of| format!("temperature_{of}"))
            .join(", ");
        let text = format!(
            "SELECT id, window_start, rows, {temperature} FROM {from} WHERE rows > 0 ORDER BY 1, 2"
        );
        assert_eq!(self.lines(&text).await, self.modelled(every), "seed {seed}: {text}");
    }

    /// Holds a table of windows against the model and against the same asked of the source.
    async fn check(&self, from: &str, rollup: &str, seed: u64) {
        self.check_model(from, rollup, seed).await;
        let (every, interval) = match rollup {
            "readings_1h" => (MICROS_PER_HOUR, "1 hour"),
            _ => (24 * MICROS_PER_HOUR, "1 day"),
        };
        let of_windows = format!(
            "SELECT id, window_start, rows, temperature_mean, wind_speed_mean, wind_speed_count, \
             round(wind_direction_mean, 6), wind_direction_count, wind_direction_first, \
             wind_direction_last, completeness FROM {from} WHERE rows > 0 ORDER BY 1, 2"
        );
        let expected = every / (10 * MINUTE);
        let of_source = format!(
            "SELECT id, date_bin(INTERVAL '{interval}', at) AS w, count(*), avg(temperature), \
             avg(wind_speed), count(wind_speed), round(mean_direction(wind_direction, wind_speed), 6), \
             count(wind_direction), first(wind_direction, at), last(wind_direction, at), \
             count(*) / CAST({expected} AS DOUBLE) FROM readings GROUP BY id, w ORDER BY 1, 2"
        );
        assert_eq!(self.lines(&of_windows).await, self.lines(&of_source).await, "seed {seed}");
    }

    async fn check_live(&self, seed: u64) {
        for rollup in ["readings_1h", "readings_1d"] {
            self.check(&format!("live('{rollup}')"), rollup, seed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_windows_are_those_of_the_source_at_any_moment() {
    for seed in 1..=number("BAROGRAPH_TEST_SEEDS", 3) {
        let (mut fixture, mut draw) = (Fixture::new().await, Draw(seed));
        for _ in 0..25 {
            match draw.below(8) {
                0..=3 => fixture.put_some(&mut draw).await,
                4 | 5 => drop(fixture.engine.flush().await.unwrap()),
                _ => assert_eq!(fixture.run(RunRequest::default()).await.state, RunState::Done),
            }
            fixture.check_live(seed).await;
        }
        fixture.engine.flush().await.unwrap();
        fixture.run(RunRequest::default()).await;
        for rollup in ["readings_1h", "readings_1d"] {
            fixture.check(rollup, rollup, seed).await;
        }
        fixture.check_live(seed).await;
        let plan = fixture.schedule.plan("rollup", &RunRequest::default()).await.unwrap();
        assert_eq!(plan.cost.files, 0, "{plan:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_row_changes_the_rows_of_its_windows_alone() {
    let (mut fixture, mut draw) = (Fixture::new().await, Draw(7));
    for _ in 0..20 {
        fixture.put_some(&mut draw).await;
    }
    fixture.engine.flush().await.unwrap();
    let record = fixture.run(RunRequest::default()).await;
    assert!(record.figures.files > 20, "{record:?}");
    let computed = fixture.clock.now() + Span::MINUTE;
    fixture.clock.set(computed + 1_000 * Span::MINUTE);
    let hour = START + 30 * MICROS_PER_HOUR;
    fixture.put(vec![((3, hour + 7 * MINUTE), (Some(0.25), None, None))]).await;
    fixture.engine.flush().await.unwrap();
    // Of its windows the rows of its key alone are computed.
    for (rollup, start) in declared(&source()).iter().zip([hour, START + 24 * MICROS_PER_HOUR]) {
        let due = fixture.due(rollup).await;
        assert_eq!(due, [(start, KeySelection::list(vec![3]))]);
    }
    fixture.run(RunRequest::default()).await;
    let changed = |table: &str| {
        format!(
            "SELECT id, window_start FROM {table} WHERE ingested_at > TIMESTAMP '{}'",
            computed.to_string().trim_end_matches('Z')
        )
    };
    let day = START + 24 * MICROS_PER_HOUR;
    for (table, start) in [("readings_1h", hour), ("readings_1d", day)] {
        let lines = fixture.lines(&changed(table)).await;
        assert_eq!(lines, [format!("3|{}", Timestamp::from_micros(start))]);
    }
    fixture.check("readings_1h", "readings_1h", 7).await;
    // What is asked for is computed anew, and is the same.
    let request = RunRequest { from: Some(Timestamp::from_micros(START)), to: None };
    let record = fixture.run(request).await;
    assert!(record.figures.files > 20, "{record:?}");
    assert_eq!(fixture.lines(&changed("readings_1h")).await.len(), 1);
}

/// Polls a future so many times; `None` if it has not come to its end by then.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cut_off_anywhere_comes_to_the_same() {
    let (mut fixture, mut draw) = (Fixture::new().await, Draw(11));
    let mut whole = 0;
    for times in 0.. {
        fixture.put_some(&mut draw).await;
        fixture.engine.flush().await.unwrap();
        let run = fixture.schedule.run(
            "rollup",
            RunRequest::default(),
            Stop::default(),
            watch::Sender::default(),
        );
        whole += usize::from(polled(run, times * 3).await.is_some());
        fixture.check_live(11).await;
        // Its lease expires.
        fixture.clock.set(fixture.clock.now() + Span::seconds(31));
        if whole == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fixture.run(RunRequest::default()).await;
    for rollup in ["readings_1h", "readings_1d"] {
        fixture.check(rollup, rollup, 11).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_woken_by_changed_rows_and_by_nothing_else() {
    let (mut fixture, mut draw) = (Fixture::new().await, Draw(13));
    let rollups = declared(&source());
    let store = LakeStore::with_store(Arc::new(InMemory::new()), "memory:///j".parse().unwrap());
    let job = super::rollups(Some(Arc::clone(&fixture.engine)), store, &rollups);
    let fixture_engine = Arc::clone(&fixture.engine);
    let woken = async || job.has_work(&fixture_engine).await.unwrap();
    assert!(woken().await, "what was before is not known");
    assert!(!woken().await);
    fixture.put_some(&mut draw).await;
    assert!(!woken().await, "rows of the tail are computed when they are asked for");
    fixture.engine.flush().await.unwrap();
    assert!(woken().await);
    assert!(!woken().await);
    fixture.put_some(&mut draw).await;
    fixture.engine.flush().await.unwrap();
    job.woken().await;
}

#[tokio::test]
async fn windows_whose_rows_are_gone_are_emptied_once() {
    let rollup = RollupTable::of(&declared(&source())[0]);
    let row = |ids: Vec<i32>, from: &RecordBatch| -> RecordBatch {
        let times = instants(vec![START; ids.len()]);
        let empty = rollup.emptied(Arc::new(Int32Array::from(ids)), times).unwrap();
        assert_eq!(empty.schema(), from.schema());
        empty
    };
    let none = rollup.emptied(Arc::new(Int32Array::from(Vec::<i32>::new())), instants([]));
    let none = none.unwrap();
    let mut columns = row(vec![1, 2, 3], &none).columns().to_vec();
    columns[2] = Arc::new(arrow::array::Int64Array::from(vec![6, 6, 0]));
    let there = RecordBatch::try_new(none.schema(), columns).unwrap();
    // 1 is computed as it is, 2 is gone, 3 was emptied before, 4 is new.
    let given = concat_batches(&none.schema(), [&there.slice(0, 1), &row(vec![4], &none)]).unwrap();
    let [changed, emptied] = replace::changes(&rollup, &given, &there).unwrap();
    assert_eq!(changed, row(vec![4], &none));
    assert_eq!(emptied, row(vec![2], &none));
}

#[tokio::test]
async fn a_window_whose_rows_cannot_be_read_stops_no_other() {
    let mut fixture = Fixture::new().await;
    let values = (Some(0.5), None, None);
    let hours = (0..HOURS).map(|hour| ((0, START + hour * MICROS_PER_HOUR + 9), values));
    fixture.put(hours.collect()).await;
    fixture.engine.flush().await.unwrap();
    let view = fixture.engine.view("readings").unwrap();
    let broken = view.snapshot.files()[30].path;
    let path = fixture.folder.path().join("lake/readings").join(broken.to_string());
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, "no Parquet").unwrap();

    let record = fixture.run(RunRequest::default()).await;
    assert_eq!(record.state, RunState::Failed);
    let mut failed: Vec<_> = record.findings.iter().map(|found| found.table.as_str()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["readings_1d", "readings_1h"], "the hour, and its day");
    assert_eq!(fixture.lines("SELECT count(*) FROM readings_1h").await, [format!("{}", HOURS - 1)]);

    std::fs::write(&path, whole).unwrap();
    let record = fixture.run(RunRequest::default()).await;
    assert_eq!(record.state, RunState::Done, "{:?}", record.error);
    assert!(record.figures.files < 30, "the two windows alone: {:?}", record.figures);
    for rollup in ["readings_1h", "readings_1d"] {
        fixture.check_model(rollup, rollup, 0).await;
    }
}
