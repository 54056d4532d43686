//! Conditions that may move down a plan: those whose columns have names of their own there.
//!
//! Physical plans know columns by name and place. DataFusion 55.2 (`FilterPushdown`) finds them below by name: in a plan that
//! has two columns of one name, as every join of a table with itself has, it takes one for the other. There conditions stay
//! where the logical plan has put them.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::tree;

/// A rule that moves conditions, kept from plans in which names are not enough.
#[derive(Debug)]
pub(crate) struct AmbiguousColumns(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl AmbiguousColumns {
    /// The rules, of which those that find columns by name are kept from some plans.
    pub(crate) fn all(
        rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
    ) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        let by_name = |rule: &dyn PhysicalOptimizerRule| rule.name().starts_with("FilterPushdown");
        let kept = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| match by_name(&*rule) {
            true => Arc::new(Self(rule)) as _,
            false => rule,
        };
        rules.into_iter().map(kept).collect()
    }
}

impl PhysicalOptimizerRule for AmbiguousColumns {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if tree::exists(&plan, &mut |node| Ok(is_ambiguous(node)))? {
            return Ok(plan);
        }
        self.0.optimize(plan, options)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn is_ambiguous(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut names = HashSet::new();
    plan.schema().fields().iter().any(|field| !names.insert(field.name().clone()))
}
