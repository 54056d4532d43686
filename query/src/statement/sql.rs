//! SQL over the tables of an engine: what its statements share, and the same for callers who are shown less.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use barograph_access::Rights;
use barograph_engine::internal::{ProcessMemoryLimit, Recent};
use barograph_engine::statistics::MemoryUse;
use barograph_engine::{Engine, Result, SystemRows};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use parking_lot::Mutex;

use crate::limits::executors::Executors;
use crate::limits::gate::Gate;
use crate::limits::guard::{self, Users};
use crate::limits::planning::PlanningSlots;
use crate::limits::queries::Queries;
use crate::opaque::Opaque;
use crate::settings::SqlSettings;
use crate::statement::prepared::Statement;
use crate::table::catalog::{Catalog, TableEntry};
use crate::table::derived::DerivedSchema;
use crate::table::shown::Shown;

/// Statements that are kept for the next request.
const KEPT: usize = 64;
/// Callers that are shown less for whom tables are kept.
const NARROWED: usize = 64;

/// SQL over the tables of an engine.
///
/// ```
/// use barograph_engine::{Engine, LogSource};
/// use barograph_lake::{LakeStore, TableDeclaration, TableSchema, ValueColumn, ValueType};
/// use barograph_query::{ScalarValue, Sql, SqlSession, SqlSettings};
/// use futures::TryStreamExt;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let temperature = ValueColumn::new("temperature", ValueType::Float32);
/// let readings = TableDeclaration::new("city_id", "reading_at").column(temperature);
/// let engine = Engine::builder(LakeStore::local(&folder.join("lake"))?)
///     .log(LogSource::folder(folder.join("log")))
///     .table(TableSchema::new("readings", readings)?)
///     .open()
///     .await?;
/// let sql = Sql::new(engine, SqlSettings::default())?;
///
/// let session = SqlSession::default();
/// let statement = sql.prepare(&session, "SELECT count(*) FROM readings WHERE temperature > $1").await?;
/// let answer = sql.execute(&session, &statement, &[ScalarValue::from(20.0_f32)]).await?;
/// let batches: Vec<_> = answer.batches.try_collect().await?;
/// assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Sql {
    pub(crate) engine: Arc<Engine>,
    pub(super) settings: SqlSettings,
    pub(super) catalog: Arc<Catalog>,
    pub(crate) shared: Arc<RuntimeEnv>,
    pub(super) gate: Arc<Gate>,
    /// Slots of statements that are planned without being run.
    pub(crate) plans: Arc<Gate>,
    pub(super) planning_slots: Arc<PlanningSlots>,
    /// The memory of callers.
    pub(crate) users: Arc<Users>,
    pub(crate) executors: Arc<Executors>,
    pub(crate) queries: Arc<Queries>,
    pub(super) process_limit: ProcessMemoryLimit,
    /// Made for the first statement: a server that is never queried in SQL needs none.
    pub(super) planner: Mutex<Option<Opaque<SessionState>>>,
    /// Statements by time zone and text.
    pub(super) kept: Recent<(Option<String>, Arc<str>), Statement>,
    /// What tables are made of besides the engine's.
    sources: Arc<Sources>,
    /// What of the tables is shown.
    pub(super) shown: Shown,
    /// The same for those who are shown less.
    narrowed: Recent<Shown, Arc<Self>>,
}

/// Dimensions and tables of `system` that were given.
#[derive(Debug, Clone, Default)]
struct Sources {
    dimensions: BTreeMap<String, RecordBatch>,
    system: Vec<Arc<dyn SystemRows>>,
    derived: Vec<Arc<dyn DerivedSchema>>,
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Sources {
    fn catalog(
        &self,
        engine: &Arc<Engine>,
        queries: &Arc<Queries>,
        settings: &SqlSettings,
        shown: &Shown,
    ) -> Result<Arc<Catalog>> {
        let Self { dimensions, system, derived } = self.clone();
        let catalog = Catalog::new(engine, queries, settings, dimensions, system, shown)?;
        Ok(Arc::new(catalog.with_derived(&derived)?))
    }
}

impl Sql {
    /// SQL over the tables of `engine`.
    pub fn new(engine: Arc<Engine>, settings: SqlSettings) -> Result<Arc<Self>> {
        Self::with_dimensions(engine, settings, BTreeMap::new())
    }

    /// SQL with additional tables of few rows that do not change, such as `cities`; they are sorted by their first
    /// column, which is their key.
    ///
    /// # Errors
    /// `Request` if a dimension has the name of a table or no column, or a setting is invalid.
    pub fn with_dimensions(
        engine: Arc<Engine>,
        settings: SqlSettings,
        dimensions: BTreeMap<String, RecordBatch>,
    ) -> Result<Arc<Self>> {
        Self::with_system(engine, settings, dimensions, Vec::new())
    }

