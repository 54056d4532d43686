//! Tests of the maintenance jobs, run by the schedule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch, TimestampMicrosecondArray};
use barograph_engine::{Clock, ManualClock};
use barograph_lake::file::encode;
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{
    Change, FilePath, Hour, LogPosition, Operation, Span, TableSchema, Timestamp,
};
use object_store::memory::InMemory;
use tokio::sync::watch;

use super::*;
use crate::ErrorKind;
use crate::compact::{Compact, CompactionSettings};
use crate::materialize::rollups;
use crate::schedule::{
    Figures, Job, JobSpec, RunRecord, RunRequest, RunState, Schedule, SchedulerSettings, Stop,
};

/// 2026-11-22T00:00:00Z.
const MIDNIGHT: Timestamp = Timestamp::from_micros(1_795_305_600_000_000);
const DAY: Span = Span::DAY;

/// The rows of a table kept for so many hours.
fn retention(table: &str, hours: i64) -> BTreeMap<String, Retention> {
    let after = Some(Span::seconds(hours * 3_600));
    [(table.to_owned(), Retention { after, removed_files_kept: None })].into()
}

struct Fixture {
    folder: tempfile::TempDir,
    lake: LakeStore,
    clock: Arc<ManualClock>,
    schedule: Arc<Schedule>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = LakeStore::local(folder.path()).unwrap();
        let clock = Arc::new(ManualClock::new(MIDNIGHT));
        let store =
            LakeStore::with_store(Arc::new(InMemory::new()), "memory:///jobs".parse().unwrap());
        let retained = retention("readings", 2);
        let expire = Expire {
            lake: lake.clone(),
            clock: clock.clone(),
            retention: retained.clone(),
            rollups: rollups(None, store.clone(), &[]),
        };
        let sweep = Sweep {
            lake: lake.clone(),
            clock: clock.clone(),
            kept: DAY,
            retention: BTreeMap::new(),
        };
        let compact = Compact {
            lake: lake.clone(),
            clock: clock.clone(),
            settings: CompactionSettings::default(),
        };
        let spec = || JobSpec { threads: 2, backoff: Span::millis(1), ..JobSpec::default() };
        let jobs: Vec<(Arc<dyn Job>, JobSpec)> = vec![
            (Arc::new(compact), spec()),
            (Arc::new(expire), JobSpec::default()),
            (Arc::new(sweep), JobSpec::default()),
            (Arc::new(Verify { lake: lake.clone() }), spec()),
        ];
        let settings = SchedulerSettings::default();
        let schedule = Schedule::new(store, clock.clone(), settings, jobs);
        Self { folder, lake, clock, schedule }
    }

    /// Lands three rows in each of the first `hours` hours of a table; gives the files.
    async fn fill(&self, name: &str, hours: i64) -> Vec<PathBuf> {
        let value = |name: &str| ValueColumn::new(name, ValueType::Float32);
        let declaration = TableDeclaration::new("id", "at").column(value("v"));
        let schema = Arc::new(TableSchema::new(name, declaration).unwrap());
        let opened = LakeTable::open(self.lake.child(name), schema.clone()).await;
        let (table, mut snapshot) = opened.unwrap();
        let mut files = Vec::new();
        for hour in 0..hours {
            let hour = Hour::of(MIDNIGHT + hour * Span::HOUR).unwrap();
            let times = |late: i64| -> ArrayRef {
                let times = [0, 1, 2].map(|n| hour.start().as_micros() + n + late);
                Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC"))
            };
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int32Array::from(vec![1, 2, 3])),
                times(0),
                Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0])),
                times(9),
            ];
            let rows = RecordBatch::try_new(schema.arrow().clone(), columns).unwrap();
            let path = FilePath::new(hour, LogPosition::new(1));
            let (bytes, entry) = encode(&schema, &[rows], path).unwrap();
            table.write_file(&entry, bytes).await.unwrap();
            files.push(self.folder.path().join(name).join(entry.path.to_string()));
            let removed: Vec<_> = snapshot.files_of_hour(hour).to_vec();
            let landing = table.transaction(&snapshot, Operation::Land, Change::Moved);
            let landing = landing.remove(&removed).add(vec![Arc::new(entry)]);
            snapshot = landing.commit(MIDNIGHT).await.unwrap().committed().unwrap();
        }
        files
    }

    async fn run(&self, job: &str, request: RunRequest) -> RunRecord {
        let run = self.schedule.run(job, request, Stop::default(), watch::Sender::default());
        run.await.unwrap()
    }
}

