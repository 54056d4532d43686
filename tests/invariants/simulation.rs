//! Simulation: random interleavings of put, late rows, repeats, landing, compaction, imports, rollups, expiry, queries,
//! faults of the store and restarts, with each answer held against the naive model.
//!
//! A run is a pure function of its seed, which it prints when it fails. `BAROGRAPH_TEST_SEEDS=1000 cargo test --release
//! --workspace --test invariants simulation` runs more of them, `BAROGRAPH_TEST_SEED=7` just that one.

mod derived;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use barograph_engine::filter::Predicate;
use barograph_engine::{
    Aggregate, Aggregation, Durability, Engine, EngineSettings, LogSource, ManualClock, Point,
    PointQuery, Scan,
};
use barograph_fuzz::number;
use barograph_jobs::compact::{Compact, CompactionSettings};
use barograph_jobs::schedule::{
    Job, JobSpec, RunRecord, RunRequest, RunState, Schedule, SchedulerSettings, Stop,
};
use barograph_lake::store::faults::{Fault, FaultPlan, FaultStore, Operation};
use barograph_lake::{Key, KeySelection, LakeStore, Size, Span, Tier, TimeRange, Timestamp};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::model::{Model, Row, batch, rows, schema};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-20T00:00:00Z
const START: i64 = 1_795_132_800_000_000;
const KEYS: i32 = 12;
const STEPS: usize = 60;

#[test]
fn engine_agrees_with_the_model() {
    let seeds = match std::env::var("BAROGRAPH_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..number("BAROGRAPH_TEST_SEEDS", 6)).collect::<Vec<u64>>(),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.unwrap().block_on(simulate(seed));
        });
        if let Err(panic) = run {
            eprintln!("seed {seed} failed; run it again with BAROGRAPH_TEST_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// An engine, and the rows that it must hold.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    engine: Option<Arc<Engine>>,
    faults: Option<Arc<FaultStore>>,
    pub(crate) model: Model,
    rollups: derived::Windows,
    /// State of the jobs from run to run.
    jobs: LakeStore,
    pub(crate) rejected: u64,
    pub(crate) rng: SmallRng,
}

/// A world without rows.
pub(crate) async fn world(seed: u64) -> World {
    let mut world = World {
        folder: tempfile::tempdir().unwrap(),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(START))),
        engine: None,
        faults: None,
        model: Model::default(),
        rollups: derived::Windows::default(),
        jobs: LakeStore::with_store(Arc::new(InMemory::new()), "memory:///jobs".parse().unwrap()),
        rejected: 0,
        rng: SmallRng::seed_from_u64(seed),
    };
    world.open().await;
    world
}

async fn simulate(seed: u64) {
    let mut world = world(seed).await;
    for _ in 0..STEPS {
        match world.rng.random_range(0..100) {
            0..45 => world.put().await,
            45..55 => world.pass_time().await,
            55..60 => {
                let _ = world.engine().flush().await;
            }
            60..66 => world.restart().await,
            66..72 => world.break_store().await,
            72..78 => world.fold().await,
            78..82 => world.import().await,
            82..85 => world.roll_up().await,
            85..87 => world.expire().await,
            _ => world.query().await,
        }
    }
    world.restart().await;
    world.check_everything().await;
    world.engine().flush().await.unwrap();
    world.check_everything().await;
    world.check_lake().await;
    world.roll_up().await;
    world.pass(40 * Span::DAY);
    world.fold_now().await;
    world.restart().await;
    world.check_everything().await;
    world.check_lake().await;
    let view = world.engine().view("readings").unwrap();
    let mut tiers = view.snapshot.files().iter().map(|file| file.path.period().tier());
    assert!(tiers.all(|tier| tier == Tier::Month), "everything is old enough for months");
    world.roll_up().await;
    world.engine().shutdown().await.unwrap();
}

fn settings(rng: &mut SmallRng) -> EngineSettings {
    EngineSettings {
        late_merge_every: Span::seconds(rng.random_range(1..1200)),
        compacted_merge_every: Span::seconds(rng.random_range(1..7200)),
        checkpoint_commits: rng.random_range(1..6),
        scan_slice_rows: 1_024,
        ..EngineSettings::default()
    }
}

