//! The catalog of tables, and the session state that statements are planned with.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::array::timezone::Tz;
use arrow::datatypes::SchemaRef;
use barograph_engine::SystemRows;
use barograph_engine::rollup::{RegisteredRollup, Rollups};
use barograph_engine::{Engine, Error, Result};
use barograph_lake::AsOf;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use datafusion::catalog::{
    CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider,
    TableProvider,
};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::col;
use datafusion::optimizer::Optimizer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::corrections::ambiguous_columns::AmbiguousColumns;
use crate::corrections::excluded_plans::ExcludedPlans;
use crate::corrections::in_subqueries::InSubqueries;
use crate::corrections::information_schema::{self, OrdinalsFromOne};
use crate::corrections::interval_analysis::NoIntervalAnalysis;
use crate::corrections::intervals::IntervalArithmetic;
use crate::corrections::limit_pushdown::{LimitsAboveWindows, LimitsOfGroups};
use crate::corrections::multisets::Multisets;
use crate::corrections::three_valued_logic::ThreeValuedLogic;
use crate::corrections::time_precision::TimePrecision;
use crate::corrections::time_zones;
use crate::corrections::using_joins::MergingJoins;
use crate::errors::engine_error;
use crate::functions;
use crate::limits::function_memory::{
    self, BoundedFunctions, BoundedStructs, FunctionLimits, Narrowing,
};
use crate::limits::interruptible::interruptible;
use crate::limits::planning::fence;
use crate::limits::queries::Queries;
use crate::limits::spill;
use crate::pushdown::hours::AggregateHours;
use crate::pushdown::windows::AggregateWindows;
use crate::settings::SqlSettings;
use crate::system;
use crate::table::derived::{DerivedSchema, Hidden, WithHidden};
use crate::table::latest::LatestProvider;
use crate::table::live::LiveProvider;
use crate::table::provider::LakeProvider;
use crate::table::shown::Shown;

/// Name of the only catalog.
pub const CATALOG: &str = "barograph";
/// Schema of the declared tables, `dead_letters` and the dimensions.
pub const PUBLIC_SCHEMA: &str = "public";
/// Schema of the tables about the server itself.
pub const SYSTEM_SCHEMA: &str = "system";
/// Time zone of a session that names none.
const UTC: &str = "UTC";

/// Most keys of the smaller side of a join that narrow the scan of the other side one by one; more of them narrow it by
/// their smallest and largest.
const JOIN_KEYS: usize = 20_000;
const JOIN_KEY_BYTES: usize = 1 << 20;
/// Partitions from which a grouping by key and more needs no exchange of rows, since key ranges already hold all rows
/// of a key.
const KEPT_PARTITIONS: usize = 2;

/// Share of the memory that each thread of a sort reserves for spilling: so small that all of them together leave most
/// of it to the rows.
const SHARES_OF_A_MERGE: usize = 4;

/// A table as listed for clients.
#[derive(Debug, Clone)]
pub struct TableEntry {
    /// Always [`CATALOG`].
    pub catalog: String,
    /// [`PUBLIC_SCHEMA`] or [`SYSTEM_SCHEMA`].
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// `TABLE` or `SYSTEM TABLE`.
    pub table_type: String,
    /// Columns of the table.
    pub columns: SchemaRef,
    /// Names of the columns of its primary key; empty if it has none.
    pub primary_key: Vec<String>,
}

/// The tables.
pub(crate) struct Catalog {
    public: Arc<MemorySchemaProvider>,
    system: Arc<MemorySchemaProvider>,
    entries: Vec<TableEntry>,
    hidden: Vec<Hidden>,
    function_limits: FunctionLimits,
    memory_bytes: usize,
    shown: Shown,
}

