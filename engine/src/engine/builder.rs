//! The builder of an engine: its store, log, settings, clock and tables, given one call after another.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use barograph_lake::{Key, LakeStore, TableSchema};
use futures::future::BoxFuture;

use super::Engine;
use crate::cluster::Peers;
use crate::log::{Log, SharedLog};
use crate::validate::KnownKeys;
use crate::{Clock, EngineSettings, Error, Result, SystemClock};

/// The parts of an engine that is yet to be opened; created by [`Engine::builder`].
///
/// A store and a log are required; everything else has a default: [`EngineSettings::default`], the clock of the
/// system, no tables.
#[derive(Debug)]
#[must_use = "an engine is opened by open()"]
pub struct EngineBuilder {
    pub(super) settings: EngineSettings,
    pub(super) lake: LakeStore,
    pub(super) log: Option<LogSource>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tables: Vec<TableSchema>,
    pub(super) dimensions: HashMap<String, Arc<KnownKeys>>,
    pub(super) peers: Option<Arc<dyn Peers>>,
}

/// The source of an engine's log.
pub enum LogSource {
    /// Segment files in a folder, which the engine locks for itself.
    Folder {
        /// The folder; created if it does not exist.
        path: PathBuf,
        /// Whether to open the log without its damaged records.
        accept_damage: bool,
    },
    /// Groups in the store of the lake, to which several processes append.
    Store {
        /// Where the others reach this process; empty if they cannot.
        address: String,
    },
    /// Such a log, open.
    Shared(Box<SharedLog>),
    /// A log that is already open.
    Ready(Box<dyn Log>),
}

impl LogSource {
    /// Segment files in a folder, none of whose records may be damaged.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::Folder { path: path.into(), accept_damage: false }
    }
}

impl fmt::Debug for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, .. } => f.debug_tuple("Folder").field(path).finish(),
            Self::Store { address } => f.debug_tuple("Store").field(address).finish(),
            Self::Shared(_) => f.write_str("Shared"),
            Self::Ready(_) => f.write_str("Ready"),
        }
    }
}

impl EngineBuilder {
    pub(super) fn new(lake: LakeStore) -> Self {
        Self {
            settings: EngineSettings::default(),
            lake,
            log: None,
            clock: Arc::new(SystemClock),
            tables: Vec::new(),
            dimensions: HashMap::new(),
            peers: None,
        }
    }

    /// The settings of the engine.
    pub fn settings(self, settings: EngineSettings) -> Self {
        Self { settings, ..self }
    }

    /// The log, which holds acknowledged rows until they are in the store.
    pub fn log(self, log: LogSource) -> Self {
        Self { log: Some(log), ..self }
    }

    /// The clock of the engine.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Adds a table. `dead_letters` exists in any case.
    pub fn table(mut self, table: TableSchema) -> Self {
        self.tables.push(table);
        self
    }

    /// Adds tables.
    pub fn tables(mut self, tables: impl IntoIterator<Item = TableSchema>) -> Self {
        self.tables.extend(tables);
        self
    }

    /// The valid keys of tables that name this dimension: a row with another key goes to the dead letters.
    pub fn dimension(mut self, name: &str, keys: impl IntoIterator<Item = Key>) -> Self {
        self.dimensions.insert(name.to_owned(), Arc::new(keys.into_iter().collect()));
        self
    }

    /// The way to the other processes of a log that is shared. Without it, batches are not forwarded, and a leader that
    /// is gone is found out only by what it does not land.
    pub fn peers(self, peers: Arc<dyn Peers>) -> Self {
        Self { peers: Some(peers), ..self }
    }

    /// Opens the tables, replays the log, and starts the writer and the lander.
    ///
    /// # Errors
    /// `Unavailable` if another process holds the log; `Damage` if the log or the store is damaged; `Request` if no log
    /// is given, if the rows of the store come from another log, or if a declaration does not fit the table that is
    /// stored.
    pub fn open(self) -> BoxFuture<'static, Result<Arc<Engine>>> {
        Box::pin(Engine::open(self))
    }

    /// The log, which there must be.
    pub(super) fn owed_log(log: Option<LogSource>) -> Result<LogSource> {
        log.ok_or_else(|| {
            Error::request("an engine needs a log: pass one with log(LogSource::folder(path))")
        })
    }
}
