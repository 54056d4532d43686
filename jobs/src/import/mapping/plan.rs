//! The plan of a mapping: where each column of the table comes from, for a file with these columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use barograph_engine::expression::{Expressions, RowExpression};
use barograph_lake::TableSchema;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, TIME_COLUMN};

use super::super::time::TimeForm;
use super::{Expression, Mapping, Scalar, Step, Time};
use crate::{Error, Result};

/// The columns of a file.
#[derive(Debug, Clone)]
pub(crate) enum Columns {
    /// These, as the file's header or schema says.
    Known(SchemaRef),
    /// Any: each row says which it has (JSON lines).
    Open,
}

/// The origins of the columns of a table.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The columns of the table that have an origin, key and time first.
    pub columns: Vec<(FieldRef, Origin)>,
    /// Columns of the file to read, to which origins point.
    pub needed: Vec<String>,
    /// Columns of the file that no column of the table is made from.
    pub ignored: Vec<String>,
    /// Value columns of the table that stay null.
    pub absent: Vec<String>,
    /// The null markers, besides the empty text.
    pub null: Vec<String>,
    /// The forms of times, by the column of the table that they are for.
    pub times: BTreeMap<String, TimeForm>,
}

/// The origin of one column of a table.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// From `needed[column]`.
    File {
        /// Index into `needed`.
        column: usize,
        /// The conversion of its numbers.
        steps: Vec<Step>,
        /// The meanings of its values.
        values: Option<Values>,
    },
    /// From these of `needed`, joined by a blank.
    Joined(Vec<usize>),
    /// The same value in every row, as text.
    Constant(String),
    /// From a SQL expression.
    Computed(Arc<Computed>),
}

/// The meanings of the values of a column.
pub(crate) type Values = Arc<BTreeMap<String, Scalar>>;

/// A SQL expression over columns of the file.
#[derive(Debug)]
pub(crate) struct Computed {
    /// The expression as it is written.
    pub text: String,
    /// The compiled expression.
    pub expression: Arc<dyn RowExpression>,
    /// The index in `needed` of each of its inputs, and the meanings of its values.
    pub inputs: Vec<(usize, Option<Values>)>,
}

/// What the names in an expression may mean, and who understands it.
#[derive(Clone, Copy)]
struct Scope<'a> {
    mapping: &'a Mapping,
    file: &'a Columns,
    expressions: &'a dyn Expressions,
}

impl Plan {
    /// Binds a mapping to a table and a file.
    pub(crate) fn new(
        table: &TableSchema,
        mapping: &Mapping,
        file: &Columns,
        expressions: &dyn Expressions,
    ) -> Result<Self> {
        for name in mapping.columns.keys() {
            if table.column(name)? == table.ingested_at() {
                return Err(Error::request(format!(
                    "column {name} is assigned by the engine: do not map it"
                )));
            }
        }
        let names: Option<Vec<&str>> = match file {
            Columns::Known(schema) => {
                Some(schema.fields().iter().map(|field| field.name().as_str()).collect())
            }
            Columns::Open => None,
        };
        let has = |name: &str| names.as_ref().is_none_or(|names| names.contains(&name));
        let listed = || listed(names.as_deref().unwrap_or_default());
        let mut plan = Self {
            columns: Vec::new(),
            needed: Vec::new(),
            ignored: Vec::new(),
            absent: Vec::new(),
            null: mapping.null.clone(),
            times: times(table, mapping)?,
        };
        for (index, field) in table.arrow().fields().iter().take(table.ingested_at()).enumerate() {
            let same = || Expression::Column { name: field.name().clone(), steps: Vec::new() };
            if let Some(columns) = joined(table, mapping, index, field.name())? {
                if let Some(name) = columns.iter().find(|name| !has(name)) {
                    return Err(missing(field.name(), name, &listed()));
                }
                let columns = columns.iter().map(|name| plan.need(name.clone())).collect();
                plan.columns.push((strip(field), Origin::Joined(columns)));
                continue;
            }
            let expression = mapping.columns.get(field.name());
            let expression = expression.map(|it| named(it, names.as_deref().unwrap_or_default()));
            let origin = match expression {
                Some(Expression::Column { name, .. }) if !has(&name) => {
                    return Err(missing(field.name(), &name, &listed()));
                }
                Some(expression) => expression,
                None if has(field.name()) => same(),
                None if index < FIRST_VALUE_COLUMN => {
                    return Err(Error::request(format!(
                        "table {:?} needs {}, which the file does not have: say where it comes from, as in --map {}=COLUMN; the file has {}",
                        table.name(),
                        field.name(),
                        field.name(),
                        listed()
                    )));
                }
                None => {
                    plan.absent.push(field.name().clone());
                    continue;
                }
            };
            let origin = plan.origin(origin, field, Scope { mapping, file, expressions })?;
            plan.columns.push((strip(field), origin));
        }
        for column in mapping.values.keys() {
            if !plan.needed.contains(column) {
                return Err(Error::request(format!(
                    "values are given for {column:?}, but no column of the table is made from it"
                )));
            }
        }
        let needed = &plan.needed;
        let ignored = names.into_iter().flatten().filter(|name| !needed.iter().any(|n| n == name));
        plan.ignored = ignored.map(str::to_owned).collect();
        Ok(plan)
    }

