//! Jobs and runs as rows, the same for `system.jobs`, `system.job_runs` and the command line.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use barograph_engine::SystemRows;
use barograph_lake::Timestamp;
use futures::future::BoxFuture;
use serde::Serialize;

use super::job::{Plan, Step};
use super::record::RunRecord;
use super::{JobInfo, Schedule};
use crate::Result;

/// The jobs, one row each.
pub fn job_rows(jobs: &[JobInfo]) -> Result<RecordBatch> {
    let last = |job: &JobInfo| job.last.clone();
    rows(vec![
        text("job", jobs, |job| Some(job.name.to_owned())),
        (
            "enabled",
            Arc::new(jobs.iter().map(|job| Some(job.spec.enabled)).collect::<BooleanArray>()),
        ),
        text("cron", jobs, |job| Some(job.spec.cron.to_string())),
        time("next_at", jobs, |job| job.next_at),
        text("last_run", jobs, |job| last(job).map(|run| run.run.to_string())),
        text("last_state", jobs, |job| last(job).map(|run| run.state.to_string())),
        time("last_started_at", jobs, |job| last(job).map(|run| run.started_at)),
        time("last_finished_at", jobs, |job| last(job)?.finished_at),
        count("last_findings", jobs, |job| last(job).map(|run| run.findings_count)),
        text("last_error", jobs, |job| last(job)?.error),
        text("jitter", jobs, |job| Some(job.spec.jitter.to_string())),
        count("memory", jobs, |job| Some(job.spec.memory.get() as u64)),
        count("threads", jobs, |job| Some(job.spec.threads as u64)),
        count("bytes_per_second", jobs, |job| {
            job.spec.bytes_per_second.map(|rate| rate.get() as u64)
        }),
        count("retries", jobs, |job| Some(job.spec.retries.into())),
        text("backoff", jobs, |job| Some(job.spec.backoff.to_string())),
        text("about", jobs, |job| Some(job.about.to_owned())),
    ])
}

/// Runs, one row each.
pub fn run_rows(runs: &[RunRecord]) -> Result<RecordBatch> {
    rows(vec![
        text("run", runs, |run| Some(run.run.to_string())),
        text("job", runs, |run| Some(run.run.job.clone())),
        text("state", runs, |run| Some(run.state.to_string())),
        time("due_at", runs, |run| run.slot),
        time("asked_from", runs, |run| run.request.from),
        time("asked_to", runs, |run| run.request.to),
        text("continues", runs, |run| run.continues.as_ref().map(ToString::to_string)),
        count("attempts", runs, |run| Some(run.attempts.into())),
        time("started_at", runs, |run| Some(run.started_at)),
        time("updated_at", runs, |run| Some(run.updated_at)),
        time("finished_at", runs, |run| run.finished_at),
        count("files", runs, |run| Some(run.figures.files)),
        count("rows", runs, |run| Some(run.figures.rows)),
        count("bytes", runs, |run| Some(run.figures.bytes)),
        count("plan_files", runs, |run| Some(run.plan.as_ref()?.cost.files)),
        count("plan_rows", runs, |run| Some(run.plan.as_ref()?.cost.rows)),
        count("plan_bytes", runs, |run| Some(run.plan.as_ref()?.cost.bytes)),
        count("findings_count", runs, |run| Some(run.findings_count)),
        text("error", runs, |run| run.error.clone()),
        text("by", runs, |run| Some(run.by.clone())),
        text("spec", runs, |run| json(&run.spec)),
        text("plan", runs, |run| json(run.plan.as_ref()?)),
        text("checkpoint", runs, |run| json(run.checkpoint.as_ref()?)),
        text("findings", runs, |run| json(&run.findings)),
    ])
}

/// The steps of a plan, one row each.
pub fn plan_rows(plan: &Plan) -> Result<RecordBatch> {
    let steps: &[Step] = &plan.steps;
    rows(vec![
        text("table", steps, |step| Some(step.table.clone())),
        text("step", steps, |step| Some(step.what.clone())),
        count("files", steps, |step| Some(step.cost.files)),
        count("rows", steps, |step| Some(step.cost.rows)),
        count("bytes", steps, |step| Some(step.cost.bytes)),
    ])
}

/// The tables `system.jobs` and `system.job_runs`.
pub fn system_rows(schedule: &Arc<Schedule>) -> Result<Vec<Arc<dyn SystemRows>>> {
    Ok(vec![
        Arc::new(Jobs { schedule: Arc::clone(schedule), schema: job_rows(&[])?.schema() }),
        Arc::new(Runs { schedule: Arc::clone(schedule), schema: run_rows(&[])?.schema() }),
    ])
}

#[derive(Debug)]
struct Jobs {
    schedule: Arc<Schedule>,
    schema: SchemaRef,
}

#[derive(Debug)]
struct Runs {
    schedule: Arc<Schedule>,
    schema: SchemaRef,
}

impl SystemRows for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn primary_key(&self) -> &'static [&'static str] {
        &["job"]
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn rows(&self) -> BoxFuture<'_, barograph_engine::Result<RecordBatch>> {
        Box::pin(async {
            job_rows(&self.schedule.jobs().await.map_err(unavailable)?).map_err(unavailable)
        })
    }
}

impl SystemRows for Runs {
    fn name(&self) -> &'static str {
        "job_runs"
    }

    fn primary_key(&self) -> &'static [&'static str] {
        &["run"]
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn rows(&self) -> BoxFuture<'_, barograph_engine::Result<RecordBatch>> {
        Box::pin(async {
            let mut runs = Vec::new();
            for job in self.schedule.names() {
                runs.extend(self.schedule.history(job).await.map_err(unavailable)?.runs);
            }
            run_rows(&runs).map_err(unavailable)
        })
    }
}

fn unavailable(error: crate::Error) -> barograph_engine::Error {
    barograph_engine::Error::new(barograph_engine::ErrorKind::Unavailable, "jobs")
        .with_source(error)
}

type Column = (&'static str, ArrayRef);

/// The columns as one batch; of those of the same name and type the schema is always the same.
fn rows(columns: Vec<Column>) -> Result<RecordBatch> {
    let fields =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn text<T>(name: &'static str, list: &[T], of: impl Fn(&T) -> Option<String>) -> Column {
    (name, Arc::new(list.iter().map(of).collect::<StringArray>()))
}

fn count<T>(name: &'static str, list: &[T], of: impl Fn(&T) -> Option<u64>) -> Column {
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    (name, Arc::new(list.iter().map(|item| of(item).map(whole)).collect::<Int64Array>()))
}

fn time<T>(name: &'static str, list: &[T], of: impl Fn(&T) -> Option<Timestamp>) -> Column {
    let times: TimestampMicrosecondArray =
        list.iter().map(|item| of(item).map(Timestamp::as_micros)).collect();
    (name, Arc::new(times.with_timezone("UTC")))
}

fn json<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}
