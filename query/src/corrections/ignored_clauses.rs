//! Clauses that DataFusion would ignore: they are refused.
//!
//! The parser reads clauses of many databases, and DataFusion 55.2 drops some of them, `PREWHERE` and `FOR UPDATE` among
//! them. An answer that left out half of the question is worse than none.

use barograph_engine::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, LimitClause, Query, Select, Statement as Ast, TableFactor,
};

use crate::tree::{Tree, Visitor};

/// Refuses a statement with a clause that DataFusion would ignore.
///
/// # Errors
/// `Request` with the clause and what to write in its place.
pub(crate) fn refuse(ast: &mut Ast) -> Result<()> {
    ast.walk(&mut IgnoredClauses)
}

struct IgnoredClauses;

impl Visitor for IgnoredClauses {
    fn pre_visit_query(&mut self, query: &mut Query) -> Result<()> {
        if let Some(lock) = query.locks.first() {
            return refused(
                &lock.to_string(),
                "SQL only reads here, and a query sees one instant of all tables without a lock",
            );
        }
        if let Some(fetch) = &query.fetch {
            return refused(&fetch.to_string(), "write LIMIT, or compare rank() OVER (ORDER BY …)");
        }
        let Some(LimitClause::LimitOffset { limit, offset, limit_by }) = &query.limit_clause else {
            return Ok(());
        };
        if !limit_by.is_empty() {
            return refused(
                "LIMIT … BY",
                "number the rows with row_number() OVER (PARTITION BY …)",
            );
        }
        let counts = [limit.as_ref(), offset.as_ref().map(|offset| &offset.value)];
        if counts.into_iter().flatten().any(|of| matches!(of, Expr::Subquery(_))) {
            return refused("LIMIT of a query", "write the number, or bind it to a parameter");
        }
        Ok(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Result<()> {
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) =
            &select.group_by;
        if let Some(modifier) = modifiers.first() {
            return refused(
                &format!("GROUP BY … {modifier}"),
                "write GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS (…)",
            );
        }
        if select.prewhere.is_some() {
            return refused("PREWHERE", "write WHERE");
        }
        if select.top.is_some() {
            return refused("TOP", "write LIMIT");
        }
        if !select.connect_by.is_empty() {
            return refused("CONNECT BY", "write WITH RECURSIVE");
        }
        Ok(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Collate { .. } => {
                refused("COLLATE", "texts are ordered by their bytes: write lower(…)")
            }
            _ => Ok(()),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> Result<()> {
        let (sample, hints, partitions, ordinality) = match table {
            TableFactor::Table { sample, with_hints, partitions, with_ordinality, .. } => {
                (sample, !with_hints.is_empty(), !partitions.is_empty(), *with_ordinality)
            }
            TableFactor::Derived { sample, .. } => (sample, false, false, false),
            _ => return Ok(()),
        };
        if sample.is_some() {
            return refused("TABLESAMPLE", "write WHERE random() < 0.01");
        }
        if hints {
            return refused("WITH (…) after a table", "leave it out");
        }
        if partitions {
            return refused("PARTITION (…) after a table", "bound the time in WHERE");
        }
        if ordinality {
            return refused("WITH ORDINALITY", "write row_number() OVER ()");
        }
        Ok(())
    }
}

fn refused(clause: &str, mend: &str) -> Result<()> {
    Err(Error::request(format!("{clause} is not supported: {mend}")))
}
