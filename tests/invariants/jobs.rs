//! Faults of the store under the jobs `rollup`, `quality`, `expire`, `sweep` and `compact`: each operation fails once,
//! loses its reply, or is carried out when nobody waits for it any more; and all are slow. The next run completes the
//! work, leaves what a run without faults leaves, and no file that nobody needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use barograph_engine::log::{MemoryDisk, MemoryLog};
use barograph_engine::rollup::{Rollup, RollupSettings};
use barograph_engine::{Clock, Durability, Engine, EngineSettings, LogSource, ManualClock, Scan};
use barograph_jobs::compact::{Compact, CompactionSettings};
use barograph_jobs::maintenance::{Expire, Retention, Sweep};
use barograph_jobs::materialize::rollups;
use barograph_jobs::quality::{Check, Checks, Height, flags_of, quality};
use barograph_jobs::schedule::{
    Job, JobSpec, RunRecord, RunRequest, RunState, Schedule, SchedulerSettings, Stop,
};
use barograph_lake::store::faults::{Fault, FaultPlan, FaultStore, Operation};
use barograph_lake::{
    KeySelection, LakeStore, LakeTable, LogPosition, Span, TableSchema, TimeRange, Timestamp,
};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::watch;

use crate::model::{Row, batch, schema};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const LEASE: Span = Span::seconds(10);
/// 2026-11-20T00:00:00Z
const START: i64 = 1_795_132_800_000_000;
/// Hours of two days that have readings.
const HOURS: [i64; 3] = [1, 23, 25];
const OPERATIONS: [Operation; 4] =
    [Operation::Put, Operation::Get, Operation::List, Operation::Delete];

/// When a late put is carried out: before the next run, or after it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Delivered {
    Before,
    After,
}

/// A data folder in memory behind faults, and the engine and jobs that work on it.
struct World {
    memory: Arc<InMemory>,
    faults: Arc<FaultStore>,
    store: LakeStore,
    clock: Arc<ManualClock>,
    engine: Option<Arc<Engine>>,
}

/// All objects of a lake by their paths.
type Objects = BTreeMap<String, Vec<u8>>;

/// Final state: rows of each table, and data files by table.
#[derive(Debug, Clone, PartialEq)]
struct Left {
    rows: BTreeMap<String, String>,
    files: BTreeMap<String, usize>,
    damage: Vec<String>,
}

fn declared() -> Vec<Rollup> {
    let rollup = |(name, hours): (&str, i64)| {
        let every = Span::seconds(hours * 3_600);
        let settings = RollupSettings { of: "readings".to_owned(), every };
        Rollup::new(name, &settings, Arc::new(schema("readings")), Span::seconds(600)).unwrap()
    };
    [("readings_1h", 1), ("readings_1d", 24)].map(rollup).to_vec()
}

fn checks() -> Checks {
    let check = Check {
        column: "temperature".to_owned(),
        step: Some(3.0),
        persistence: None,
        neighbour: None,
        height: Height::Level,
    };
    Checks {
        step_within: Span::seconds(3_600),
        persistence_over: Span::seconds(3_600),
        near_km: 100.0,
        near_most: 8,
        near_least: 3,
        columns: vec![check],
    }
}

fn tables() -> Vec<TableSchema> {
    let mut tables = vec![schema("readings")];
    tables.extend(declared().iter().map(|rollup| TableSchema::clone(rollup.table())));
    tables.push(flags_of(&schema("readings"), &checks()).unwrap());
    tables
}

