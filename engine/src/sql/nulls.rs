//! When is null equal to null? A join says so for all of its keys or for none. The library makes keys of `IS NOT DISTINCT
//! FROM`, and later adds those of `=` from WHERE, for which null is not equal to null. Here a join keeps the keys that
//! it has, and what is compared by `=` stays a condition.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::{Join, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// A rule that adds keys to joins, kept from some.
#[derive(Debug)]
pub(super) struct KeysApart {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    is_kept: fn(&LogicalPlan) -> Result<bool>,
}

impl KeysApart {
    /// The rules, of which those that add keys are kept from joins that take null for equal to null.
    pub(super) fn all(
        rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    ) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
        let apart = |rule: Arc<dyn OptimizerRule + Send + Sync>| match rule.name() {
            "extract_equijoin_predicate" => Arc::new(Self { rule, is_kept: has_such_keys }) as _,
            "eliminate_cross_join" => Arc::new(Self { rule, is_kept: has_such_joins }) as _,
            _ => rule,
        };
        rules.into_iter().map(apart).collect()
    }
}

/// Whether a node is a join whose keys take null for equal to null.
fn has_such_keys(plan: &LogicalPlan) -> Result<bool> {
    Ok(matches!(
        plan,
        LogicalPlan::Join(Join { null_equality: NullEquality::NullEqualsNull, on, .. })
            if !on.is_empty()
    ))
}

/// Whether there are such joins of which the rule makes others.
fn has_such_joins(plan: &LogicalPlan) -> Result<bool> {
    let is_inner = |plan: &LogicalPlan| {
        matches!(plan, LogicalPlan::Join(Join { join_type: JoinType::Inner, .. }))
    };
    plan.exists(|plan| Ok(is_inner(plan) && has_such_keys(plan)?))
}

impl OptimizerRule for KeysApart {
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
        if (self.is_kept)(&plan)? {
            return Ok(Transformed::no(plan));
        }
        self.rule.rewrite(plan, config)
    }
}
