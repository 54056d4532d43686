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
//! - `seat`: the lease of a job; `shelf`: the paths of its objects; `record`: the records of its runs.
//! - `failures`: parts of a run's work that fail while the others go on.
//! - `run`: one run from its lease to its record; `clockwork`: the runs of a server.
//! - `memory`: the state of a job from run to run.
//! - `told`: jobs and runs as rows.

mod clockwork;
mod context;
mod cron;
mod decide;
mod failures;
mod instants;
mod job;
mod memory;
mod record;
mod run;
mod seat;
mod shelf;
mod spec;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_engine::Clock;
use barograph_engine::clock::roughly;
use barograph_lake::register::Put;
use barograph_lake::time::format_instant;
use barograph_lake::{LakeStore, Micros};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

pub use clockwork::Clockwork;
pub use context::{Context, Progress, Stop, Why};
pub use cron::Cron;
pub use decide::{Due, due};
pub use job::{Finding, Job, Plan, Step};
pub use memory::Memory;
pub use record::{Asked, Figures, History, RunRecord, RunState};
pub use seat::Seat;
pub use shelf::RunId;
pub(crate) use spec::LOG_KEPT;
pub use spec::{JobSettings, JobSpec, SchedulerSettings};
pub use told::{job_rows, plan_rows, run_rows, system_rows};

use crate::{Error, Result};
use run::Begin;
use seat::Seats;
use shelf::{Document, Shelf};

/// The jobs of a data folder.
#[derive(Debug)]
pub struct Schedule {
    shelf: Shelf,
    seats: Seats,
    clock: Arc<dyn Clock>,
    settings: SchedulerSettings,
    jobs: Vec<Registered>,
    by: String,
    /// The slots ahead of the clock that were told of.
    told: Mutex<BTreeMap<&'static str, Micros>>,
}

/// A job and what is wanted of it.
#[derive(Debug)]
struct Registered {
    job: Arc<dyn Job>,
    spec: JobSpec,
}

