//! Membership (IN and NOT IN of a query) where it is not known.
//!
//! `x IN (SELECT y …)` is neither true nor false where `x` is null, or where nothing equals it and one `y`
//! is null. DataFusion 55.2 knows where it is a whole condition; inside OR, NOT and CASE, and where the values
//! depend on the row that asks, it says false or refuses. There the third answer is written out:
//!
//! ```text
//! a OR x NOT IN (q)  ──►  a OR CASE WHEN x IN (q) THEN false
//!                                   WHEN x IS NULL AND EXISTS (q) THEN null
//!                                   WHEN EXISTS (q with y IS NULL) THEN null
//!                                   ELSE true END
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Subquery, lit, when,
};
use datafusion::optimizer::AnalyzerRule;

use super::subqueries::{is_simple, with_equal};
use crate::tree;

/// Writes the third answer out.
#[derive(Debug)]
pub(crate) struct InSubqueries;

impl AnalyzerRule for InSubqueries {
    fn name(&self) -> &str {
        "membership"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| match plan {
            LogicalPlan::Filter(filter) => filtered(filter),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

fn filtered(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let mut changed = false;
    let schema = filter.input.schema();
    let mut conditions = Vec::new();
    for condition in split_conjunction_owned(filter.predicate) {
        let condition = match condition {
            whole if is_known(&whole) => whole,
            other if let Some(exists) = as_exists(&other, schema)? => {
                changed = true;
                exists
            }
            other => {
                let written = tree::transform_up(other, &mut |expr| written(expr, schema))?;
                changed |= written.transformed;
                written.data
            }
        };
        conditions.push(condition);
    }
    let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
    let filter = LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?);
    Ok(if changed { Transformed::yes(filter) } else { Transformed::no(filter) })
}

/// Whether the planner answers a whole condition rightly: one that says IN, where unknown is as good as false,
/// or NOT IN among values that are the same for every row.
fn is_known(condition: &Expr) -> bool {
    let (membership, turned) = match condition {
        Expr::Not(inner) => (inner.as_ref(), true),
        other => (other, false),
    };
    match membership {
        Expr::InSubquery(InSubquery { subquery, negated, .. }) => {
            *negated == turned || subquery.outer_ref_columns.is_empty()
        }
        _ => false,
    }
}

/// A whole condition that says NOT IN of values without nulls that depend on the row that asks. A join for it would take
/// what they depend on for unknown, too; the row with an equal value is there, or it is not.
fn as_exists(condition: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (membership, turned) = match condition {
        Expr::Not(inner) => (inner.as_ref(), true),
        other => (other, false),
    };
    let Expr::InSubquery(InSubquery { expr, subquery, negated }) = membership else {
        return Ok(None);
    };
    let has_nulls = subquery.subquery.schema().field(0).is_nullable();
    if *negated == turned || has_nulls || expr.nullable(schema)? {
        return Ok(None);
    }
    let equal = with_equal(expr, LogicalPlan::clone(&subquery.subquery), subquery, schema)?;
    Ok(is_simple(&equal.subquery, true)?.then(|| Expr::Exists(Exists::new(equal, true))))
}

fn written(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::InSubquery(InSubquery { expr, subquery, negated }) = expr else {
        return Ok(Transformed::no(expr));
    };
    let others = Arc::clone(&subquery.subquery);
    let (of, field) = others.schema().qualified_field(0);
    let other = Expr::Column(Column::from((of, field)));
    let (maybe_null, has_nulls) = (expr.nullable(schema)?, field.is_nullable());
    if !maybe_null && !has_nulls {
        return Ok(Transformed::no(Expr::InSubquery(InSubquery { expr, subquery, negated })));
    }
    let any = |plan: Arc<LogicalPlan>| {
        let subquery = Subquery { subquery: plan, ..subquery.clone() };
        Expr::Exists(Exists::new(subquery, false))
    };
    let unknown = lit(ScalarValue::Boolean(None));
    let among = InSubquery::new(expr.clone(), subquery.clone(), false);
    let mut case = when(Expr::InSubquery(among), lit(!negated));
    if maybe_null {
        let met = expr.is_null().and(any(Arc::clone(&others)));
        case = case.when(met, unknown.clone());
    }
    if has_nulls {
        let nulls = LogicalPlanBuilder::from(others.as_ref().clone()).filter(other.is_null())?;
        case = case.when(any(Arc::new(nulls.build()?)), unknown);
    }
    Ok(Transformed::yes(case.otherwise(lit(negated))?))
}
