//! Spellings that are one for the planner: `FETCH FIRST n ROWS ONLY` is LIMIT, and two computed columns that differ may
//! have one name.
//!
//! A column without a name has the spelling of its expression as its name. DataFusion 55.2 spells some that differ alike, and
//! refuses the second; and it refuses `SELECT sum(x) + 1 … GROUP BY k ORDER BY 1`, whose column it cannot find by that name.
//! They are then named by what was written.
//!
//! ```text
//! SELECT NOT (a AND b), NOT a AND b                          both are "NOT a AND b"
//! SELECT NOT (a AND b) AS "NOT (a AND b)", NOT a AND b AS "NOT a AND b"
//! ```

use std::collections::HashMap;
use std::mem;

use barograph_engine::Result;
use datafusion::sql::sqlparser::ast::{
    Expr, Fetch, Ident, LimitClause, Query, Select, SelectItem, Statement as Ast, Value,
};

use crate::tree::{Tree, Visitor};

/// Writes FETCH as LIMIT. One with ties or of a share stays.
pub(crate) fn limit(ast: &mut Ast) -> Result<()> {
    ast.walk(&mut Limits)
}

/// Names the computed columns that have no name; the second of two alike has its number in it.
pub(crate) fn name(ast: &mut Ast) -> Result<()> {
    ast.walk(&mut Names)
}

struct Limits;

impl Visitor for Limits {
    fn pre_visit_query(&mut self, query: &mut Query) -> Result<()> {
        let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch else {
            return Ok(());
        };
        let rows = quantity.clone().unwrap_or_else(one);
        match &mut query.limit_clause {
            None => {
                let (limit, offset, limit_by) = (Some(rows), None, Vec::new());
                query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by });
            }
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
            Some(_) => return Ok(()),
        }
        query.fetch = None;
        Ok(())
    }
}

struct Names;

impl Visitor for Names {
    fn pre_visit_select(&mut self, select: &mut Select) -> Result<()> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            let (text, is_column) = match expr {
                Expr::Identifier(name) => (name.value.clone(), true),
                Expr::CompoundIdentifier(names) => {
                    (names.last().map_or_else(String::new, |name| name.value.clone()), true)
                }
                _ => (expr.to_string(), false),
            };
            let times = seen.entry(text.clone()).and_modify(|times| *times += 1).or_insert(1);
            if is_column && *times == 1 {
                continue;
            }
            let name = if *times == 1 { text } else { format!("{text} {times}") };
            let expr = mem::replace(expr, one());
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
        }
        Ok(())
    }
}

fn one() -> Expr {
    Expr::Value(Value::Number("1".to_owned(), false).into())
}
