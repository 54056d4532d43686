//! A join in place of a query that refers to the outer row: what the query says [beside](super::dependent) each row that
//! it refers to meets the rows that refer to it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality, Result, plan_err};
use datafusion::logical_expr::{
    Expr, Join, LogicalPlan, LogicalPlanBuilder, Subquery, SubqueryAlias,
};

use super::MEND;
use super::dependent::{Domain, Names};
use super::simple::is_simple;
use crate::tree;

/// Largest plan of rows that are read twice, in nodes: nested statements would double it again and again.
const NODES_MAX: usize = 500;

/// Puts joins in place of queries.
#[derive(Debug, Default)]
pub(super) struct Applied {
    names: Names,
}

impl Applied {
    /// The node with a column in place of each query that is a value and that the planner has no join for.
    pub(super) fn values(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut queries = Vec::new();
        tree::apply_expressions(&plan, &mut |expr| {
            tree::apply(expr, &mut |expr| {
                if let Expr::ScalarSubquery(of) = expr
                    && !is_simple(&of.subquery, false)?
                    && !queries.contains(of)
                {
                    queries.push(of.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if queries.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let inputs = plan.inputs();
        let [input] = inputs.as_slice() else {
            return plan_err!(
                "a subquery that refers to the outer row is not supported here: {MEND}"
            );
        };
        let mut rows = LogicalPlan::clone(input);
        let mut columns = Vec::with_capacity(queries.len());
        for query in &queries {
            if !is_single(&query.subquery) {
                return plan_err!(
                    "a subquery that is a value gives one row at most: write an aggregate of it, such as \
                     max(…), or ORDER BY … LIMIT 1"
                );
            }
            let (joined, column) = self.value(rows, input, query)?;
            rows = joined;
            columns.push(column);
        }
        let wanted = plan.schema().columns();
        let plan = tree::map_named_expressions(plan, &mut |expr| {
            tree::transform_down(expr, &mut |expr| {
                let Expr::ScalarSubquery(of) = &expr else { return Ok(Transformed::no(expr)) };
                let at = queries.iter().position(|query| query == of);
                Ok(match at.and_then(|at| columns.get(at)) {
                    Some(column) => Transformed::yes(Expr::Column(column.clone())),
                    None => Transformed::no(expr),
                })
            })
        })?;
        let plan = plan.data.with_new_exprs(plan.data.expressions(), vec![rows])?;
        if plan.schema().fields().len() == wanted.len() {
            return Ok(Transformed::yes(plan));
        }
        let wanted = wanted.into_iter().map(Expr::Column);
        let plan = LogicalPlanBuilder::from(plan).project(wanted.collect::<Vec<_>>())?.build()?;
        Ok(Transformed::yes(plan))
    }

    /// `rows` with the value of a query that refers to columns of `input`.
    fn value(
        &mut self,
        rows: LogicalPlan,
        input: &LogicalPlan,
        query: &Subquery,
    ) -> Result<(LogicalPlan, Column)> {
        let name = self.names.next("query");
        let mut domain = self.domain(input, &query.subquery)?;
        let values = domain.beside(&query.subquery)?;
        let values =
            SubqueryAlias::try_new(Arc::new(values), name).map(LogicalPlan::SubqueryAlias)?;
        let value = Column::from(values.schema().qualified_field(0));
        let met = (domain.outer(), domain.of(&values));
        let same = NullEquality::NullEqualsNull;
        let joined = LogicalPlanBuilder::from(rows)
            .join_detailed(values, JoinType::Left, met, None, same)?
            .build()?;
        Ok((joined, value))
    }

    /// A join whose right side refers to the row on its left.
    pub(super) fn lateral(&mut self, join: &Join) -> Result<Option<LogicalPlan>> {
        let (query, alias) = match &*join.right {
            LogicalPlan::Subquery(of) => (of, None),
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => match &**input {
                LogicalPlan::Subquery(of) => (of, Some(alias.clone())),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        if is_simple(&query.subquery, false)? {
            return Ok(None);
        }
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
            return plan_err!("LATERAL stands to the right of JOIN or LEFT JOIN");
        }
        let mut domain = self.domain(&join.left, &query.subquery)?;
        let mut rows = domain.beside(&query.subquery)?;
        if let Some(alias) = alias {
            rows = SubqueryAlias::try_new(Arc::new(rows), alias).map(LogicalPlan::SubqueryAlias)?;
        }
        let met = (domain.outer(), domain.of(&rows));
        let on = join.on.iter().map(|(mine, other)| mine.clone().eq(other.clone()));
        let filter = on.chain(join.filter.clone()).reduce(Expr::and);
        let wanted = join.schema.columns().into_iter().map(Expr::Column);
        LogicalPlanBuilder::from(LogicalPlan::clone(&join.left))
            .join_detailed(rows, join.join_type, met, filter, NullEquality::NullEqualsNull)?
            .project(wanted.collect::<Vec<_>>())?
            .build()
            .map(Some)
    }

    /// What a query refers to of the rows that it is asked for.
    fn domain(&mut self, rows: &LogicalPlan, query: &LogicalPlan) -> Result<Domain<'_>> {
        let mut outer = Vec::new();
        for reference in query.all_out_ref_exprs() {
            if let Expr::OuterReferenceColumn(_, column) = reference
                && rows.schema().has_column(&column)
                && !outer.contains(&column)
            {
                outer.push(column);
            }
        }
        if outer.is_empty() {
            return plan_err!(
                "a subquery that refers to the row of a query around the one that it stands in is not \
                 supported: {MEND}"
            );
        }
        let (mut nodes, mut is_drawn) = (0, false);
        tree::apply_with_subqueries(rows, &mut |node| {
            nodes += 1;
            tree::apply_expressions(node, &mut |expr| {
                is_drawn |= expr.is_volatile();
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if is_drawn {
            return plan_err!(
                "a subquery that refers to a row with random values is not supported: {MEND}"
            );
        }
        if nodes > NODES_MAX {
            return plan_err!(
                "a subquery that refers to the outer row is not supported over so large a FROM, which \
                 would be read twice: {MEND}"
            );
        }
        Domain::new(rows, outer, &mut self.names)
    }
}

/// Whether a query gives one row at most.
fn is_single(plan: &LogicalPlan) -> bool {
    plan.max_rows().is_some_and(|rows| rows <= 1)
}
