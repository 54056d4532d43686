//! Tests of readings that expired: a rollup keeps what it has of them, whatever happens to them afterwards.

use super::*;
use crate::maintenance::{Expire, Retention};

const DAY: i64 = 24 * MICROS_PER_HOUR;
const ROLLUPS: [&str; 2] = ["readings_1h", "readings_1d"];

impl Fixture {
    /// Runs the job `expire` with readings kept for so many hours, and has the engine see it.
    async fn expire(&self, hours: i64) -> RunRecord {
        let after = Some(Span::seconds(hours * 3_600));
        let retention = Retention { after, removed_files_kept: None };
        let job = Expire {
            lake: LakeStore::local(&self.folder.path().join("lake")).unwrap(),
            clock: self.clock.clone(),
            retention: [("readings".to_owned(), retention)].into(),
            rollups: super::super::rollups(None, self.store.clone(), &declared(&source())),
        };
        let jobs: Vec<(Arc<dyn Job>, _)> = vec![(Arc::new(job), JobSpec::default())];
        let settings = SchedulerSettings::default();
        let schedule = Schedule::new(self.store.clone(), self.clock.clone(), settings, jobs);
        let progress = watch::Sender::default();
        let run = schedule.run("expire", RunRequest::default(), Stop::default(), progress);
        let record = run.await.unwrap();
        self.engine.land_due().await.unwrap();
        assert_eq!(record.state, RunState::Done, "{:?}", record.error);
        record
    }

    /// The oldest reading of the table.
    async fn oldest(&self) -> String {
        self.lines("SELECT min(at) FROM readings").await.remove(0)
    }

    async fn check_kept(&self, seed: u64) {
        for rollup in ROLLUPS {
            self.check_model(rollup, rollup, seed).await;
            self.check_model(&format!("live('{rollup}')"), rollup, seed).await;
        }
    }

    /// Opens the same data again; `store` has what the job knows.
    async fn reopen(self, store: LakeStore) -> Self {
        let Self { engine, clock, model, folder, sql, schedule, .. } = self;
        engine.shutdown().await.unwrap();
        drop((engine, sql, schedule));
        Self { model, ..Self::open(folder, clock, store).await }
    }
}

/// Readings of all hours, landed.
async fn landed(seed: u64) -> Fixture {
    let (mut fixture, mut draw) = (Fixture::new().await, Draw(seed));
    let values = (Some(0.5), None, None);
    let hours = 0..HOURS;
    fixture
        .put(hours.map(|hour| ((0, START + hour * MICROS_PER_HOUR + 9), values)).collect())
        .await;
    for _ in 0..12 {
        fixture.put_some(&mut draw).await;
    }
    fixture.engine.flush().await.unwrap();
    fixture
}

/// Readings that have landed and are rolled up; those of the first day expire.
async fn expired(seed: u64) -> Fixture {
    let fixture = landed(seed).await;
    fixture.run(RunRequest::default()).await;
    let (rows, files) = (fixture.model.len() as u64, 24);
    // The clock stands at hour 60: what is older than 30 h begins in the middle of the second day.
    let record = fixture.expire(30).await;
    assert_eq!((record.figures.files, record.findings_count), (files, 0), "{record:?}");
    let left = fixture.lines("SELECT count(*) FROM readings").await;
    assert_eq!(left, [(rows - record.figures.rows).to_string()]);
    let oldest = fixture.oldest().await;
    assert!(oldest.starts_with("2026-11-21T0"), "windows that are under way stay whole: {oldest}");
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_expired_readings_stay_as_they_were() {
    for seed in 21..=23 {
        let mut fixture = expired(seed).await;
        fixture.check_kept(seed).await;
        assert_eq!(fixture.run(RunRequest::default()).await.state, RunState::Done);
        fixture.check_kept(seed).await;

        // What comes late for them changes nothing, nor does asking for all of them; other windows do change.
        let held = fixture.model.clone();
        let values = (Some(0.25), None, None);
        fixture.put(vec![((1, START + 5 * MICROS_PER_HOUR + 7), values)]).await;
        fixture.model = held;
        fixture.put(vec![((2, START + DAY + MICROS_PER_HOUR + 7), values)]).await;
        for rollup in ROLLUPS {
            fixture.check_model(&format!("live('{rollup}')"), rollup, seed).await;
        }
        fixture.engine.flush().await.unwrap();
        assert!(fixture.oldest().await.starts_with("2026-11-20T05"));
        let all = RunRequest { from: Some(Timestamp::from_micros(START)), to: None };
        assert_eq!(fixture.run(all).await.state, RunState::Done);
        fixture.check_kept(seed).await;
        // The late reading goes with the next run.
        assert_eq!(fixture.expire(30).await.figures.rows, 1);
        assert_eq!(fixture.run(RunRequest::default()).await.state, RunState::Done);
        fixture.check_kept(seed).await;

        // Nor does forgetting what was computed, or not knowing it yet.
        let store =
            LakeStore::with_store(Arc::new(InMemory::new()), "memory:///new".parse().unwrap());
        let fixture = fixture.reopen(store).await;
        fixture.check_kept(seed).await;
        let plan = fixture.schedule.plan("rollup", &RunRequest::default()).await.unwrap();
        assert!(plan.steps.iter().all(|step| step.what.contains("from 2026-11-21")), "{plan:?}");
        let record = fixture.run(RunRequest::default()).await;
        assert!(record.figures.files > 20, "{record:?}");
        fixture.check_kept(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_stay_until_their_windows_are_computed() {
    let mut fixture = landed(31).await;
    let record = fixture.expire(30).await;
    let told: Vec<_> = record.findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!((record.figures.files, told), (0, vec!["readings_1h"]), "{record:?}");
    assert!(record.findings[0].detail.starts_with("24 files with"), "{record:?}");
    fixture.run(RunRequest::default()).await;

    // Of a reading that came since, its windows alone are waited for.
    let late = START + 5 * MICROS_PER_HOUR + 7;
    fixture.put(vec![((1, late), (Some(0.25), None, None))]).await;
    fixture.engine.flush().await.unwrap();
    let record = fixture.expire(30).await;
    let told: Vec<_> = record.findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!((record.figures.files, told), (0, vec!["readings_1h", "readings_1d"]), "{record:?}");
    fixture.run(RunRequest::default()).await;
    let record = fixture.expire(30).await;
    assert_eq!((record.figures.files, record.findings_count), (24, 0), "{record:?}");
    fixture.check_kept(31).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_expired_readings_has_their_windows_follow_again() {
    let mut fixture = expired(41).await;
    let lake = LakeStore::local(&fixture.folder.path().join("lake")).unwrap().child("readings");
    let (table, newest) = barograph_lake::LakeTable::open_existing(lake).await.unwrap();
    let before = barograph_lake::TableVersion::new(newest.version().get() - 1);
    let plan = table.plan_restore(&newest, before).await.unwrap();
    table.restore(&plan, fixture.clock.now()).await.unwrap().committed().unwrap();
    fixture.engine.land_due().await.unwrap();
    fixture.put(vec![((1, START + 5 * MICROS_PER_HOUR + 7), (Some(0.25), None, None))]).await;
    fixture.check_live(41).await;
    fixture.engine.flush().await.unwrap();
    fixture.run(RunRequest::default()).await;
    for rollup in ROLLUPS {
        fixture.check(rollup, rollup, 41).await;
    }
}
