//! Columns that two tables have in common: `JOIN … USING (k)` and `NATURAL JOIN` make one column `k` of both, the left
//! one, or the right one where a row has no left side.
//!
//! DataFusion 55.2 takes it for one of the two (`a FULL JOIN b USING (k)` has null for rows of `b` alone), and for ambiguous in
//! conditions and after a second join. A join of this kind is planned here:
//!
//! ```text
//! a FULL JOIN b USING (k)  ──►  coalesce(a.k, b.k) AS (a, b).k, a.x, b.y
//!                                 a FULL JOIN b ON a.k = b.k
//! ```
//!
//! `a.k` and `b.k` stay only where a statement names them. Then a mark on top says that `k` alone is `(a, b).k`, and
//! that `*` gives it once; it is read while names are found, and taken away before anything else happens.

use std::mem;
use std::sync::Arc;

use barograph_engine::Result as EngineResult;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{
    Column, DFSchema, JoinConstraint, JoinType, NullEquality, Result, TableReference, plan_err,
};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{EmptyRelation, Expr, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, Ident, Join as JoinAst, JoinConstraint as Constraint, JoinOperator,
    ObjectName, ObjectNamePart, Select, SelectItem, SelectItemQualifiedWildcardKind,
    Statement as Ast, TableFactor, TableWithJoins,
};

use crate::tree::{self, Tree, Visitor};

/// Puts each join that merges columns between brackets, with all that stands left of it; its own columns that are
/// named anywhere are told in USING, each as a name of three parts.
pub(crate) fn nest(ast: &mut Ast) -> EngineResult<()> {
    let mut named = Named::default();
    ast.walk(&mut named)?;
    ast.walk(&mut Nest { named: named.0 })
}

/// Columns that are named with their table, as they are told in USING.
#[derive(Default)]
struct Named(Vec<ObjectName>);

