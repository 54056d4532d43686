//! What can be asked on the command line? The names here are stable: scripts rely on them.

mod jobs;
mod lake;
mod text;

use std::path::PathBuf;

use barograph_jobs::import::FileForm;
use barograph_lake::Size;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use jobs::{
    JobsArguments, JobsCancelArguments, JobsCommand, JobsHistoryArguments, JobsRunArguments,
};
pub use lake::{
    LakeAlterArguments, LakeArguments, LakeCommand, LakeDeleteArguments, LakeRestoreArguments,
};
pub use text::TextArguments;

use crate::output::Format;

/// Readings in, durable, queryable at once, kept in an open lake.
#[derive(Debug, Parser)]
#[command(name = "barograph", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// Settings file (TOML); also BAROGRAPH_CONFIG. `barograph config` prints one.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting by its full name, such as `--set engine.lateness=1m`; may be given again.
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fill a folder with made-up weather of real cities, serve it, and go on measuring.
    Demo(DemoArguments),
    /// Serve the tables of a folder or object store over Arrow Flight.
    Serve(ServeArguments),
    /// The newest reading of each city.
    Latest(LatestArguments),
    /// The readings of cities in a range of time, or means and other figures of them.
    Range(RangeArguments),
    /// Ask in SQL: a statement, statements from stdin, or a conversation.
    Sql(SqlArguments),
    /// Write the answer to an SQL statement to a file.
    Export(ExportArguments),
    /// Import CSV, JSON lines, Parquet and Arrow files.
    Import(ImportArguments),
    /// Look at the files of the lake, or go back to earlier ones.
    #[command(subcommand)]
    Lake(LakeCommand),
    /// Look at background jobs, run one, or stop one.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Put dead letters again, after what was wrong with them has been mended.
    Redrive(RedriveArguments),
    /// Print the settings in force, as a file with every setting explained.
    Config(ConfigArguments),
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Folder or object-store URL of the data; made if it is not there, continued if it is.
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Hours up to this minute to fill.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub hours: u32,
    /// How many of the most populous cities measure.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub cities: u32,
    /// Address to serve on.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Fill, check all answers against the lake's files read by another library, and end.
    #[arg(long)]
    pub once: bool,
    /// Which weather: the same seed makes the same.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Folder or object-store URL of the data.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Go on without log records that are damaged. What is lost is named.
    #[arg(long)]
    pub accept_log_damage: bool,
}

