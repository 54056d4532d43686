//! The arguments of the command line. The names here are stable: scripts rely on them.

mod jobs;
mod lake;
mod text;
mod token;

use std::path::PathBuf;

use barograph_jobs::import::FileForm;
use barograph_lake::{LogPosition, Size, Span};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use jobs::{JobsArguments, JobsCommand, JobsRunArguments};
pub(crate) use lake::{
    CheckStoreArguments, LakeAlterArguments, LakeArguments, LakeCommand, LakeDeleteArguments,
    LakeRestoreArguments,
};
pub(crate) use text::TextArguments;
pub(crate) use token::{TokenCommand, TokenCreateArguments, TokenFileArguments};

use crate::output::Format;

/// A columnar engine for time series: durable ingestion, immediate queries, an open lake.
#[derive(Debug, Parser)]
#[command(name = "barograph", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Settings file (TOML), also settable as BAROGRAPH_CONFIG. `barograph config` prints one.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override a setting by its full name, such as `--set engine.lateness=1m`. Repeatable.
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Certificates of the authorities to trust, if the server speaks TLS (PEM); those of the system if absent.
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Certificate to show to the server, if it asks for one (PEM).
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// File with the token to show to the server; BAROGRAPH_TOKEN may hold the token itself.
    #[arg(long, global = true, value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fill a data folder with simulated weather of real cities, serve it, and keep adding readings.
    Demo(DemoArguments),
    /// Serve the tables of a data folder or object store over Arrow Flight.
    Serve(ServeArguments),
    /// Show the newest reading of each city.
    Latest(LatestArguments),
    /// Show the readings of cities over a time range, or aggregates of them.
    Range(RangeArguments),
    /// Run SQL: one statement, statements from stdin, or an interactive session.
    Sql(SqlArguments),
    /// Write the result of an SQL statement to a file.
    Export(ExportArguments),
    /// Watch the figures of a server: writes, queries, log, tail, landing, memory, jobs and members.
    Top(TopArguments),
    /// Import CSV, JSON lines, Parquet and Arrow files.
    Import(ImportArguments),
    /// Inspect, restore, delete from or alter the tables of the lake.
    #[command(subcommand)]
    Lake(LakeCommand),
    /// List, run or cancel background jobs.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Put dead letters again, once the cause of their rejection has been fixed.
    Redrive(RedriveArguments),
    /// Make, list or revoke the tokens by which clients say who they are.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the current settings as a file, with every setting explained.
    Config(ConfigArguments),
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Data folder or object-store URL; created if missing, continued if present.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Number of hours of history to fill, up to the present minute.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub hours: u32,
    /// Number of cities that report, the most populous first.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub cities: u32,
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Fill, check all answers against the lake's files as read by another library, and exit.
    #[arg(long)]
    pub once: bool,
    /// Seed of the simulated weather; the same seed gives the same weather.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Data folder or object-store URL.
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<String>,
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Start without the damaged records of the log, and report what is lost.
    #[arg(long)]
    pub accept_log_damage: bool,
}

/// Which server answers, and in which form.
#[derive(Debug, Args)]
pub(crate) struct AnswerArguments {
    /// URL of the server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Show what was acknowledged at this position of the log, and no rows that were deleted or restored away before it, on
    /// whichever of several servers answers.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<LogPosition>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Which keys are asked for.
#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    /// Cities by name or id, such as `Paris`, `Springfield,MO` or 2988507; keys, for a table without cities.
    #[arg(value_name = "CITY", required_unless_present = "all", allow_negative_numbers = true)]
    pub cities: Vec<String>,
    /// All keys.
    #[arg(long, conflicts_with = "cities")]
    pub all: bool,
    /// Name of the table.
    #[arg(long, default_value = "readings")]
    pub table: String,
    /// Columns to show, separated by commas; all if absent.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub columns: Vec<String>,
}

/// Arguments of `latest`.
#[derive(Debug, Args)]
pub(crate) struct LatestArguments {
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// Show the newest reading at or before this time: 2026-11-22T10:00:00Z, 2026-11-22, -2h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub at: Option<String>,
    /// Who answers.
    #[command(flatten)]
    pub answer: AnswerArguments,
}

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// SQL to run, such as 'SELECT count(*) FROM readings'; semicolons separate statements. If absent, statements
    /// are read from stdin, interactively if that is a terminal.
    #[arg(value_name = "STATEMENT")]
    pub statement: Option<String>,
    /// Draw a chart of each column of numbers over the first column of times, in place of rows; with a line for each value of
    /// `city_id`, or of the first column of text.
    #[arg(long, conflicts_with = "format")]
    pub plot: bool,
    /// Who answers.
    #[command(flatten)]
    pub answer: AnswerArguments,
}

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    /// URL of the server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Time between two looks at the server, over which rates are counted.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub every: Span,
    /// Print the figures once, without keys and colours, as where stdout is no terminal.
    #[arg(long)]
    pub once: bool,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// SQL statement, such as 'SELECT * FROM readings'.
    #[arg(value_name = "STATEMENT")]
    pub statement: String,
    /// Output file. It appears, complete, only when the command has succeeded.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Format of the file. If absent, it follows from the extension: .parquet, .csv, .json, .jsonl, .ndjson,
    /// .arrow, .arrows.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// URL of the server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// Arguments of `range`.
