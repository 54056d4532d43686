//! The logical plan node of gap filling, over the aggregation. Its schema is that of its input and one more column for
//! each fill.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};

use super::bounds::{Bound, Range};
use super::{Fill, line_type};
use crate::functions::printed::same_if_printed_the_same;

/// Rows of an aggregation in windows of time, with the missing windows of every series.
#[derive(Debug, Clone)]
pub(in crate::functions) struct GapFill {
    pub(super) input: LogicalPlan,
    /// The columns that identify a series.
    pub(super) series: Vec<Expr>,
    /// The column with the start of the window.
    pub(super) time: Expr,
    /// Length of a window.
    pub(super) stride: Expr,
    /// Where windows begin, if not at the epoch.
    pub(super) origin: Option<Expr>,
    pub(super) range: Range,
    /// The columns after those of the input.
    pub(super) fills: Vec<Filled>,
    schema: DFSchemaRef,
}

/// A column that has a value where the expression has none.
#[derive(Debug, Clone)]
pub(in crate::functions) struct Filled {
    pub(super) fill: Fill,
    pub(super) expr: Expr,
    name: String,
}

impl GapFill {
    pub(super) fn new(
        input: LogicalPlan,
        series: Vec<Expr>,
        time: Expr,
        stride: Expr,
        origin: Option<Expr>,
        range: Range,
    ) -> Result<Self> {
        let schema = Arc::clone(input.schema());
        let node = Self { input, series, time, stride, origin, range, fills: Vec::new(), schema };
        node.with_schema()
    }

    /// The same node with a column that fills `expr`, and that column.
    pub(super) fn with_fill(mut self, fill: Fill, expr: &Expr) -> Result<(Self, Column)> {
        let name = match fill {
            Fill::Carry => format!("locf({})", expr.schema_name()),
            Fill::Line => format!("interpolate({})", expr.schema_name()),
        };
        if !self.fills.iter().any(|f| f.name == name) {
            self.fills.push(Filled { fill, expr: expr.clone(), name: name.clone() });
            self = self.with_schema()?;
        }
        Ok((self, Column::new_unqualified(name)))
    }

    /// Whether every column of `expr` is one of the aggregation.
    pub(super) fn has(&self, expr: &Expr) -> bool {
        let schema = self.input.schema();
        expr.column_refs().iter().all(|column| schema.has_column(column))
    }

    /// Whatever is not a column of the series may be null.
    fn with_schema(mut self) -> Result<Self> {
        let input = self.input.schema();
        let mut fields = Vec::with_capacity(input.fields().len() + self.fills.len());
        for (qualifier, field) in input.iter() {
            let column = Expr::Column(Column::from((qualifier, field)));
            let kept = self.series.contains(&column) || self.time == column;
            let nullable = field.is_nullable() || !kept;
            let field = Arc::new(field.as_ref().clone().with_nullable(nullable));
            fields.push((qualifier.cloned(), field));
        }
        for Filled { fill, expr, name } in &self.fills {
            let data_type = expr.get_type(input)?;
            let data_type = match fill {
                Fill::Carry => data_type,
                Fill::Line => line_type(&data_type)?,
            };
            fields.push((None, Arc::new(Field::new(name, data_type, true))));
        }
        let metadata = input.metadata().clone();
        self.schema = Arc::new(DFSchema::new_with_metadata(fields, metadata)?);
        Ok(self)
    }
}

same_if_printed_the_same!(GapFill);

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let bounds = self.range.from.iter().chain(&self.range.to).map(|bound| &bound.at);
        self.series
            .iter()
            .chain([&self.time, &self.stride])
            .chain(&self.origin)
            .chain(bounds)
            .chain(self.fills.iter().map(|filled| &filled.expr))
            .cloned()
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFill: time={}, stride={}", self.time, self.stride)?;
        if !self.series.is_empty() {
            let series: Vec<String> = self.series.iter().map(ToString::to_string).collect();
            write!(f, ", series=[{}]", series.join(", "))?;
        }
        for filled in &self.fills {
            write!(f, ", {}", filled.name)?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("GapFill has one input");
        };
        // An optimizer may alias an expression to keep its name; the node names its columns itself.
        let mut exprs = exprs.into_iter().map(Expr::unalias);
        let mut next = || match exprs.next() {
            Some(expr) => Ok(expr),
            None => internal_err!("GapFill got too few expressions"),
        };
        let mut new = self.clone();
        new.input = input;
        for place in new.series.iter_mut().chain([&mut new.time, &mut new.stride]) {
            *place = next()?;
        }
        for place in new.origin.iter_mut() {
            *place = next()?;
        }
        for Bound { at, .. } in new.range.from.iter_mut().chain(new.range.to.iter_mut()) {
            *at = next()?;
        }
        for filled in &mut new.fills {
            filled.expr = next()?;
        }
        new.with_schema()
    }
}