async fn open(
    folder: &Path,
    clock: &Arc<ManualClock>,
    settings: EngineSettings,
    plan: FaultPlan,
) -> (Arc<Engine>, Arc<FaultStore>) {
    let local = LakeStore::local(&folder.join("lake")).unwrap();
    let faults = FaultStore::new(Arc::clone(local.object()), plan);
    let lake = LakeStore::with_store(Arc::clone(&faults) as _, local.url().clone());
    let engine = Engine::builder(lake)
        .settings(settings)
        .log(LogSource::folder(folder.join("log")))
        .clock(Arc::clone(clock) as _)
        .tables(derived::tables())
        .open()
        .await
        .unwrap();
    for rollup in derived::declared() {
        engine.declare_rollup(rollup).unwrap();
    }
    (engine, faults)
}

impl World {
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().unwrap()
    }

    async fn open(&mut self) {
        let settings = settings(&mut self.rng);
        let (engine, faults) =
            open(self.folder.path(), &self.clock, settings, FaultPlan::none()).await;
        self.engine = Some(engine);
        self.faults = Some(faults);
    }

    pub(crate) fn faults(&self) -> Arc<FaultStore> {
        Arc::clone(self.faults.as_ref().unwrap())
    }

    pub(crate) async fn put_rows(&mut self, rows: &[Row]) {
        let put = self.engine().put("readings", batch(rows), "test", Durability::Disk);
        put.await.unwrap();
        self.model.put(rows);
    }

    /// The lake behind the faults.
    pub(crate) fn lake(&self) -> LakeStore {
        let local = LakeStore::local(&self.folder.path().join("lake")).unwrap();
        LakeStore::with_store(self.faults.clone().unwrap() as _, local.url().clone())
    }

    pub(crate) fn now(&self) -> i64 {
        barograph_engine::Clock::now(self.clock.as_ref()).as_micros()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, length: Span) {
        self.clock.set(Timestamp::from_micros(self.now()) + length);
    }

    pub(crate) fn row(&mut self) -> Row {
        let age = match self.rng.random_range(0..10) {
            0..7 => self.rng.random_range(0..20),
            7..9 => self.rng.random_range(0..180),
            _ if self.rng.random_bool(0.1) => self.rng.random_range(0..60_000),
            _ => self.rng.random_range(0..3_000),
        };
        let time = self.now() - age * MINUTE / self.rng.random_range(1..3);
        let temperature = self.rng.random_range(-900..600) as f32 / 10.0;
        let reading = (
            self.rng.random_bool(0.9).then_some(temperature),
            self.rng.random_bool(0.9).then(|| self.rng.random_range(0..=360)),
            self.rng.random_bool(0.3).then(|| format!("n{}", self.rng.random_range(0..9))),
        );
        (self.rng.random_range(0..KEYS), time, reading)
    }

    async fn put(&mut self) {
        let count = if self.rng.random_bool(0.1) { 2_000 } else { self.rng.random_range(1..40) };
        let good: Vec<_> = (0..count).map(|_| self.row()).collect();
        let mut sent = good.clone();
        let bad = self.rng.random_range(0..3);
        for _ in 0..bad {
            let mut row = self.row();
            match self.rng.random_range(0..2) {
                0 => row.2.0 = Some(99.0),
                _ => row.1 = self.now() + HOUR,
            }
            let at = self.rng.random_range(0..=sent.len());
            sent.insert(at, row);
        }
        let durability =
            if self.rng.random_bool(0.5) { Durability::Disk } else { Durability::Memory };
        let ack =
            self.engine().put("readings", batch(&sent), "simulation", durability).await.unwrap();
        assert_eq!((ack.accepted, ack.rejected), (good.len() as u64, bad));
        self.model.put(&good);
        self.rejected += bad;
    }

    async fn pass_time(&mut self) {
        let minutes = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(0..30_000),
            1..4 => self.rng.random_range(0..2_000),
            _ => self.rng.random_range(1..50),
        };
        self.pass(minutes * Span::MINUTE);
        let _ = self.engine().land_due().await;
    }

    pub(crate) async fn restart(&mut self) {
        let engine = self.engine.take().unwrap();
        engine.shutdown().await.unwrap();
        drop(engine);
        self.open().await;
    }

    /// Makes one of the next few writes to the store fail, perhaps after it was carried out.
    async fn break_store(&mut self) {
        let faults = Arc::clone(self.faults.as_ref().unwrap());
        let fault = if self.rng.random_bool(0.5) { Fault::Fail } else { Fault::LoseReply };
        let nth = self.rng.random_range(0..6);
        faults.set_plan(FaultPlan::none().on(Operation::Put, nth, fault));
        let _ = self.engine().flush().await;
        faults.set_plan(FaultPlan::none());
    }

    /// Compacts hours while rows are put and landed, over a store that may fail.
    async fn fold(&mut self) {
        let faults = Arc::clone(self.faults.as_ref().unwrap());
        if self.rng.random_bool(0.4) {
            let fault = if self.rng.random_bool(0.5) { Fault::Fail } else { Fault::LoseReply };
            let nth = self.rng.random_range(0..6);
            faults.set_plan(FaultPlan::none().on(Operation::Put, nth, fault));
        }
        let folding = tokio::spawn(fold(self.lake(), Arc::clone(&self.clock)));
        for _ in 0..self.rng.random_range(0..3) {
            self.put().await;
            let _ = self.engine().land_due().await;
            self.query().await;
        }
        let _ = folding.await.unwrap();
        faults.set_plan(FaultPlan::none());
    }

    async fn fold_now(&self) {
        let record = fold(self.lake(), Arc::clone(&self.clock)).await.unwrap();
        assert_eq!(record.state, RunState::Done, "{:?}", record.error);
    }

    pub(crate) async fn query(&mut self) {
        let keys = self.rng.random_bool(0.6).then(|| {
            let count = self.rng.random_range(1..5);
            (0..count).map(|_| self.rng.random_range(0..KEYS + 2)).collect::<Vec<_>>()
        });
        let to = self.now() - self.rng.random_range(-10..200) * MINUTE;
        let from = to - self.rng.random_range(1..600) * MINUTE;
        match self.rng.random_range(0..4) {
            0 => self.check_range(keys.as_deref(), from, to).await,
            1 => self.check_point(keys.as_deref(), None).await,
            2 => self.check_point(keys.as_deref(), Some(to)).await,
            _ => self.check_windows(keys.as_deref(), from, to).await,
        }
    }

    pub(crate) async fn check_everything(&mut self) {
        self.check_range(None, START - 10_000 * HOUR, START + 10_000 * HOUR).await;
        self.check_point(None, None).await;
        let letters = self.scan("dead_letters", &full_scan(5)).await;
        let count: usize = letters.iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(count as u64, self.rejected, "dead letters");
    }

    async fn scan(&self, table: &str, scan: &Scan) -> Vec<arrow::array::RecordBatch> {
        let view = self.engine().view(table).unwrap();
        let answer = self.engine().scan(view, scan.clone()).await.unwrap();
        answer.batches.try_collect().await.unwrap()
    }

    async fn check_range(&mut self, keys: Option<&[i32]>, from: i64, to: i64) {
        let filter = self.rng.random_bool(0.5);
        let limit = self.rng.random_bool(0.3).then(|| self.rng.random_range(0..300));
        let text = "temperature > -10 and (direction < 180 or note = 'n3')";
        let mut expected = self.model.range(keys, from, to);
        if filter {
            expected.retain(|(_, _, (temperature, direction, note))| {
                temperature.is_some_and(|t| t > -10.0)
                    && (direction.is_some_and(|d| d < 180) || note.as_deref() == Some("n3"))
            });
        }
        expected.truncate(limit.unwrap_or(usize::MAX));
        let scan = Scan {
            keys: selection(keys),
            time: range(from, to),
            columns: vec![2, 3, 4],
            filter: filter.then(|| Predicate::parse(text, &schema("readings")).unwrap()),
            aggregation: None,
            limit,
        };
        let answer: Vec<Row> = self.scan("readings", &scan).await.iter().flat_map(rows).collect();
        assert_eq!(answer, expected, "range {keys:?} {from}..{to} filter {filter} limit {limit:?}");
    }

    async fn check_point(&mut self, keys: Option<&[i32]>, at: Option<i64>) {
        let query = PointQuery {
            keys: keys.map(|keys| keys.iter().map(|&key| Key::from(key)).collect()),
            point: at.map_or(Point::Latest, |at| Point::At(Timestamp::from_micros(at))),
            columns: vec![2, 3, 4],
        };
        let expected = self.model.newest(keys, at.unwrap_or(i64::MAX));
        let view = self.engine().view("readings").unwrap();
        // The first question has the newest file's last rows looked for, which later ones find.
        for asked in 0..3 {
            let answer = rows(&self.engine().point(&view, &query).await.unwrap());
            assert_eq!(answer, expected, "{query:?}, asked {asked} times before");
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn check_windows(&mut self, keys: Option<&[i32]>, from: i64, to: i64) {
        let every = [7 * MINUTE, HOUR, 5 * HOUR][self.rng.random_range(0..3)];
        let mut expected: BTreeMap<(i32, i64), (i64, f64)> = BTreeMap::new();
        for (key, time, (temperature, ..)) in self.model.range(keys, from, to) {
            let window = expected.entry((key, time.div_euclid(every) * every)).or_default();
            window.0 += i64::from(temperature.is_some());
            window.1 += f64::from(temperature.unwrap_or(0.0));
        }
        let scan = Scan {
            keys: selection(keys),
            time: range(from, to),
            columns: Vec::new(),
            filter: None,
            aggregation: Some(Aggregation {
                every: Span::from_micros(every),
                aggregates: vec![(2, vec![Aggregate::Count, Aggregate::Sum])],
            }),
            limit: None,
        };
        let mut answer = Vec::new();
        for batch in self.scan("readings", &scan).await {
            let keys = batch.column(0).as_primitive::<arrow::datatypes::Int32Type>();
            let starts = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            let counts = batch.column(2).as_primitive::<Int64Type>();
            let sums = batch.column(3).as_primitive::<Float64Type>();
            for i in 0..batch.num_rows() {
                let window = (keys.value(i), starts.value(i));
                answer.push((window, (counts.value(i), sums.value(i))));
            }
        }
        assert_eq!(answer.len(), expected.len(), "windows of {every}");
        for ((window, (count, sum)), (wanted, (n, total))) in answer.iter().zip(&expected) {
            assert_eq!((window, count), (wanted, n));
            assert!((sum - total).abs() < 1e-6, "{window:?}: {sum} for {total}");
        }
    }

    /// Checks that the lake alone, after a flush, holds every row once, each in its home.
    pub(crate) async fn check_lake(&mut self) {
        let view = self.engine().view("readings").unwrap();
        assert_eq!(view.tail.rows(), 0);
        let in_files: u64 = view.snapshot.files().iter().map(|file| file.rows).sum();
        assert_eq!(in_files, self.model.0.len() as u64);
        assert_eq!(view.snapshot.find_overlap(), None);
    }
}

/// Runs the job `compact` once. Months of more than a few rows become several files.
pub(crate) async fn fold(
    lake: LakeStore,
    clock: Arc<ManualClock>,
) -> barograph_jobs::Result<RunRecord> {
    let job = Compact {
        lake,
        clock: Arc::clone(&clock) as _,
        settings: CompactionSettings { file_bytes: Size::bytes(6_000), ..Default::default() },
    };
    let store = LakeStore::with_store(Arc::new(InMemory::new()), "memory:///jobs".parse().unwrap());
    let spec = JobSpec { retries: 0, memory: Size::bytes(1), ..JobSpec::default() };
    let jobs: Vec<(Arc<dyn Job>, JobSpec)> = vec![(Arc::new(job), spec)];
    let schedule = Schedule::new(store, clock as _, SchedulerSettings::default(), jobs);
    schedule.run("compact", RunRequest::default(), Stop::default(), watch::Sender::default()).await
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: Timestamp::from_micros(from), to: Timestamp::from_micros(to) }
}

fn selection(keys: Option<&[i32]>) -> KeySelection {
    match keys {
        None => KeySelection::All,
        Some(keys) => KeySelection::list(keys.iter().copied()),
    }
}

fn full_scan(columns: usize) -> Scan {
    Scan {
        keys: KeySelection::All,
        time: TimeRange::ALL,
        columns: (2..2 + columns).collect(),
        filter: None,
        aggregation: None,
        limit: None,
    }
}
