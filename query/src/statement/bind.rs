//! Binding of parameters: question marks are numbered in the order in which they stand, and values replace the numbers.
//! The columns of the answer may depend on the values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use barograph_engine::{Error, Result};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Expr, Statement as Ast, Value, ValueWithSpan};

use crate::errors::engine_error;
use crate::limits::stack::DeepPlan;
use crate::opaque::Opaque;
use crate::statement::prepare::{answered, declared, typed, without_views};
use crate::statement::prepared::Statement;
use crate::statement::session::{UNTYPED, columns};
use crate::tree::Tree;

/// A parameter without a number.
const QUESTION_MARK: &str = "?";

/// Turns question marks into `$1`, `$2` ….
///
/// # Errors
/// `Request` if some parameters have a number and others do not.
pub(crate) fn number(ast: &mut Ast) -> Result<()> {
    let (mut places, mut numbered) = (Vec::new(), None);
    each_parameter(ast, &mut |name, place| {
        if name == QUESTION_MARK {
            places.push(place);
        } else {
            numbered = Some(name.clone());
        }
    })?;
    match numbered {
        _ if places.is_empty() => return Ok(()),
        Some(name) => {
            return Err(Error::request(format!(
                "the statement has parameters ? and {name}: write all of them ?, or all of them $1, $2 …"
            )));
        }
        None => {}
    }
    // Where a parameter stands in the text, not in the tree, is its place among the values.
    places.sort_unstable();
    each_parameter(ast, &mut |name, place| {
        if let Ok(at) = places.binary_search(&place) {
            *name = format!("${}", at + 1);
        }
    })
}

/// Calls `of` with the name of every parameter, and the line and column where it stands.
fn each_parameter(ast: &mut Ast, of: &mut dyn FnMut(&mut String, (u64, u64))) -> Result<()> {
    ast.each_expr(&mut |expr| {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) = expr {
            of(name, (span.start.line, span.start.column));
        }
        Ok(())
    })
}

impl Statement {
    /// The statement with a value for each parameter, in order. It has no parameters left, and its columns have the
    /// types that the values give them.
    ///
    /// # Errors
    /// `Request` if there are more or fewer values than parameters, or one does not fit its place.
    pub(crate) async fn bind(&self, values: &[ScalarValue]) -> Result<Self> {
        let parameters = self.parameters.fields();
        if parameters.len() != values.len() {
            return Err(Error::request(format!(
                "{} parameters were given, the statement has {}",
                values.len(),
                parameters.len()
            )));
        }
        if parameters.is_empty() {
            return Ok(self.clone());
        }
        let mut fitting = values.to_vec();
        let plan = match &self.deferred {
            Some(deferred) => {
                let plan = deferred.bound(values).await?;
                // Their types may follow from the values that the plan was made with.
                for (number, field) in declared(&plan)? {
                    if let Some(value) = fitting.get_mut(number.saturating_sub(1)) {
                        *value = fit(&field, value)?;
                    }
                }
                plan
            }
            None => {
                for (field, value) in parameters.iter().zip(&mut fitting) {
                    *value = fit(field, value)?;
                }
                LogicalPlan::clone(&self.plan)
            }
        };
        let plan =
            plan.replace_params_with_values(&ParamValues::from(fitting)).map_err(engine_error)?;
        let plan = without_views(typed(plan)?)?;
        let schema = answered(&plan);
        let parameters = columns(Vec::new());
        let text = Arc::clone(&self.text);
        let partition = self.partition.clone();
        let plan = Opaque::new(DeepPlan::new(plan, self.plan.depth()));
        let (deferred, optimized, extent) = (None, None, self.extent);
        Ok(Self { text, plan, schema, parameters, deferred, optimized, partition, extent })
    }
}

/// A parameter whose type does not follow from its position.
pub(crate) fn untyped(field: Field) -> Field {
    field.with_metadata(HashMap::from([(UNTYPED.to_owned(), "1".to_owned())]))
}

