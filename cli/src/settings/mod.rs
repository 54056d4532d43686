//! What can be set, and to what is it set? Built-in defaults < file < environment < flags.
//!
//! ```text
//! defaults ─► FILE (TOML) ─► BAROGRAPH_FLIGHT__LISTEN=… ─► --set flight.listen=… ─► checked Settings
//! ```

pub mod catalogue;
pub mod layers;
pub mod reference;
pub mod tables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use barograph_engine::EngineSettings;
use barograph_engine::sql::SqlSettings;
use barograph_flight::FlightSettings;
use barograph_jobs::schedule::{JobSettings, SchedulerSettings};
use barograph_jobs::upkeep::Retention;
use barograph_lake::TableSchema;
use barograph_lake::schema::TableDeclaration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use layers::Layers;

use crate::{Error, Result};

/// All settings of `barograph`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the tables live: a folder, or an object-store URL (`s3://`, `gs://`, `az://`, `file://`),
    /// whose credentials come from the environment as usual for that store (`AWS_…`, `GOOGLE_…`,
    /// `AZURE_…`).
    pub data: String,
    /// Folder of the log, on a local disk. Absent: the folder `log` inside `data`. Needed where `data`
    /// is a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_folder: Option<PathBuf>,
    /// The server that `latest`, `range`, `import` and `redrive` talk to.
    pub endpoint: String,
    /// What is reported to stderr.
    pub logging: LoggingSettings,
    /// The engine: memory, landing, reads.
    pub engine: EngineSettings,
    /// The server: address and limits.
    pub flight: FlightSettings,
    /// SQL: memory, time and number of queries.
    pub sql: SqlSettings,
    /// The scheduler of background jobs.
    pub scheduler: SchedulerSettings,
    /// The background jobs by name.
    pub jobs: JobSettings,
    /// How long the rows of tables are kept, such as `[retention.readings]` with `after = "730d"`: the job
    /// `expire` removes files whose newest row is older. The rows of a table that is not named are kept for
    /// ever.
    pub retention: BTreeMap<String, Retention>,
    /// Tables by name. A table of the built-in name `readings` replaces the built-in one.
    pub tables: BTreeMap<String, TableDeclaration>,
}

/// What is reported to stderr.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingSettings {
    /// Which messages: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by module such as
    /// `info,barograph_engine=debug`. Absent: `info` for `serve`, `warn` for every other command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// In which form: `text` for people, `json` for collectors, one object a line.
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "barograph-data".to_owned(),
            log_folder: None,
            endpoint: "http://127.0.0.1:8815".to_owned(),
            logging: LoggingSettings::default(),
            engine: EngineSettings::default(),
            flight: FlightSettings::default(),
            sql: SqlSettings::default(),
            scheduler: SchedulerSettings::default(),
            jobs: JobSettings::default(),
            retention: BTreeMap::new(),
            tables: BTreeMap::from([(tables::READINGS.to_owned(), tables::readings())]),
        }
    }
}

impl Settings {
    /// Refuses settings that no engine or server can run with.
    pub fn check(&self) -> Result<()> {
        self.flight.check().map_err(|e| Error::usage(e.to_string()))?;
        self.engine.log.check().map_err(|e| Error::usage(format!("engine.{e}")))?;
        self.scheduler.check()?;
        self.jobs.check()?;
        self.retention.iter().try_for_each(|(name, retention)| retention.check(name))?;
        self.schemas().map(drop)
    }

    /// The tables, checked.
    pub fn schemas(&self) -> Result<Vec<TableSchema>> {
        let tables = self.tables.iter();
        tables.map(|(name, table)| Ok(TableSchema::new(name, table.clone())?)).collect()
    }
}
