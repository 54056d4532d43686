//! `barograph jobs list|run|history|cancel`: the background jobs, with or without a server.

use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_engine::{Clock, Engine, SystemClock};
use barograph_jobs::schedule::{
    RunRecord, RunRequest, RunState, Schedule, Stop, StopReason, job_rows, plan_rows, run_rows,
};
use barograph_lake::Timestamp;
use tokio::sync::watch;

use super::times;
use crate::arguments::{JobsArguments, JobsCommand, JobsRunArguments};
use crate::figures::{bytes, duration, grouped};
use crate::output::{Format, RowWriter, check_terminal, say};
use crate::progress::{self, Progress};
use crate::settings::Settings;
use crate::{Error, Result, signals, wiring};

/// Jobs that put rows, for which they need the engine.
const PUTTING: [&str; 2] = ["rollup", "quality"];
/// What a table for people has room for; the other forms have every column.
const JOB_COLUMNS: [&str; 7] =
    ["job", "enabled", "cron", "next_at", "last_run", "last_state", "last_finished_at"];
const RUN_COLUMNS: [&str; 9] = [
    "run",
    "state",
    "started_at",
    "finished_at",
    "attempts",
    "files",
    "rows",
    "bytes",
    "findings_count",
];

impl JobsCommand {
    /// The folder or object store whose jobs are meant.
    pub(crate) fn data(&self) -> &Option<String> {
        match self {
            Self::List(arguments) => &arguments.data,
            Self::Run(arguments) => &arguments.jobs.data,
            Self::History(arguments) => &arguments.jobs.data,
            Self::Cancel(arguments) => &arguments.data,
        }
    }
}

pub(super) async fn run(command: JobsCommand, settings: &Settings) -> Result<()> {
    let engine = match &command {
        JobsCommand::Run(arguments) if PUTTING.contains(&arguments.name.as_str()) => {
            Some(engine(&arguments.name, settings).await?)
        }
        _ => None,
    };
    let schedule = wiring::open_schedule(settings, engine.as_ref())?;
    let done = carry_out(command, &schedule, settings).await;
    if let Some(engine) = engine {
        engine.shutdown().await?;
    }
    done
}

/// The engine for a job that puts rows.
async fn engine(job: &str, settings: &Settings) -> Result<Arc<Engine>> {
    let opened = wiring::open_engine(settings, false, "").await;
    opened.map_err(|error| {
        error.during(format!(
            "the job {job} puts rows and needs the log to itself. If a server has the log open, that server runs the job by itself within a second of a change: `barograph jobs history {job}` \
             shows its runs"
        ))
    })
}

async fn carry_out(command: JobsCommand, schedule: &Schedule, settings: &Settings) -> Result<()> {
    match command {
        JobsCommand::List(arguments) => list(schedule, &arguments).await,
        JobsCommand::Run(arguments) if arguments.dry_run => {
            plan(schedule, &arguments, settings).await
        }
        JobsCommand::Run(arguments) => work(schedule, &arguments).await,
        JobsCommand::History(arguments) => {
            history(schedule, arguments.name.as_deref(), &arguments.jobs).await
        }
        JobsCommand::Cancel(arguments) => {
            let run = arguments.run.parse()?;
            schedule.cancel(&run).await?;
            say(format_args!(
                "{run} was asked to stop, which it does after its next step; `barograph jobs history {}` shows it",
                run.job
            ))
        }
    }
}

async fn list(schedule: &Schedule, arguments: &JobsArguments) -> Result<()> {
    check_terminal(arguments.format)?;
    print(&job_rows(&schedule.jobs().await?)?, &JOB_COLUMNS, arguments.format)
}

async fn history(schedule: &Schedule, job: Option<&str>, arguments: &JobsArguments) -> Result<()> {
    check_terminal(arguments.format)?;
    let names = match job {
        Some(job) => vec![job],
        None => schedule.names(),
    };
    let mut runs = Vec::new();
    for name in names {
        let history = schedule.history(name).await?;
        for skipped in &history.skipped {
            progress::line(&format!("skipped: {skipped}"));
        }
        runs.extend(in_order(history.runs));
    }
    runs.sort_by_key(|(at, _)| *at);
    let runs: Vec<_> = runs.into_iter().map(|(_, run)| run).collect();
    print(&run_rows(&runs)?, &RUN_COLUMNS, arguments.format)
}

