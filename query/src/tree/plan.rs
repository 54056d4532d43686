//! Walks of plans and expressions. Each has the name of the one of DataFusion that it is.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// What becomes of a node.
type Change<'f, N> = &'f mut dyn FnMut(N) -> Result<Transformed<N>>;
/// What is done with a node, and where the walk goes on.
type Visit<'f, N> = &'f mut dyn FnMut(&N) -> Result<TreeNodeRecursion>;

pub(crate) fn transform_up<N: TreeNode>(node: N, change: Change<'_, N>) -> Result<Transformed<N>> {
    node.transform_up(change)
}

pub(crate) fn transform_down<N: TreeNode>(
    node: N,
    change: Change<'_, N>,
) -> Result<Transformed<N>> {
    node.transform_down(change)
}

pub(crate) fn map_children<N: TreeNode>(node: N, change: Change<'_, N>) -> Result<Transformed<N>> {
    node.map_children(change)
}

pub(crate) fn map_subqueries(
    plan: LogicalPlan,
    change: Change<'_, LogicalPlan>,
) -> Result<Transformed<LogicalPlan>> {
    plan.map_subqueries(change)
}

pub(crate) fn apply<N: TreeNode>(node: &N, visit: Visit<'_, N>) -> Result<TreeNodeRecursion> {
    node.apply(visit)
}

pub(crate) fn exists<N: TreeNode>(
    node: &N,
    is: &mut dyn FnMut(&N) -> Result<bool>,
) -> Result<bool> {
    node.exists(is)
}

pub(crate) fn transform_up_with_subqueries(
    plan: LogicalPlan,
    change: Change<'_, LogicalPlan>,
) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(change)
}

pub(crate) fn transform_down_with_subqueries(
    plan: LogicalPlan,
    change: Change<'_, LogicalPlan>,
) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down_with_subqueries(change)
}

pub(crate) fn apply_with_subqueries(
    plan: &LogicalPlan,
    visit: Visit<'_, LogicalPlan>,
) -> Result<TreeNodeRecursion> {
    plan.apply_with_subqueries(visit)
}

pub(crate) fn apply_expressions(
    plan: &LogicalPlan,
    visit: Visit<'_, Expr>,
) -> Result<TreeNodeRecursion> {
    plan.apply_expressions(visit)
}

pub(crate) fn map_expressions(
    plan: LogicalPlan,
    change: Change<'_, Expr>,
) -> Result<Transformed<LogicalPlan>> {
    plan.map_expressions(change)
}

/// The node with its expressions changed; each has the name that it had.
pub(crate) fn map_named_expressions(
    plan: LogicalPlan,
    change: Change<'_, Expr>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    map_expressions(plan, &mut |expr| {
        let name = names.save(&expr);
        let changed = change(expr)?;
        Ok(match changed.transformed {
            true => changed.update_data(|expr| name.restore(expr)),
            false => changed,
        })
    })
}

/// The node with the parts of its expressions changed, the inner ones first; each expression has the name that it had.
pub(crate) fn transform_named_expressions(
    plan: LogicalPlan,
    change: Change<'_, Expr>,
) -> Result<Transformed<LogicalPlan>> {
    map_named_expressions(plan, &mut |expr| transform_up(expr, change))
}

/// Whether a part of the node's own expressions is one that is looked for.
pub(crate) fn exists_in_expressions(
    plan: &LogicalPlan,
    is: &mut dyn FnMut(&Expr) -> bool,
) -> Result<bool> {
    let mut found = false;
    apply_expressions(plan, &mut |expr| {
        found = found || exists(expr, &mut |part| Ok(is(part)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