/// The value in the type of its position. One that the type cannot hold stays as it is, and is compared as if it had
/// been written there; text is parsed as the type that its position takes.
fn fit(field: &Field, value: &ScalarValue) -> Result<ScalarValue> {
    let (wanted, given) = (field.data_type(), value.data_type());
    if field.metadata().contains_key(UNTYPED) || *wanted == given {
        return Ok(value.clone());
    }
    let cast = value.cast_to(wanted);
    if is_measure(wanted) && is_measure(&given) {
        let back = cast.as_ref().ok().and_then(|cast| cast.cast_to(&given).ok());
        return Ok(match cast {
            Ok(cast) if back.as_ref() == Some(value) => cast,
            _ => value.clone(),
        });
    }
    cast.map_err(|error| {
        Error::request(format!(
            "parameter {} is {given} and the statement takes {wanted}: {}",
            field.name(),
            engine_error(error)
        ))
    })
}

/// Whether values of a type may lie between those of another: numbers, and dates and moments.
fn is_measure(of: &DataType) -> bool {
    let is_time = matches!(of, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
    of.is_numeric() || is_time
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn numbered(text: &str) -> Result<String> {
        let mut parsed = Parser::parse_sql(&GenericDialect {}, text).unwrap();
        number(&mut parsed[0])?;
        Ok(parsed[0].to_string())
    }

    #[test]
    fn question_marks_are_numbered_as_they_stand() {
        let text = "SELECT ?, '?' FROM t JOIN u ON t.a = ? AND t.b > ?\nWHERE x BETWEEN ? AND ? -- ?\n\
                    GROUP BY f(?) HAVING count(*) > ? ORDER BY ? LIMIT ? OFFSET ?";
        let expected = "SELECT $1, '?' FROM t JOIN u ON t.a = $2 AND t.b > $3 \
                        WHERE x BETWEEN $4 AND $5 GROUP BY f($6) HAVING count(*) > $7 ORDER BY $8 \
                        LIMIT $9 OFFSET $10";
        assert_eq!(numbered(text).unwrap(), expected);
        let inner =
            "SELECT CASE ? WHEN ? THEN ? ELSE ? END IN (SELECT a FROM t WHERE a = ?) OR ? LIKE ?";
        assert_eq!(
            numbered(inner).unwrap(),
            "SELECT CASE $1 WHEN $2 THEN $3 ELSE $4 END IN (SELECT a FROM t WHERE a = $5) OR $6 LIKE $7"
        );
        assert_eq!(numbered("SELECT $2, $1").unwrap(), "SELECT $2, $1");
    }

    #[test]
    fn both_kinds_at_once_are_refused() {
        let error = numbered("SELECT ?, $1").unwrap_err().to_string();
        assert!(error.contains("? and $1"), "{error}");
    }

    #[test]
    fn a_number_is_never_rounded_into_its_place() {
        let field = |of: DataType| Field::new("$1", of, true);
        let float = |value| ScalarValue::Float64(Some(value));
        let fit = |of, value| fit(&field(of), &value).unwrap();
        assert_eq!(fit(DataType::Int32, float(2.0)), ScalarValue::Int32(Some(2)));
        assert_eq!(fit(DataType::Int32, float(2.5)), float(2.5));
        assert_eq!(fit(DataType::Float32, float(30.5)), ScalarValue::Float32(Some(30.5)));
        assert_eq!(fit(DataType::Float32, float(30.1)), float(30.1));
        let large = ScalarValue::Int64(Some(1 << 40));
        assert_eq!(fit(DataType::Int32, large.clone()), large);
        let noon = ScalarValue::TimestampMicrosecond(Some(43_200_000_000), None);
        assert_eq!(fit(DataType::Date32, noon.clone()), noon);
        let midnight = ScalarValue::TimestampMicrosecond(Some(86_400_000_000), None);
        assert_eq!(fit(DataType::Date32, midnight), ScalarValue::Date32(Some(1)));
        let null = ScalarValue::Int64(None);
        assert_eq!(fit(DataType::Int32, null), ScalarValue::Int32(None));
    }
}
