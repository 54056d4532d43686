//! The rule that finds expressions that are looked up by their bits, and removes their signs.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, DFSchemaRef, NullEquality, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{BinaryExpr, Case, GroupingSet, WindowFunctionParams};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, ExprSchemable, Join, LogicalPlan, Operator, Projection,
};
use datafusion::optimizer::AnalyzerRule;

use super::constants::{among, is_settled};
use super::sign::{has_floats, unsigned};
use crate::tree;

/// Functions whose arguments are compared with each other, or with what is inside them.
const COMPARING: &[&str] = &[
    "array_distinct",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_position",
    "array_positions",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_union",
    "nullif",
];

/// Removes the signs that do not count where values are looked up by their bits.
#[derive(Debug)]
pub(in crate::functions) struct FloatEqualityRule;

impl AnalyzerRule for FloatEqualityRule {
    fn name(&self) -> &str {
        "zeros"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            let plan = match tree::exists_in_expressions(&plan, &mut may_look_up)? {
                true => expressions(plan)?,
                false => Transformed::no(plan),
            };
            plan.transform_data(|plan| match plan {
                LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
                LogicalPlan::Distinct(Distinct::All(input)) => distinct(input),
                LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on),
                // Only set operations are planned so.
                LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => {
                    set_operation(join)
                }
                other => Ok(Transformed::no(other)),
            })
        })
        .data()
    }
}

/// Whether an expression may look values up.
fn may_look_up(expr: &Expr) -> bool {
    match expr {
        Expr::InList(_) | Expr::WindowFunction(_) => true,
        Expr::Case(case) => case.expr.is_some(),
        Expr::ScalarFunction(function) => COMPARING.contains(&function.func.name()),
        Expr::BinaryExpr(BinaryExpr { op, .. }) => compares(*op),
        Expr::AggregateFunction(function) => function.params.distinct,
        _ => false,
    }
}

/// The node with its expressions changed, under their names.
fn expressions(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema: DFSchemaRef = match plan.inputs().as_slice() {
        [input] => Arc::clone(input.schema()),
        inputs => Arc::new(merge_schema(inputs)),
    };
    tree::map_named_expressions(plan, &mut |expr| {
        if !tree::exists(&expr, &mut |part| Ok(may_look_up(part)))? {
            return Ok(Transformed::no(expr));
        }
        tree::transform_up(expr, &mut |expr| Ok(compared(expr, &schema)))
    })
}

/// An expression of a node over `schema`.
fn compared(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let floats = |expr: &Expr| expr.get_type(schema).is_ok_and(|of| has_floats(&of));
    let nested =
        |expr: &Expr| expr.get_type(schema).is_ok_and(|of| of.is_nested() && has_floats(&of));
    match expr {
        Expr::InList(list) if floats(&list.expr) => among(list),
        Expr::Case(Case { expr: Some(of), when_then_expr, else_expr })
            if when_then_expr.iter().any(|(when, _)| !is_settled(when)) && floats(&of) =>
        {
            let cases = when_then_expr.into_iter();
            let cases = cases.map(|(when, then)| (Box::new(unsigned(*when)), then));
            let of = Some(Box::new(unsigned(*of)));
            Transformed::yes(Expr::Case(Case::new(of, cases.collect(), else_expr)))
        }
        Expr::ScalarFunction(mut function) if COMPARING.contains(&function.func.name()) => {
            let flat = |expr: &Expr| is_settled(expr) && !nested(expr);
            if function.func.name() == "nullif" && function.args.iter().any(flat) {
                return Transformed::no(Expr::ScalarFunction(function));
            }
            let changed = take_signs(&mut function.args, &floats);
            Transformed::new_transformed(Expr::ScalarFunction(function), changed)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) && nested(&left) => {
            let (left, right) = (Box::new(unsigned(*left)), Box::new(unsigned(*right)));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::WindowFunction(mut window) => {
            let WindowFunctionParams { args, partition_by, order_by, distinct, .. } =
                &mut window.params;
            let sorts = order_by.iter_mut().map(|sort| &mut sort.expr);
            let mut changed = take_signs(partition_by.iter_mut().chain(sorts), &floats);
            if *distinct {
                changed |= take_signs(args, &floats);
            }
            Transformed::new_transformed(Expr::WindowFunction(window), changed)
        }
        Expr::AggregateFunction(mut function) if function.params.distinct => {
            let changed = take_signs(&mut function.params.args, &floats);
            Transformed::new_transformed(Expr::AggregateFunction(function), changed)
        }
        other => Transformed::no(other),
    }
}

/// Removes the signs of those expressions that have some; tells whether there are any.
fn take_signs<'e>(
    exprs: impl IntoIterator<Item = &'e mut Expr>,
    floats: &impl Fn(&Expr) -> bool,
) -> bool {
    let mut changed = false;
    for expr in exprs {
        if !is_settled(expr) && floats(expr) {
            *expr = unsigned(std::mem::take(expr));
            changed = true;
        }
    }
    changed
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
    )
}