    fn origin(
        &mut self,
        expression: Expression,
        field: &Field,
        scope: Scope<'_>,
    ) -> Result<Origin> {
        Ok(match expression {
            Expression::Number(number) => Origin::Constant(number.to_string()),
            Expression::Text(text) => Origin::Constant(text),
            Expression::Column { name, steps } => {
                let values = scope.mapping.values.get(&name).cloned().map(Arc::new);
                Origin::File { column: self.need(name), steps, values }
            }
            Expression::Sql(text) => Origin::Computed(Arc::new(self.computed(text, field, scope)?)),
        })
    }

    /// Understands a SQL expression over the columns of the file.
    fn computed(&mut self, text: String, field: &Field, scope: Scope<'_>) -> Result<Computed> {
        let Scope { mapping, file, expressions } = scope;
        let wrong = |reason: &dyn std::fmt::Display| {
            let has = match file {
                Columns::Known(schema) => {
                    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                    format!("; the file has {}", listed(&names))
                }
                Columns::Open => String::new(),
            };
            Error::request(format!("column {}: expression `{text}`: {reason}{has}", field.name()))
        };
        let data_type = |name: &str| match file {
            // What a value stands for is looked up by its text.
            _ if mapping.values.contains_key(name) => Some(DataType::Utf8),
            Columns::Known(schema) => {
                schema.field_with_name(name).ok().map(|field| field.data_type().clone())
            }
            Columns::Open => Some(DataType::Utf8),
        };
        let expression = expressions.compile(&text, &data_type).map_err(|error| wrong(&error))?;
        if !is_fit(expression.data_type(), field.data_type()) {
            let (gives, holds) = (expression.data_type(), field.data_type());
            return Err(wrong(&format!("it gives {gives}, and the column holds {holds}")));
        }
        let inputs = expression.inputs().iter().map(|input| {
            let values = mapping.values.get(&input.name).cloned().map(Arc::new);
            (self.need(input.name.clone()), values)
        });
        let inputs = inputs.collect();
        Ok(Computed { text, expression, inputs })
    }

    /// The index of a column in `needed`.
    fn need(&mut self, name: String) -> usize {
        self.needed.iter().position(|n| *n == name).unwrap_or_else(|| {
            self.needed.push(name);
            self.needed.len() - 1
        })
    }
}

/// What an expression is for a file of these columns: if it is exactly the name of one of them, that one.
fn named(expression: &Expression, names: &[&str]) -> Expression {
    let column = |name: &str| Expression::Column { name: name.to_owned(), steps: Vec::new() };
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    match expression {
        Expression::Sql(text) if names.contains(&text.as_str()) => column(text),
        Expression::Column { name, steps }
            if !steps.is_empty() && !names.contains(&name.as_str()) =>
        {
            let written = bare(&expression.to_string());
            let same = names.iter().find(|name| bare(name) == written);
            same.map_or_else(|| expression.clone(), |name| column(name))
        }
        other => other.clone(),
    }
}

/// Whether values of a type can become values of a column.
fn is_fit(from: &DataType, to: &DataType) -> bool {
    let any = from.is_numeric() || from.is_null() || matches!(from, DataType::Utf8);
    let time = matches!(from, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    any || if matches!(to, DataType::Timestamp(..)) { time } else { *from == DataType::Boolean }
}

/// The columns of a file, for a message.
fn listed(names: &[&str]) -> String {
    match names {
        [one] if one.contains([';', '\t', '|']) => {
            format!(
                "the one column {one:?}: if it holds several, name what separates them (--delimiter)"
            )
        }
        _ => names.join(", "),
    }
}

fn missing(column: &str, name: &str, listed: &str) -> Error {
    Error::request(format!(
        "column {column} is to come from {name:?}, which the file does not have: it has {listed}"
    ))
}

/// What the mapping states of the times of a column.
fn stated<'a>(
    table: &TableSchema,
    mapping: &'a Mapping,
    index: usize,
    name: &str,
) -> Result<Option<&'a Time>> {
    let times = mapping.times.get(name);
    if index != TIME_COLUMN {
        return Ok(times);
    }
    if times.is_some() && mapping.time != Time::default() {
        return Err(Error::request(format!(
            "the times of {name}, the time of table {:?}, are stated in [time] and in [times.{name}]: leave one of them out",
            table.name()
        )));
    }
    Ok(Some(times.unwrap_or(&mapping.time)))
}