/// Which server answers, and in which form.
#[derive(Debug, Args)]
pub struct AnswerArguments {
    /// The server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Which keys are asked for.
#[derive(Debug, Args)]
pub struct KeyArguments {
    /// Cities by name or id, such as `Paris`, `Springfield,MO` or 2988507; keys, for a table without
    /// cities.
    #[arg(value_name = "CITY", required_unless_present = "all", allow_negative_numbers = true)]
    pub cities: Vec<String>,
    /// All of them.
    #[arg(long, conflicts_with = "cities")]
    pub all: bool,
    /// The table.
    #[arg(long, default_value = "readings")]
    pub table: String,
    /// Only these columns, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub columns: Vec<String>,
}

/// Arguments of `latest`.
#[derive(Debug, Args)]
pub struct LatestArguments {
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// The newest reading at or before this time: 2026-11-22T10:00:00Z, 2026-11-22, -2h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub at: Option<String>,
    /// Who answers.
    #[command(flatten)]
    pub answer: AnswerArguments,
}

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub struct SqlArguments {
    /// The statement, such as 'SELECT count(*) FROM readings'; several are parted by semicolons. Without
    /// one they are read from stdin, or asked for where stdin is a terminal.
    #[arg(value_name = "STATEMENT")]
    pub statement: Option<String>,
    /// Who answers.
    #[command(flatten)]
    pub answer: AnswerArguments,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The statement, such as 'SELECT * FROM readings'.
    #[arg(value_name = "STATEMENT")]
    pub statement: String,
    /// The file. It is there, whole, when the command has ended, and not before.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Form of the file, where its name does not say it: .parquet, .csv, .json, .jsonl, .ndjson, .arrow,
    /// .arrows.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
    /// The server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// Arguments of `range`.
#[derive(Debug, Args)]
pub struct RangeArguments {
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// First instant: 2026-11-22T10:00:00Z, 2026-11-22, or before now such as -24h.
    #[arg(long, default_value = "-24h", value_name = "TIME", allow_hyphen_values = true)]
    pub from: String,
    /// First instant after the range.
    #[arg(long, default_value = "now", value_name = "TIME", allow_hyphen_values = true)]
    pub to: String,
    /// Figures of windows of this length in place of readings: 1h, 15m.
    #[arg(long, value_name = "TIME", requires = "agg")]
    pub every: Option<String>,
    /// Which figures: count, sum, mean, min, max, first, last, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", requires = "every")]
    pub agg: Vec<String>,
    /// Only readings for which this SQL condition holds, such as `temperature > 30`.
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// At most so many rows.
    #[arg(long)]
    pub limit: Option<usize>,
    /// The rows that had landed at this version of the table, or at this time.
    #[arg(long, value_name = "VERSION|TIME", allow_hyphen_values = true)]
    pub as_of: Option<String>,
    /// Print what would be read, in place of reading it.
    #[arg(long)]
    pub explain: bool,
    /// Who answers.
    #[command(flatten)]
    pub answer: AnswerArguments,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Files: .csv, .tsv, .psv, .json, .jsonl, .ndjson, also as .gz or .zst; .parquet, .arrow.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The table; that of the mapping, or `readings`, if absent.
    #[arg(long)]
    pub table: Option<String>,
    /// How columns are mapped (TOML).
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// A column of the table from a column of the file, or from a SQL expression over its columns, such as
    /// `temperature=(temp - 32) / 1.8`; may be given again.
    #[arg(long, value_name = "COLUMN=EXPRESSION")]
    pub map: Vec<String>,
    /// What values of a column of the file stand for, such as `origin:EWR=5101798,JFK=5128581`.
    #[arg(long, value_name = "COLUMN:VALUE=MEANING,…")]
    pub values: Vec<String>,
    /// A text or a number that stands for a missing value, besides the empty text; may be given again.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub null: Vec<String>,
    /// A column of the file that a part of the time stands in, such as the date; given again for the next part.
    #[arg(long, value_name = "COLUMN")]
    pub time_column: Vec<String>,
    /// Form of times that are text or digits, such as `%d/%m/%Y %H:%M`.
    #[arg(long, value_name = "FORM")]
    pub time_format: Option<String>,
    /// Unit of times that are numbers: ns, us, ms, s, min, h or d.
    #[arg(long, value_name = "UNIT")]
    pub time_unit: Option<String>,
    /// Zone of times without an offset, such as `Europe/Brussels` or `+01:00`; UTC if absent.
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub time_zone: Option<String>,
    /// Form of the files, where their names do not say it.
    #[arg(long, value_enum)]
    pub form: Option<Form>,
    /// Begin at the first row even if an earlier import got further.
    #[arg(long)]
    pub restart: bool,
    /// File that remembers how far each file is.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Write files of the lake in this folder or object store, beside a server or without one, in place of putting
    /// rows to a server.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "endpoint")]
    pub data: Option<String>,
    /// The server to import into.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Rows put at a time.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_rows: u32,
    /// Memory of rows on their way.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub memory: Size,
    /// Form of the summary.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// How the lines of text files become rows.
    #[command(flatten)]
    pub text: TextArguments,
}

/// Form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Separated values with a header.
    Csv,
    /// JSON lines.
    Json,
    /// Parquet.
    Parquet,
    /// Arrow IPC file or stream.
    Arrow,
}

/// Arguments of `redrive`.
#[derive(Debug, Args)]
pub struct RedriveArguments {
    /// The table whose dead letters are put again.
    #[arg(long, default_value = "readings")]
    pub table: String,
    /// Those rejected from this time on; from the beginning if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Those rejected before this time; all if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// The server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// The built-in defaults, whatever file and environment say.
    #[arg(long)]
    pub defaults: bool,
    /// The reference page, which is docs/settings.md.
    #[arg(long, conflicts_with = "defaults")]
    pub reference: bool,
}

impl From<Form> for FileForm {
    fn from(form: Form) -> Self {
        match form {
            Form::Csv => Self::Csv,
            Form::Json => Self::Json,
            Form::Parquet => Self::Parquet,
            Form::Arrow => Self::Arrow,
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_stable_command_lines_are_read() {
        for line in [
            "barograph demo --data d --hours 24 --cities 15000 --listen 127.0.0.1:0 --once",
            "barograph serve --config f --data s3://b/p --listen [::]:8815",
            "barograph latest Paris Tokyo --endpoint http://h:1 --format json",
            "barograph latest --all --at -2h",
            "barograph range Paris --from -24h --to now --every 1h --agg mean,max",
            "barograph range --all --from 2026-01-01 --to 2026-01-02 --columns temperature --explain",
            "barograph import a.csv b.parquet --map t=(temp-32)/1.8 --data d --restart",
            "barograph lake files --data d",
            "barograph lake check --format csv",
            "barograph lake history --table readings",
            "barograph lake restore readings --version 42 --dry-run --data d",
            "barograph lake alter buoys --rename a=b --drop c --data d --dry-run",
            "barograph lake alter buoys --endpoint http://h:1",
            "barograph lake delete readings --keys Paris;-7 --from -24h --reason asked",
            "barograph lake delete readings --all --to 2026-01-01 --reason asked",
            "barograph range Paris --as-of 42",
            "barograph export SELECT --out rows.parquet --force",
            "barograph export SELECT --out rows --format csv --endpoint http://h:1",
            "barograph config --defaults --set engine.lateness=1m",
            "barograph redrive --from -1h",
            "barograph jobs list --data d --format json",
            "barograph jobs run verify --dry-run --from -24h --to now",
            "barograph jobs history verify --format csv",
            "barograph jobs history",
            "barograph jobs cancel verify-41 --data d",
        ] {
            let words = line.split(' ');
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_usage_has_exit_code_2() {
        for line in [
            "barograph",
            "barograph latest",
            "barograph latest Paris --all",
            "barograph range Paris --every 1h",
            "barograph demo --cities 0",
            "barograph import",
            "barograph import a.csv --data d --endpoint e",
            "barograph config --set engine",
            "barograph export SELECT",
            "barograph lake restore readings",
            "barograph lake alter --drop c",
            "barograph lake alter buoys --data d --endpoint http://h:1",
            "barograph lake delete readings --reason asked",
            "barograph lake delete readings --all",
            "barograph jobs run",
            "barograph jobs cancel",
            "barograph dance",
        ] {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
