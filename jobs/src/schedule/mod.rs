//! The schedule of jobs: each runs by the clock, in one process at a time, is recorded, and is continued where it was
//! cut off.
//!
//! ```text
//! spec (cron, budget) ─► decide ─► take the lease ─► plan ─► run ─► record
//!                           ▲          one process     cost     │ checkpoint after each step
//!                           └──────────── lease ◄───────────────┘
//! ```
//!
//! - `spec`, `cron`: the settings of jobs, and when they are due.
//! - `job`: a job: a plan with its cost, and work with a [`Context`].
//! - `decide`: whether a job is due; pure.
//! - `lease`: the lease of a job; `job_store`: the paths of its objects; `record`: the records of its runs.
//! - `failures`: parts of a run's work that fail while the others go on.
//! - `run`: one run from its lease to its record; `scheduler`: the runs of a server.
//! - `job_state`: the state of a job from run to run.
//! - `rows`: jobs and runs as rows.

mod context;
mod cron;
mod decide;
mod failures;
mod instants;
mod job;
mod job_state;
mod job_store;
mod lease;
mod record;
mod rows;
mod run;
mod run_counts;
mod scheduler;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_engine::Clock;
use barograph_engine::internal::roughly;
use barograph_lake::register::Put;
use barograph_lake::{LakeStore, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

pub use context::{Context, Progress, Stop, StopReason};
pub use cron::Cron;
use decide::{Due, due};
pub use job::{Finding, Job, Plan, Step};
pub use job_state::JobState;
pub use job_store::RunId;
pub use record::{Figures, History, RunRecord, RunRequest, RunState};
pub use rows::{job_rows, plan_rows, run_rows, system_rows};
pub use run_counts::RunStatistics;
pub use scheduler::Scheduler;
pub(crate) use spec::LOG_KEPT;
pub use spec::{JobSettings, JobSpec, SchedulerSettings};

use crate::{Error, Result};
use job_store::{Document, JobStore};
use lease::{Lease, Leases};
use run::RunStart;
use run_counts::RunCounts;

/// The jobs of a data folder.
#[derive(Debug)]
pub struct Schedule {
    store: JobStore,
    leases: Leases,
    clock: Arc<dyn Clock>,
    settings: SchedulerSettings,
    jobs: Vec<Registered>,
    by: String,
    /// The slots ahead of the clock that were warned of.
    warned: Mutex<BTreeMap<&'static str, Timestamp>>,
    counts: RunCounts,
    /// Set once the successes of earlier processes are counted.
    earlier: tokio::sync::OnceCell<()>,
}

/// A job and what is wanted of it.
#[derive(Debug)]
struct Registered {
    job: Arc<dyn Job>,
    spec: JobSpec,
}

/// The outcome of running a job if it is due.
#[derive(Debug)]
pub enum DueOutcome {
    /// It was due and has been run.
    Ran(Box<RunRecord>),
    /// It was due, and another process was first.
    Overtaken,
    /// It is not due before this time.
    Wait(Timestamp),
    /// It does not run by itself.
    Never,
}

/// A job as an operator sees it.
#[derive(Debug)]
pub struct JobInfo {
    /// Its name.
    pub name: &'static str,
    /// A line about what it does.
    pub about: &'static str,
    /// Its settings.
    pub spec: JobSpec,
    /// When it is due next, jitter not counted; absent if it does not run by itself, or runs.
    pub next_at: Option<Timestamp>,
    /// Its newest run.
    pub last: Option<RunRecord>,
}

impl Schedule {
    /// The jobs that `jobs` lists, with their objects in the folder `store`.
    pub fn new(
        store: LakeStore,
        clock: Arc<dyn Clock>,
        settings: SchedulerSettings,
        jobs: Vec<(Arc<dyn Job>, JobSpec)>,
    ) -> Arc<Self> {
        let by = format!("process {}", std::process::id());
        let store = JobStore::new(store);
        let leases = Leases::new(store.clone(), Arc::clone(&clock), settings.lease, by.clone());
        let jobs = jobs.into_iter().map(|(job, spec)| Registered { job, spec }).collect();
        Arc::new(Self {
            store,
            leases,
            clock,
            settings,
            jobs,
            by,
            warned: Mutex::default(),
            counts: RunCounts::default(),
            earlier: tokio::sync::OnceCell::new(),
        })
    }

    /// Names of the jobs.
    pub fn names(&self) -> Vec<&'static str> {
        self.jobs.iter().map(|registered| registered.job.name()).collect()
    }

    /// The plan of a run; nothing is changed.
    pub async fn plan(&self, job: &str, request: &RunRequest) -> Result<Plan> {
        self.registered(job)?.job.plan(request).await
    }

    /// Runs a job now, due or not, to its end. The record says how it ended.
    ///
    /// # Errors
    /// `Unavailable` if the job is being run, or its lease was lost meanwhile.
    pub async fn run(
        &self,
        job: &str,
        request: RunRequest,
        stop: Stop,
        progress: watch::Sender<Progress>,
    ) -> Result<RunRecord> {
        let registered = self.registered(job)?;
        let lease = self.leases.read(job).await?;
        let run = lease.run;
        let begin = RunStart { lease, slot: None, request, stop, progress };
        self.begin(registered, begin).await?.ok_or_else(|| {
            Error::new(
                crate::ErrorKind::Unavailable,
                format!(
                    "the job {job} is being run: `barograph jobs history {job}` shows it, and \
                     `barograph jobs cancel {job}-{run}` stops it; if its process died, it can be taken \
                     over within {}",
                    self.settings.lease
                ),
            )
        })
    }

    /// Runs a job if it is due.
    pub async fn run_if_due(&self, job: &str, stop: Stop) -> Result<DueOutcome> {
        let registered = self.registered(job)?;
        let lease = self.leases.read(job).await?;
        self.warn_of_slot(registered, &lease);
        let share = decide::share(&[job, &self.by, &lease.slot.as_micros().to_string()]);
        let slot = match due(&lease, &registered.spec, share, self.clock.now()) {
            Due::Never => return Ok(DueOutcome::Never),
            Due::At(time) => return Ok(DueOutcome::Wait(time)),
            Due::Now { slot } => Some(slot),
        };
        let progress = watch::Sender::default();
        let begin = RunStart { lease, slot, request: RunRequest::default(), stop, progress };
        let ran = self.begin(registered, begin).await?;
        Ok(ran.map_or(DueOutcome::Overtaken, |record| DueOutcome::Ran(Box::new(record))))
    }

    /// Says once that the last run of a job is dated ahead of the clock.
    fn warn_of_slot(&self, registered: &Registered, lease: &Lease) {
        let Some(ahead) = decide::ahead(lease, self.clock.now()) else { return };
        let job = registered.job.name();
        if self.warned.lock().insert(job, lease.slot) != Some(lease.slot) {
            tracing::warn!(
                job,
                "the last run was due at {}, {} ahead of the clock, which has been set back since: the job is due by the current clock",
                lease.slot,
                roughly(ahead)
            );
        }
    }

    /// Ready when a job has work before its time.
    pub(super) async fn woken(&self, job: &str) {
        match self.registered(job) {
            Ok(registered) => registered.job.woken().await,
            Err(_) => std::future::pending().await,
        }
    }

    /// Runs a job that has work before its time.
    pub(super) async fn wake(&self, job: &str, stop: Stop) -> Result<DueOutcome> {
        let registered = self.registered(job)?;
        let lease = self.leases.read(job).await?;
        if let Some(until) = lease.taken_until(self.clock.now()) {
            return Ok(DueOutcome::Wait(until));
        }
        let begin = RunStart {
            lease,
            slot: None,
            request: RunRequest::default(),
            stop,
            progress: Default::default(),
        };
        let ran = self.begin(registered, begin).await?;
        Ok(ran.map_or(DueOutcome::Overtaken, |record| DueOutcome::Ran(Box::new(record))))
    }

    /// Asks the process that has a run to stop it, or any process that would continue it not to.
    ///
    /// # Errors
    /// `Request` if there is no such run, or it has ended.
    pub async fn cancel(&self, run: &RunId) -> Result<()> {
        self.registered(&run.job)?;
        let record = record::read(&self.store, &run.job, run.number).await?.ok_or_else(|| {
            Error::request(format!(
                "there is no run {run}: `barograph jobs history {}` lists them",
                run.job
            ))
        })?;
        if !record.state.is_open() && record.state != RunState::Interrupted {
            let state = record.state;
            return Err(Error::request(format!(
                "the run {run} is {state}: there is nothing to stop"
            )));
        }
        let request = Document(json!({ "by": self.by }));
        match self.store.cancels(&run.job).put(run.number, &request).await? {
            Put::Made | Put::Found(_) | Put::Taken => Ok(()),
            Put::Unknown(error) => Err(error.into()),
        }
    }

    /// The runs of a job. One whose process is gone is shown as interrupted.
    pub async fn history(&self, job: &str) -> Result<History> {
        self.registered(job)?;
        let mut history = record::history(&self.store, job).await?;
        let lease = self.leases.peek(job).await?;
        for run in &mut history.runs {
            self.show(run, lease.as_ref());
        }
        Ok(history)
    }

    /// The runs of each job that ended in this process. The first call reads the records of earlier ones from the
    /// store, for the time of the last success; if it does not answer, the next call tries again.
    pub async fn statistics(&self) -> Vec<(&'static str, RunStatistics)> {
        let earlier = self.earlier.get_or_try_init(|| async {
            for job in self.names() {
                let runs = record::history(&self.store, job).await?.runs;
                let done = runs.iter().filter(|run| run.state == RunState::Done);
                if let Some(at) = done.filter_map(|run| run.finished_at).max() {
                    self.counts.succeeded_before(job, at);
                }
            }
            Ok::<_, Error>(())
        });
        if let Err(error) = earlier.await {
            tracing::debug!(%error, "the records of earlier runs could not be read");
        }
        self.names().into_iter().map(|job| (job, self.counts.of(job))).collect()
    }

    /// The jobs and their state.
    pub async fn jobs(&self) -> Result<Vec<JobInfo>> {
        let mut jobs = Vec::with_capacity(self.jobs.len());
        for Registered { job, spec } in &self.jobs {
            let name = job.name();
            let lease = self.leases.peek(name).await?;
            let now = self.clock.now();
            let next_at = match &lease {
                None => spec.cron.after(now).filter(|_| spec.enabled),
                Some(lease) if lease.is_taken(now) => None,
                Some(lease) => match due(lease, spec, 0.0, now) {
                    Due::Now { .. } => Some(now),
                    Due::At(time) => Some(time),
                    Due::Never => None,
                },
            };
            let newest = self.store.runs(name).list().await?.numbers.pop();
            let mut last = match newest {
                None => None,
                Some(number) => match record::read(&self.store, name, number).await {
                    Err(error) if error.kind() == crate::ErrorKind::Damage => {
                        tracing::warn!(job = name, %error, "skipped");
                        None
                    }
                    read => read?,
                },
            };
            if let Some(run) = &mut last {
                self.show(run, lease.as_ref());
            }
            let about = job.about();
            jobs.push(JobInfo { name, about, spec: spec.clone(), next_at, last });
        }
        Ok(jobs)
    }

    /// Makes a record say what is true of a run whose process cannot.
    fn show(&self, run: &mut RunRecord, lease: Option<&Lease>) {
        let runs = |lease: &Lease| lease.run == run.run.number && lease.is_taken(self.clock.now());
        if run.state.is_open() && !lease.is_some_and(runs) {
            run.state = RunState::Interrupted;
        }
    }

    fn registered(&self, job: &str) -> Result<&Registered> {
        self.jobs.iter().find(|registered| registered.job.name() == job).ok_or_else(|| {
            let names = self.names().join(", ");
            Error::request(format!("there is no job {job:?}: there are {names}"))
        })
    }
}