impl World {
    /// A world over a store in memory; with an engine, whose log holds no row that has not landed.
    async fn over(memory: Arc<InMemory>, with_engine: bool) -> Self {
        let faults = FaultStore::new(Arc::clone(&memory) as _, FaultPlan::none());
        let object = Arc::clone(&faults) as Arc<dyn ObjectStore>;
        let store = LakeStore::with_store(object, "memory:///".parse().unwrap());
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(START + 60 * HOUR)));
        let mut world = Self { memory, faults, store, clock, engine: None };
        if with_engine {
            world.engine = Some(world.open().await);
        }
        world
    }

    async fn open(&self) -> Arc<Engine> {
        let behind = LogPosition::new(1 << 40);
        let log = MemoryLog::open(&MemoryDisk::default(), &Default::default(), behind).unwrap();
        // What lands does so when it is asked for, so that each run takes the same steps.
        let lateness = Span::seconds(1_000_000 * 3_600);
        let settings = EngineSettings { lateness, ..EngineSettings::default() };
        let engine = Engine::builder(self.store.child("lake"))
            .settings(settings)
            .log(LogSource::Ready(Box::new(log)))
            .clock(Arc::clone(&self.clock) as _)
            .tables(tables())
            .open()
            .await
            .unwrap();
        for rollup in declared() {
            engine.declare_rollup(rollup).unwrap();
        }
        engine
    }

    fn job(&self, name: &str) -> Arc<dyn Job> {
        let (lake, clock) = (self.store.child("lake"), Arc::clone(&self.clock) as _);
        let (jobs, engine) = (self.store.child("jobs"), self.engine.clone());
        let kept = Retention { after: Some(Span::seconds(30 * 3_600)), removed_files_kept: None };
        match name {
            "rollup" => Arc::new(rollups(engine, jobs, &declared())),
            "quality" => {
                Arc::new(quality(engine, jobs, schema("readings"), checks(), Vec::new()).unwrap())
            }
            "expire" => Arc::new(Expire {
                lake,
                clock,
                retention: [("readings".to_owned(), kept)].into(),
                rollups: rollups(None, jobs, &declared()),
            }),
            // The store tells by a clock of its own how old files are: they are old in 2100.
            "sweep" => Arc::new(Sweep {
                lake,
                clock: Arc::new(ManualClock::new(Timestamp::from_micros(4_102_444_800_000_000))),
                kept: Span::millis(0),
                retention: BTreeMap::new(),
            }),
            _ => Arc::new(Compact { lake, clock, settings: CompactionSettings::default() }),
        }
    }

    async fn run(&self, name: &str) -> barograph_jobs::Result<RunRecord> {
        let spec = JobSpec { retries: 0, ..JobSpec::default() };
        let settings = SchedulerSettings { lease: LEASE, ..Default::default() };
        let jobs = vec![(self.job(name), spec)];
        let clock = Arc::clone(&self.clock) as _;
        let schedule = Schedule::new(self.store.child("jobs"), clock, settings, jobs);
        schedule.run(name, RunRequest::default(), Stop::default(), watch::Sender::default()).await
    }

    /// Runs a job to its end, once the lease of the previous run has expired.
    async fn complete(&self, name: &str) -> RunRecord {
        self.clock.set(self.clock.now() + 2 * LEASE);
        let record = self.run(name).await.unwrap();
        assert_eq!(record.state, RunState::Done, "{name}: {:?}", record.error);
        record
    }

    /// Hours of readings that have landed.
    async fn fill(&self) {
        let row = |hour: i64, key: i32, n: i64| -> Row {
            let temperature = (hour * 3 + n * i64::from(key)) as f32 / 4.0;
            let note = (n == 3).then(|| format!("hour {hour}"));
            (key, START + hour * HOUR + n * 10 * MINUTE, (Some(temperature), Some(90), note))
        };
        let engine = self.engine.as_ref().unwrap();
        let rows: Vec<Row> = HOURS
            .iter()
            .flat_map(|&hour| (1..4).flat_map(move |key| (0..6).map(move |n| row(hour, key, n))))
            .collect();
        engine.put("readings", batch(&rows), "test", Durability::Disk).await.unwrap();
        engine.flush().await.unwrap();
    }

    /// Ends the engine with everything landed, so that the store holds all rows.
    async fn settle(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.flush().await.unwrap();
            engine.shutdown().await.unwrap();
        }
    }

    async fn objects(&self) -> Objects {
        let listed = self.memory.list(Some(&"lake".into()));
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        let mut objects = Objects::new();
        for meta in listed {
            let found = self.memory.get(&meta.location).await.unwrap().bytes().await.unwrap();
            objects.insert(meta.location.to_string(), found.to_vec());
        }
        objects
    }

    /// The final state, which is looked at once of lakes that are the same byte by byte.
    async fn left(mut self, seen: &mut Vec<(Objects, Left)>) -> Left {
        self.settle().await;
        let objects = self.objects().await;
        if let Some((_, left)) = seen.iter().find(|(known, _)| *known == objects) {
            return left.clone();
        }
        let left = self.swept().await;
        seen.push((objects, left.clone()));
        left
    }

    /// What is left after a sweep and without further faults.
    async fn swept(self) -> Left {
        self.complete("sweep").await;
        let mut left = Left { rows: BTreeMap::new(), files: BTreeMap::new(), damage: Vec::new() };
        let engine = self.open().await;
        for schema in tables() {
            let name = schema.name().to_owned();
            let columns = (2..schema.arrow().fields().len() - 1).collect();
            let scan = Scan {
                keys: KeySelection::All,
                time: TimeRange::ALL,
                columns,
                filter: None,
                aggregation: None,
                limit: None,
            };
            let found = engine.scan(engine.view(&name).unwrap(), scan).await.unwrap();
            let batches: Vec<_> = found.batches.try_collect().await.unwrap();
            left.rows.insert(name.clone(), pretty_format_batches(&batches).unwrap().to_string());
            let lake = self.store.child("lake").child(&name);
            let (table, snapshot) = LakeTable::open_existing(lake.clone()).await.unwrap();
            let listed = lake.object().list(Some(&lake.path("")));
            let listed: Vec<_> = listed.try_collect().await.unwrap();
            let is_data = |path: &str| path.ends_with(".parquet") && !path.contains("_delta_log");
            let files = listed.iter().filter(|meta| is_data(meta.location.as_ref())).count();
            assert_eq!(files, snapshot.files().len(), "files of {name} that nobody needs");
            left.files.insert(name, files);
            let report = table.check(&snapshot, &mut |_, _| {}).await.unwrap();
            let damage = report.findings.iter().filter(|finding| finding.kind.is_damage());
            left.damage.extend(damage.map(ToString::to_string));
        }
        engine.shutdown().await.unwrap();
        left
    }
}

