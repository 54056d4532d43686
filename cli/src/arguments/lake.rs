//! What can be asked of the lake?

use clap::{Args, Subcommand};

use crate::output::Format;

/// What to look at in the lake.
#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// The active files of each table.
    Files(LakeArguments),
    /// Open and verify every active file; name what is damaged, missing, left behind or a gap.
    Check(LakeArguments),
    /// The commits of each table.
    History(LakeArguments),
    /// Delete rows for good, through a running server, which goes on if it is not waited for. It cannot be
    /// undone.
    Delete(LakeDeleteArguments),
    /// Make the files of an earlier version of a table the active ones again. It can be undone in the same way.
    Restore(LakeRestoreArguments),
    /// Give a table that holds rows the columns that the settings declare: take some out, give some other names, which
    /// writes its files anew; asked again after an end in between, it goes on. A running server, named by
    /// `--endpoint`, does it beside who reads and puts, and adds and widens columns, too.
    Alter(LakeAlterArguments),
}

/// Arguments of `lake alter`.
#[derive(Debug, Args)]
pub struct LakeAlterArguments {
    /// The table; the rollups and flags that are computed of it follow.
    pub table: String,
    /// A column gets another name, which the settings declare; may be given again.
    #[arg(long, value_name = "OLD=NEW", value_parser = super::pair)]
    pub rename: Vec<(String, String)>,
    /// A column goes, with its values, which the settings do not declare any more; may be given again.
    #[arg(long, value_name = "COLUMN")]
    pub drop: Vec<String>,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Folder or object-store URL of the data, which no server has open.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "endpoint")]
    pub data: Option<String>,
    /// The server that has the data open. It reads its own settings anew.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// Arguments of `lake delete`.
#[derive(Debug, Args)]
pub struct LakeDeleteArguments {
    /// The table.
    pub table: String,
    /// Rows of these cities, by name or id, or keys, for a table without cities; separated by semicolons.
    #[arg(
        long,
        value_delimiter = ';',
        value_name = "CITY;…",
        required_unless_present = "all",
        allow_hyphen_values = true
    )]
    pub keys: Vec<String>,
    /// Rows of every key.
    #[arg(long, conflicts_with = "keys")]
    pub all: bool,
    /// First instant of the rows; from the beginning if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// First instant after them; to the end if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Why; it is kept with the record, which `system.deletions` shows.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// Arguments of `lake restore`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct LakeRestoreArguments {
    /// The table.
    pub table: String,
    /// The version, as `barograph lake history` shows it.
    #[arg(long, value_name = "N")]
    pub version: u64,
    /// Print what would be removed and added, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Folder or object-store URL of the data.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Which lake.
#[derive(Debug, Args)]
pub struct LakeArguments {
    /// Folder or object-store URL of the data.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Only this table.
    #[arg(long)]
    pub table: Option<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
