//! What can be asked of jobs?

use clap::{Args, Subcommand};

use crate::output::Format;

/// What to do about jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// The jobs: when each is due, and how its newest run went.
    List(JobsArguments),
    /// Run a job now, beside a running server or without one.
    Run(JobsRunArguments),
    /// The runs that are remembered.
    History(JobsHistoryArguments),
    /// Stop a run, whichever process has it.
    Cancel(JobsCancelArguments),
}

/// Whose jobs.
#[derive(Debug, Args)]
pub struct JobsArguments {
    /// Folder or object-store URL of the data.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `jobs run`.
#[derive(Debug, Args)]
pub struct JobsRunArguments {
    /// The job.
    pub name: String,
    /// Print what it would do and what that costs, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// First instant to work on: 2026-11-22T10:00:00Z, 2026-11-22, or before now such as -24h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// First instant after the range.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Whose jobs.
    #[command(flatten)]
    pub jobs: JobsArguments,
}

/// Arguments of `jobs history`.
#[derive(Debug, Args)]
pub struct JobsHistoryArguments {
    /// Only runs of this job.
    pub name: Option<String>,
    /// Whose jobs.
    #[command(flatten)]
    pub jobs: JobsArguments,
}

/// Arguments of `jobs cancel`.
#[derive(Debug, Args)]
pub struct JobsCancelArguments {
    /// The run, such as `verify-41`.
    pub run: String,
    /// Folder or object-store URL of the data.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
}
