//! Tests of the schedule with a job of counted steps: due once, continued where it was cut off, tried
//! again, stopped, never run by two, on stores that fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ends;
mod races;
mod steps;
mod stored_names;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use barograph_engine::ManualClock;
use barograph_lake::Span;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::*;
use crate::ErrorKind;

const STEPS: u64 = 5;
const LEASE: Span = Span::seconds(30);

/// What the steps of a job do besides being counted.
#[derive(Debug, Default)]
struct Steps {
    /// The steps that were done, in order.
    done: Mutex<Vec<u64>>,
    /// Before which step the next attempts fail, and how; the last first.
    faults: Mutex<Vec<(u64, ErrorKind)>>,
    /// The step before which it waits for ever, if it comes there.
    stuck_at: AtomicU64,
    /// The step before which it waits until it is to stop.
    waits_at: AtomicU64,
    /// The step before which it panics.
    panics_at: AtomicU64,
    /// How many are in `run`.
    inside: AtomicU64,
    /// How often it stood still before a step.
    halts: AtomicU64,
}

impl Steps {
    fn new() -> Arc<Self> {
        let steps = Self::default();
        for place in [&steps.stuck_at, &steps.waits_at, &steps.panics_at] {
            place.store(u64::MAX, Ordering::SeqCst);
        }
        Arc::new(steps)
    }

    async fn step(&self, step: u64, context: &Context) -> Result<()> {
        context.check()?;
        if step == self.stuck_at.load(Ordering::SeqCst) {
            self.halts.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        if step == self.waits_at.load(Ordering::SeqCst) {
            self.halts.fetch_add(1, Ordering::SeqCst);
            context.stop.requested().await;
            context.check()?;
        }
        assert!(step != self.panics_at.load(Ordering::SeqCst), "as it was told to");
        let mut faults = self.faults.lock();
        if let Some((_, kind)) = faults.pop_if(|(at, _)| *at == step) {
            return Err(Error::new(kind, format!("step {step}")));
        }
        Ok(())
    }
}

/// Says when a run has left, however it did.
struct Inside<'a>(&'a AtomicU64);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Job for Steps {
    fn name(&self) -> &'static str {
        "steps"
    }

    fn about(&self) -> &'static str {
        "counts"
    }

    fn plan<'a>(&'a self, _: &'a RunRequest) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async {
            let mut plan = Plan::default();
            let cost = Figures { files: STEPS, rows: 0, bytes: 0 };
            plan.add("readings", "count", cost);
            Ok(plan)
        })
    }

    fn run<'a>(&'a self, _: &'a RunRequest, context: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "it runs twice at once");
            let _inside = Inside(&self.inside);
            for step in context.checkpoint::<u64>()?.unwrap_or(0)..STEPS {
                self.step(step, context).await?;
                self.done.lock().push(step);
                let done = Figures { files: 1, rows: 10, bytes: 100 };
                context.save(&(step + 1), done, Vec::new()).await?;
            }
            Ok(())
        })
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn spec() -> JobSpec {
    JobSpec {
        cron: "0 * * * *".parse().unwrap(),
        jitter: Span::from_micros(1),
        retries: 3,
        backoff: Span::millis(1),
        ..JobSpec::default()
    }
}

/// A schedule over `object` with one job.
fn schedule(
    object: &Arc<dyn ObjectStore>,
    clock: &Arc<ManualClock>,
    steps: &Arc<Steps>,
) -> Arc<Schedule> {
    let store = LakeStore::with_store(object.clone(), "memory:///jobs".parse().unwrap());
    let settings = SchedulerSettings { lease: LEASE, runs_kept: 10, ..Default::default() };
    Schedule::new(store, clock.clone(), settings, vec![(steps.clone(), spec())])
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn look(schedule: &Schedule) -> DueOutcome {
    schedule.run_if_due("steps", Stop::default()).await.unwrap()
}

async fn ran(schedule: &Schedule) -> RunRecord {
    match look(schedule).await {
        DueOutcome::Ran(record) => *record,
        other => panic!("{other:?}"),
    }
}

async fn by_hand(schedule: &Schedule) -> Result<RunRecord> {
    schedule.run("steps", RunRequest::default(), Stop::default(), watch::Sender::default()).await
}

#[tokio::test]
async fn a_job_runs_once_when_it_is_due_and_catches_up_once() {
    let (object, steps) = (memory(), Steps::new());
    let clock = Arc::new(ManualClock::new(at("2026-11-22T10:20:00Z")));
    let schedule = schedule(&object, &clock, &steps);
    let DueOutcome::Wait(next) = look(&schedule).await else { panic!("it is not due") };
    assert!((0..=1).contains(&(next - at("2026-11-22T11:00:00Z")).micros()));
    clock.set(next);
    let record = ran(&schedule).await;
    assert_eq!(record.state, RunState::Done);
    assert_eq!(record.slot, Some(at("2026-11-22T11:00:00Z")));
    assert_eq!(record.figures, Figures { files: 5, rows: 50, bytes: 500 });
    assert_eq!(record.plan.as_ref().unwrap().cost.files, STEPS);
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)));
    assert_eq!(*steps.done.lock(), [0, 1, 2, 3, 4]);

    clock.set(at("2026-11-25T10:20:00Z"));
    assert_eq!(ran(&schedule).await.slot, Some(at("2026-11-25T10:00:00Z")));
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)), "three days are caught up once");
    let runs = schedule.history("steps").await.unwrap().runs;
    assert_eq!(runs.len(), 2);
    assert!(runs[0].run.number < runs[1].run.number);
    let jobs = schedule.jobs().await.unwrap();
    assert_eq!(jobs[0].next_at, Some(at("2026-11-25T11:00:00Z")));
    assert_eq!(jobs[0].last.as_ref().unwrap().run, runs[1].run);
}

#[tokio::test]
async fn only_so_many_records_are_kept_and_strange_ones_are_named() {
    let (object, steps) = (memory(), Steps::new());
    let clock = Arc::new(ManualClock::new(at("2026-11-22T10:20:00Z")));
    let schedule = schedule(&object, &clock, &steps);
    for _ in 0..13 {
        by_hand(&schedule).await.unwrap();
    }
    let runs = schedule.history("steps").await.unwrap().runs;
    assert_eq!(runs.len(), 10);
    let last = runs.last().unwrap().clone();
    let store = LakeStore::with_store(object.clone(), "memory:///jobs".parse().unwrap());
    let put = async |name: &str, text: String| {
        use object_store::ObjectStoreExt;
        object.put(&store.path(&format!("steps/runs/{name}")), text.into()).await.unwrap();
    };
    put("notes.txt", "mine".to_owned()).await;
    put(&format!("{:020}.json", last.run.number - 1), "{\"form\": 1, \"run\"".to_owned()).await;
    let other = serde_json::to_string(&last).unwrap().replace("steps-", "steps-1");
    put(&format!("{:020}.json", last.run.number + 1), other).await;
    let history = schedule.history("steps").await.unwrap();
    assert_eq!(history.runs.last().unwrap(), &last);
    assert!(history.skipped.iter().any(|name| name.contains("notes.txt")), "{history:?}");
    assert_eq!(history.skipped.len(), 3, "{:?}", history.skipped);
    schedule.jobs().await.unwrap();
    let next = by_hand(&schedule).await.unwrap();
    assert_eq!((next.state, next.continues), (RunState::Done, None));
}
