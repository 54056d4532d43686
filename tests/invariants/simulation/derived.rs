//! Rollups and expiry in the simulation: what is computed follows the model, and stays when its readings expire.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use barograph_engine::Scan;
use barograph_engine::rollup::{Rollup, RollupSettings};
use barograph_jobs::maintenance::{Expire, Retention};
use barograph_jobs::materialize::rollups;
use barograph_jobs::schedule::{
    Job, JobSpec, RunRecord, RunRequest, RunState, Schedule, SchedulerSettings, Stop,
};
use barograph_lake::{Key, KeySelection, Span, TableSchema, TimeRange, Timestamp};
use rand::Rng;
use tokio::sync::watch;

use super::{HOUR, World};
use crate::model::{Model, schema};

/// Names and lengths of the rollups, in hours.
const ROLLUPS: [(&str, i64); 2] = [("readings_1h", 1), ("readings_1d", 24)];

/// Rows, temperatures and their sum of a window.
type Window = (i64, i64, f64);

/// Windows that have lost readings by age, as they were before, by the length of their rollup.
#[derive(Debug, Default)]
pub(super) struct Windows {
    kept: BTreeMap<i64, BTreeMap<(i32, i64), Window>>,
    /// First instant of the windows that follow their readings.
    from: BTreeMap<i64, i64>,
}

pub(super) fn declared() -> Vec<Rollup> {
    let rollup = |(name, hours): (&str, i64)| {
        let every = Span::seconds(hours * 3_600);
        let settings = RollupSettings { of: "readings".to_owned(), every };
        Rollup::new(name, &settings, Arc::new(schema("readings")), Span::seconds(60)).unwrap()
    };
    ROLLUPS.map(rollup).to_vec()
}

pub(super) fn tables() -> Vec<TableSchema> {
    let rollups = declared();
    let rollups = rollups.iter().map(|rollup| TableSchema::clone(rollup.table()));
    [schema("readings")].into_iter().chain(rollups).collect()
}

impl Windows {
    /// The windows of a rollup in the model.
    fn of(&self, model: &Model, hours: i64) -> BTreeMap<(i32, i64), Window> {
        let mut windows = self.kept.get(&hours).cloned().unwrap_or_default();
        let from = self.from.get(&hours).copied().unwrap_or(i64::MIN);
        let every = hours * HOUR;
        for ((key, time), (temperature, ..)) in &model.0 {
            let start = time.div_euclid(every) * every;
            if start >= from {
                let window = windows.entry((*key, start)).or_insert((0, 0, 0.0));
                window.0 += 1;
                window.1 += i64::from(temperature.is_some());
                window.2 += f64::from(temperature.unwrap_or(0.0));
            }
        }
        windows
    }

    /// Keeps the windows of the readings that expire, which are those up to `through`.
    fn keep(&mut self, model: &Model, through: i64) {
        for (_, hours) in ROLLUPS {
            let every = hours * HOUR;
            let from = (through.div_euclid(every) + 1) * every;
            let windows = self.of(model, hours);
            self.from.entry(hours).and_modify(|held| *held = from.max(*held)).or_insert(from);
            let from = self.from[&hours];
            let kept = windows.into_iter().filter(|((_, start), _)| *start < from);
            self.kept.insert(hours, kept.collect());
        }
    }
}

impl World {
    async fn job(&self, job: Arc<dyn Job>) -> RunRecord {
        let (name, settings) = (job.name(), SchedulerSettings::default());
        let jobs = vec![(job, JobSpec { retries: 0, ..JobSpec::default() })];
        let schedule = Schedule::new(self.jobs.clone(), self.clock.clone(), settings, jobs);
        let progress = watch::Sender::default();
        let run = schedule.run(name, RunRequest::default(), Stop::default(), progress).await;
        let record = run.unwrap();
        assert_eq!(record.state, RunState::Done, "{name}: {:?}", record.error);
        record
    }

    /// Lands everything and runs the rollups: they are equal to those of the model.
    pub(super) async fn roll_up(&mut self) {
        self.engine().flush().await.unwrap();
        let engine = Some(Arc::clone(self.engine()));
        self.job(Arc::new(rollups(engine, self.jobs.clone(), &declared()))).await;
        for (name, hours) in ROLLUPS {
            let expected = self.rollups.of(&self.model, hours);
            let found = self.windows(name).await;
            assert_eq!(
                found.keys().collect::<Vec<_>>(),
                expected.keys().collect::<Vec<_>>(),
                "{name}"
            );
            for (window, (rows, count, sum)) in expected {
                let (of, n, total) = found[&window];
                assert_eq!((of, n), (rows, count), "{name} {window:?}");
                assert!((total - sum).abs() < 1e-6, "{name} {window:?}: {total} for {sum}");
            }
        }
    }

    async fn windows(&self, name: &str) -> BTreeMap<(i32, i64), Window> {
        let table = declared().into_iter().find(|rollup| rollup.table().name() == name).unwrap();
        let arrow = table.table().arrow();
        let columns = ["rows", "temperature_count", "temperature_sum"];
        let scan = Scan {
            keys: KeySelection::All,
            time: TimeRange::ALL,
            columns: columns.map(|column| arrow.index_of(column).unwrap()).to_vec(),
            filter: None,
            aggregation: None,
            limit: None,
        };
        let mut windows = BTreeMap::new();
        for batch in self.scan(name, &scan).await {
            let keys = batch.column(0).as_primitive::<Int32Type>();
            let starts = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            let [rows, counts] = [2, 3].map(|at| batch.column(at).as_primitive::<Int64Type>());
            let sums = batch.column(4).as_primitive::<Float64Type>();
            for row in (0..batch.num_rows()).filter(|&row| rows.value(row) > 0) {
                let sum = if counts.value(row) == 0 { 0.0 } else { sums.value(row) };
                let window = (rows.value(row), counts.value(row), sum);
                windows.insert((keys.value(row), starts.value(row)), window);
            }
        }
        windows
    }

    /// Expires readings that are too old, in the engine and in the model.
    pub(super) async fn expire(&mut self) {
        self.roll_up().await;
        let before = Arc::clone(&self.engine().view("readings").unwrap().snapshot);
        let after = Some(Span::seconds(self.rng.random_range(24..500) * 3_600));
        let retention = Retention { after, removed_files_kept: None };
        let record = self
            .job(Arc::new(Expire {
                lake: self.lake(),
                clock: Arc::clone(&self.clock) as _,
                retention: [("readings".to_owned(), retention)].into(),
                rollups: rollups(None, self.jobs.clone(), &declared()),
            }))
            .await;
        assert_eq!(record.findings_count, 0, "nothing waits: {record:?}");
        self.pass(Span::HOUR);
        self.engine().land_due().await.unwrap();
        let after = Arc::clone(&self.engine().view("readings").unwrap().snapshot);
        let gone = before.without(&after);
        assert_eq!(gone.len() as u64, record.figures.files);
        let Some(last) = gone.iter().map(|file| file.times.1).max() else { return };
        self.rollups.keep(&self.model, last.as_micros());
        self.model.0.retain(|(key, time), _| {
            let key = Key::from(*key);
            !gone.iter().any(|file| {
                file.path.period().range().contains(Timestamp::from_micros(*time))
                    && (file.keys.0..=file.keys.1).contains(&key)
            })
        });
        self.roll_up().await;
    }
}
