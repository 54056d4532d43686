//! Joins beside each row of the domain: both sides speak of the same row of it.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator};

use super::{Domain, refused};

impl Domain<'_> {
    pub(super) fn join(&mut self, of: &Join) -> Result<LogicalPlan> {
        let right_is_meant = self.is_meant_in(&of.right)?;
        match of.join_type {
            JoinType::Inner | JoinType::Left => {}
            JoinType::LeftSemi | JoinType::LeftAnti => return refused("EXCEPT or INTERSECT"),
            _ => return refused("RIGHT or FULL JOIN"),
        }
        let left = self.beside(&of.left)?;
        let domain = self.of(&left);
        let mut filters: Vec<_> = of.filter.iter().cloned().collect();
        let mut on = Vec::with_capacity(of.on.len());
        for (mine, other) in &of.on {
            let refers = self.is_meant_by(mine)? || self.is_meant_by(other)?;
            let pair = (mine.clone(), other.clone());
            match of.null_equality {
                _ if !refers => on.push(pair),
                NullEquality::NullEqualsNothing => filters.push(pair.0.eq(pair.1)),
                NullEquality::NullEqualsNull => filters.push(same(pair.0, pair.1)),
            }
        }
        let filters = filters.into_iter().map(|filter| self.own(filter, &domain));
        let mut filters = filters.collect::<Result<Vec<_>>>()?;
        let right = if right_is_meant {
            let (right, again) = self.renamed(&of.right)?;
            let pairs = domain.iter().cloned().zip(again);
            filters
                .extend(pairs.map(|(mine, other)| same(Expr::Column(mine), Expr::Column(other))));
            right
        } else {
            LogicalPlan::clone(&of.right)
        };
        let mut columns = left.schema().columns();
        columns.truncate(columns.len().saturating_sub(domain.len()));
        columns.extend(of.right.schema().columns());
        columns.extend(domain);
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filters.into_iter().reduce(Expr::and),
            of.join_type,
            of.join_constraint,
            of.null_equality,
            of.null_aware,
        )?;
        let columns = columns.into_iter().map(Expr::Column).collect::<Vec<_>>();
        LogicalPlanBuilder::from(LogicalPlan::Join(join)).project(columns)?.build()
    }

    /// What a plan gives beside each row of the domain, whose columns have names of their own.
    pub(super) fn renamed(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, Vec<Column>)> {
        let rows = self.beside(plan)?;
        let met = self.of(&rows);
        let again: Vec<_> =
            met.iter().map(|_| Column::new_unqualified(self.names.next("outer"))).collect();
        let mut columns: Vec<_> = rows.schema().columns().into_iter().map(Expr::Column).collect();
        columns.truncate(columns.len().saturating_sub(met.len()));
        let named = met.into_iter().zip(&again);
        columns.extend(named.map(|(from, to)| Expr::Column(from).alias(to.name())));
        Ok((LogicalPlanBuilder::from(rows).project(columns)?.build()?, again))
    }
}

/// Whether two values are one, null among them.
fn same(mine: Expr, other: Expr) -> Expr {
    let op = Operator::IsNotDistinctFrom;
    Expr::BinaryExpr(BinaryExpr { left: Box::new(mine), op, right: Box::new(other) })
}
