//! Dependent queries: the answer of a query for each of the outer rows that it refers to. The values that it refers to,
//! each combination once, become a table, the domain, and the query is run for all of them at a time:
//!
//! ```text
//! SELECT sum(x) FROM u WHERE u.y <= t.x
//!   ──►  SELECT sum(x) FILTER (WHERE found), d.x FROM d LEFT JOIN u ON u.y <= d.x GROUP BY d.x
//! ```
//!
//! Each plan gives the columns of the query that it was, and then those of the domain.

mod aggregate;
mod join;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, Result, plan_err};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::{Sort as SortBy, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, FetchType, Limit, LogicalPlan, LogicalPlanBuilder, Projection,
    SkipType, SubqueryAlias, Union, Unnest, Window, lit,
};

use super::MEND;
use crate::tree;

/// Names that are given away, by number.
#[derive(Debug, Default)]
pub(super) struct Names(usize);

impl Names {
    pub(super) fn next(&mut self, what: &str) -> String {
        self.0 += 1;
        format!("({what} {})", self.0)
    }
}

/// The values of outer rows that a query refers to.
pub(super) struct Domain<'n> {
    plan: LogicalPlan,
    /// The columns of the outer rows.
    outer: Vec<Column>,
    /// What they are called here.
    columns: Vec<Column>,
    names: &'n mut Names,
}

impl<'n> Domain<'n> {
    /// Those of the columns `outer` of `rows`.
    pub(super) fn new(
        rows: &LogicalPlan,
        outer: Vec<Column>,
        names: &'n mut Names,
    ) -> Result<Self> {
        let columns: Vec<_> =
            outer.iter().map(|_| Column::new_unqualified(names.next("outer"))).collect();
        let named = outer.iter().zip(&columns);
        let named = named.map(|(from, to)| Expr::Column(from.clone()).alias(to.name()));
        let plan = LogicalPlanBuilder::from(rows.clone())
            .project(named.collect::<Vec<_>>())?
            .distinct()?
            .build()?;
        Ok(Self { plan, outer, columns, names })
    }

    /// The columns of the outer rows.
    pub(super) fn outer(&self) -> Vec<Column> {
        self.outer.clone()
    }

    /// The columns of the domain in a plan that ends with them.
    pub(super) fn of(&self, plan: &LogicalPlan) -> Vec<Column> {
        let mut columns = plan.schema().columns();
        columns.split_off(columns.len().saturating_sub(self.outer.len()))
    }

