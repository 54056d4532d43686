//! What does a query inside a condition say of each row outside it? The planner makes joins of such queries. Where
//! its join would say something else, the query is written otherwise, or refused:
//!
//! | query | here |
//! |---|---|
//! | `EXISTS (SELECT count(*) …)` without GROUP BY, or with an empty grouping set | true: there is always a row |
//! | `n > ALL (SELECT n FROM same_table)` | the inner table gets a name of its own |
//! | `EXISTS`, `IN` outside WHERE and HAVING | the number of rows that there are |
//! | a reference to the outer row below OFFSET, a window or the ON of an outer join | refused |

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, JoinType, Result, ScalarValue, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Expr, GroupingSet, Limit, LogicalPlan, LogicalPlanBuilder, Subquery, lit, when,
};
use datafusion::optimizer::AnalyzerRule;

/// Name of a table that is compared with as a whole.
const COMPARED: &str = "(compared)";

/// Writes queries inside conditions so that the planner answers them rightly.
#[derive(Debug)]
pub(super) struct Subqueries;

impl AnalyzerRule for Subqueries {
    fn name(&self) -> &str {
        "subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            if !asks(&plan)? {
                return Ok(Transformed::no(plan));
            }
            let schema = merge_schema(&plan.inputs());
            let decides = matches!(plan, LogicalPlan::Filter(_));
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let written = expr.transform_up(|expr| written(expr, decides, &schema))?;
                Ok(written.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

fn is_query(expr: &Expr) -> bool {
    use Expr::{Exists, InSubquery, ScalarSubquery, SetComparison};
    matches!(expr, Exists(_) | InSubquery(_) | ScalarSubquery(_) | SetComparison(_))
}

/// Whether a node's own expressions hold a query.
fn asks(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|expr| Ok(is_query(expr)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn written(expr: Expr, decides: bool, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => {
            if always_gives_a_row(&subquery.subquery)? {
                return Ok(Transformed::yes(lit(!negated)));
            }
            check(&subquery.subquery, false)?;
            if decides {
                return Ok(Transformed::no(Expr::Exists(Exists { subquery, negated })));
            }
            let any = any(&subquery)?;
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(any)) } else { any }))
        }
        Expr::InSubquery(of) => {
            check(&of.subquery.subquery, true)?;
            match decides {
                true => Ok(Transformed::no(Expr::InSubquery(of))),
                false => among(of, schema).map(Transformed::yes),
            }
        }
        Expr::SetComparison(of) => {
            if !decides {
                return plan_err!(
                    "ANY and ALL of a query are not supported outside WHERE and HAVING: write the \
                     comparison with min(…) or max(…) of it"
                );
            }
            check(&of.subquery.subquery, true)?;
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
            check(&of.subquery, true)?;
            Ok(Transformed::no(Expr::ScalarSubquery(of)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether a query gives a row whatever it reads: an aggregate over all rows, with nothing that takes it away.
fn always_gives_a_row(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Projection(of) => always_gives_a_row(&of.input)?,
        LogicalPlan::SubqueryAlias(of) => always_gives_a_row(&of.input)?,
        LogicalPlan::Sort(of) => always_gives_a_row(&of.input)?,
        LogicalPlan::Distinct(of) => always_gives_a_row(of.input())?,
        LogicalPlan::Aggregate(of) => has_empty_group(of),
        _ => false,
    })
}

fn has_empty_group(aggregate: &Aggregate) -> bool {
    match aggregate.group_expr.as_slice() {
        [] => true,
        [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        _ => false,
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
    let value = Expr::Column(Column::from(plan.schema().qualified_field(0)));
    let asked = expr.clone().transform_up(|part| {
        Ok(match part {
            Expr::Column(column) => {
                let field = Arc::clone(schema.field_from_column(&column)?);
                Transformed::yes(Expr::OuterReferenceColumn(field, column))
            }
            other => Transformed::no(other),
        })
    })?;
    let whose = |plan: LogicalPlanBuilder| -> Result<Subquery> {
        let plan = plan.build()?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans.clone() })
    };
    let equal = whose(plan.clone().filter(value.clone().eq(asked.data))?)?;
    let null = whose(plan.clone().filter(value.is_null())?)?;
    let unknown = lit(ScalarValue::Boolean(None));
    when(any(&equal)?, lit(!negated))
        .when(expr.is_null().and(any(&whose(plan)?)?), unknown.clone())
        .when(any(&null)?, unknown)
        .otherwise(lit(negated))
}

/// Refuses a query whose reference to the outer row the planner would lose.
fn check(plan: &LogicalPlan, counts: bool) -> Result<()> {
    const MEND: &str = "join with the inner query grouped by what it is compared with, or number its rows with row_number()";
    plan.apply(|node| {
        let lost = match node {
            LogicalPlan::Limit(limit) => loses(limit, counts),
            LogicalPlan::Window(_) => Some("a window function"),
            LogicalPlan::Union(_) => Some("UNION"),
            LogicalPlan::Aggregate(of)
                if matches!(of.group_expr.as_slice(), [Expr::GroupingSet(_)]) =>
            {
                Some("ROLLUP, CUBE or GROUPING SETS")
            }
            LogicalPlan::Join(join) if join.join_type != JoinType::Inner => Some("an outer join"),
            _ => None,
        };
        match lost {
            Some(what) if refers(node)? => plan_err!(
                "a subquery that refers to the outer row below {what} is not supported: {MEND}"
            ),
            _ => Ok(TreeNodeRecursion::Continue),
        }
    })?;
    Ok(())
}

fn loses(limit: &Limit, counts: bool) -> Option<&'static str> {
    match limit.skip {
        Some(_) => Some("OFFSET"),
        None => counts.then_some("LIMIT"),
    }
}

/// Whether a node or something below it refers to an outer row.
fn refers(plan: &LogicalPlan) -> Result<bool> {
    Ok(!plan.all_out_ref_exprs().is_empty())
}
