//! SQL expressions over the columns of one row, evaluated for all rows of a batch at once. They read nothing but that
//! row.
//!
//! ```text
//! text ─parse─► names ─► types of the columns, from the caller ─numbers─► plan ─► evaluate: batch ─► column
//! ```
//!
//! Columns may be text that holds numbers, as in a CSV file. Where a number is wanted, such a column is read as numbers
//! (see `numbers`), and the caller passes it in that form.

mod numbers;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use barograph_engine::expression::{Expressions, Input, RowExpression};
use barograph_engine::{Error, Result};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TransformedResult;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::functions::all_default_functions;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as Ast, ExprWithAlias, Ident, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::corrections::intervals::{self, IntervalArithmetic};
use crate::corrections::precedence;
use crate::corrections::single_precision;
use crate::errors::engine_error;
use crate::functions::scalars;
use crate::limits::bounds::Bounds;
use crate::limits::function_memory;
use crate::limits::stack;
use crate::tree::{self, Tree};

/// Longest text of an expression in bytes.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Bounds on the depth and size of an expression.
const BOUNDS: Bounds =
    Bounds { what: "the expression", depth: (200, "an import"), nodes: (5_000, "an import") };
/// Functions whose result may be far longer than their arguments.
const UNBOUNDED: [&str; 3] = ["repeat", "lpad", "rpad"];

/// SQL as the language of expressions.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlExpressions;

impl Expressions for SqlExpressions {
    fn compile(
        &self,
        text: &str,
        column: &dyn Fn(&str) -> Option<DataType>,
    ) -> Result<Arc<dyn RowExpression>> {
        Ok(Arc::new(SqlExpression::new(text, column)?))
    }

    fn names(&self, text: &str) -> Vec<String> {
        let read = || names(&mut parsed(text)?);
        let fits = text.len() <= TEXT_BYTES_MAX;
        fits.then(|| stack::within(&BOUNDS, read)).and_then(Result::ok).unwrap_or_default()
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
struct SqlExpression {
    inputs: Vec<Input>,
    schema: SchemaRef,
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
}

impl SqlExpression {
    fn new(text: &str, column: &dyn Fn(&str) -> Option<DataType>) -> Result<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::request(format!(
                "it has {} bytes, at most {TEXT_BYTES_MAX} are read",
                text.len()
            )));
        }
        stack::within(&BOUNDS, || Self::understood(text, &column))
    }

    fn understood(text: &str, column: &dyn Fn(&str) -> Option<DataType>) -> Result<Self> {
        let state = state()?;
        let mut ast = parsed(text)?;
        let names = names(&mut ast)?;
        let mut fields = Vec::new();
        for name in names {
            let found = column(&name);
            let data_type = found.ok_or_else(|| {
                Error::request(format!(
                    "there is no column {name:?} (a text stands in single quotes, a column whose name has other characters than letters, digits and _ in double quotes)"
                ))
            })?;
            let data_type = plain(data_type);
            if data_type == DataType::Utf8 {
                fields.push(Field::new(numbers::of(&name), DataType::Float64, true));
            }
            fields.push(Field::new(name, data_type, true));
        }
        let all = DFSchema::try_from(Schema::new(fields)).map_err(engine_error)?;
        let logical = state.create_logical_expr_from_sql_expr(ast, &all).map_err(engine_error)?;
        let logical = numbers::wanted(logical, &all).map_err(engine_error)?;
        let logical = tree::transform_up(logical, &mut |expr| intervals::compared(expr, &all))
            .and_then(|expr| {
                tree::transform_up(expr.data, &mut |expr| single_precision::single(expr, &all))
            })
            .data()
            .map_err(engine_error)?;
        let schema = used(&logical, &all);
        let taken = DFSchema::try_from(Arc::clone(&schema)).map_err(engine_error)?;
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(taken.clone()))
            .with_config_options(Arc::clone(state.config_options()))
            .build();
        // Some functions are there only as what they are simplified to.
        let simplifier = ExprSimplifier::new(context);
        let logical = simplifier.coerce(logical, &taken).map_err(engine_error)?;
        let logical = function_memory::expression(logical).map_err(engine_error)?;
        let logical = simplifier.simplify(logical).map_err(engine_error)?;
        let physical = state.create_physical_expr(logical, &taken).map_err(engine_error)?;
        let data_type = plain(physical.data_type(&schema).map_err(engine_error)?);
        let inputs = schema.fields().iter().map(|field| Input {
            name: numbers::name(field.name()).to_owned(),
            data_type: field.data_type().clone(),
        });
        Ok(Self { inputs: inputs.collect(), schema, physical, data_type })
    }

    /// Evaluates the rows of a batch, which begins with row `from`. If a row has no value, each half is evaluated by
    /// itself.
    fn part(
        &self,
        batch: &RecordBatch,
        from: usize,
        refused: &mut dyn FnMut(usize, String),
    ) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let error = match self.whole(batch) {
            Ok(values) => return Ok(values),
            Err(error) => error,
        };
        if rows <= 1 {
            refused(from, error.to_string());
            return Ok(new_null_array(&self.data_type, rows));
        }
        let half = rows / 2;
        let first = self.part(&batch.slice(0, half), from, refused)?;
        let second = self.part(&batch.slice(half, rows - half), from + half, refused)?;
        Ok(concat(&[first.as_ref(), second.as_ref()])?)
    }

    fn whole(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let values = self.physical.evaluate(batch).map_err(engine_error)?;
        let values = values.into_array(batch.num_rows()).map_err(engine_error)?;
        Ok(cast(&values, &self.data_type)?)
    }
}