/// Runs of a job with a time by which they stay in their order among those of others, although clocks step: none is
/// later than the one after it.
fn in_order(runs: Vec<RunRecord>) -> Vec<(Timestamp, RunRecord)> {
    let mut next = Timestamp::MAX;
    let mut ordered: Vec<_> = runs
        .into_iter()
        .rev()
        .map(|run| {
            next = next.min(run.started_at);
            (next, run)
        })
        .collect();
    ordered.reverse();
    ordered
}

fn request(arguments: &JobsRunArguments) -> Result<RunRequest> {
    let now = SystemClock.now();
    let instant =
        |text: &Option<String>| text.as_deref().map(|text| times::instant(text, now)).transpose();
    Ok(RunRequest { from: instant(&arguments.from)?, to: instant(&arguments.to)? })
}

async fn plan(
    schedule: &Schedule,
    arguments: &JobsRunArguments,
    settings: &Settings,
) -> Result<()> {
    check_terminal(arguments.jobs.format)?;
    let plan = signals::unless_stopped(async {
        Ok(schedule.plan(&arguments.name, &request(arguments)?).await?)
    })
    .await?;
    let rows = plan_rows(&plan)?;
    print(&rows, &["table", "step", "files", "rows", "bytes"], arguments.jobs.format)?;
    let cost = plan.cost;
    let rate = settings.jobs.get(&arguments.name).and_then(|spec| spec.bytes_per_second);
    let takes = rate.map_or_else(String::new, |rate| {
        let seconds = cost.bytes as f64 / rate.get().max(1) as f64;
        format!(
            ", {} or more at {rate} a second",
            duration(std::time::Duration::from_secs_f64(seconds))
        )
    });
    progress::line(&format!(
        "{} would work on {} files, {} rows, {}{takes}; nothing was changed",
        arguments.name,
        grouped(cost.files),
        grouped(cost.rows),
        bytes(cost.bytes)
    ));
    Ok(())
}

async fn work(schedule: &Schedule, arguments: &JobsRunArguments) -> Result<()> {
    check_terminal(arguments.jobs.format)?;
    let stop = Stop::default();
    let (sender, receiver) = watch::channel(Default::default());
    let record = {
        let run = schedule.run(&arguments.name, request(arguments)?, stop.clone(), sender);
        let mut run = std::pin::pin!(run);
        let told = tell(&arguments.name, receiver);
        tokio::select! {
            record = &mut run => record?,
            () = told => run.await?,
            () = signals::stop() => {
                stop.stop(StopReason::Cancelled);
                progress::line("stopping after the current step");
                run.await?
            }
        }
    };
    progress::clear();
    print(&run_rows(std::slice::from_ref(&record))?, &RUN_COLUMNS, arguments.jobs.format)?;
    finish(&record)
}

/// Shows how far a run is until it ends.
async fn tell(job: &str, mut told: watch::Receiver<barograph_jobs::schedule::Progress>) {
    let mut progress: Option<Progress> = None;
    while told.changed().await.is_ok() {
        let now = *told.borrow_and_update();
        progress
            .get_or_insert_with(|| Progress::new(job.to_owned(), "files", now.total.files))
            .set(now.done.files);
    }
}

fn finish(record: &RunRecord) -> Result<()> {
    let run = &record.run;
    for finding in &record.findings {
        let severity = if finding.damage { "damage" } else { "note" };
        progress::line(&format!(
            "{severity}: {}: {}: {}",
            finding.table, finding.subject, finding.detail
        ));
    }
    let error = record.error.as_deref().unwrap_or_default();
    match record.state {
        RunState::Done => Ok(()),
        RunState::Failed => Err(Error::failed(format!("{run} failed: {error}"))),
        state => Err(Error::stopped(format!("{run} is {state}"))),
    }
}

fn print(rows: &RecordBatch, columns: &[&str], format: Format) -> Result<()> {
    let schema = rows.schema();
    let shown = match format {
        Format::Table => {
            let places = columns.iter().map(|name| schema.index_of(name));
            rows.project(&places.collect::<Result<Vec<_>, _>>()?)?
        }
        _ => rows.clone(),
    };
    let mut writer = RowWriter::new(std::io::stdout(), format, &shown.schema(), false)?;
    writer.write(&shown)?;
    writer.finish().map(drop)
}
