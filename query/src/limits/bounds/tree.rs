//! Measure of a tree: how deep and how large its plan will be. A table expression of WITH counts wherever it is used.

use std::collections::HashMap;

use barograph_engine::Result;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select,
    SetExpr, SetOperator, Statement, TableFactor, TableWithJoins,
};

use super::{Bounds, Extent, SUBQUERIES_MAX, TABLE_NODES};
use crate::tree::Visitor;

/// Levels for each join: each step of the planner goes through all columns of all joins.
const LEVELS_PER_JOIN: usize = 4;
/// Levels for each EXCEPT and INTERSECT, which are joins of all that stands before them.
const LEVELS_PER_EXCEPT: usize = 16;

/// Depth and size of the plan of a tree, measured while the tree is visited.
pub(super) struct Measure<'b> {
    bounds: &'b Bounds,
    depth: usize,
    /// Subqueries around the current position that are values or conditions.
    subqueries: usize,
    /// The part outside every query.
    top: Part,
    queries: Vec<Part>,
}

/// The figures of a query while it is visited.
#[derive(Default)]
struct Part {
    /// Depth at which it begins.
    base: usize,
    deepest: usize,
    /// Nodes of the plan.
    nodes: u64,
    /// Those among them that do not belong to tables of WITH.
    own: u64,
    /// Nested subqueries that are values or conditions, those around the query included.
    subqueries: usize,
    around: usize,
    /// Levels of the plan between the query and the tables and queries that it reads.
    between: Vec<usize>,
    /// Levels that a visited part adds to `depth`.
    adds: usize,
    /// Queries of WITH that are not visited yet, by their address.
    expected: HashMap<*const Query, String>,
    /// Depth, nodes and subqueries of the queries of WITH that are visited.
    named: HashMap<String, (usize, u64, usize)>,
}

impl<'b> Measure<'b> {
    pub(super) fn new(bounds: &'b Bounds) -> Self {
        Self { bounds, depth: 0, subqueries: 0, top: Part::default(), queries: Vec::new() }
    }

    /// Depth and size of the plan of what was visited.
    pub(super) fn extent(&self) -> Extent {
        Extent { depth: self.top.deepest, nodes: self.top.nodes }
    }

    fn part(&mut self) -> &mut Part {
        self.queries.last_mut().unwrap_or(&mut self.top)
    }

    /// Counts `nodes` that reach `levels` deeper than the current position, `own` of which stand there.
    fn count(&mut self, levels: usize, nodes: u64, own: u64) -> Result<()> {
        let deepest = self.depth.saturating_add(levels);
        if deepest > self.bounds.depth.0 {
            return Err(self.bounds.too_deep());
        }
        let part = self.part();
        part.deepest = part.deepest.max(deepest);
        part.nodes = part.nodes.saturating_add(nodes);
        part.own = part.own.saturating_add(own);
        if part.nodes > self.bounds.nodes.0 as u64 {
            return Err(self.bounds.too_large());
        }
        Ok(())
    }

    /// Counts subqueries that are values and stand `levels` deep inside the current position.
    fn asked_inside(&mut self, levels: usize) -> Result<()> {
        let around = self.subqueries;
        if around + levels > SUBQUERIES_MAX {
            return Err(self.bounds.too_many_subqueries());
        }
        for part in &mut self.queries {
            part.subqueries = part.subqueries.max((around + levels).saturating_sub(part.around));
        }
        Ok(())
    }

    fn between(&self) -> usize {
        self.queries.last().and_then(|part| part.between.last()).copied().unwrap_or_default()
    }
}

