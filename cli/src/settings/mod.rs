//! The settings of the program. Built-in defaults < file < environment < flags.
//!
//! ```text
//! defaults ─► FILE (TOML) ─► BAROGRAPH_FLIGHT__LISTEN=… ─► --set flight.listen=… ─► checked Settings
//! ```

mod catalogue;
mod former_names;
mod layers;
mod quality;
pub(crate) mod reference;
pub(crate) mod tables;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use barograph_access::AccessSettings;
use barograph_engine::EngineSettings;
use barograph_engine::dead_letters::DEAD_LETTERS;
use barograph_engine::filter::Predicate;
use barograph_engine::rollup::{Rollup, RollupSettings};
use barograph_flight::{ClientTls, FlightSettings};
use barograph_http::HttpSettings;
use barograph_jobs::compact::CompactionSettings;
use barograph_jobs::maintenance::Retention;
use barograph_jobs::quality::{Checks, flags_of};
use barograph_jobs::schedule::{JobSettings, SchedulerSettings};
use barograph_lake::TableSchema;
use barograph_lake::schema::TableDeclaration;
use barograph_lake::store::StoreSettings;
use barograph_postgres::PostgresSettings;
use barograph_query::SqlSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

pub(crate) use layers::{Layers, TOKEN_VARIABLE};
pub use quality::{QualitySettings, Thresholds};

pub use crate::traces::TracesSettings;

use crate::{Error, Result};

/// All settings of `barograph`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the tables are stored: a folder, or an object-store URL (`s3://`, `gs://`, `az://`, `file://`).
    /// `[store]` tells where the store is and how it is asked. Credentials come from the store's usual environment variables
    /// (`AWS_…`, `GOOGLE_…`, `AZURE_…`) or from `store.credentials`.
    pub data: String,
    /// Where the log is: `local`, a folder on a disk of this machine, for one server; or `store`, beside the tables in
    /// `data`, for several servers of one lake, of which any may die at any time
    /// ([docs/operations.md](operations.md#several-servers)). Before you change it, run `barograph lake release-log`.
    pub log: LogPlace,
    /// Folder of a local log. If absent, the folder `log` inside `data`. Required when `data` is the URL of a remote
    /// store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_folder: Option<PathBuf>,
    /// Server that the client commands connect to: `latest`, `range`, `sql`, `export`, `import`, `redrive` and `lake
    /// delete`. Of servers with a shared log, several, separated by commas: what one does not answer, the next is asked.
    pub endpoint: String,
    /// File with the certificates of the authorities that client commands trust if `endpoint` is an `https://` URL, in
    /// PEM. If absent, those that the system trusts. Also `--ca`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_ca: Option<PathBuf>,
    /// File with the certificate that client commands show to a server that asks for one, in PEM. Also `--cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_certificate: Option<PathBuf>,
    /// File with the private key of `endpoint_certificate`, in PEM. Also `--key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_key: Option<PathBuf>,
    /// File with the token that client commands show to the server. If absent, the environment variable
    /// `BAROGRAPH_TOKEN` may hold the token itself. Also `--token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_token: Option<PathBuf>,
    /// Messages on stderr.
    pub logging: LoggingSettings,
    /// Traces of requests, sent to a collector of OpenTelemetry by OTLP over HTTP. [docs/operations.md](operations.md#traces)
    /// describes the spans.
    pub traces: TracesSettings,
    /// The object store, if `data` is the URL of one. Folders do not need it.
    pub store: StoreSettings,
    /// The engine: memory, landing and reads.
    pub engine: EngineSettings,
    /// The server: address and limits.
    pub flight: FlightSettings,
    /// Who may ask the server for what.
    pub access: AccessSettings,
    /// The HTTP API on the same port: bounds, and what the names of other protocols mean here. [docs/http.md](http.md)
    /// describes it.
    pub http: HttpSettings,
    /// A port of its own for clients of PostgreSQL, read only. [docs/postgres.md](postgres.md) describes it.
    pub postgres: PostgresSettings,
    /// SQL: memory, time and concurrency.
    pub sql: SqlSettings,
    /// The scheduler of background jobs.
    pub scheduler: SchedulerSettings,
    /// The background jobs by name.
    pub jobs: JobSettings,
    /// When hours are compacted into days, and days into months.
    pub compaction: CompactionSettings,
    /// How long rows are kept, by table, such as `[retention.readings]` with `after = "730d"`: the job `expire` removes
    /// files whose newest row is older. Rows of a table without an entry are kept forever; a rollup is a table of its
    /// own and needs its own entry. `removed_files_kept` overrides `scheduler.removed_files_kept` for the table.
    pub retention: BTreeMap<String, Retention>,
    /// Tables by name. A table of the built-in name `readings` replaces the built-in one.
    pub tables: BTreeMap<String, TableDeclaration>,
    /// Rollups by name: tables that hold aggregates of a source table over windows of length `every`, kept up to date
    /// by the job `rollup`. `of` names the source table; `every` is a whole number of hours that divides a day, or
    /// whole days. [docs/jobs.md](jobs.md#rollups) describes their columns.
    pub rollups: BTreeMap<String, RollupSettings>,
    /// The job `quality`: thresholds beyond which a reading is doubtful, in the units of the columns. Columns that the
    /// table does not have are skipped.
    pub quality: QualitySettings,
}