#[tokio::test]
async fn verify_reads_every_file_and_names_what_is_damaged() {
    let fixture = Fixture::new();
    let files = fixture.fill("readings", 6).await;
    fixture.fill("tides", 2).await;
    let plan = fixture.schedule.plan("verify", &RunRequest::default()).await.unwrap();
    assert_eq!((plan.cost.files, plan.cost.rows, plan.steps_count), (8, 24, 2));
    let record = fixture.run("verify", RunRequest::default()).await;
    assert_eq!((record.state, record.findings_count), (RunState::Done, 0));
    assert_eq!(record.figures, plan.cost);

    std::fs::write(&files[4], "no Parquet").unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let part =
        RunRequest { from: Some(MIDNIGHT + 2 * Span::HOUR), to: Some(MIDNIGHT + 4 * Span::HOUR) };
    let record = fixture.run("verify", part).await;
    assert_eq!((record.state, record.figures.files), (RunState::Done, 2));
    let record = fixture.run("verify", RunRequest::default()).await;
    assert_eq!((record.state, record.figures.files), (RunState::Failed, 8));
    let error = record.error.unwrap();
    assert!(error.contains("the first in readings"), "{error}");
    assert!(error.contains("missing file: 3 rows are missing"), "{error}");
    let damaged: Vec<_> = record.findings.iter().filter(|finding| finding.damage).collect();
    let named = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        damaged.iter().any(|finding| finding.subject.ends_with(&name))
    };
    assert!(named(&files[1]) && named(&files[4]), "{damaged:?}");
    assert_eq!(record.attempts, 1, "damage does not go away");
}

#[tokio::test]
async fn sweep_deletes_what_nobody_needed_for_a_day() {
    let fixture = Fixture::new();
    let replaced = fixture.fill("readings", 2).await;
    let active = fixture.fill("readings", 2).await;
    let commits = std::fs::read_dir(fixture.folder.path().join("readings/_delta_log")).unwrap();
    let commits: Vec<_> = commits.map(|entry| entry.unwrap().path()).collect();
    for path in replaced.iter().chain(&active).chain(&commits) {
        let time = UNIX_EPOCH + Duration::from_micros(MIDNIGHT.as_micros() as u64);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    fixture.clock.set(MIDNIGHT + DAY);
    assert_eq!(fixture.run("sweep", RunRequest::default()).await.figures, Figures::default());
    fixture.clock.set(MIDNIGHT + DAY + Span::MICROSECOND);
    let plan = fixture.schedule.plan("sweep", &RunRequest::default()).await.unwrap();
    assert_eq!(plan.cost.files, 2);
    assert!(replaced[0].exists(), "a plan changes nothing");
    let record = fixture.run("sweep", RunRequest::default()).await;
    assert_eq!((record.state, record.figures), (RunState::Done, plan.cost));
    assert!(record.figures.bytes > 0);
    assert!(replaced.iter().all(|path| !path.exists()) && active.iter().all(|path| path.exists()));
    let request = RunRequest { from: Some(fixture.clock.now()), to: None };
    let error = fixture.schedule.plan("sweep", &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
}

/// Clocks of boards without a battery begin somewhere.
const YEARS: Span = Span::seconds(10 * 31_557_600);

#[tokio::test]
async fn nothing_is_too_old_where_the_clock_is_ahead_for_a_while() {
    let fixture = Fixture::new();
    let replaced = fixture.fill("readings", 2).await;
    fixture.fill("readings", 2).await;
    for entry in std::fs::read_dir(fixture.folder.path().join("readings/_delta_log")).unwrap() {
        let file = File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_micros(MIDNIGHT.as_micros() as u64)).unwrap();
    }
    for path in &replaced {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_micros(MIDNIGHT.as_micros() as u64)).unwrap();
    }
    let run = |job: &'static str| async {
        let record = fixture.run(job, RunRequest::default()).await;
        assert_eq!(record.state, RunState::Done);
        record.figures.files
    };
    for job in ["expire", "sweep"] {
        assert_eq!(run(job).await, 0, "{job}");
    }
    fixture.clock.step(YEARS);
    for seconds in 0..3 {
        fixture.clock.set(fixture.clock.now() + seconds * Span::SECOND);
        for job in ["expire", "sweep"] {
            assert_eq!(run(job).await, 0, "{job}, the clock ahead");
        }
    }
    fixture.clock.step(-1 * YEARS);
    for job in ["expire", "sweep"] {
        assert_eq!(run(job).await, 0, "{job}, the clock right again");
    }
    // Time that passes counts as ever.
    fixture.clock.set(MIDNIGHT + 4 * Span::HOUR);
    assert_eq!(run("expire").await, 2);
    fixture.clock.set(MIDNIGHT + 12 * Span::HOUR);
    run("sweep").await;
    fixture.clock.set(MIDNIGHT + DAY + Span::HOUR);
    assert_eq!(run("sweep").await, 2);
}

