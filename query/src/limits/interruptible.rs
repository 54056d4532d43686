//! Interruptible planning: before every step of every rule, it is checked whether the statement was stopped and has
//! memory left.

use std::fmt;
use std::sync::Arc;

use barograph_lake::internal::yield_if_background;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;

use crate::limits::executors;
use crate::limits::planning::memory;

/// The session with rules that can be stopped.
pub(crate) fn interruptible(state: SessionState) -> SessionState {
    let mut analyzer = state.analyzer().clone();
    analyzer.rules = analyzer.rules.iter().map(|rule| Interruptible::of(rule) as _).collect();
    let optimizers = state.optimizers().iter().map(|rule| Interruptible::of(rule) as _).collect();
    let physical = state.physical_optimizers().iter();
    let physical = physical.map(|rule| Interruptible::of(rule) as _).collect();
    let mut builder = SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(optimizers)
        .with_physical_optimizer_rules(physical);
    *builder.analyzer() = Some(analyzer);
    builder.build()
}

/// A rule that does nothing once the statement was stopped.
struct Interruptible<R: ?Sized>(Arc<R>);

/// Fails if the statement was stopped, or its plan takes more memory than is left.
fn go_on() -> Result<()> {
    yield_if_background();
    executors::check()?;
    memory::check()
}

impl<R: ?Sized> Interruptible<R> {
    fn of(rule: &Arc<R>) -> Arc<Self> {
        Arc::new(Self(Arc::clone(rule)))
    }
}

impl<R: ?Sized + fmt::Debug> fmt::Debug for Interruptible<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AnalyzerRule for Interruptible<dyn AnalyzerRule + Send + Sync> {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        go_on()?;
        self.0.analyze(plan, config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

impl OptimizerRule for Interruptible<dyn OptimizerRule + Send + Sync> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        go_on()?;
        self.0.rewrite(plan, config)
    }
}

impl PhysicalOptimizerRule for Interruptible<dyn PhysicalOptimizerRule + Send + Sync> {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        go_on()?;
        self.0.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        go_on()?;
        self.0.optimize_with_context(plan, context)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