/// Where a log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogPlace {
    /// In a folder of this machine.
    #[default]
    Local,
    /// In the store of the tables, shared by several servers.
    Store,
}

/// What is reported to stderr.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingSettings {
    /// Which messages are printed: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by module, such as
    /// `info,barograph_engine=debug`. If absent, `warn,barograph=info` for `serve`, and `warn` for every other command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Format: `text` for people, `json` for log collectors, with one object per line.
    pub format: LoggingFormat,
}

/// Form of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoggingFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors.
    Json,
}

impl LoggingSettings {
    fn check(&self) -> Result<()> {
        self.filter.as_deref().map_or(Ok(()), |filter| self::filter(filter).map(drop))
    }
}

/// Which messages are reported.
pub(crate) fn filter(filter: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(filter).map_err(|e| Error::usage(format!("logging.filter {filter:?}: {e}")))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "barograph-data".to_owned(),
            log: LogPlace::default(),
            log_folder: None,
            endpoint: "http://127.0.0.1:8815".to_owned(),
            endpoint_ca: None,
            endpoint_certificate: None,
            endpoint_key: None,
            endpoint_token: None,
            logging: LoggingSettings::default(),
            traces: TracesSettings::default(),
            store: StoreSettings::default(),
            engine: EngineSettings::default(),
            flight: FlightSettings::default(),
            access: AccessSettings::default(),
            http: HttpSettings::default(),
            postgres: PostgresSettings::default(),
            sql: SqlSettings::default(),
            scheduler: SchedulerSettings::default(),
            jobs: JobSettings::default(),
            compaction: CompactionSettings::default(),
            retention: BTreeMap::new(),
            tables: BTreeMap::from([(tables::READINGS.to_owned(), tables::readings())]),
            rollups: tables::rollups(),
            quality: QualitySettings::default(),
        }
    }
}