impl Named {
    fn add(&mut self, table: &Ident, column: &Ident) {
        let parts = [Ident::new(""), table.clone(), column.clone()];
        let name = ObjectName::from(parts.to_vec());
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    fn add_all_of(&mut self, table: &ObjectName) {
        if let Some(table) = table.0.last().and_then(ObjectNamePart::as_ident) {
            self.add(table, &Ident::new(ALL));
        }
    }
}

/// Stands for all columns of a table.
const ALL: &str = "*";

impl Visitor for Named {
    fn pre_visit_expr(&mut self, expr: &mut AstExpr) -> EngineResult<()> {
        match expr {
            AstExpr::CompoundIdentifier(parts) => {
                for pair in parts.windows(2) {
                    if let [table, column] = pair {
                        self.add(table, column);
                    }
                }
            }
            AstExpr::QualifiedWildcard(table, _) => self.add_all_of(table),
            _ => {}
        }
        Ok(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> EngineResult<()> {
        for item in &select.projection {
            if let SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(of),
                _,
            ) = item
            {
                self.add_all_of(of);
            }
        }
        Ok(())
    }
}

struct Nest {
    named: Vec<ObjectName>,
}

impl Visitor for Nest {
    fn pre_visit_select(&mut self, select: &mut Select) -> EngineResult<()> {
        for from in &mut select.from {
            self.tell(from);
            bracket(from, 0);
        }
        Ok(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> EngineResult<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = table {
            self.tell(table_with_joins);
            // The last join of those between brackets may stay without its own.
            bracket(table_with_joins, 1);
        }
        Ok(())
    }
}

impl Nest {
    /// Tells each join that merges which columns are named.
    fn tell(&self, from: &mut TableWithJoins) {
        for join in &mut from.joins {
            if merging(join).is_none() {
                continue;
            }
            if let Some(constraint) = constraint_of(&mut join.join_operator) {
                match constraint {
                    Constraint::Using(names) if names.iter().all(|name| name.0.len() < TOLD) => {
                        names.extend(self.named.iter().cloned());
                    }
                    Constraint::Natural => {
                        let common = ObjectName::from(vec![Ident::new("")]);
                        let names = std::iter::once(common).chain(self.named.iter().cloned());
                        *constraint = Constraint::Using(names.collect());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Parts of a name that is told.
const TOLD: usize = 3;

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut Constraint> {
    match operator {
        JoinOperator::Join(of)
        | JoinOperator::Inner(of)
        | JoinOperator::Left(of)
        | JoinOperator::LeftOuter(of)
        | JoinOperator::Right(of)
        | JoinOperator::RightOuter(of)
        | JoinOperator::FullOuter(of) => Some(of),
        _ => None,
    }
}

/// Puts what merges between brackets, if more than `free` joins stand beside each other.
fn bracket(from: &mut TableWithJoins, free: usize) {
    let last = from.joins.iter().rposition(|join| merging(join).is_some());
    let Some(last) = last else { return };
    if from.joins.len() <= free && last + 1 == from.joins.len() {
        return;
    }
    let rest = from.joins.split_off(last + 1);
    let joins = mem::replace(&mut from.joins, rest);
    let nothing = TableFactor::NestedJoin {
        table_with_joins: Box::new(TableWithJoins {
            relation: from.relation.clone(),
            joins: Vec::new(),
        }),
        alias: None,
    };
    let mut relation = mem::replace(&mut from.relation, nothing);
    let mut open = Vec::new();
    for join in joins {
        let merges = merging(&join).is_some();
        if merges && !open.is_empty() {
            relation = nested(relation, mem::take(&mut open));
        }
        open.push(join);
        if merges {
            relation = nested(relation, mem::take(&mut open));
        }
    }
    from.relation = relation;
}

fn nested(relation: TableFactor, joins: Vec<JoinAst>) -> TableFactor {
    let table_with_joins = Box::new(TableWithJoins { relation, joins });
    TableFactor::NestedJoin { table_with_joins, alias: None }
}

/// How a join merges columns, if it does.
fn merging(join: &JoinAst) -> Option<(JoinType, &Constraint)> {
    let (join_type, constraint) = match &join.join_operator {
        JoinOperator::Join(of) | JoinOperator::Inner(of) => (JoinType::Inner, of),
        JoinOperator::Left(of) | JoinOperator::LeftOuter(of) => (JoinType::Left, of),
        JoinOperator::Right(of) | JoinOperator::RightOuter(of) => (JoinType::Right, of),
        JoinOperator::FullOuter(of) => (JoinType::Full, of),
        _ => return None,
    };
    let lateral = match &join.relation {
        TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
        TableFactor::UNNEST { .. } => true,
        _ => false,
    };
    let merges = matches!(constraint, Constraint::Using(_) | Constraint::Natural) && !lateral;
    merges.then_some((join_type, constraint))
}

/// Plans joins that merge columns.
#[derive(Debug)]
pub(crate) struct MergingJoins;

impl RelationPlanner for MergingJoins {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::NestedJoin { table_with_joins, alias } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if alias.is_some() {
            let relation = TableFactor::NestedJoin { table_with_joins, alias: None };
            let plan = shown(context.plan(relation)?)?;
            return Ok(RelationPlanning::Planned(Box::new(PlannedRelation { plan, alias })));
        }
        let (join_type, constraint, join) = match table_with_joins.joins.as_slice() {
            [join] if let Some((join_type, constraint)) = merging(join) => {
                (join_type, constraint, join)
            }
            _ => {
                let relation = TableFactor::NestedJoin { table_with_joins, alias };
                return Ok(RelationPlanning::Original(Box::new(relation)));
            }
        };
        let Constraint::Using(told) = constraint else {
            let relation = TableFactor::NestedJoin { table_with_joins, alias };
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let keys = Keys::read(told, context)?;
        let left = context.plan(table_with_joins.relation.clone())?;
        let right = context.plan(join.relation.clone())?;
        let names = if keys.common { common(&left, &right) } else { keys.names };
        let plan = if names.is_empty() {
            LogicalPlanBuilder::from(left).cross_join(right)?.build()?
        } else {
            merged(left, right, join_type, &names, &keys.named)?
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation { plan, alias })))
    }
}

/// What USING says.
#[derive(Default)]
struct Keys {
    /// Whether all common columns are merged.
    common: bool,
    /// The columns that are, if not.
    names: Vec<String>,
    /// Columns that are named with their table.
    named: Vec<(String, String)>,
}

impl Keys {
    fn read(told: &[ObjectName], context: &dyn RelationPlannerContext) -> Result<Self> {
        let mut keys = Self::default();
        for name in told {
            let parts: Vec<_> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
            match parts.as_slice() {
                [common] if common.value.is_empty() => keys.common = true,
                [name] => keys.names.push(context.normalize_ident((*name).clone())),
                [_, table, column] => {
                    let of = |part: &&Ident| context.normalize_ident((*part).clone());
                    keys.named.push((of(table), of(column)));
                }
                _ => {
                    return plan_err!(
                        "USING ({name}): write the name of a column that both tables have, without \
                         that of a table"
                    );
                }
            }
        }
        Ok(keys)
    }
}

/// Names of columns that both sides show, in the order of the left one.
fn common(left: &LogicalPlan, right: &LogicalPlan) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for field in left.schema().fields() {
        let name = field.name();
        if right.schema().has_column_with_unqualified_name(name) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn merged(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    names: &[String],
    named: &[(String, String)],
) -> Result<LogicalPlan> {
    let of = TableReference::bare(format!("({}, {})", tables(&left), tables(&right)));
    let mut columns = Vec::new();
    let (mut left_keys, mut right_keys, mut hidden, mut pairs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let (mine, other) = (key(&left, name, "left")?, key(&right, name, "right")?);
        if left_keys.contains(&mine) {
            return plan_err!("USING names {name} twice: name each column once");
        }
        let (l, r) = (Expr::Column(mine.clone()), Expr::Column(other.clone()));
        let value = match join_type {
            JoinType::Right => r,
            JoinType::Full => coalesce(vec![l, r]),
            _ => l,
        };
        columns.push(value.alias_qualified(Some(of.clone()), name));
        let whole = Column::new(Some(of.clone()), name);
        let alike = [&left, &right]
            .into_iter()
            .flat_map(|side| side.schema().columns_with_unqualified_name(name));
        for column in alike {
            if is_merged(&column) || !is_named(&column, named) {
                hidden.push(column);
            } else {
                pairs.push((Expr::Column(whole.clone()), Expr::Column(column)));
            }
        }
        left_keys.push(mine);
        right_keys.push(other);
    }
    let rest = [&left, &right].into_iter().flat_map(|side| side.schema().columns());
    columns.extend(rest.filter(|column| !hidden.contains(column)).map(Expr::Column));
    let plan = LogicalPlanBuilder::from(left)
        .join(right, join_type, (left_keys, right_keys), None)?
        .project(columns)?
        .build()?;
    if pairs.is_empty() {
        return Ok(plan);
    }
    let empty = EmptyRelation { produce_one_row: false, schema: Arc::new(DFSchema::empty()) };
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(plan),
        Arc::new(LogicalPlan::EmptyRelation(empty)),
        pairs,
        None,
        JoinType::LeftSemi,
        JoinConstraint::Using,
        NullEquality::NullEqualsNothing,
        false,
    )?))
}

/// The column of a side that is meant by a name.
fn key(plan: &LogicalPlan, name: &str, side: &str) -> Result<Column> {
    let schema = plan.schema();
    if !schema.has_column_with_unqualified_name(name) {
        let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return plan_err!(
            "USING ({name}): the {side} side of the join has no column {name}, it has {}",
            there.join(", ")
        );
    }
    Column::from_name(name)
        .normalize_with_schemas_and_ambiguity_check(&[&[schema.as_ref()]], &plan.using_columns()?)
}

/// The names of the tables of a plan, merged ones left out.
fn tables(plan: &LogicalPlan) -> String {
    let mut names: Vec<String> = Vec::new();
    for (table, _) in plan.schema().iter() {
        let name = table.map(ToString::to_string).unwrap_or_default();
        if !name.starts_with('(') && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Whether a statement names a column with its table.
fn is_named(column: &Column, named: &[(String, String)]) -> bool {
    let table = column.relation.as_ref().map(TableReference::table);
    named
        .iter()
        .any(|(of, name)| Some(of.as_str()) == table && (*name == column.name || name == ALL))
}

/// Whether a column is one that a join has merged.
fn is_merged(column: &Column) -> bool {
    column.relation.as_ref().is_some_and(|of| of.table().starts_with('('))
}

/// The plan with the columns that `*` gives, if some were merged.
fn shown(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sets = plan.using_columns()?;
    let mut sets = sets.iter().filter(|set| set.iter().any(is_merged)).peekable();
    if sets.peek().is_none() {
        return Ok(plan);
    }
    let hidden: Vec<_> = sets.flatten().filter(|column| !is_merged(column)).collect();
    let columns = plan.schema().columns().into_iter().filter(|column| !hidden.contains(&column));
    let columns: Vec<_> = columns.map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn is_mark(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => {
            join.join_constraint == JoinConstraint::Using
                && join.join_type == JoinType::LeftSemi
                && matches!(*join.right, LogicalPlan::EmptyRelation(_))
        }
        _ => false,
    }
}

/// Takes the marks away.
pub(crate) fn without_marks(plan: LogicalPlan) -> Result<LogicalPlan> {
    tree::transform_down_with_subqueries(plan, &mut |plan| {
        if !is_mark(&plan) {
            return Ok(Transformed::no(plan));
        }
        match plan {
            LogicalPlan::Join(join) => Ok(Transformed::yes(Arc::unwrap_or_clone(join.left))),
            other => Ok(Transformed::no(other)),
        }
    })
    .data()
}