    /// SQL with additional dimensions and tables of the schema `system`.
    ///
    /// # Errors
    /// Those of [`Sql::with_dimensions`], also if a table of `system` exists already.
    pub fn with_system(
        engine: Arc<Engine>,
        settings: SqlSettings,
        dimensions: BTreeMap<String, RecordBatch>,
        system: Vec<Arc<dyn SystemRows>>,
    ) -> Result<Arc<Self>> {
        let queries = Queries::new(settings.recent_max);
        let shared = guard::runtime(&settings)?;
        let (sources, shown) =
            (Sources { dimensions, system, derived: Vec::new() }, Shown::EVERYTHING);
        let catalog = sources.catalog(&engine, &queries, &settings, &shown)?;
        let executors = Executors::new(&settings);
        let gate = || Arc::new(Gate::new(&settings, executors.threads()));
        let (gate, plans, planning_slots) = (gate(), gate(), Arc::default());
        let process_limit = settings.process_limit();
        let (planner, kept) = (Mutex::default(), Recent::new(KEPT));
        Ok(Arc::new(Self {
            engine,
            settings,
            catalog,
            shared,
            gate,
            plans,
            planning_slots,
            users: Arc::default(),
            executors,
            queries,
            process_limit,
            planner,
            kept,
            sources: Arc::new(sources),
            shown,
            narrowed: Recent::new(NARROWED),
        }))
    }

    /// SQL over the tables of another engine, with the limits and the list of queries of this one.
    ///
    /// # Errors
    /// Those of [`Sql::with_system`].
    pub fn reopened(
        &self,
        engine: Arc<Engine>,
        dimensions: BTreeMap<String, RecordBatch>,
        system: Vec<Arc<dyn SystemRows>>,
    ) -> Result<Arc<Self>> {
        let derived = self.sources.derived.clone();
        let sources = Arc::new(Sources { dimensions, system, derived });
        self.over(engine, sources, Shown::EVERYTHING)
    }

    /// The same SQL with the tables of another schema, which are made from the list of tables.
    ///
    /// # Errors
    /// Those of the schema.
    pub fn with_derived(&self, schema: Arc<dyn DerivedSchema>) -> Result<Arc<Self>> {
        let mut sources = Sources::clone(&self.sources);
        sources.derived.push(schema);
        self.over(Arc::clone(&self.engine), Arc::new(sources), self.shown.clone())
    }

    /// SQL that shows no more than what `rights` give: other tables, columns and rows are not there, neither for statements
    /// nor in lists. It has the limits and the list of queries of this one.
    ///
    /// # Errors
    /// Those of [`Sql::with_system`].
    pub fn shown_by(self: &Arc<Self>, rights: &Arc<Rights>) -> Result<Arc<Self>> {
        if rights.is_everything() {
            return Ok(Arc::clone(self));
        }
        if let Some(narrowed) = self.narrowed.get(|shown| shown.is_by(rights)) {
            return Ok(narrowed);
        }
        let (engine, sources) = (Arc::clone(&self.engine), Arc::clone(&self.sources));
        let narrowed = self.over(engine, sources, Shown::by(rights))?;
        self.narrowed.keep(Shown::by(rights), Arc::clone(&narrowed));
        Ok(narrowed)
    }

    fn over(&self, engine: Arc<Engine>, sources: Arc<Sources>, shown: Shown) -> Result<Arc<Self>> {
        let (settings, queries) = (self.settings.clone(), Arc::clone(&self.queries));
        let catalog = sources.catalog(&engine, &queries, &settings, &shown)?;
        Ok(Arc::new(Self {
            engine,
            settings,
            catalog,
            shared: Arc::clone(&self.shared),
            gate: Arc::clone(&self.gate),
            plans: Arc::clone(&self.plans),
            planning_slots: Arc::clone(&self.planning_slots),
            users: Arc::clone(&self.users),
            executors: Arc::clone(&self.executors),
            queries,
            process_limit: self.process_limit,
            planner: Mutex::default(),
            kept: Recent::new(KEPT),
            sources,
            shown,
            narrowed: Recent::new(NARROWED),
        }))
    }

    /// The memory of all running queries together.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse {
            setting: "sql.memory_bytes_max",
            used: self.shared.memory_pool.reserved() as u64,
            limit: self.settings.memory_bytes_max.get() as u64,
        }
    }

    /// The running queries and the last finished ones.
    pub fn queries(&self) -> &Arc<Queries> {
        &self.queries
    }

    /// All tables but those of `information_schema`.
    pub fn tables(&self) -> Vec<TableEntry> {
        self.catalog.entries().to_vec()
    }

    pub(super) fn dimension_names(&self) -> impl Iterator<Item = &str> {
        self.sources.dimensions.keys().map(String::as_str)
    }

    /// The settings.
    pub fn settings(&self) -> &SqlSettings {
        &self.settings
    }

    /// The engine whose tables are queried.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Time that the threads of all queries have worked so far, summed.
    pub fn busy(&self) -> Duration {
        self.executors.busy()
    }
}