impl Settings {
    /// Refuses settings that no engine or server can run with, before anything is made of them.
    pub(crate) fn check(&self) -> Result<()> {
        let below =
            |section: &str, e: barograph_engine::Error| Error::usage(format!("{section}.{e}"));
        if self.data.is_empty() {
            return Err(Error::usage("data is empty: name a folder or a URL"));
        }
        if self.log_folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
            return Err(Error::usage("log_folder is empty: name a folder, or leave it out"));
        }
        if self.log == LogPlace::Store && self.log_folder.is_some() {
            return Err(Error::usage(
                "log is \"store\" and log_folder is set: a shared log has no folder; leave one of them out",
            ));
        }
        self.logging.check()?;
        self.traces.check()?;
        self.store.check().map_err(|e| below("store", e.into()))?;
        self.flight.check().map_err(|e| Error::usage(e.to_string()))?;
        self.engine.check().map_err(|e| below("engine", e))?;
        self.sql.check().map_err(|e| below("sql", e))?;
        self.scheduler.check()?;
        self.jobs.check()?;
        self.compaction.check()?;
        let schemas = self.schemas()?;
        self.check_access(&schemas)?;
        self.postgres.check().map_err(|e| Error::usage(e.to_string()))?;
        self.http.check(&schemas).map_err(|e| Error::usage(e.to_string()))?;
        tables::check_names(self.tables.keys(), self.rollups.keys())?;
        tables::check_dimensions(&self.tables)?;
        let mut names: Vec<_> = schemas.iter().map(TableSchema::name).collect();
        names.push(DEAD_LETTERS);
        for (name, retention) in &self.retention {
            retention.check(name)?;
            if !names.contains(&name.as_str()) {
                return Err(Error::usage(format!(
                    "retention.{name}: there is no such table, there are {}",
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Refuses rights that could not be given.
    fn check_access(&self, tables: &[TableSchema]) -> Result<()> {
        self.access.check().map_err(|e| Error::usage(e.to_string()))?;
        for (place, grant, filter) in self.access.filters() {
            let named = |table: &&TableSchema| {
                grant.tables.iter().any(|pattern| pattern.matches(table.name()))
            };
            // Of the tables of a pattern it may fit some; of the others nothing is given.
            let tried = tables.iter().filter(named).map(|of| Predicate::parse(filter, of));
            let tried: Vec<_> = tried.collect();
            if tried.iter().all(|of| of.is_err())
                && let Some(Err(error)) = tried.into_iter().next()
            {
                return Err(Error::usage(format!("{place}: {error}")));
            }
        }
        let asks = self.access.is_configured();
        let known = self.access.peer_token.is_some() || !self.access.certificates.is_empty();
        if asks && self.log == LogPlace::Store && !known {
            return Err(Error::usage(
                "log is \"store\" and access is set: name by access.peer_token the file with the token that the servers show each other, whose role has the verb peer, or give their certificates such a role by access.certificates",
            ));
        }
        Ok(())
    }

    /// The certificates of the client.
    pub(crate) fn client_tls(&self) -> ClientTls {
        let mut tls = ClientTls::default();
        tls.ca.clone_from(&self.endpoint_ca);
        tls.certificate.clone_from(&self.endpoint_certificate);
        tls.key.clone_from(&self.endpoint_key);
        tls
    }

    /// The tables, checked.
    pub fn schemas(&self) -> Result<Vec<TableSchema>> {
        let tables = self.tables.iter();
        let mut schemas = tables
            .map(|(name, table)| Ok(TableSchema::new(name, table.clone())?))
            .collect::<Result<Vec<_>>>()?;
        schemas.extend(self.rollups()?.iter().map(|rollup| TableSchema::clone(rollup.table())));
        let (source, checks) = self.checked()?;
        schemas.push(flags_of(&source, &checks)?);
        Ok(schemas)
    }

    /// The table whose quality is checked, and the checks.
    pub(crate) fn checked(&self) -> Result<(TableSchema, Checks)> {
        let of = &self.quality.of;
        let table = self.tables.get(of).ok_or_else(|| {
            Error::usage(format!("quality.of {of:?}: there is no such table in the settings"))
        })?;
        Ok((TableSchema::new(of, table.clone())?, self.quality.checks()?))
    }

    /// The rollups, checked.
    pub(crate) fn rollups(&self) -> Result<Vec<Rollup>> {
        let rollup = |(name, rollup): (&String, &RollupSettings)| {
            let of = &rollup.of;
            let Some(table) = self.tables.get(of) else {
                let names: Vec<_> = self.tables.keys().map(String::as_str).collect();
                return Err(Error::usage(format!(
                    "rollups.{name}.of {of:?}: there is no such table, there are {}",
                    names.join(", ")
                )));
            };
            if self.tables.contains_key(name) {
                return Err(Error::usage(format!(
                    "rollups.{name}: there is a table of that name: rename one"
                )));
            }
            let source = Arc::new(TableSchema::new(of, table.clone())?);
            Ok(Rollup::new(name, rollup, source, self.sql.reading_every)?)
        };
        self.rollups.iter().map(rollup).collect()
    }
}
