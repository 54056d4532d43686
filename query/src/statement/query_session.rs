//! The session of one query: the session that all statements share, with the pinned views, the moment at which it
//! began, and the meter of its resources. Sharing the former, which holds every function, makes an execution cheap.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use barograph_lake::Timestamp;
use datafusion::catalog::{CatalogProviderList, Session};
use datafusion::common::config::TableOptions;
use datafusion::common::{DFSchema, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::registry::ExtensionTypeRegistryRef;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, WindowUDF,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;

use crate::limits::function_memory::FunctionLimits;
use crate::limits::queries::Meter;
use crate::limits::stack::DeepPlan;
use crate::limits::stop::Stop;
use crate::opaque::{Opaque, Planned};
use crate::table::provider::Pinned;

/// The session of one execution of a statement.
#[derive(Clone)]
pub(crate) struct QuerySession {
    shared: Opaque<SessionState>,
    config: SessionConfig,
    props: ExecutionProps,
    runtime: Arc<RuntimeEnv>,
    options: Option<Box<TableOptions>>,
}

impl fmt::Debug for QuerySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuerySession").field("props", &self.props).finish_non_exhaustive()
    }
}

impl QuerySession {
    /// An execution that begins at `now` over the pinned views; `meter` counts its resources.
    pub(crate) fn new(
        shared: Opaque<SessionState>,
        pinned: Pinned,
        now: Timestamp,
        meter: &Arc<Meter>,
        runtime: Arc<RuntimeEnv>,
    ) -> Self {
        let mut config = shared.config().clone();
        config.set_extension(Arc::new(pinned));
        config.set_extension(Arc::clone(meter));
        let function_limits = FunctionLimits::of(config.options()).cloned().unwrap_or_default();
        let function_limits = function_limits.of_execution(Arc::clone(&runtime.memory_pool));
        config.options_mut().extensions.insert(function_limits);
        let mut props = ExecutionProps::new();
        props.mark_start_execution(Arc::clone(config.options()));
        props.query_execution_start_time = chrono::DateTime::from_timestamp_micros(now.as_micros());
        Self { shared, config, props, runtime, options: None }
    }

    /// The same session, planned for `count` partitions.
    pub(crate) fn with_partitions(mut self, count: usize) -> Self {
        self.config.options_mut().execution.target_partitions = count;
        self
    }

    /// The same session, planned for batches of `rows` rows.
    pub(crate) fn with_batches(&self, rows: usize) -> Self {
        let mut narrow = self.clone();
        narrow.config = narrow.config.with_batch_size(rows);
        narrow
    }

    /// Makes functions end their work once `stop` says so.
    pub(crate) fn obey(&self, stop: &Stop) {
        if let Some(function_limits) = FunctionLimits::of(self.config.options()) {
            function_limits.obey(stop);
        }
    }

    /// The optimized plan that all executions share; made if there is none yet.
    pub(crate) fn optimized(
        &self,
        plan: &LogicalPlan,
        lasting: &OnceLock<Opaque<DeepPlan>>,
        depth: usize,
    ) -> Result<Opaque<DeepPlan>> {
        if let Some(optimized) = lasting.get() {
            return Ok(optimized.clone());
        }
        let optimized = Opaque::new(DeepPlan::new(self.optimize(plan)?, depth));
        Ok(lasting.get_or_init(|| optimized).clone())
    }

    /// The pinned views, and what planning found out about them.
    pub(crate) fn pinned(&self) -> Option<Arc<Pinned>> {
        self.config.get_extension::<Pinned>()
    }
}

impl Session for QuerySession {
    fn session_id(&self) -> &str {
        self.shared.session_id()
    }

    fn config(&self) -> &SessionConfig {
        &self.config
    }

    fn catalog_list(&self) -> Arc<dyn CatalogProviderList> {
        Arc::clone(self.shared.catalog_list())
    }

    fn query_planner(&self) -> Arc<dyn QueryPlanner + Send + Sync> {
        Arc::clone(self.shared.query_planner())
    }

    fn optimize(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let mut state = SessionState::clone(&self.shared);
        *state.config_mut() = self.config.clone();
        *state.execution_props_mut() = self.props.clone();
        state.optimize(plan)
    }

    fn physical_optimizers(&self) -> &[Arc<dyn PhysicalOptimizerRule + Send + Sync>] {
        self.shared.physical_optimizers()
    }

    fn create_physical_plan<'s, 'p, 'a>(&'s self, plan: &'p LogicalPlan) -> Planned<'a>
    where
        Self: 'a,
        's: 'a,
        'p: 'a,
    {
        let plan = self.optimize(plan).map(Opaque::new);
        Box::pin(
            async move { self.shared.query_planner().create_physical_plan(&*plan?, self).await },
        )
    }

    fn create_physical_expr(&self, expr: Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.shared.create_physical_expr(expr, schema)
    }

    fn scalar_functions(&self) -> &HashMap<String, Arc<ScalarUDF>> {
        self.shared.scalar_functions()
    }

    fn higher_order_functions(&self) -> &HashMap<String, Arc<HigherOrderUDF>> {
        Session::higher_order_functions(&*self.shared)
    }

    fn aggregate_functions(&self) -> &HashMap<String, Arc<AggregateUDF>> {
        self.shared.aggregate_functions()
    }

    fn window_functions(&self) -> &HashMap<String, Arc<WindowUDF>> {
        self.shared.window_functions()
    }

    fn extension_type_registry(&self) -> &ExtensionTypeRegistryRef {
        Session::extension_type_registry(&*self.shared)
    }

    fn runtime_env(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    fn execution_props(&self) -> &ExecutionProps {
        &self.props
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_options(&self) -> &TableOptions {
        self.options.as_deref().unwrap_or_else(|| self.shared.table_options())
    }

    fn table_options_mut(&mut self) -> &mut TableOptions {
        let shared = &self.shared;
        self.options.get_or_insert_with(|| Box::new(shared.table_options().clone()))
    }

    fn task_ctx(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::from(self as &dyn Session))
    }
}
