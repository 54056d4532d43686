//! The arguments of `barograph jobs`.

use clap::{Args, Subcommand};

use crate::output::Format;

/// What to do about jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List the jobs: when each is due, and how its latest run ended.
    List(JobsArguments),
    /// Run a job now, beside a running server or without one.
    Run(JobsRunArguments),
    /// List recorded runs.
    History(JobsHistoryArguments),
    /// Stop a run, whichever process it is running in.
    Cancel(JobsCancelArguments),
}

/// Whose jobs.
#[derive(Debug, Args)]
pub(crate) struct JobsArguments {
    /// Data folder or object-store URL.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `jobs run`.
#[derive(Debug, Args)]
pub(crate) struct JobsRunArguments {
    /// Name of the job.
    pub name: String,
    /// Print what it would do and at what cost, without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Start of the time range (inclusive): 2026-11-22T10:00:00Z, 2026-11-22, or relative to now, such as -24h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// End of the time range (exclusive).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Whose jobs.
    #[command(flatten)]
    pub jobs: JobsArguments,
}

/// Arguments of `jobs history`.
#[derive(Debug, Args)]
pub(crate) struct JobsHistoryArguments {
    /// Only runs of this job.
    pub name: Option<String>,
    /// Whose jobs.
    #[command(flatten)]
    pub jobs: JobsArguments,
}

/// Arguments of `jobs cancel`.
#[derive(Debug, Args)]
pub(crate) struct JobsCancelArguments {
    /// Id of the run, such as `verify-41`.
    pub run: String,
    /// Data folder or object-store URL.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
}
