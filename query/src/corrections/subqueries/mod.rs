//! Queries inside conditions, and what they say of each row outside. DataFusion 55.2 makes joins of such queries. Where
//! its join would say something else, the query is written otherwise, or refused:
//!
//! | query | here |
//! |---|---|
//! | `EXISTS (SELECT count(*) …)` without GROUP BY, or with an empty grouping set | true: there is always a row |
//! | `n > ALL (SELECT n FROM same_table)` | the inner table gets a name of its own |
//! | `EXISTS`, `IN` outside WHERE and HAVING | the number of rows that there are |
//! | a value that may have no row, of a column without nulls | a column with nulls |
//! | a reference to the outer row that the planner knows no join for, `LATERAL` among them | [asked](apply) of all outer rows at a time |

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, ExprSchema, JoinType, Result, ScalarValue, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit, when};
use datafusion::optimizer::AnalyzerRule;

use self::apply::Applied;
pub(in crate::corrections) use self::simple::is_simple;
use super::global_aggregates::gives_total;
use crate::tree;

mod apply;
mod dependent;
mod simple;

/// What to write in place of a query that cannot be asked.
const MEND: &str = "join with the inner query grouped by what it is compared with, or number its rows with row_number()";
/// Name of a table that is compared with as a whole.
const COMPARED: &str = "(compared)";
/// Name of a column that there is whatever a query gives.
const ALWAYS: &str = "(always)";

/// Writes queries inside conditions so that the planner answers them rightly.
#[derive(Debug)]
pub(crate) struct Subqueries;

impl AnalyzerRule for Subqueries {
    fn name(&self) -> &str {
        "subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut applied = Applied::default();
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            if let LogicalPlan::Join(join) = &plan
                && let Some(joined) = applied.lateral(join)?
            {
                return Ok(Transformed::yes(joined));
            }
            if !tree::exists_in_expressions(&plan, &mut is_query)? {
                return Ok(Transformed::no(plan));
            }
            let schema = merge_schema(&plan.inputs());
            let decides = matches!(plan, LogicalPlan::Filter(_));
            let plan = tree::transform_named_expressions(plan, &mut |expr| {
                written(expr, decides, &schema)
            })?;
            plan.transform_data(|plan| applied.values(plan))
        })
        .data()
    }
}

pub(crate) fn is_query(expr: &Expr) -> bool {
    use Expr::{Exists, InSubquery, ScalarSubquery, SetComparison};
    matches!(expr, Exists(_) | InSubquery(_) | ScalarSubquery(_) | SetComparison(_))
}

fn written(expr: Expr, decides: bool, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => {
            if gives_total(&subquery.subquery) {
                return Ok(Transformed::yes(lit(!negated)));
            }
            if decides && is_simple(&subquery.subquery, true)? {
                return Ok(Transformed::no(Expr::Exists(Exists { subquery, negated })));
            }
            let any = any(&subquery)?;
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(any)) } else { any }))
        }
        Expr::InSubquery(of) => match decides && is_simple(&of.subquery.subquery, false)? {
            true => Ok(Transformed::no(Expr::InSubquery(of))),
            false => among(of, schema).map(Transformed::yes),
        },
        Expr::SetComparison(of) => {
            if !decides {
                return plan_err!(
                    "ANY and ALL of a query are not supported outside WHERE and HAVING: write the \
                     comparison with min(…) or max(…) of it"
                );
            }
            if !is_simple(&of.subquery.subquery, false)? {
                return plan_err!(
                    "ANY and ALL of a query that refers to the outer row in such a way are not supported: \
                     write the comparison with min(…) or max(…) of it"
                );
            }
            if !of.subquery.outer_ref_columns.is_empty() {
                return Ok(Transformed::no(Expr::SetComparison(of)));
            }
            // The outer and the inner table may be one, whose columns have one name.
            let plan = LogicalPlanBuilder::from(of.subquery.subquery.as_ref().clone());
            let subquery = Arc::new(plan.alias(COMPARED)?.build()?);
            let subquery = Subquery { subquery, ..of.subquery };
            Ok(Transformed::yes(Expr::SetComparison(SetComparison { subquery, ..of })))
        }
        Expr::ScalarSubquery(of) => {
            let is_known = !of.outer_ref_columns.is_empty()
                || of.subquery.schema().fields().iter().all(|field| field.is_nullable())
                || gives_total(&of.subquery);
            match is_known {
                true => Ok(Transformed::no(Expr::ScalarSubquery(of))),
                false => with_null(of).map(Transformed::yes),
            }
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether a query gives any row, as a value.
fn any(of: &Subquery) -> Result<Expr> {
    let rows = count(lit(1_i64));
    let name = rows.schema_name().to_string();
    let plan = LogicalPlanBuilder::from(of.subquery.as_ref().clone())
        .aggregate(Vec::<Expr>::new(), vec![rows])?
        .project(vec![Expr::Column(Column::from_name(name)).gt(lit(0_i64))])?
        .build()?;
    let subquery = Subquery { subquery: Arc::new(plan), ..of.clone() };
    Ok(Expr::ScalarSubquery(subquery))
}

/// Whether a value is among those of a query, as a value; null where that is not known.
fn among(of: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let InSubquery { expr, subquery, negated } = of;
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).alias(COMPARED)?;
    let plan = plan.build()?;
    let equal = with_equal(&expr, plan.clone(), &subquery, schema)?;
    let value = Expr::Column(Column::from(plan.schema().qualified_field(0)));
    let null = LogicalPlanBuilder::from(plan.clone()).filter(value.is_null())?.build()?;
    let unknown = lit(ScalarValue::Boolean(None));
    when(any(&equal)?, lit(!negated))
        .when(expr.is_null().and(any(&inside(plan, &subquery))?), unknown.clone())
        .when(any(&inside(null, &subquery))?, unknown)
        .otherwise(lit(negated))
}

/// The rows of a plan whose first column equals a value of the outer row, in the place of the query `of` in a condition over
/// `schema`.
pub(super) fn with_equal(
    value: &Expr,
    plan: LogicalPlan,
    of: &Subquery,
    schema: &DFSchema,
) -> Result<Subquery> {
    let asked = tree::transform_up(value.clone(), &mut |part| {
        Ok(match part {
            Expr::Column(column) => {
                let field = Arc::clone(schema.field_from_column(&column)?);
                Transformed::yes(Expr::OuterReferenceColumn(field, column))
            }
            other => Transformed::no(other),
        })
    })?;
    let first = Expr::Column(Column::from(plan.schema().qualified_field(0)));
    let equal = LogicalPlanBuilder::from(plan).filter(first.eq(asked.data))?.build()?;
    Ok(inside(equal, of))
}

/// A plan in the place of a query.
fn inside(plan: LogicalPlan, of: &Subquery) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: of.spans.clone() }
}

/// A query as a value that is null where it gives no row.
fn with_null(of: Subquery) -> Result<Expr> {
    let value = Expr::Column(Column::from(of.subquery.schema().qualified_field(0)));
    let plan = LogicalPlanBuilder::empty(true)
        .project(vec![lit(true).alias(ALWAYS)])?
        .join_on(LogicalPlan::clone(&of.subquery), JoinType::Left, [lit(true)])?
        .project(vec![value])?
        .build()?;
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..of }))
}