    /// What `plan` gives beside each row of the domain.
    ///
    /// # Errors
    /// `Plan` if that is not known of something that refers to the domain.
    pub(super) fn beside(&mut self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        if !self.is_meant_in(plan)? {
            return self.all_beside(plan);
        }
        match plan {
            LogicalPlan::Filter(of) => {
                let input = self.beside(&of.input)?;
                let condition = self.own(of.predicate.clone(), &self.of(&input))?;
                LogicalPlanBuilder::from(input).filter(condition)?.build()
            }
            LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
                let input = plan.inputs().first().map(|input| self.beside(input));
                self.again(plan, input.unwrap_or_else(|| refused("this"))?)
            }
            LogicalPlan::Aggregate(of) => self.aggregate(of),
            LogicalPlan::Join(of) => self.join(of),
            // Without LIMIT the order of a query in another says nothing.
            LogicalPlan::Sort(of) if of.fetch.is_none() => self.beside(&of.input),
            LogicalPlan::Limit(of) => self.limit(of),
            LogicalPlan::Window(of) => self.window(of),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                self.beside(input).map(|input| LogicalPlan::Distinct(Distinct::All(input.into())))
            }
            LogicalPlan::Union(of) => {
                let inputs = of.inputs.iter().map(|input| self.beside(input).map(Arc::new));
                let inputs = inputs.collect::<Result<_>>()?;
                Union::try_new_with_loose_types(inputs).map(LogicalPlan::Union)
            }
            LogicalPlan::Unnest(of) => self.unnest(of),
            other => refused(&other.display().to_string()),
        }
    }

    /// All that a plan gives beside each row of the domain.
    fn all_beside(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::EmptyRelation(of)
                if of.produce_one_row && of.schema.fields().is_empty() =>
            {
                Ok(self.plan.clone())
            }
            other => LogicalPlanBuilder::from(other.clone()).cross_join(self.plan.clone())?.build(),
        }
    }

    /// A projection or a name over another input.
    fn again(&self, plan: &LogicalPlan, input: LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Projection(of) => {
                let domain = self.of(&input);
                let mut columns = self.own_named(&of.expr, &domain)?;
                columns.extend(domain.into_iter().map(Expr::Column));
                Projection::try_new(columns, Arc::new(input)).map(LogicalPlan::Projection)
            }
            LogicalPlan::SubqueryAlias(of) => {
                SubqueryAlias::try_new(Arc::new(input), of.alias.clone())
                    .map(LogicalPlan::SubqueryAlias)
            }
            other => refused(&other.display().to_string()),
        }
    }

    /// The first rows of each group of rows that one row of the domain gets.
    fn limit(&mut self, of: &Limit) -> Result<LogicalPlan> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (of.get_skip_type()?, of.get_fetch_type()?)
        else {
            return refused("LIMIT or OFFSET that is not a number");
        };
        let (mut above, mut sorted) = (Vec::new(), &*of.input);
        let order = loop {
            match sorted {
                LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => above.push(sorted),
                LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                    sorted = &sort.input;
                    break sort.expr.clone();
                }
                _ => {
                    above.clear();
                    sorted = &of.input;
                    break Vec::new();
                }
            }
            match sorted.inputs().first() {
                Some(input) => sorted = input,
                None => return refused("LIMIT"),
            }
        };
        let input = self.beside(sorted)?;
        let domain = self.of(&input);
        let columns: Vec<_> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let order = order.into_iter().map(|by| {
            let SortBy { expr, asc, nulls_first } = by;
            Ok(SortBy { expr: self.own(expr, &domain)?, asc, nulls_first })
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let number = row_number().partition_by(domain.iter().cloned().map(Expr::Column).collect());
        let number = if order.is_empty() { number } else { number.order_by(order) }.build()?;
        let named = Column::from_name(number.schema_name().to_string());
        let number_is = |bound: usize| lit(u64::try_from(bound).unwrap_or(u64::MAX));
        let mut wanted = Expr::Column(named.clone()).gt(number_is(skip));
        if let Some(fetch) = fetch {
            let last = Expr::Column(named).lt_eq(number_is(skip.saturating_add(fetch)));
            wanted = wanted.and(last);
        }
        let first = LogicalPlanBuilder::from(input)
            .window([number])?
            .filter(wanted)?
            .project(columns)?
            .build()?;
        above.into_iter().rev().try_fold(first, |input, plan| self.again(plan, input))
    }

    fn window(&mut self, of: &Window) -> Result<LogicalPlan> {
        let input = self.beside(&of.input)?;
        let domain = self.of(&input);
        let mut columns = input.schema().columns();
        let given = columns.split_off(columns.len().saturating_sub(domain.len()));
        let mut columns: Vec<_> = columns.into_iter().map(Expr::Column).collect();
        let mut windows = Vec::with_capacity(of.window_expr.len());
        for expr in &of.window_expr {
            let parted = tree::transform_up(self.own(expr.clone(), &domain)?, &mut |expr| {
                Ok(match expr {
                    Expr::WindowFunction(mut call) => {
                        let WindowFunction { params, .. } = call.as_mut();
                        params.partition_by.extend(domain.iter().cloned().map(Expr::Column));
                        Transformed::yes(Expr::WindowFunction(call))
                    }
                    other => Transformed::no(other),
                })
            })?;
            let (_, name) = parted.data.qualified_name();
            let (relation, was) = expr.qualified_name();
            columns.push(Expr::Column(Column::from_name(name)).alias_qualified(relation, was));
            windows.push(parted.data);
        }
        columns.extend(given.into_iter().map(Expr::Column));
        LogicalPlanBuilder::from(input).window(windows)?.project(columns)?.build()
    }

    fn unnest(&mut self, of: &Unnest) -> Result<LogicalPlan> {
        let input = self.beside(&of.input)?;
        LogicalPlanBuilder::from(input)
            .unnest_columns_with_options(of.exec_columns.clone(), of.options.clone())?
            .build()
    }

    /// The expressions under the names that they have, with columns of the domain in place of the outer ones.
    fn own_named(&self, exprs: &[Expr], domain: &[Column]) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        let own = exprs.iter().map(|expr| {
            let name = names.save(expr);
            Ok(name.restore(self.own(expr.clone(), domain)?))
        });
        own.collect()
    }

    /// An expression with columns of the domain in place of the outer ones.
    fn own(&self, expr: Expr, domain: &[Column]) -> Result<Expr> {
        let mut own = |expr: Expr| match expr {
            Expr::OuterReferenceColumn(field, column) => {
                let at = self.outer.iter().position(|outer| *outer == column);
                Ok(match at.and_then(|at| domain.get(at)) {
                    Some(own) => Transformed::yes(Expr::Column(own.clone())),
                    None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                })
            }
            Expr::ScalarSubquery(of) if self.is_meant_in(&of.subquery)? => nested(),
            Expr::Exists(of) if self.is_meant_in(&of.subquery.subquery)? => nested(),
            Expr::InSubquery(of) if self.is_meant_in(&of.subquery.subquery)? => nested(),
            Expr::SetComparison(of) if self.is_meant_in(&of.subquery.subquery)? => nested(),
            other => Ok(Transformed::no(other)),
        };
        tree::transform_up(expr, &mut own).data()
    }

    /// Whether an expression refers to the domain.
    fn is_meant_by(&self, expr: &Expr) -> Result<bool> {
        tree::exists(expr, &mut |expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Ok(self.outer.contains(column)),
            _ => Ok(false),
        })
    }

    /// Whether a plan or something below it refers to the domain.
    fn is_meant_in(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut found = false;
        tree::apply_with_subqueries(plan, &mut |plan| {
            tree::apply_expressions(plan, &mut |expr| {
                found |= self.is_meant_by(expr)?;
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })?;
        Ok(found)
    }
}

fn refused<T>(what: &str) -> Result<T> {
    plan_err!("a subquery that refers to the outer row below {what} is not supported: {MEND}")
}

fn nested<T>() -> Result<T> {
    refused("another subquery in a condition or value of it")
}