#[tokio::test]
async fn a_clock_that_stays_ahead_is_gone_by_after_a_while() {
    let fixture = Fixture::new();
    fixture.fill("readings", 2).await;
    let run = || async { fixture.run("expire", RunRequest::default()).await.figures.files };
    assert_eq!(run().await, 0);
    fixture.clock.step(YEARS);
    assert_eq!(run().await, 0);
    fixture.clock.set(fixture.clock.now() + 30 * Span::MINUTE);
    assert_eq!(run().await, 2);
}

#[tokio::test]
async fn expire_removes_whole_files_of_the_tables_that_retention_names() {
    let fixture = Fixture::new();
    let plan = fixture.schedule.plan("expire", &RunRequest::default()).await.unwrap();
    let what = &plan.steps[0].what;
    assert!(what.contains("retention.readings: there is no table"), "{what}");
    let record = fixture.run("expire", RunRequest::default()).await;
    assert_eq!((record.state, record.attempts), (RunState::Failed, 1));
    let files = fixture.fill("readings", 6).await;
    fixture.fill("tides", 6).await;
    let opened = || async { open(&fixture.lake, "readings").await.unwrap() };

    // The newest row of the third hour is two µs younger than its first.
    fixture.clock.set(MIDNIGHT + 4 * Span::HOUR + Span::from_micros(2));
    assert_eq!(
        fixture.schedule.plan("expire", &RunRequest::default()).await.unwrap().cost.files,
        2
    );
    fixture.clock.set(MIDNIGHT + 4 * Span::HOUR + Span::from_micros(3));
    let plan = fixture.schedule.plan("expire", &RunRequest::default()).await.unwrap();
    assert_eq!((plan.cost.files, plan.cost.rows, plan.steps_count), (3, 9, 1));
    assert_eq!(opened().await.snapshot.files().len(), 6, "a plan changes nothing");
    let before = opened().await;
    let record = fixture.run("expire", RunRequest::default()).await;
    assert_eq!((record.state, record.figures), (RunState::Done, plan.cost));
    let after = opened().await;
    assert_eq!(after.snapshot.files(), &before.snapshot.files()[3..]);
    let last = after.table.history().await.unwrap().pop().unwrap();
    assert_eq!(last.operation, "EXPIRE");
    let hours = [0, 1, 2].map(|n| Hour::of(MIDNIGHT + n * Span::HOUR).unwrap());
    assert_eq!(last.hours.unwrap(), hours);
    assert!(files.iter().all(|file| file.exists()), "the sweep deletes them");
    assert_eq!(fixture.run("expire", RunRequest::default()).await.figures, Figures::default());
    assert_eq!(open(&fixture.lake, "tides").await.unwrap().snapshot.files().len(), 6);

    // Whoever decided on an earlier version decides again.
    let expire = Expire {
        lake: fixture.lake.clone(),
        clock: fixture.clock.clone(),
        retention: BTreeMap::new(),
        rollups: rollups(None, fixture.lake.child("jobs"), &[]),
    };
    let kept = MIDNIGHT + 5 * Span::HOUR;
    assert_eq!(expire.table(&before, kept).await.unwrap().removed.files, 2);
    assert_eq!(opened().await.snapshot.files().len(), 1);
}

