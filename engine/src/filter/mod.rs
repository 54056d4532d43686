//! The filter of a read: which rows it wants, and which files and pages it can skip.
//!
//! A [`Predicate`] is a SQL boolean expression over the columns of one table:
//!
//! ```text
//! temperature > 30 AND (humidity IS NOT NULL OR NOT wind_direction BETWEEN 90 AND 180)
//! ```
//!
//! | what | how |
//! |---|---|
//! | operators | `= <> != < <= > >=`, `BETWEEN`, `IN (…)`, `IS [NOT] NULL`, `AND`, `OR`, `NOT`, parentheses |
//! | operands | a column and a literal (either side), or two columns of like types |
//! | literals | numbers, `'text'`, `'2026-11-22T10:00:00Z'` or `TIMESTAMP '…'`, `TRUE`, `FALSE`, `NULL` |
//!
//! - **Nulls**: SQL's three values. A row is wanted only where the expression is certainly true.
//! - **Numbers** are compared exactly as they are written: `wind_direction > 10.5` asks an integer
//!   column for 11 and more, `wind_direction = 10.5` for nothing. A single-precision column is the
//!   exception that makes `temperature = 0.1` find what was stored as 0.1: the literal is rounded to
//!   the nearest single-precision number first, as DuckDB does for `REAL` and a decimal literal.
//! - **NaN** equals itself and is greater than every number; `-0.0` equals `0.0` (as in DuckDB and
//!   PostgreSQL). Write it `'NaN'`, and the infinities `'Infinity'` and `'-Infinity'`.
//! - **Text** compares by its UTF-8 bytes, upper and lower case apart.

mod build;
mod evaluate;
mod gate;
pub(crate) mod kernels;
mod literal;
mod parse;
mod statistics;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use barograph_lake::TableSchema;

use crate::{Error, Result};

pub use build::{Builder, Wanted};
pub use literal::{Literal, Set, Test};

/// A filter over the rows of one table. Cheap to clone; `Display` prints SQL that parses to an equal
/// predicate.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    root: Arc<Node>,
    columns: Arc<[usize]>,
    schema: SchemaRef,
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A condition with three possible answers: true, false, unknown.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The same answer for every row; `None` is unknown.
    Constant(Option<bool>),
    /// Whether a column is null.
    IsNull { column: usize },
    /// A column compared with a literal; `test` is what `op` and `literal` mean for the column's type.
    Compare { column: usize, op: Op, literal: Literal, test: Test },
    /// A column compared with another column.
    Columns { left: usize, op: Op, right: usize },
    /// A column that is among literals; `set` is what they mean for the column's type.
    Among { column: usize, literals: Vec<Literal>, set: Set },
    /// The negation.
    Not(Box<Node>),
    /// True where all are true.
    And(Vec<Node>),
    /// True where any is true.
    Or(Vec<Node>),
}

/// Bounds on the depth and size of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterBounds {
    /// Deepest nesting of parentheses, `NOT` and signs.
    pub depth: usize,
    /// Most names, operators and parentheses; values of lists are not counted.
    pub operators: usize,
}

impl Default for FilterBounds {
    fn default() -> Self {
        Self { depth: 64, operators: 2_000 }
    }
}

impl Predicate {
    /// Reads `text` as a condition over the columns of `schema`.
    ///
    /// Errors are of kind `Request` and name the place, the construct and what may stand there.
    pub fn parse(text: &str, schema: &TableSchema) -> Result<Self> {
        Self::parse_within(text, schema, FilterBounds::default())
    }

    /// Like [`Self::parse`], but refuses what is deeper or larger than `bounds`.
    pub fn parse_within(text: &str, schema: &TableSchema, bounds: FilterBounds) -> Result<Self> {
        let root = parse::parse(text, schema, bounds).map_err(|error| named(text, &error))?;
        let mut columns = Vec::new();
        root.visit_columns(&mut |column| columns.push(column));
        columns.sort_unstable();
        columns.dedup();
        Ok(Self { root: Arc::new(root), columns: columns.into(), schema: schema.arrow().clone() })
    }

    /// The condition.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Indexes into the table's Arrow schema of the columns it reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }
}

/// The error with the filter it is about, cut where a filter is long.
fn named(text: &str, error: &Error) -> Error {
    const SHOWN: usize = 200;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    Error::new(error.kind(), format!("filter `{shown}{more}`: {error}"))
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.write(&self.schema, f)
    }
}

impl Op {
    /// The operator with its sides exchanged.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            same => same,
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

impl Node {
    pub fn visit_columns(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Constant(_) => {}
            Self::IsNull { column } | Self::Compare { column, .. } | Self::Among { column, .. } => {
                visit(*column);
            }
            Self::Columns { left, right, .. } => {
                visit(*left);
                visit(*right);
            }
            Self::Not(node) => node.visit_columns(visit),
            Self::And(nodes) | Self::Or(nodes) => {
                nodes.iter().for_each(|node| node.visit_columns(visit));
            }
        }
    }

    fn write(&self, schema: &SchemaRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |column: usize| parse::quote(schema.field(column).name());
        match self {
            Self::Constant(None) => f.write_str("NULL"),
            Self::Constant(Some(true)) => f.write_str("TRUE"),
            Self::Constant(Some(false)) => f.write_str("FALSE"),
            Self::IsNull { column } => write!(f, "{} IS NULL", name(*column)),
            Self::Compare { column, op, literal, .. } => {
                write!(f, "{} {} {literal}", name(*column), op.sql())
            }
            Self::Columns { left, op, right } => {
                write!(f, "{} {} {}", name(*left), op.sql(), name(*right))
            }
            Self::Among { column, literals, .. } => {
                write!(f, "{} IN (", name(*column))?;
                for (i, literal) in literals.iter().enumerate() {
                    write!(f, "{}{literal}", if i == 0 { "" } else { ", " })?;
                }
                f.write_char(')')
            }
            Self::Not(node) => match node.as_ref() {
                Self::IsNull { column } => write!(f, "{} IS NOT NULL", name(*column)),
                node => {
                    f.write_str("NOT (")?;
                    node.write(schema, f)?;
                    f.write_char(')')
                }
            },
            Self::And(nodes) => write_list(nodes, " AND ", schema, f),
            Self::Or(nodes) => write_list(nodes, " OR ", schema, f),
        }
    }
}

fn write_list(
    nodes: &[Node],
    between: &str,
    schema: &SchemaRef,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        let nested = matches!(node, Node::And(_) | Node::Or(_));
        f.write_str(if nested { "(" } else { "" })?;
        node.write(schema, f)?;
        f.write_str(if nested { ")" } else { "" })?;
    }
    Ok(())
}
