//! Keys of joins that take null for equal to null, apart from those that do not.
//!
//! A join takes null for equal to null in all of its keys or in none. DataFusion 55.2 makes keys of `IS NOT DISTINCT FROM`, and
//! later adds those of `=` from WHERE: `a JOIN b ON a.x IS NOT DISTINCT FROM b.x WHERE a.y = b.y` finds rows whose `y` are
//! null. Here a join keeps the keys that it has, and what is compared by `=` stays a condition.

use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::{Join, LogicalPlan};

use crate::tree;

/// Whether a node is a join whose keys take null for equal to null.
pub(super) fn has_such_keys(plan: &LogicalPlan) -> Result<bool> {
    Ok(matches!(
        plan,
        LogicalPlan::Join(Join { null_equality: NullEquality::NullEqualsNull, on, .. })
            if !on.is_empty()
    ))
}

/// Whether there are such joins of which the rule makes others.
pub(super) fn has_such_joins(plan: &LogicalPlan) -> Result<bool> {
    let is_inner = |plan: &LogicalPlan| {
        matches!(plan, LogicalPlan::Join(Join { join_type: JoinType::Inner, .. }))
    };
    tree::exists(plan, &mut |plan| Ok(is_inner(plan) && has_such_keys(plan)?))
}