fn parts(record: &RunRecord) -> Vec<(&str, &str)> {
    let parts = record.findings.iter().map(|found| (found.table.as_str(), found.subject.as_str()));
    parts.collect()
}

#[tokio::test]
async fn a_table_whose_log_is_torn_stops_no_job_on_the_others() {
    let fixture = Fixture::new();
    for table in ["aired", "readings", "tides"] {
        fixture.fill(table, 6).await;
    }
    let log = fixture.folder.path().join("aired/_delta_log/00000000000000000003.json");
    std::fs::write(&log, "no JSON").unwrap();
    fixture.clock.set(MIDNIGHT + 40 * DAY);
    for job in ["compact", "expire", "sweep", "verify"] {
        let plan = fixture.schedule.plan(job, &RunRequest::default()).await.unwrap();
        let refused = plan.steps.iter().find(|step| step.table == "aired");
        if job == "expire" {
            assert!(refused.is_none(), "aired has no retention");
        } else {
            let what = &refused.unwrap().what;
            assert!(what.contains("cannot be done") && what.contains("aired"), "{what}");
        }
        let record = fixture.run(job, RunRequest::default()).await;
        assert_eq!(record.figures, plan.cost, "{job} does the rest");
        if job == "expire" {
            assert_eq!(record.state, RunState::Done);
            continue;
        }
        let error = record.error.clone().unwrap();
        assert_eq!((record.state, record.attempts), (RunState::Failed, 1), "{job}: {error}");
        assert!(error.contains("one part of the work failed, the rest is done"), "{job}: {error}");
        assert_eq!(parts(&record), [("aired", "all")], "{job}");
        assert!(record.findings[0].damage);
    }
    let tides = open(&fixture.lake, "tides").await.unwrap().snapshot;
    let tiers: Vec<_> = tides.files().iter().map(|file| file.path.period().tier()).collect();
    assert_eq!(tiers, [barograph_lake::Tier::Month], "it is compacted");
}

#[tokio::test]
async fn an_hour_that_cannot_be_read_stops_no_other_period() {
    let fixture = Fixture::new();
    let files = fixture.fill("readings", 60).await;
    std::fs::write(&files[30], "no Parquet").unwrap();
    fixture.clock.set(MIDNIGHT + 4 * DAY);
    let record = fixture.run("compact", RunRequest::default()).await;
    assert_eq!(record.state, RunState::Failed);
    assert_eq!(parts(&record), [("readings", "day 2026-11-23")]);
    assert_eq!(record.figures.files, 24 + 12, "the days before and after");
    let snapshot = open(&fixture.lake, "readings").await.unwrap().snapshot;
    assert_eq!(snapshot.files().len(), 1 + 24 + 1);
}

#[tokio::test]
async fn a_file_that_is_not_given_out_is_asked_for_again_and_the_rest_is_verified() {
    let fixture = Fixture::new();
    let files = fixture.fill("readings", 6).await;
    fixture.fill("tides", 2).await;
    let whole = std::fs::read(&files[2]).unwrap();
    // A link to itself is no missing file: opening it fails.
    std::fs::remove_file(&files[2]).unwrap();
    std::os::unix::fs::symlink(&files[2], &files[2]).unwrap();
    let record = fixture.run("verify", RunRequest::default()).await;
    assert_eq!((record.state, record.figures.files), (RunState::Failed, 7));
    assert_eq!(record.attempts, 1 + JobSpec::default().retries);
    assert_eq!(record.findings_count, 1, "{:?}", record.findings);
    let name = files[2].file_name().unwrap().to_string_lossy().into_owned();
    assert!(record.findings[0].subject.ends_with(&name) && !record.findings[0].damage);

    std::fs::remove_file(&files[2]).unwrap();
    std::fs::write(&files[2], whole).unwrap();
    let record = fixture.run("verify", RunRequest::default()).await;
    assert_eq!((record.state, record.figures.files), (RunState::Done, 8));
    assert_eq!(record.findings, []);
}
