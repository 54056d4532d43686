//! The record of a run: one JSON object, written whole at every step that matters.

use std::fmt;

use barograph_lake::{TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::instants;
use super::job::{Finding, Plan};
use super::job_store::{Document, JobStore, RunId};
use super::spec::JobSpec;
use crate::{Error, Result};

/// Form of the records that this program writes.
const FORM: u32 = 1;
/// Findings that a record keeps; all are counted.
const FINDINGS_KEPT: usize = 1_000;

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It has a plan, or is about to have one.
    Planned,
    /// It works.
    Running,
    /// It did all of its work.
    Done,
    /// It could not; the record says why.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Its process ended before it did; the next run continues from its checkpoint.
    Interrupted,
}

/// The request of a run: what is asked of it beyond its spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunRequest {
    /// First instant of the rows to work on; absent: from the first row.
    #[serde(with = "instants::optional", skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// First instant after them; absent: up to the last row.
    #[serde(with = "instants::optional", skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// How much a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Files done.
    pub files: u64,
    /// Rows of them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// One run of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Form of the record.
    form: u32,
    /// Its name.
    pub run: RunId,
    /// Where it is in its life.
    pub state: RunState,
    /// Who runs it.
    pub by: String,
    /// What was asked of it.
    #[serde(rename = "asked")]
    pub request: RunRequest,
    /// The time that it was due at; absent if somebody asked for it.
    #[serde(with = "instants::optional")]
    pub slot: Option<Timestamp>,
    /// The interrupted run whose work it continues.
    pub continues: Option<RunId>,
    /// The settings it runs with.
    pub spec: JobSpec,
    /// What it is about to do, with its cost.
    pub plan: Option<Plan>,
    /// How often it was begun, retries included.
    pub attempts: u32,
    /// When it began.
    #[serde(with = "instants")]
    pub started_at: Timestamp,
    /// When the record was written.
    #[serde(with = "instants")]
    pub updated_at: Timestamp,
    /// When it came to its end.
    #[serde(with = "instants::optional")]
    pub finished_at: Option<Timestamp>,
    /// What it has done, that of the runs it continues included.
    pub figures: Figures,
    /// From where a later run can continue, in words of the job.
    pub checkpoint: Option<Value>,
    /// What it found, up to a bound.
    pub findings: Vec<Finding>,
    /// How much it found.
    pub findings_count: u64,
    /// Why it failed, or the last attempt did.
    pub error: Option<String>,
}

/// The runs of a job.
#[derive(Debug, Default)]
pub struct History {
    /// From old to new.
    pub runs: Vec<RunRecord>,
    /// Objects that are no records of this program, and why.
    pub skipped: Vec<String>,
}

impl RunState {
    /// Whether it has not come to an end.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Planned | Self::Running)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl RunRequest {
    /// The range of time it names.
    pub fn time(&self) -> TimeRange {
        let all = TimeRange::ALL;
        TimeRange { from: self.from.unwrap_or(all.from), to: self.to.unwrap_or(all.to) }
    }
}

impl Figures {
    /// These and others.
    pub fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl RunRecord {
    /// A run that begins.
    pub(super) fn new(
        run: RunId,
        by: String,
        spec: JobSpec,
        request: RunRequest,
        now: Timestamp,
    ) -> Self {
        Self {
            form: FORM,
            run,
            state: RunState::Planned,
            by,
            request,
            slot: None,
            continues: None,
            spec,
            plan: None,
            attempts: 0,
            started_at: now,
            updated_at: now,
            finished_at: None,
            figures: Figures::default(),
            checkpoint: None,
            findings: Vec::new(),
            findings_count: 0,
            error: None,
        }
    }

    /// Takes over the work of an interrupted run.
    pub(super) fn carry_on(&mut self, earlier: &Self) {
        self.continues = Some(earlier.run.clone());
        self.figures = earlier.figures;
        self.checkpoint = earlier.checkpoint.clone();
        self.findings = earlier.findings.clone();
        self.findings_count = earlier.findings_count;
    }

    /// Adds what was found.
    pub(super) fn find(&mut self, found: Vec<Finding>) {
        self.findings_count += found.len() as u64;
        let room = FINDINGS_KEPT.saturating_sub(self.findings.len());
        self.findings.extend(found.into_iter().take(room));
    }

    /// Comes to its end.
    pub(super) fn finish(&mut self, state: RunState, now: Timestamp) {
        self.state = state;
        self.finished_at = Some(now);
    }
}

/// The runs of a job that are in the store.
pub(super) async fn history(store: &JobStore, job: &str) -> Result<History> {
    let listed = store.runs(job).list().await?;
    let foreign = listed.foreign.into_iter().map(|name| format!("{name} is not a run's record"));
    let mut history = History { runs: Vec::new(), skipped: foreign.collect() };
    for number in listed.numbers {
        match read(store, job, number).await {
            Ok(Some(run)) => history.runs.push(run),
            Ok(None) => {}
            Err(e) if e.kind() == crate::ErrorKind::Damage => history.skipped.push(e.to_string()),
            Err(e) => return Err(e),
        }
    }
    Ok(history)
}

/// One run; `None` if there is no record of it.
pub(super) async fn read(store: &JobStore, job: &str, number: u64) -> Result<Option<RunRecord>> {
    let Some(Document(run)) = store.runs(job).get(number).await? else { return Ok(None) };
    if run.form != FORM || run.run.job != job || run.run.number != number {
        return Err(Error::new(
            crate::ErrorKind::Damage,
            format!(
                "the record of {job}-{number} has format {} and describes {}",
                run.form, run.run
            ),
        ));
    }
    Ok(Some(run))
}

/// Writes a record.
pub(super) async fn write(store: &JobStore, run: &RunRecord) -> Result<()> {
    let (job, number) = (run.run.job.as_str(), run.run.number);
    Ok(store.runs(job).replace(number, &Document(run.clone())).await?)
}

/// Deletes the oldest records beyond `kept`, and requests to stop runs that have come to an end.
pub(super) async fn prune(store: &JobStore, job: &str, newest: u64, kept: usize) -> Result<()> {
    let (runs, cancels) = (store.runs(job), store.cancels(job));
    let numbers = runs.list().await?.numbers;
    for number in numbers.iter().take(numbers.len().saturating_sub(kept)) {
        runs.delete(*number).await?;
    }
    for number in cancels.list().await?.numbers {
        if number <= newest {
            cancels.delete(number).await?;
        }
    }
    Ok(())
}
