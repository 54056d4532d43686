//! Simulation of three engines over one log in one store: random interleavings of puts, retries, late rows, deletions,
//! restores, landings, compaction, takeovers, processes that stop, start, or are cut off for hours, and faults of the store.
//! Each engine is held against one naive model: a row that was acknowledged is there once, and what was deleted or restored
//! away stays away.
//!
//! What is done follows from a seed, which is printed when a run fails; threads make the order of the rest.
//! `BAROGRAPH_TEST_SEEDS=1000 cargo test --release --workspace --test invariants several` runs more of them,
//! `BAROGRAPH_TEST_SEED=7` just that one.

mod network;

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::log::{BatchId, LogSettings, announce};
use barograph_engine::{
    Ack, Clock, DeletionRequest, Durability, Engine, EngineSettings, ErrorKind, LogSource,
    ManualClock, Scan,
};
use barograph_lake::store::faults::{FaultPlan, FaultStore};
use barograph_lake::{
    Key, KeySelection, LakeStore, LakeTable, LogPosition, Outcome, Size, Span, TableVersion,
    TimeRange, Timestamp,
};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::model::{Model, Row, batch, rows, schema};
use crate::simulation::fold;
use network::Network;

const MINUTE: i64 = 60_000_000;
/// 2026-11-20T00:00:00Z
const START: i64 = 1_795_132_800_000_000;
const KEYS: i32 = 6;
const STEPS: usize = 40;
/// How often a step is tried that must succeed in the end.
const TRIES: usize = 20_000;

/// A process: its engine while it runs, and its way to the store.
struct Process {
    address: String,
    engine: Option<Arc<Engine>>,
    store: Arc<FaultStore>,
    /// It reaches neither the store nor the others.
    is_cut_off: bool,
}

struct World {
    objects: Arc<InMemory>,
    clock: Arc<ManualClock>,
    network: Arc<Network>,
    processes: Vec<Process>,
    model: Model,
    rejected: u64,
    /// The last position that was acknowledged: of rows, a deletion or a restore.
    position: LogPosition,
    /// Versions in which everything had landed, with the rows they hold.
    versions: Vec<(TableVersion, Model)>,
    rng: SmallRng,
    /// How often an engine read the log anew.
    reads_anew: u64,
}

