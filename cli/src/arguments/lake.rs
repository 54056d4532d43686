//! The arguments of `barograph lake`.

use barograph_lake::LogPosition;
use clap::{Args, Subcommand};

use crate::output::Format;

/// What to look at in the lake.
#[derive(Debug, Subcommand)]
pub(crate) enum LakeCommand {
    /// List the active files of each table.
    Files(LakeArguments),
    /// Open and verify every active file, and report damaged files, missing files, orphans and gaps.
    Check(LakeArguments),
    /// Try whether a folder or an object store keeps the promises that the lake relies on: that of several writers one
    /// creates an object, that what was written is read and listed at once, and that large objects arrive whole. Puts and
    /// deletes some 1,200 objects, 60 MiB, in a folder of their own.
    CheckStore(CheckStoreArguments),
    /// List the commits of each table.
    History(LakeArguments),
    /// Delete rows permanently, through a running server. This cannot be undone, and interrupting the command
    /// does not stop it.
    Delete(LakeDeleteArguments),
    /// Restore a table to an earlier version. This can be undone by restoring the version before it.
    Restore(LakeRestoreArguments),
    /// Change the columns of a table to those that the settings declare. Dropping and renaming columns rewrites
    /// the table's files; run again after an interruption, it continues. With `--endpoint`, a running server does
    /// it without interrupting reads, and also adds and widens columns.
    Alter(LakeAlterArguments),
    /// Land everything and give up the log, so that a server with another may take over the lake: a shared log in place of a
    /// local one, a local one in place of a shared one, or a local one on another machine. No server may be running.
    ReleaseLog(LakeReleaseArguments),
}

/// Arguments of `lake release-log`.
#[derive(Debug, Args)]
pub(crate) struct LakeReleaseArguments {
    /// Data folder or object-store URL. The settings name the log that is given up.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
}

/// Arguments of `lake alter`.
#[derive(Debug, Args)]
pub(crate) struct LakeAlterArguments {
    /// Name of the table; its rollups and quality flags follow.
    pub table: String,
    /// Rename a column; the settings declare its new name. Repeatable.
    #[arg(long, value_name = "OLD=NEW", value_parser = super::pair)]
    pub rename: Vec<(String, String)>,
    /// Drop a column that the settings do not declare any more, with its values. Repeatable.
    #[arg(long, value_name = "COLUMN")]
    pub drop: Vec<String>,
    /// Print what would be done, without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Data folder or object-store URL, which no server may have open.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "endpoint")]
    pub data: Option<String>,
    /// URL of the server that has the data open. It reloads its own settings.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// Arguments of `lake delete`.
#[derive(Debug, Args)]
pub(crate) struct LakeDeleteArguments {
    /// Name of the table.
    pub table: String,
    /// Cities, by name or id, whose rows are deleted; keys, for a table without cities. Separated by semicolons.
    #[arg(
        long,
        value_delimiter = ';',
        value_name = "CITY;…",
        required_unless_present = "all",
        allow_hyphen_values = true
    )]
    pub keys: Vec<String>,
    /// Delete the rows of every key.
    #[arg(long, conflicts_with = "keys")]
    pub all: bool,
    /// Start of the time range (inclusive); the beginning if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// End of the time range (exclusive); the end if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Reason, kept with the record of the deletion in `system.deletions`.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// URL of the server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Delete also what was acknowledged at this position of the log, whichever of several servers does it.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<LogPosition>,
}

/// Arguments of `lake restore`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct LakeRestoreArguments {
    /// Name of the table.
    pub table: String,
    /// Version to restore, as listed by `barograph lake history`.
    #[arg(long, value_name = "N")]
    pub version: u64,
    /// Print which files would be removed and added, without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Data folder or object-store URL.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `lake check-store`.
#[derive(Debug, Args)]
pub(crate) struct CheckStoreArguments {
    /// Data folder or object-store URL. The settings of `[store]` apply, such as `--set store.endpoint=URL`.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Which lake.
#[derive(Debug, Args)]
pub(crate) struct LakeArguments {
    /// Data folder or object-store URL.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Show only this table.
    #[arg(long)]
    pub table: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
