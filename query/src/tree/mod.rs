//! Walks of trees, with what happens at a node behind a pointer: of the `syntax` of a statement, and of its `plan`.
//!
//! The walks of sqlparser and DataFusion are generic over what happens at a node. Compiled anew for each visitor and
//! closure, they would be most of the machine code of this crate (docs/adr/0029-query-crate.md). Those here are compiled
//! once, and the crate takes no others.

mod plan;
mod syntax;

pub(crate) use plan::{
    apply, apply_expressions, apply_with_subqueries, exists, exists_in_expressions, map_children,
    map_expressions, map_named_expressions, map_subqueries, transform_down,
    transform_down_with_subqueries, transform_named_expressions, transform_up,
    transform_up_with_subqueries,
};
pub(crate) use syntax::{Tree, Visitor};
