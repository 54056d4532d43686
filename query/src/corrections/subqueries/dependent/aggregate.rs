//! Groups beside each row of the domain. An aggregate over all rows gives one even where there are none: what it
//! counts is marked, and rows of the domain that meet nothing stay with nothing that is marked.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::{Domain, refused};
use crate::corrections::subqueries::is_query;
use crate::tree;

impl Domain<'_> {
    pub(super) fn aggregate(&mut self, of: &Aggregate) -> Result<LogicalPlan> {
        if of.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return refused("ROLLUP, CUBE or GROUPING SETS");
        }
        let (input, domain, found) = if of.group_expr.is_empty() {
            self.marked(&of.input)?
        } else {
            let input = self.beside(&of.input)?;
            let domain = self.of(&input);
            (input, domain, None)
        };
        let mut groups = self.own_named(&of.group_expr, &domain)?;
        groups.extend(domain.iter().cloned().map(Expr::Column));
        let values = of.aggr_expr.iter().map(|expr| {
            let (relation, name) = expr.qualified_name();
            let value = self.own(expr.clone(), &domain)?.unalias();
            let value = match &found {
                Some(found) => of_marked(value, found)?,
                None => value,
            };
            Ok(value.alias_qualified(relation, name))
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let plan =
            Aggregate::try_new(Arc::new(input), groups, values).map(LogicalPlan::Aggregate)?;
        // The groups of the query, those of the domain, and the values.
        let mut columns = plan.schema().columns();
        let mut rest = columns.split_off(of.group_expr.len());
        let values = rest.split_off(domain.len());
        let columns = columns.into_iter().chain(values).chain(rest).map(Expr::Column);
        LogicalPlanBuilder::from(plan).project(columns.collect::<Vec<_>>())?.build()
    }

    /// Every row of the domain with the rows that it meets; the column says whether there is one.
    fn marked(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, Vec<Column>, Option<Column>)> {
        let domain = self.columns.clone();
        let found = Column::new_unqualified(self.names.next("found"));
        let mark = lit(true).alias(found.name());
        let (mut conditions, mut rows) = (Vec::new(), plan);
        while let LogicalPlan::Filter(of) = rows {
            conditions.push(of.predicate.clone());
            rows = &of.input;
        }
        let mut in_parts = self.is_meant_in(rows)?;
        for condition in &conditions {
            in_parts |= tree::exists(condition, &mut |expr| Ok(is_query(expr)))?;
        }
        let joined = if in_parts {
            let (rows, again) = self.renamed(plan)?;
            let rows = with(rows, mark)?;
            LogicalPlanBuilder::from(self.plan.clone()).join_detailed(
                rows,
                JoinType::Left,
                (domain.clone(), again),
                None,
                NullEquality::NullEqualsNull,
            )?
        } else {
            let rows = with(rows.clone(), mark)?;
            let conditions = conditions.into_iter().map(|of| self.own(of, &domain));
            let mut conditions = conditions.collect::<Result<Vec<_>>>()?;
            conditions.reverse();
            if conditions.is_empty() {
                conditions.push(lit(true));
            }
            LogicalPlanBuilder::from(self.plan.clone()).join_on(rows, JoinType::Left, conditions)?
        };
        Ok((joined.build()?, domain, Some(found)))
    }
}

/// The plan with one more column.
fn with(plan: LogicalPlan, column: Expr) -> Result<LogicalPlan> {
    let mut columns: Vec<_> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(column);
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// An aggregate of the rows that are marked.
fn of_marked(value: Expr, found: &Column) -> Result<Expr> {
    let mut marked = |expr: Expr| {
        Ok(match expr {
            Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
                let found = Expr::Column(found.clone());
                let filter = params.filter.take();
                let filter = filter.map_or(found.clone(), |filter| found.and(*filter));
                params.filter = Some(Box::new(filter));
                Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
            }
            other => Transformed::no(other),
        })
    };
    tree::transform_up(value, &mut marked).data()
}