/// How times are read, by the column of the table.
fn times(table: &TableSchema, mapping: &Mapping) -> Result<BTreeMap<String, TimeForm>> {
    for name in mapping.times.keys() {
        let field = table.arrow().field(table.column(name)?);
        if !matches!(field.data_type(), DataType::Timestamp(..)) {
            return Err(Error::request(format!(
                "[times.{name}]: the column {name} holds no times"
            )));
        }
    }
    let mut forms = BTreeMap::new();
    for (index, field) in table.arrow().fields().iter().enumerate() {
        if matches!(field.data_type(), DataType::Timestamp(..)) {
            let time = stated(table, mapping, index, field.name())?;
            let form = TimeForm::new(field.name(), time.unwrap_or(&Time::default()))?;
            forms.insert(field.name().clone(), form);
        }
    }
    Ok(forms)
}

/// The columns of the file that the times of a column stand in, if the mapping says which.
fn joined<'a>(
    table: &TableSchema,
    mapping: &'a Mapping,
    index: usize,
    name: &str,
) -> Result<Option<&'a [String]>> {
    let columns = stated(table, mapping, index, name)?.map(|time| time.columns.as_slice());
    let Some(columns) = columns.filter(|columns| !columns.is_empty()) else { return Ok(None) };
    if mapping.columns.contains_key(name) {
        return Err(Error::request(format!(
            "column {name} is to come from {} and from an expression: leave one of them out",
            columns.join(", ")
        )));
    }
    Ok(Some(columns))
}

/// The field as a batch on its way to the table has it: nullable, so that the table's own rules can say
/// what is wrong with a row.
fn strip(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), field.data_type().clone(), true))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use arrow::datatypes::{DataType, Schema};
    use barograph_lake::schema::{KeyType, TableDeclaration, ValueColumn, ValueType};
    use barograph_query::SqlExpressions;

    use super::*;

    fn table() -> TableSchema {
        let column = |name: &str| ValueColumn::new(name, ValueType::Float32);
        let declaration = TableDeclaration::new("station", "at")
            .key_type(KeyType::Int64)
            .column(column("level"))
            .column(column("flow"));
        TableSchema::new("rivers", declaration).unwrap()
    }

    fn file(names: &[&str]) -> Columns {
        let fields: Vec<_> =
            names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        Columns::Known(Arc::new(Schema::new(fields)))
    }

    #[test]
    fn columns_are_matched_by_mapping_then_by_name() {
        let mut mapping = Mapping::default();
        mapping.map("station=gauge").unwrap();
        mapping.map("level=feet*0.3048").unwrap();
        let plan =
            Plan::new(&table(), &mapping, &file(&["feet", "at", "gauge", "note"]), &SqlExpressions)
                .unwrap();
        assert_eq!(plan.needed, ["gauge", "at", "feet"]);
        assert_eq!(plan.ignored, ["note"]);
        assert_eq!(plan.absent, ["flow"]);
        let names: Vec<_> = plan.columns.iter().map(|(field, _)| field.name().as_str()).collect();
        assert_eq!(names, ["station", "at", "level"]);
    }

    #[test]
    fn an_expression_that_is_the_name_of_a_column_is_that_column() {
        let names = ["station", "at", "Tijd (UTC)", "T-2m", "Rain-24", "Wind Speed"];
        for (text, name) in [
            ("Tijd (UTC)", "Tijd (UTC)"),
            ("T-2m", "T-2m"),
            ("Rain-24", "Rain-24"),
            ("Wind Speed", "Wind Speed"),
            ("\"Wind Speed\"", "Wind Speed"),
        ] {
            let mut mapping = Mapping::default();
            mapping.map(&format!("level={text}")).unwrap();
            let plan = Plan::new(&table(), &mapping, &file(&names), &SqlExpressions).unwrap();
            assert_eq!(plan.needed.last().map(String::as_str), Some(name), "{text}");
            let Some((_, Origin::File { steps, .. })) = plan.columns.last() else {
                panic!("{text}: {:?}", plan.columns)
            };
            assert!(steps.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_said_before_a_row_is_read() {
        let plan = |map: &str, names: &[&str]| {
            let mut mapping = Mapping::default();
            if !map.is_empty() {
                mapping.map(map).unwrap();
            }
            Plan::new(&table(), &mapping, &file(names), &SqlExpressions).unwrap_err().to_string()
        };
        assert!(plan("", &["at", "x"]).contains("--map station=COLUMN; the file has at, x"));
        assert!(plan("station=gauge", &["at"]).contains("\"gauge\", which the file does not have"));
        assert!(plan("depth=x", &["station", "at", "x"]).contains("no column \"depth\""));
        assert!(plan("ingested_at=at", &["station", "at"]).contains("assigned by the engine"));
        let both = ["station", "at", "a", "b"];
        let error = plan("level=a + c", &both);
        assert!(error.contains("column level: expression `a + c`: there is no column \"c\""));
        assert!(error.ends_with("; the file has station, at, a, b"), "{error}");
        assert!(plan("level=a +", &both).contains("expression `a +`"));
        assert!(plan("level=CAST(a AS TIMESTAMP)", &both).contains("the column holds Float32"));
        let mut mapping = Mapping::default();
        mapping.values("gauge:a=1").unwrap();
        let error =
            Plan::new(&table(), &mapping, &file(&["station", "at"]), &SqlExpressions).unwrap_err();
        assert!(error.to_string().contains("\"gauge\""), "{error}");
    }
}