/// The plan with the columns that are `signed` without their signs.
fn without_signs(
    input: Arc<LogicalPlan>,
    signed: impl Fn(&Column) -> bool,
) -> Result<Transformed<Arc<LogicalPlan>>> {
    let schema = Arc::clone(input.schema());
    if !schema.fields().iter().any(|field| has_floats(field.data_type())) {
        return Ok(Transformed::no(input));
    }
    let mut changed = false;
    let columns = schema.iter().map(|(of, field)| {
        let column = Column::from((of, field));
        match has_floats(field.data_type()) && signed(&column) {
            true => {
                changed = true;
                unsigned(Expr::Column(column)).alias_qualified(of.cloned(), field.name())
            }
            false => Expr::Column(column),
        }
    });
    let columns: Vec<_> = columns.collect();
    if !changed {
        return Ok(Transformed::no(input));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(columns, input)?);
    Ok(Transformed::yes(Arc::new(plan)))
}

fn distinct(input: Arc<LogicalPlan>) -> Result<Transformed<LogicalPlan>> {
    let input = without_signs(input, |_| true)?;
    Ok(input.update_data(|input| LogicalPlan::Distinct(Distinct::All(input))))
}

fn distinct_on(on: DistinctOn) -> Result<Transformed<LogicalPlan>> {
    let columns: Vec<_> = on.on_expr.iter().filter_map(Expr::try_as_col).cloned().collect();
    let input = without_signs(Arc::clone(&on.input), |column| columns.contains(column))?;
    let schema = Arc::clone(input.data.schema());
    let floats = |expr: &Expr| expr.get_type(&schema).is_ok_and(|of| has_floats(&of));
    let mut on = DistinctOn { input: input.data, ..on };
    let sorts = on.sort_expr.iter_mut().flatten().map(|sort| &mut sort.expr);
    let sorts = sorts.take(on.on_expr.len());
    let computed = on.on_expr.iter_mut().chain(sorts);
    let computed = computed.filter(|expr| !matches!(expr, Expr::Column(_)));
    let changed = take_signs(computed, &floats);
    let plan = LogicalPlan::Distinct(Distinct::On(on));
    Ok(Transformed::new_transformed(plan, changed || input.transformed))
}

/// Compares the rows of a set operation without signs.
fn set_operation(join: Join) -> Result<Transformed<LogicalPlan>> {
    let columns = |of: fn(&(Expr, Expr)) -> &Expr| -> Vec<Column> {
        join.on.iter().map(of).filter_map(Expr::try_as_col).cloned().collect()
    };
    let (mine, others) = (columns(|(left, _)| left), columns(|(_, right)| right));
    let left = without_signs(Arc::clone(&join.left), |column| mine.contains(column))?;
    let right = without_signs(Arc::clone(&join.right), |column| others.contains(column))?;
    if !left.transformed && !right.transformed {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let made = Join::try_new(
        left.data,
        right.data,
        join.on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    Ok(Transformed::yes(LogicalPlan::Join(made)))
}

/// Groups by values without signs. The projection below gives columns without signs, in their place.
fn grouped(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let Aggregate { input, group_expr, aggr_expr, .. } = &aggregate;
    let schema = Arc::clone(input.schema());
    if !schema.fields().iter().any(|field| has_floats(field.data_type()))
        && !group_expr.iter().any(|expr| !matches!(expr, Expr::Column(_)))
    {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let mut group_expr = group_expr.clone();
    let floats = |expr: &Expr| expr.get_type(&schema).is_ok_and(|of| has_floats(&of));
    let (mut columns, mut changed) = (Vec::new(), false);
    for member in group_expr.iter_mut().flat_map(members) {
        match member {
            Expr::Column(column) => columns.push(column.clone()),
            computed => changed |= take_signs([computed], &floats),
        }
    }
    let input = without_signs(Arc::clone(input), |column| columns.contains(column))?;
    if !input.transformed && !changed {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let made = Aggregate::try_new(input.data, group_expr, aggr_expr.clone())?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(made)))
}

/// The expressions that an expression of GROUP BY groups by.
fn members(expr: &mut Expr) -> Vec<&mut Expr> {
    match expr {
        Expr::GroupingSet(GroupingSet::Rollup(exprs) | GroupingSet::Cube(exprs)) => {
            exprs.iter_mut().collect()
        }
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter_mut().flatten().collect(),
        Expr::Alias(alias) => members(&mut alias.expr),
        other => vec![other],
    }
}