impl RowExpression for SqlExpression {
    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn evaluate(
        &self,
        inputs: Vec<ArrayRef>,
        rows: usize,
        refused: &mut dyn FnMut(usize, String),
    ) -> Result<ArrayRef> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), inputs, &options)
            .map_err(|e| Error::internal("columns of an expression").with_source(e))?;
        stack::within(&BOUNDS, || self.part(&batch, 0, refused))
    }
}

/// Parses a text into a tree.
fn parsed(text: &str) -> Result<ExprWithAlias> {
    let parser = DFParserBuilder::new(BOUNDS.tokens(text)?)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(BOUNDS.recursion());
    let mut ast =
        parser.build().and_then(|mut parser| parser.parse_into_expr()).map_err(engine_error)?;
    BOUNDS.check_tree(&mut ast.expr)?;
    Ok(ast)
}

/// The session of expressions: functions of one row that always give the same result.
fn state() -> Result<SessionState> {
    let mut config = SessionConfig::new();
    // Names of columns are those of a file.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    let own = scalars()?.into_iter().map(Arc::new);
    let lasting = all_default_functions().into_iter().filter(|function| {
        function.signature().volatility == Volatility::Immutable
            && !UNBOUNDED.contains(&function.name())
    });
    let mut planners = SessionStateDefaults::default_expr_planners();
    planners.insert(0, Arc::new(IntervalArithmetic));
    Ok(SessionStateBuilder::new()
        .with_config(config)
        .with_scalar_functions(lasting.chain(own).collect())
        .with_expr_planners(planners)
        .build())
}

/// The names in an expression, each once; refuses an expression that reads more than a row.
fn names(ast: &mut ExprWithAlias) -> Result<Vec<String>> {
    if let Some(alias) = &ast.alias {
        return Err(Error::request(format!("did not expect {:?}", alias.value)));
    }
    precedence::restore(&mut ast.expr)?;
    let mut names: Vec<String> = Vec::new();
    ast.expr.each_expr(&mut |expr| {
        let name = match expr {
            Ast::Identifier(name) => name.value.clone(),
            Ast::CompoundIdentifier(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| part.value.as_str()).collect();
                parts.join(".")
            }
            Ast::UnaryOp { op: UnaryOperator::Plus, expr: inner } => {
                let inner = mem::replace(inner.as_mut(), one());
                *expr = inner;
                return Ok(());
            }
            // The planner knows no sign of a text.
            Ast::UnaryOp { op: UnaryOperator::Minus, expr: inner } if !is_signed(inner) => {
                let inner = mem::replace(inner.as_mut(), one());
                let one = Ast::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(one()) };
                let (left, right) = (Box::new(one), Box::new(inner));
                let op = BinaryOperator::Multiply;
                *expr = Ast::Nested(Box::new(Ast::BinaryOp { left, op, right }));
                return Ok(());
            }
            Ast::Subquery(_) | Ast::Exists { .. } | Ast::InSubquery { .. } => {
                return Err(Error::request("a query cannot stand in it"));
            }
            _ => return Ok(()),
        };
        *expr = Ast::Identifier(Ident::with_quote('"', name.clone()));
        if !names.contains(&name) {
            names.push(name);
        }
        Ok(())
    })?;
    Ok(names)
}

/// Whether an expression takes a sign as it is.
fn is_signed(expr: &Ast) -> bool {
    matches!(expr, Ast::Value(_) | Ast::Interval(_))
}

fn one() -> Ast {
    Ast::Value(Value::Number("1".to_owned(), false).into())
}

/// The columns that an expression uses.
fn used(expr: &Expr, all: &DFSchema) -> SchemaRef {
    let used = expr.column_refs();
    let is_used = |field: &&FieldRef| used.iter().any(|column| column.name == *field.name());
    Arc::new(Schema::new(all.fields().iter().filter(is_used).cloned().collect::<Vec<_>>()))
}

/// A type without encodings: dictionaries as their values, texts as UTF-8.
fn plain(data_type: DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(*values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        other => other,
    }
}