#[derive(Debug, Args)]
pub(crate) struct RangeArguments {
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// Start of the time range (inclusive): 2026-11-22T10:00:00Z, 2026-11-22, or relative to now, such as -24h.
    #[arg(long, default_value = "-24h", value_name = "TIME", allow_hyphen_values = true)]
    pub from: String,
    /// End of the time range (exclusive).
    #[arg(long, default_value = "now", value_name = "TIME", allow_hyphen_values = true)]
    pub to: String,
    /// Aggregate over windows of this length, such as 1h or 15m.
    #[arg(long, value_name = "TIME", requires = "agg")]
    pub every: Option<String>,
    /// Aggregates to compute, separated by commas: count, sum, mean, min, max, first, last.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", requires = "every")]
    pub agg: Vec<String>,
    /// SQL condition that readings must meet, such as `temperature > 30`.
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// Maximum number of rows.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Show the rows that had landed as of this version of the table, or as of this time.
    #[arg(long, value_name = "VERSION|TIME", allow_hyphen_values = true)]
    pub as_of: Option<String>,
    /// Print what would be read, without reading it.
    #[arg(long)]
    pub explain: bool,
    /// Draw a chart of each column in the terminal, in place of rows.
    #[arg(long, conflicts_with_all = ["explain", "format"])]
    pub plot: bool,
    /// Who answers.
    #[command(flatten)]
    pub answer: AnswerArguments,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Files: .csv, .tsv, .psv, .json, .jsonl, .ndjson, also compressed as .gz or .zst; .parquet, .pq; .arrow,
    /// .arrows, .ipc, .feather.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Name of the table; if absent, that of the mapping, or `readings`.
    #[arg(long)]
    pub table: Option<String>,
    /// Mapping file (TOML).
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Map a column of the table to a column of the file, or to an SQL expression over its columns, such as
    /// `temperature=(temp - 32) / 1.8`. Repeatable.
    #[arg(long, value_name = "COLUMN=EXPRESSION")]
    pub map: Vec<String>,
    /// Replace values of a column of the file, such as `origin:EWR=5101798,JFK=5128581`. Repeatable.
    #[arg(long, value_name = "COLUMN:VALUE=MEANING,…")]
    pub values: Vec<String>,
    /// Text or number that stands for a missing value, in addition to the empty text. Repeatable.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub null: Vec<String>,
    /// Column of the file that holds the time, or a part of it, such as the date. Repeatable, one part each.
    #[arg(long, value_name = "COLUMN")]
    pub time_column: Vec<String>,
    /// Format of times that are text or digits, such as `%d/%m/%Y %H:%M`.
    #[arg(long, value_name = "FORM")]
    pub time_format: Option<String>,
    /// Unit of numeric times: ns, us, ms, s, min, h or d.
    #[arg(long, value_name = "UNIT")]
    pub time_unit: Option<String>,
    /// Time zone of times without an offset, such as `Europe/Brussels` or `+01:00`; UTC if absent.
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub time_zone: Option<String>,
    /// Format of the files, if neither their names nor their first bytes tell it.
    #[arg(long, value_enum)]
    pub form: Option<Form>,
    /// Start at the first row, even if an earlier import got further.
    #[arg(long)]
    pub restart: bool,
    /// File that records the progress of the import.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Write into the lake of this data folder or object store directly, instead of putting rows to a server. A
    /// server may have it open.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "endpoint")]
    pub data: Option<String>,
    /// URL of the server to import into.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Rows per put.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_rows: u32,
    /// Memory for rows in flight.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub memory: Size,
    /// Output format of the summary.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// How the lines of text files become rows.
    #[command(flatten)]
    pub text: TextArguments,
}

/// Form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Delimited text.
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
pub(crate) struct RedriveArguments {
    /// Table whose dead letters are put again.
    #[arg(long, default_value = "readings")]
    pub table: String,
    /// Start of the time of rejection (inclusive); the beginning if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// End of the time of rejection (exclusive); the end if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// URL of the server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// Print the built-in defaults, ignoring file and environment.
    #[arg(long)]
    pub defaults: bool,
    /// Print the reference page, docs/settings.md.
    #[arg(long, conflicts_with = "defaults")]
    pub reference: bool,
    /// Print the reference page of the server's metrics, docs/metrics.md.
    #[arg(long, conflicts_with_all = ["defaults", "reference"])]
    pub metrics: bool,
    /// Print the paths of the HTTP API, as they stand in docs/http.md.
    #[arg(long, conflicts_with_all = ["defaults", "reference", "metrics"])]
    pub http: bool,
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
            "barograph lake release-log --data d",
            "barograph range Paris --as-of 42",
            "barograph range Paris Tokyo --plot --columns temperature",
            "barograph sql SELECT --plot",
            "barograph top --endpoint https://h:1 --token t --every 5s",
            "barograph top --once",
            "barograph export SELECT --out rows.parquet --force",
            "barograph export SELECT --out rows --format csv --endpoint http://h:1",
            "barograph config --defaults --set engine.lateness=1m",
            "barograph redrive --from -1h",
            "barograph redrive --endpoint https://h:1 --ca ca.pem --cert c.pem --key k.pem",
            "barograph jobs list --data d --format json",
            "barograph jobs run verify --dry-run --from -24h --to now",
            "barograph jobs history verify --format csv",
            "barograph jobs history",
            "barograph jobs cancel verify-41 --data d",
            "barograph token create anna --role reader --role writer --expires 90d",
            "barograph token create anna --role reader --keys 1,100..200 --filter temperature<30",
            "barograph token list --file tokens.json --format json",
            "barograph token revoke 4f1c09a2b77e",
            "barograph latest Paris --token token.txt",
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
            "barograph range Paris --plot --format csv",
            "barograph top --every 0s",
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
            "barograph token create anna",
            "barograph token revoke",
            "barograph dance",
        ] {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