impl Catalog {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        queries: &Arc<Queries>,
        settings: &SqlSettings,
        dimensions: BTreeMap<String, RecordBatch>,
        given: Vec<Arc<dyn SystemRows>>,
        shown: &Shown,
    ) -> Result<Self> {
        let mut catalog = Self {
            public: Arc::new(MemorySchemaProvider::new()),
            system: Arc::new(MemorySchemaProvider::new()),
            entries: Vec::new(),
            hidden: Vec::new(),
            function_limits: FunctionLimits::new(settings),
            memory_bytes: settings.memory_bytes_max.get(),
            shown: shown.clone(),
        };
        for info in engine.tables() {
            let table = info.schema;
            let Some(restriction) = shown.table(&table) else { continue };
            let names: Vec<_> = table.arrow().fields().iter().map(|f| f.name().clone()).collect();
            let primary = names.get(KEY_COLUMN..=TIME_COLUMN).unwrap_or_default().to_vec();
            let name = table.name().to_owned();
            let provider = LakeProvider::new(Arc::clone(engine), (table, restriction), None);
            catalog.add(PUBLIC_SCHEMA, name, Arc::new(provider), primary)?;
        }
        for (name, rows) in dimensions {
            let Some(rows) = shown.dimension(&name, rows) else { continue };
            let (provider, key) = dimension(&name, rows)?;
            catalog.add(PUBLIC_SCHEMA, name, provider, vec![key])?;
        }
        let given = given.into_iter().map(system::provided);
        for (name, provider, primary) in
            system::tables(engine, queries, settings)?.into_iter().chain(given)
        {
            if shown.system(&name) {
                catalog.add(SYSTEM_SCHEMA, name, provider, primary)?;
            }
        }
        Ok(catalog)
    }

    fn add(
        &mut self,
        schema: &str,
        name: String,
        provider: Arc<dyn TableProvider>,
        primary_key: Vec<String>,
    ) -> Result<()> {
        let of_system = schema == SYSTEM_SCHEMA;
        let to = if of_system { &self.system } else { &self.public };
        let columns = provider.schema();
        if to.register_table(name.clone(), provider).map_err(engine_error)?.is_some() {
            return Err(Error::request(format!("there are two tables {name:?}: rename one")));
        }
        self.entries.push(TableEntry {
            catalog: CATALOG.to_owned(),
            schema: schema.to_owned(),
            name,
            table_type: if of_system { "SYSTEM TABLE" } else { "TABLE" }.to_owned(),
            columns,
            primary_key,
        });
        Ok(())
    }

    /// The same with the tables of schemas that are made from its list.
    pub(crate) fn with_derived(mut self, derived: &[Arc<dyn DerivedSchema>]) -> Result<Self> {
        let hidden = derived.iter().map(|schema| Hidden::new(&**schema, &self.entries));
        self.hidden = hidden.collect::<Result<_>>()?;
        Ok(self)
    }

    /// The schemas that are in no list.
    pub(crate) fn hidden(&self) -> &[Hidden] {
        &self.hidden
    }

    pub(crate) fn entries(&self) -> &[TableEntry] {
        &self.entries
    }

    /// The session state that every statement is planned with.
    pub(crate) fn state(
        &self,
        engine: &Arc<Engine>,
        threads: usize,
        shared: &Arc<RuntimeEnv>,
    ) -> Result<SessionState> {
        let mut config = SessionConfig::new()
            .with_target_partitions(threads.max(1))
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, PUBLIC_SCHEMA);
        let options = config.options_mut();
        options.extensions.insert(self.function_limits.clone());
        options.sql_parser.map_string_types_to_utf8view = false;
        options.sql_parser.collect_spans = true;
        options.optimizer.subset_repartition_threshold = KEPT_PARTITIONS;
        options.optimizer.hash_join_inlist_pushdown_max_distinct_values = JOIN_KEYS;
        options.optimizer.hash_join_inlist_pushdown_max_size = JOIN_KEY_BYTES;
        spill::of_one_batch(options).map_err(engine_error)?;
        if let MemoryLimit::Finite(bytes) = shared.memory_pool.memory_limit() {
            let most = bytes / (threads.max(1) * SHARES_OF_A_MERGE);
            let reserved = &mut options.execution.sort_spill_reservation_bytes;
            *reserved = most.min(*reserved);
        }
        // IS TRUE is never null for the logical plan, and may be null for the physical one.
        options.execution.skip_physical_aggregate_schema_check = true;
        let mut rules = AmbiguousColumns::all(PhysicalOptimizer::new().rules);
        rules.insert(0, Arc::new(NoIntervalAnalysis));
        rules.insert(0, Arc::new(LimitsAboveWindows));
        let at = rules.iter().position(|rule| rule.name() == "aggregate_statistics");
        rules.insert(at.map_or(0, |at| at + 1), Arc::new(AggregateWindows));
        rules.insert(at.map_or(1, |at| at + 2), Arc::new(AggregateHours));
        rules.push(Arc::new(LimitsOfGroups));
        let mut logical = ExcludedPlans::all(Optimizer::new().rules);
        logical.insert(0, Arc::new(TimePrecision));
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(shared))
            .with_expr_planners(vec![Arc::new(IntervalArithmetic), Arc::new(BoundedStructs)])
            .with_relation_planners(vec![Arc::new(MergingJoins)])
            .with_default_features()
            .with_analyzer_rule(Arc::new(OrdinalsFromOne))
            .with_analyzer_rule(Arc::new(InSubqueries))
            .with_analyzer_rule(Arc::new(Multisets))
            .with_analyzer_rule(Arc::new(ThreeValuedLogic))
            .with_optimizer_rules(logical)
            .with_physical_optimizer_rules(rules)
            .build();
        // Before the functions that rules look for by what they are.
        function_memory::all(&mut state)?;
        let catalog = MemoryCatalogProvider::new();
        let public = Arc::clone(&self.public) as Arc<dyn SchemaProvider>;
        let system = Arc::clone(&self.system) as Arc<dyn SchemaProvider>;
        catalog.register_schema(PUBLIC_SCHEMA, public).map_err(engine_error)?;
        catalog.register_schema(SYSTEM_SCHEMA, system).map_err(engine_error)?;
        let context = SessionContext::new_with_state(interruptible(state));
        let catalog = WithHidden { listed: catalog, hidden: self.hidden.clone() };
        context.register_catalog(CATALOG, Arc::new(catalog));
        functions::register(&context)?;
        let tables = EngineTables { engine: Arc::clone(engine), shown: self.shown.clone() };
        functions::register_tables(&context, Arc::new(tables));
        for function in information_schema::functions() {
            context.register_udf(function);
        }
        context.add_analyzer_rule(Arc::new(BoundedFunctions));
        let state = context.state();
        let planner = Arc::new(fence::Planner) as _;
        let planner = Narrowing { planner, memory_bytes: self.memory_bytes };
        let mut rules = state.optimizers().to_vec();
        let at = rules.iter().position(|rule| rule.name() == "push_down_filter");
        rules.insert(at.unwrap_or(0), Arc::new(fence::Fences));
        let mut state = SessionStateBuilder::new_from_existing(state)
            .with_optimizer_rules(rules)
            .with_query_planner(Arc::new(planner))
            .build();
        time_zones::register(&mut state).map_err(engine_error)?;
        zoned(&mut state, UTC)?;
        Ok(state)
    }
}