/// A data folder in the state before the job: the jobs `earlier` have run.
async fn base(earlier: &[&str]) -> Arc<InMemory> {
    let mut world = World::over(Arc::new(InMemory::new()), true).await;
    world.fill().await;
    for name in earlier {
        world.complete(name).await;
    }
    world.settle().await;
    world.memory
}

/// Makes each operation of `job` fail in each way.
async fn every_operation(job: &str, earlier: &[&str]) {
    let base = base(earlier).await;
    let with_engine = ["rollup", "quality"].contains(&job);
    let whole = world_over(&base, with_engine).await;
    whole.faults.set_plan(FaultPlan::none());
    let expected = whole.run(job).await.unwrap();
    assert_eq!(expected.state, RunState::Done, "{job}: {:?}", expected.error);
    let counts = OPERATIONS.map(|operation| whole.faults.count(operation));
    let mut seen = Vec::new();
    let expected = (expected.figures, whole.left(&mut seen).await);
    assert_eq!(expected.1.damage, Vec::<String>::new());
    let slow = |plan, (operation, count)| {
        let delay = Fault::Delay(Duration::from_millis(1));
        (0..count).fold(plan, |plan: FaultPlan, nth| plan.on(operation, nth, delay))
    };
    let steps = OPERATIONS.into_iter().zip(counts);
    let world = world_over(&base, with_engine).await;
    world.faults.set_plan(steps.clone().fold(FaultPlan::none(), slow));
    let record = world.run(job).await.unwrap();
    assert_eq!((record.state, record.figures), (RunState::Done, expected.0), "{job}: slow");
    assert_eq!(world.left(&mut seen).await, expected.1, "{job}: slow is not wrong");

    let (mut runs, mut failed) = (0, 0);
    for (operation, count) in steps {
        for (nth, &(fault, delivered)) in
            (0..count).flat_map(|nth| ways(operation).iter().map(move |way| (nth, way)))
        {
            let case = format!("{job}: {operation:?} {nth} {fault:?} {delivered:?}");
            let world = world_over(&base, with_engine).await;
            world.faults.set_plan(FaultPlan::none().on(operation, nth, fault));
            let first = world.run(job).await;
            assert!(world.faults.faults() > 0, "{case}: it did not come up");
            world.faults.set_plan(FaultPlan::none());
            let ended = first.as_ref().is_ok_and(|record| record.state == RunState::Done);
            (runs, failed) = (runs + 1, failed + usize::from(!ended));
            if delivered == Delivered::Before {
                world.faults.deliver().await;
            }
            let mut done = first.map(|record| record.figures).unwrap_or_default();
            done = done.plus(world.complete(job).await.figures);
            // A read that failed left nothing that the run before has not seen.
            if [Operation::Put, Operation::Delete].contains(&operation) {
                world.faults.deliver().await;
                done = done.plus(world.complete(job).await.figures);
            }
            if fault != Fault::Late && ["expire", "compact"].contains(&job) {
                assert_eq!(done, expected.0, "{case}: what was done is counted once");
            }
            assert_eq!(world.left(&mut seen).await, expected.1, "{case}");
        }
    }
    let states = seen.len();
    println!("{job}: {counts:?} operations, {runs} runs, {failed} of them failed, {states} ends");
    assert!(failed * 4 > runs, "{job}: {failed} of {runs} runs were harmed");
}

async fn world_over(base: &InMemory, with_engine: bool) -> World {
    World::over(Arc::new(base.fork()), with_engine).await
}

/// Ways in which an operation can fail. A read whose reply is lost is one that failed.
fn ways(operation: Operation) -> &'static [(Fault, Delivered)] {
    const FAIL: (Fault, Delivered) = (Fault::Fail, Delivered::Before);
    const LOST: (Fault, Delivered) = (Fault::LoseReply, Delivered::Before);
    const LATE: [(Fault, Delivered); 2] =
        [(Fault::Late, Delivered::Before), (Fault::Late, Delivered::After)];
    match operation {
        Operation::Put => &[FAIL, LOST, LATE[0], LATE[1]],
        Operation::Delete => &[FAIL, LOST],
        Operation::Get | Operation::List => &[FAIL],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollups_come_to_the_same_whatever_the_store_does() {
    every_operation("rollup", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quality_flags_come_to_the_same_whatever_the_store_does() {
    every_operation("quality", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_comes_to_the_same_whatever_the_store_does() {
    every_operation("expire", &["rollup"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_comes_to_the_same_whatever_the_store_does() {
    every_operation("sweep", &["rollup", "expire"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_comes_to_the_same_whatever_the_store_does() {
    every_operation("compact", &["rollup"]).await;
}
