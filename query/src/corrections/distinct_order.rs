//! The order of distinct rows by what they show.
//!
//! `SELECT DISTINCT lower(name) FROM cities ORDER BY lower(name)` orders by a column of the answer. DataFusion 55.2 knows it by its
//! place or its name alone, and refuses its expression. Here the expression becomes the place:
//!
//! ```text
//! SELECT DISTINCT lower(name) FROM cities ORDER BY lower(name)   ──►   … ORDER BY 1
//! ```

use barograph_engine::Result;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, OrderByKind, Query, SelectItem, SetExpr, Statement as Ast, Value,
};

use crate::tree::{Tree, Visitor};

/// Orders distinct rows by the places of their columns.
pub(crate) fn by_place(ast: &mut Ast) -> Result<()> {
    ast.walk(&mut Places)
}

struct Places;

impl Visitor for Places {
    fn pre_visit_query(&mut self, query: &mut Query) -> Result<()> {
        let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
        if !matches!(select.distinct, Some(Distinct::Distinct)) {
            return Ok(());
        }
        let Some(OrderByKind::Expressions(keys)) =
            query.order_by.as_mut().map(|order| &mut order.kind)
        else {
            return Ok(());
        };
        // Places behind a wildcard are not known yet.
        let shown = select.projection.iter().map_while(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                Some(expr.to_string())
            }
            _ => None,
        });
        let shown: Vec<_> = shown.collect();
        for key in keys {
            if matches!(
                key.expr,
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)
            ) {
                continue;
            }
            let text = key.expr.to_string();
            if let Some(at) = shown.iter().position(|shown| *shown == text) {
                key.expr = Expr::Value(Value::Number((at + 1).to_string(), false).into());
            }
        }
        Ok(())
    }
}