impl Visitor for Measure<'_> {
    fn pre_visit_statement(&mut self, _: &mut Statement) -> Result<()> {
        self.depth += 1;
        self.count(0, 1, 1)
    }

    fn post_visit_statement(&mut self, _: &mut Statement) -> Result<()> {
        self.depth -= 1;
        Ok(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> Result<()> {
        let adds = self.between() + set_operations(&query.body);
        let expected = query.with.iter().flat_map(|with| &with.cte_tables);
        let expected = expected.map(|table| (&raw const *table.query, folded(&table.alias.name)));
        let expected = expected.collect();
        let base = self.depth;
        self.depth += adds;
        let around = self.subqueries;
        let part = Part { base, deepest: self.depth, around, adds, expected, ..Part::default() };
        self.queries.push(part);
        self.count(0, 1, 1)
    }

    fn post_visit_query(&mut self, query: &mut Query) -> Result<()> {
        let Some(part) = self.queries.pop() else { return Ok(()) };
        self.depth -= part.adds;
        let levels = part.deepest.saturating_sub(part.base);
        let outer = self.part();
        match outer.expected.remove(&(&raw const *query)) {
            Some(name) => {
                outer.named.insert(name, (levels, part.nodes, part.subqueries));
                self.count(levels, part.own, part.own)
            }
            None => self.count(levels, part.nodes, part.own),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Result<()> {
        let joins = select.from.iter().map(|from| 1 + from.joins.len()).sum::<usize>();
        let conditions = [&select.selection, &select.having, &select.qualify];
        let filters = conditions.into_iter().flatten().map(conjuncts).sum::<usize>();
        let on = select.from.iter().map(join_conjuncts).sum::<usize>();
        let joins = joins.saturating_sub(1) * LEVELS_PER_JOIN;
        self.part().between.push(joins + filters + on);
        self.count(joins, 1, 1)
    }

    fn post_visit_select(&mut self, _: &mut Select) -> Result<()> {
        self.part().between.pop();
        Ok(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        let levels = match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let joins = table_with_joins.joins.len() * LEVELS_PER_JOIN;
                1 + joins + join_conjuncts(table_with_joins)
            }
            _ => 0,
        };
        let between = self.between() + levels;
        self.part().between.push(between);
        self.count(between, TABLE_NODES, TABLE_NODES)
    }

    fn post_visit_table_factor(&mut self, _: &mut TableFactor) -> Result<()> {
        self.part().between.pop();
        Ok(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> Result<()> {
        let [name] = relation.0.as_slice() else { return Ok(()) };
        let Some(name) = name.as_ident().map(folded) else { return Ok(()) };
        let used = self.queries.iter().rev().find_map(|part| part.named.get(&name)).copied();
        match used {
            Some((levels, nodes, subqueries)) => {
                self.asked_inside(subqueries)?;
                self.count(self.between().saturating_add(levels), nodes, 0)
            }
            None => Ok(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Result<()> {
        self.depth += 1;
        if is_query(expr) {
            self.subqueries += 1;
            self.asked_inside(0)?;
        }
        let levels = match expr {
            Expr::Cast { data_type, .. } => levels_of(data_type),
            _ => 0,
        };
        self.count(levels, 1, 1)
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Result<()> {
        self.depth -= 1;
        self.subqueries -= usize::from(is_query(expr));
        Ok(())
    }
}

fn is_query(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

/// The name of a table as the planner compares it.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Depth of the set operations of a query.
fn set_operations(body: &SetExpr) -> usize {
    let (mut open, mut deepest) = (vec![(body, 1)], 1);
    while let Some((body, depth)) = open.pop() {
        deepest = deepest.max(depth);
        if let SetExpr::SetOperation { op, left, right, .. } = body {
            let levels = if *op == SetOperator::Union { 1 } else { LEVELS_PER_EXCEPT };
            open.push((left, depth + levels));
            open.push((right, depth + levels));
        }
    }
    deepest
}

/// The conditions joined by AND: the planner merges those of nested queries.
fn conjuncts(condition: &Expr) -> usize {
    let (mut open, mut count) = (vec![condition], 0);
    while let Some(condition) = open.pop() {
        match condition {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                open.push(left);
                open.push(right);
            }
            Expr::Nested(inner) => open.push(inner),
            _ => count += 1,
        }
    }
    count
}

fn join_conjuncts(from: &TableWithJoins) -> usize {
    let constraint = |operator: &JoinOperator| match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => match constraint {
            // One condition for each join is counted with the join.
            JoinConstraint::On(condition) => conjuncts(condition) - 1,
            JoinConstraint::Using(columns) => columns.len().saturating_sub(1),
            _ => 0,
        },
        _ => 0,
    };
    from.joins.iter().map(|join| constraint(&join.join_operator)).sum()
}

/// Depth of a type.
fn levels_of(data_type: &DataType) -> usize {
    use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
    let (mut open, mut deepest) = (vec![(data_type, 0)], 0);
    while let Some((data_type, depth)) = open.pop() {
        deepest = deepest.max(depth);
        match data_type {
            DataType::Array(
                ArrayElemTypeDef::AngleBracket(inner)
                | ArrayElemTypeDef::SquareBracket(inner, _)
                | ArrayElemTypeDef::Parenthesis(inner),
            )
            | DataType::Nullable(inner)
            | DataType::LowCardinality(inner) => open.push((inner, depth + 1)),
            DataType::Map(key, value) => {
                open.push((key, depth + 1));
                open.push((value, depth + 1));
            }
            DataType::Struct(fields, _) => {
                open.extend(fields.iter().map(|field| (&field.field_type, depth + 1)));
            }
            _ => {}
        }
    }
    deepest
}