/// Puts times with a zone, `now()` among them, into `zone`.
///
/// # Errors
/// `Request` if there is no such zone.
pub(crate) fn zoned(state: &mut SessionState, zone: &str) -> Result<()> {
    zone.parse::<Tz>().map_err(|_| {
        Error::request(format!(
            "time zone {zone:?}: name one like Europe/Zurich, or an offset like +02:00"
        ))
    })?;
    state.config_mut().options_mut().execution.time_zone = Some(zone.to_owned());
    let options = state.config_options();
    let functions = state.scalar_functions().values();
    let functions: Vec<_> =
        functions.filter_map(|of| of.inner().with_updated_config(options)).collect();
    for function in functions {
        state.register_udf(Arc::new(function)).map_err(engine_error)?;
    }
    Ok(())
}

/// The declared tables, as table functions read them.
struct EngineTables {
    engine: Arc<Engine>,
    shown: Shown,
}

impl EngineTables {
    /// The rollup `name` and the restriction under which it is shown.
    fn rollup(&self, name: &str) -> Result<LiveProvider> {
        let mut rollups = Rollups::clone(&self.engine.rollups());
        rollups.retain(|_, of| self.shown.table(of.rollup.table()).is_some());
        let declared = rollups.get(name);
        let declared = declared.ok_or_else(|| RegisteredRollup::missing(&rollups, name))?;
        let rollup = Arc::clone(&declared.rollup);
        let restriction = self.shown.table(rollup.table()).flatten();
        Ok(LiveProvider { engine: Arc::clone(&self.engine), rollup, restriction })
    }
}

impl functions::Tables for EngineTables {
    fn latest(&self, table: &str) -> Result<Arc<dyn TableProvider>> {
        let (table, restriction) = self.shown.named(&self.engine, table)?;
        Ok(Arc::new(LatestProvider { engine: Arc::clone(&self.engine), table, restriction }))
    }

    fn live(&self, rollup: &str) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(self.rollup(rollup)?))
    }

    fn as_of(&self, table: &str, as_of: AsOf) -> Result<Arc<dyn TableProvider>> {
        let table = self.shown.as_of(&self.engine, table, as_of)?;
        Ok(Arc::new(LakeProvider::new(Arc::clone(&self.engine), table, Some(as_of))))
    }
}

/// A table of few rows, sorted by its first column.
fn dimension(name: &str, rows: RecordBatch) -> Result<(Arc<dyn TableProvider>, String)> {
    let schema = rows.schema();
    let Some(key) = schema.fields().first().map(|field| field.name().clone()) else {
        return Err(Error::request(format!("dimension {name:?} has no column")));
    };
    let order = arrow::compute::sort_to_indices(rows.column(0), None, None)?;
    let rows = arrow::compute::take_record_batch(&rows, &order)?;
    let table = MemTable::try_new(schema, vec![vec![rows]])
        .map_err(engine_error)?
        .with_sort_order(vec![vec![col(format!("{key:?}")).sort(true, false)]]);
    Ok((Arc::new(table), key))
}