#[test]
fn several_engines_agree_with_the_model() {
    let seeds = match std::env::var("BAROGRAPH_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => {
            let count = std::env::var("BAROGRAPH_TEST_SEEDS").map_or(4, |n| n.parse().unwrap());
            (0..count).collect::<Vec<u64>>()
        }
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(simulate(seed));
        });
        if let Err(panic) = run {
            eprintln!("seed {seed} failed; run it again with BAROGRAPH_TEST_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

async fn simulate(seed: u64) {
    let mut world = World::new(seed).await;
    let clock = Arc::clone(&world.clock);
    // Time goes twenty times as fast as outside.
    let ticking = tokio::spawn(async move {
        loop {
            wait().await;
            clock.set(clock.now() + Span::millis(100));
        }
    });
    for _ in 0..STEPS {
        world.step().await;
    }
    world.mend();
    world.check().await;
    world.flush().await;
    world.check().await;
    for at in 0..world.processes.len() {
        world.stop(at, true).await;
    }
    ticking.abort();
    eprintln!("seed {seed}: {} rows, {} reads anew", world.model.0.len(), world.reads_anew);
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test waits for threads, and no outcome rests on how long"
)]
async fn wait() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

impl World {
    async fn new(seed: u64) -> Self {
        let objects = Arc::new(InMemory::new());
        let process = |at: usize| Process {
            address: format!("process-{at}"),
            engine: None,
            store: FaultStore::new(objects.clone() as _, FaultPlan::none()),
            is_cut_off: false,
        };
        let processes = (0..3).map(process).collect();
        let mut world = Self {
            objects,
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(START))),
            network: Arc::default(),
            processes,
            model: Model::default(),
            rejected: 0,
            position: LogPosition::new(0),
            versions: Vec::new(),
            rng: SmallRng::seed_from_u64(seed),
            reads_anew: 0,
        };
        for at in 0..3 {
            world.start(at).await;
        }
        world
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..40 => self.put().await,
            40..52 => self.put_everywhere().await,
            52..62 => self.pass_time(),
            62..67 => self.flush().await,
            67..73 => self.delete().await,
            73..76 => self.restore().await,
            76..80 => self.compact().await,
            80..86 => self.restart().await,
            86..90 => self.cut_off(),
            90..93 => self.break_stores(),
            _ => {
                self.mend();
                self.check().await;
            }
        }
    }

    async fn start(&mut self, at: usize) {
        let process = &self.processes[at];
        let log = LogSettings {
            // Checkpoints are near, so that the floor moves.
            segment_bytes: Size::bytes(16 << self.rng.random_range(10..15)),
            ..Default::default()
        };
        let settings = EngineSettings {
            late_merge_every: Span::seconds(120),
            compacted_merge_every: Span::seconds(600),
            poll_commits_every: Span::seconds(2),
            log,
            ..EngineSettings::default()
        };
        for _ in 0..TRIES {
            let lake = LakeStore::with_store(
                process.store.clone() as _,
                "memory:///lake".parse().unwrap(),
            );
            let opened = Engine::builder(lake)
                .settings(settings.clone())
                .log(LogSource::Store { address: process.address.clone() })
                .peers(self.network.clone() as _)
                .clock(self.clock.clone() as _)
                .table(schema("readings"))
                .open()
                .await;
            match opened {
                Ok(engine) => {
                    let address = process.address.clone();
                    self.network.engines.lock().insert(address, Arc::clone(&engine));
                    self.processes[at].engine = Some(engine);
                    return;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            wait().await;
        }
        panic!("process {at} never starts");
    }

    async fn stop(&mut self, at: usize, is_clean: bool) {
        self.network.engines.lock().remove(&self.processes[at].address);
        let Some(engine) = self.processes[at].engine.take() else { return };
        self.reads_anew += engine.log_gauge().reads_anew();
        if is_clean {
            let _ = engine.shutdown().await;
        }
    }

    async fn restart(&mut self) {
        let at = self.rng.random_range(0..3);
        let is_clean = self.rng.random_bool(0.5);
        self.stop(at, is_clean).await;
        self.processes[at].store.set_plan(FaultPlan::none());
        self.processes[at].is_cut_off = false;
        if self.rng.random_bool(0.5) {
            self.pass_time();
        }
        self.start(at).await;
    }

    /// One of the processes that reach the store.
    fn some(&mut self) -> Arc<Engine> {
        let reached: Vec<_> = self.processes.iter().filter(|process| !process.is_cut_off).collect();
        let at = self.rng.random_range(0..reached.len());
        Arc::clone(reached[at].engine.as_ref().unwrap())
    }

    fn row(&mut self, key: i32) -> Row {
        let age = match self.rng.random_range(0..10) {
            0..7 => self.rng.random_range(0..20),
            7..9 => self.rng.random_range(0..180),
            _ => self.rng.random_range(0..3_000),
        };
        let temperature = self.rng.random_range(-900..600) as f32 / 10.0;
        let note = self.rng.random_bool(0.5).then(|| "n".repeat(self.rng.random_range(0..3_000)));
        (key, self.clock.now().as_micros() - age * MINUTE, (Some(temperature), None, note))
    }

    /// Rows of one key of its own for each sender, and how many of them are wrong.
    fn some_rows(&mut self, key: i32) -> (Vec<Row>, Vec<Row>) {
        let good: Vec<_> = (0..self.rng.random_range(1..40)).map(|_| self.row(key)).collect();
        let mut sent = good.clone();
        for _ in 0..self.rng.random_range(0..3) {
            let mut row = self.row(key);
            row.2.0 = Some(99.0);
            sent.push(row);
        }
        (good, sent)
    }

    async fn put(&mut self) {
        let key = self.rng.random_range(0..KEYS);
        let (good, sent) = self.some_rows(key);
        let id = BatchId::of(self.rng.random());
        let again = self.rng.random_bool(0.2);
        let loses = self.rng.random_bool(0.1);
        self.network.losses.lock().push(loses);
        let mut acks: Vec<Ack> = Vec::new();
        for _ in 0..TRIES {
            let engine = self.some();
            match put(&engine, &sent, id).await {
                Ok(ack) => acks.push(ack),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Resources),
                        "{error}"
                    );
                    wait().await;
                }
            }
            if acks.len() > usize::from(again) {
                break;
            }
        }
        let first = acks.first().expect("a put that never succeeds").clone();
        assert!(acks.iter().all(|ack| *ack == first), "{acks:?}");
        assert_eq!(first.accepted, good.len() as u64);
        self.rejected += first.rejected;
        self.position = self.position.max(first.position);
        self.model.put(&good);
    }

    /// Puts at all processes at once, of other keys each.
    async fn put_everywhere(&mut self) {
        let mut puts = Vec::new();
        for sender in 0..3 {
            let (good, sent) = self.some_rows(100 + sender);
            let id = BatchId::of(self.rng.random());
            puts.push((self.some(), good, sent, id));
        }
        let others: Vec<_> = (0..puts.len()).map(|_| self.some()).collect();
        let puts =
            puts.into_iter().zip(others).map(|((engine, good, sent, id), other)| async move {
                for at in 0..TRIES {
                    let engine = if at % 2 == 0 { &engine } else { &other };
                    match put(engine, &sent, id).await {
                        Ok(ack) => return (good, ack),
                        Err(_) => wait().await,
                    }
                }
                panic!("a put that never succeeds");
            });
        for (good, ack) in futures::future::join_all(puts).await {
            self.rejected += ack.rejected;
            self.position = self.position.max(ack.position);
            self.model.put(&good);
        }
    }

    fn pass_time(&mut self) {
        let minutes = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(0..4_000),
            1..4 => self.rng.random_range(0..200),
            _ => self.rng.random_range(1..20),
        };
        self.clock.set(self.clock.now() + minutes * Span::MINUTE);
    }

    async fn flush(&mut self) {
        for _ in 0..TRIES {
            let engine = self.some();
            match engine.flush().await {
                Ok(_) => {
                    let version = engine.view("readings").unwrap().snapshot.version();
                    self.versions.push((version, self.model.clone()));
                    return;
                }
                Err(_) => wait().await,
            }
        }
        panic!("nothing ever lands");
    }

    async fn delete(&mut self) {
        let key = self.rng.random_range(0..KEYS);
        let to = self.clock.now().as_micros() - self.rng.random_range(0..100) * MINUTE;
        let from = to - self.rng.random_range(1..300) * MINUTE;
        let request = DeletionRequest {
            keys: Some(vec![Key::from(key)]),
            time: TimeRange { from: Timestamp::from_micros(from), to: Timestamp::from_micros(to) },
            by: "simulation".to_owned(),
            reason: "a test".to_owned(),
        };
        for _ in 0..TRIES {
            let engine = self.some();
            match engine.delete("readings", request.clone()).await {
                Ok(report) => {
                    self.model.0.retain(|(k, time), _| *k != key || !(from..to).contains(time));
                    self.position = self.position.max(report.position.unwrap());
                    return;
                }
                Err(_) => wait().await,
            }
        }
        panic!("a deletion that never succeeds");
    }

    /// Restores a version in which everything had landed, as `barograph lake restore` does beside the engines.
    async fn restore(&mut self) {
        self.mend();
        self.flush().await;
        let at = self.rng.random_range(0..self.versions.len());
        let (version, model) = self.versions[at].clone();
        let table = schema("readings");
        let (table, _) =
            LakeTable::open(self.lake().child("readings"), table.into()).await.unwrap();
        for _ in 0..TRIES {
            let newest = table.refresh().await.unwrap();
            // The version is the newest, or its files are gone, or hold rows that were deleted since.
            let Ok(plan) = table.plan_restore(&newest, version).await else { return };
            match table.restore(&plan, self.clock.now()).await.unwrap() {
                Outcome::Committed(restored) => {
                    self.model = model;
                    self.tell(restored.version()).await;
                    return;
                }
                // Rows that another engine had not seen landed meanwhile, or files were merged.
                Outcome::Conflicted(_) | Outcome::Unknown(_) => wait().await,
            }
        }
        panic!("a restore that never succeeds");
    }

    /// Tells the engines of a version, as the command does.
    async fn tell(&mut self, version: TableVersion) {
        let (lake, clock) = (self.lake(), Arc::clone(&self.clock));
        let told = tokio::task::spawn_blocking(move || {
            announce(&lake, &LogSettings::default(), clock, "readings", version)
        });
        let position = told.await.unwrap().unwrap().expect("a shared log");
        self.position = self.position.max(position);
    }

    async fn compact(&mut self) {
        // Others may have committed first: it is compacted another time.
        let _ = fold(self.lake(), Arc::clone(&self.clock)).await;
    }

    fn lake(&self) -> LakeStore {
        LakeStore::with_store(self.objects.clone() as _, "memory:///lake".parse().unwrap())
    }

    fn cut_off(&mut self) {
        if self.processes.iter().all(|process| !process.is_cut_off) {
            let at = self.rng.random_range(0..3);
            let process = &mut self.processes[at];
            process.is_cut_off = true;
            process.store.set_plan(FaultPlan::seeded(0, 1_000, Duration::ZERO));
            self.network.engines.lock().remove(&process.address);
        }
    }

    fn break_stores(&mut self) {
        for process in self.processes.iter().filter(|process| !process.is_cut_off) {
            let seed = self.rng.random();
            process.store.set_plan(FaultPlan::seeded(seed, 30, Duration::from_millis(20)));
        }
    }

    fn mend(&mut self) {
        for process in &mut self.processes {
            process.store.set_plan(FaultPlan::none());
            process.is_cut_off = false;
            let engine = Arc::clone(process.engine.as_ref().unwrap());
            self.network.engines.lock().insert(process.address.clone(), engine);
        }
    }

    /// Every engine that has come to the last acknowledged position answers as the model does.
    async fn check(&mut self) {
        for process in &self.processes {
            let engine = process.engine.as_ref().unwrap();
            self.come_up(engine).await;
            let of = &process.address;
            let found = scan(engine, "readings", vec![2, 3, 4]).await;
            let found: Vec<Row> = found.iter().flat_map(rows).collect();
            let expected = self.model.range(None, i64::MIN, i64::MAX);
            assert_eq!(found.len(), expected.len(), "rows of {of}");
            assert!(found == expected, "{of} has other rows");
            let letters = scan(engine, "dead_letters", vec![2]).await;
            let count: usize = letters.iter().map(|batch| batch.num_rows()).sum();
            assert_eq!(count as u64, self.rejected, "letters of {of}");
        }
    }

    /// Waits until an engine shows what was acknowledged.
    async fn come_up(&self, engine: &Arc<Engine>) {
        for _ in 0..TRIES {
            // The landing of others may be under way: it fails, and is tried again.
            let _ = engine.land_due().await;
            let position = self.position;
            let followed = futures::future::select(
                Box::pin(engine.wait_for(position)),
                Box::pin(self.clock.sleep(Duration::from_secs(5))),
            );
            if matches!(followed.await, futures::future::Either::Left((Ok(()), _))) {
                return;
            }
            assert!(engine.failure().is_none(), "{:?}", engine.failure());
            wait().await;
        }
        panic!("an engine never comes to position {}", self.position);
    }
}

async fn put(engine: &Arc<Engine>, sent: &[Row], id: BatchId) -> barograph_engine::Result<Ack> {
    let prepared = engine.prepare("readings", batch(sent), "simulation").await?;
    prepared.with_id(id).submit(Durability::Disk).await?.acknowledged().await
}

async fn scan(
    engine: &Arc<Engine>,
    table: &str,
    columns: Vec<usize>,
) -> Vec<arrow::array::RecordBatch> {
    let scan = Scan { columns, ..Scan::of(KeySelection::All, TimeRange::ALL) };
    let view = engine.view(table).unwrap();
    let answer = engine.scan(view, scan).await.unwrap();
    answer.batches.try_collect().await.unwrap()
}
