//! Plans that rules of DataFusion's optimizer would change into others, which those rules therefore never see.
//!
//! | rule | plans |
//! |---|---|
//! | `push_down_filter` | [conditions above an aggregate that gives a row of no rows](super::totals) |
//! | `extract_equijoin_predicate` | [joins that take null for equal to null](super::nulls) |
//! | `eliminate_cross_join` | [plans with such joins](super::nulls) |

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::global_aggregates::filters_total;
use super::null_equal_joins::{has_such_joins, has_such_keys};

/// A rule and the plans that it does not see.
#[derive(Debug)]
pub(crate) struct ExcludedPlans {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    is_spared: fn(&LogicalPlan) -> Result<bool>,
}

impl ExcludedPlans {
    /// The rules, of which some do not see every plan.
    pub(crate) fn all(
        rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    ) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
        let spared = |rule: Arc<dyn OptimizerRule + Send + Sync>| {
            let is_spared = match rule.name() {
                "push_down_filter" => filters_total,
                "extract_equijoin_predicate" => has_such_keys,
                "eliminate_cross_join" => has_such_joins,
                _ => return rule,
            };
            Arc::new(Self { rule, is_spared }) as _
        };
        rules.into_iter().map(spared).collect()
    }
}

impl OptimizerRule for ExcludedPlans {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if (self.is_spared)(&plan)? {
            return Ok(Transformed::no(plan));
        }
        self.rule.rewrite(plan, config)
    }
}
