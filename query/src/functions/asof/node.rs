//! The logical plan node of an as-of join, over both sides and with the schema of a join.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef, JoinType, Result, internal_err};
use datafusion::logical_expr::builder::build_join_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::functions::printed::same_if_printed_the_same;

/// Left rows, each with the newest right row that is not after it.
#[derive(Debug, Clone)]
pub(in crate::functions) struct AsOf {
    pub(super) left: LogicalPlan,
    pub(super) right: LogicalPlan,
    /// Keys that are equal, left and right.
    pub(super) on: Vec<(Expr, Expr)>,
    /// Times, left and right.
    pub(super) time: (Expr, Expr),
    /// How much older the right row may be.
    pub(super) tolerance: Option<Expr>,
    /// Whether left rows without a match stay.
    pub(super) outer: bool,
    schema: DFSchemaRef,
}

impl AsOf {
    pub(super) fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        on: Vec<(Expr, Expr)>,
        time: (Expr, Expr),
        tolerance: Option<Expr>,
        outer: bool,
    ) -> Result<Self> {
        let kind = if outer { JoinType::Left } else { JoinType::Inner };
        let schema = build_join_schema(left.schema(), right.schema(), &kind)?;
        Ok(Self { left, right, on, time, tolerance, outer, schema: Arc::new(schema) })
    }

    /// The same node over other inputs with the same columns.
    pub(super) fn over(&self, left: LogicalPlan, right: LogicalPlan) -> Result<Self> {
        let this = self.clone();
        Self::new(left, right, this.on, this.time, this.tolerance, this.outer)
    }

    fn left_exprs(&self) -> impl Iterator<Item = &Expr> {
        self.on.iter().map(|(left, _)| left).chain([&self.time.0])
    }

    fn right_exprs(&self) -> impl Iterator<Item = &Expr> {
        self.on.iter().map(|(_, right)| right).chain([&self.time.1])
    }
}

same_if_printed_the_same!(AsOf);

/// Positions of the columns of `exprs` in `schema`.
fn places<'a>(schema: &DFSchema, exprs: impl Iterator<Item = &'a Expr>) -> BTreeSet<usize> {
    exprs
        .flat_map(Expr::column_refs)
        .filter_map(|column| schema.maybe_index_of_column(column))
        .collect()
}

impl UserDefinedLogicalNodeCore for AsOf {
    fn name(&self) -> &str {
        "AsOf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let pairs = self.on.iter().chain([&self.time]);
        pairs.flat_map(|(left, right)| [left, right]).chain(&self.tolerance).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.outer { "Left" } else { "Inner" };
        write!(f, "AsOf: {kind}, {} >= {}", self.time.0, self.time.1)?;
        for (left, right) in &self.on {
            write!(f, ", {left} = {right}")?;
        }
        if let Some(tolerance) = &self.tolerance {
            write!(f, ", tolerance={tolerance}")?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(right), Some(left), true) = (inputs.pop(), inputs.pop(), inputs.is_empty())
        else {
            return internal_err!("AsOf has two inputs");
        };
        let mut exprs = exprs.into_iter().map(Expr::unalias);
        let mut next = || match exprs.next() {
            Some(expr) => Ok(expr),
            None => internal_err!("AsOf got too few expressions"),
        };
        let mut new = self.clone();
        for (left, right) in new.on.iter_mut().chain([&mut new.time]) {
            *left = next()?;
            *right = next()?;
        }
        if let Some(tolerance) = &mut new.tolerance {
            *tolerance = next()?;
        }
        new.over(left, right)
    }

    /// The columns that are asked for, and those that the join itself reads.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let border = self.left.schema().fields().len();
        let mut left = places(self.left.schema(), self.left_exprs());
        let mut right = places(self.right.schema(), self.right_exprs());
        for column in output_columns {
            match column.checked_sub(border) {
                Some(column) => right.insert(column),
                None => left.insert(*column),
            };
        }
        Some(vec![left.into_iter().collect(), right.into_iter().collect()])
    }
}
