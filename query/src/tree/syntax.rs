//! Walks of the syntax tree of a statement: visitors, called by the one adapter that sqlparser's walk is compiled for.

use std::ops::ControlFlow;

use barograph_engine::Result;
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, VisitMut, VisitorMut,
};

/// A tree that can be walked.
pub(crate) trait Tree {
    /// Visits every node.
    ///
    /// # Errors
    /// The first one of the visitor.
    fn walk(&mut self, visitor: &mut dyn Visitor) -> Result<()>;

    /// Calls `visit` with every expression, the inner ones before those around them.
    ///
    /// # Errors
    /// The first one of `visit`.
    fn each_expr(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        self.walk(&mut EachExpr(visit))
    }
}

impl Tree for Statement {
    fn walk(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        walk(self, visitor)
    }
}

impl Tree for Expr {
    fn walk(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        walk(self, visitor)
    }
}

fn walk(tree: &mut impl VisitMut, visitor: &mut dyn Visitor) -> Result<()> {
    let mut walk = Walk { visitor, ended: Ok(()) };
    let _ = tree.visit(&mut walk);
    walk.ended
}

/// The visitor that sqlparser sees. The error stays here: carried up through the walk, it would take stack at each level.
struct Walk<'v> {
    visitor: &'v mut dyn Visitor,
    ended: Result<()>,
}

impl Walk<'_> {
    fn after(&mut self, visited: Result<()>) -> ControlFlow<()> {
        self.ended = visited;
        if self.ended.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

macro_rules! visitor {
    ($($hook:ident: $node:ty,)*) => {
        /// What happens at the nodes of a tree, before and after what is in them. An error ends the walk.
        pub(crate) trait Visitor {
            $(fn $hook(&mut self, _: &mut $node) -> Result<()> {
                Ok(())
            })*
        }

        impl VisitorMut for Walk<'_> {
            type Break = ();

            $(fn $hook(&mut self, node: &mut $node) -> ControlFlow<()> {
                let visited = self.visitor.$hook(node);
                self.after(visited)
            })*
        }
    };
}

visitor! {
    pre_visit_statement: Statement,
    post_visit_statement: Statement,
    pre_visit_query: Query,
    post_visit_query: Query,
    pre_visit_select: Select,
    post_visit_select: Select,
    pre_visit_table_factor: TableFactor,
    post_visit_table_factor: TableFactor,
    pre_visit_relation: ObjectName,
    pre_visit_expr: Expr,
    post_visit_expr: Expr,
}

struct EachExpr<'v>(&'v mut dyn FnMut(&mut Expr) -> Result<()>);

impl Visitor for EachExpr<'_> {
    fn post_visit_expr(&mut self, expr: &mut Expr) -> Result<()> {
        (self.0)(expr)
    }
}