/// The outcome of a look at a job.
#[derive(Debug)]
pub enum Looked {
    /// It was due and has been run.
    Ran(Box<RunRecord>),
    /// It was due, and another process was first.
    Beaten,
    /// It is not due before this time.
    Wait(Micros),
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
    pub next_at: Option<Micros>,
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
        let shelf = Shelf::new(store);
        let seats = Seats::new(shelf.clone(), Arc::clone(&clock), settings.lease, by.clone());
        let jobs = jobs.into_iter().map(|(job, spec)| Registered { job, spec }).collect();
        Arc::new(Self { shelf, seats, clock, settings, jobs, by, told: Mutex::default() })
    }

    /// Names of the jobs.
    pub fn names(&self) -> Vec<&'static str> {
        self.jobs.iter().map(|registered| registered.job.name()).collect()
    }

    /// The plan of a run; nothing is changed.
    pub async fn plan(&self, job: &str, asked: &Asked) -> Result<Plan> {
        self.registered(job)?.job.plan(asked).await
    }

    /// Runs a job now, due or not, to its end. The record says how it ended.
    ///
    /// # Errors
    /// `Unavailable` if the job is being run, or its lease was lost meanwhile.
    pub async fn run(
        &self,
        job: &str,
        asked: Asked,
        stop: Stop,
        progress: watch::Sender<Progress>,
    ) -> Result<RunRecord> {
        let registered = self.registered(job)?;
        let seat = self.seats.read(job).await?;
        let run = seat.run;
        let begin = Begin { seat, slot: None, asked, stop, progress };
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
    pub async fn look(&self, job: &str, stop: Stop) -> Result<Looked> {
        let registered = self.registered(job)?;
        let seat = self.seats.read(job).await?;
        self.tell_of_slot(registered, &seat);
        let share = decide::share(&[job, &self.by, &seat.slot.to_string()]);
        let slot = match due(&seat, &registered.spec, share, self.clock.now()) {
            Due::Never => return Ok(Looked::Never),
            Due::At(time) => return Ok(Looked::Wait(time)),
            Due::Now { slot } => Some(slot),
        };
        let progress = watch::Sender::default();
        let begin = Begin { seat, slot, asked: Asked::default(), stop, progress };
        let ran = self.begin(registered, begin).await?;
        Ok(ran.map_or(Looked::Beaten, |record| Looked::Ran(Box::new(record))))
    }

    /// Says once that the last run of a job is dated ahead of the clock.
    fn tell_of_slot(&self, registered: &Registered, seat: &Seat) {
        let Some(ahead) = decide::ahead(seat, self.clock.now()) else { return };
        let job = registered.job.name();
        if self.told.lock().insert(job, seat.slot) != Some(seat.slot) {
            tracing::warn!(
                job,
                "the last run was due at {}, {} ahead of the clock, which was set back since: it is due by the clock as \
                 it stands",
                format_instant(seat.slot),
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
    pub(super) async fn wake(&self, job: &str, stop: Stop) -> Result<Looked> {
        let registered = self.registered(job)?;
        let seat = self.seats.read(job).await?;
        if let Some(until) = seat.taken_until(self.clock.now()) {
            return Ok(Looked::Wait(until));
        }
        let begin =
            Begin { seat, slot: None, asked: Asked::default(), stop, progress: Default::default() };
        let ran = self.begin(registered, begin).await?;
        Ok(ran.map_or(Looked::Beaten, |record| Looked::Ran(Box::new(record))))
    }

    /// Asks the process that has a run to stop it, or any process that would continue it not to.
    ///
    /// # Errors
    /// `Request` if there is no such run, or it has ended.
    pub async fn cancel(&self, run: &RunId) -> Result<()> {
        self.registered(&run.job)?;
        let record = record::read(&self.shelf, &run.job, run.number).await?.ok_or_else(|| {
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
        let asked = Document(json!({ "by": self.by }));
        match self.shelf.cancels(&run.job).put(run.number, &asked).await? {
            Put::Made | Put::Found(_) | Put::Taken => Ok(()),
            Put::Unknown(error) => Err(error.into()),
        }
    }

    /// The runs of a job. One whose process is gone is shown as interrupted.
    pub async fn history(&self, job: &str) -> Result<History> {
        self.registered(job)?;
        let mut history = record::history(&self.shelf, job).await?;
        let seat = self.seats.peek(job).await?;
        for run in &mut history.runs {
            self.show(run, seat.as_ref());
        }
        Ok(history)
    }

    /// The jobs and their state.
    pub async fn jobs(&self) -> Result<Vec<JobInfo>> {
        let mut jobs = Vec::with_capacity(self.jobs.len());
        for Registered { job, spec } in &self.jobs {
            let name = job.name();
            let seat = self.seats.peek(name).await?;
            let now = self.clock.now();
            let next_at = match &seat {
                None => spec.cron.after(now).filter(|_| spec.enabled),
                Some(seat) if seat.is_taken(now) => None,
                Some(seat) => match due(seat, spec, 0.0, now) {
                    Due::Now { .. } => Some(now),
                    Due::At(time) => Some(time),
                    Due::Never => None,
                },
            };
            let newest = self.shelf.runs(name).list().await?.numbers.pop();
            let mut last = match newest {
                None => None,
                Some(number) => match record::read(&self.shelf, name, number).await {
                    Err(error) if error.kind() == crate::ErrorKind::Damage => {
                        tracing::warn!(job = name, %error, "skipped");
                        None
                    }
                    read => read?,
                },
            };
            if let Some(run) = &mut last {
                self.show(run, seat.as_ref());
            }
            let about = job.about();
            jobs.push(JobInfo { name, about, spec: spec.clone(), next_at, last });
        }
        Ok(jobs)
    }

    /// Makes a record say what is true of a run whose process cannot.
    fn show(&self, run: &mut RunRecord, seat: Option<&Seat>) {
        let runs = |seat: &Seat| seat.run == run.run.number && seat.is_taken(self.clock.now());
        if run.state.is_open() && !seat.is_some_and(runs) {
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
