//! Places of values that planning needs: where they stand, which placeholders fill them, and which values they take.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use barograph_engine::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, TableFactor, Value, ValueWithSpan,
};

use super::value::FUNCTION;
use crate::errors::engine_error;
use crate::tree::{Tree, Visitor};

/// Functions that return the items of a list as rows.
const UNNEST: [&str; 2] = ["unnest", "unnest_outer"];
/// Table functions over numbers, dates and times.
const SERIES: [&str; 2] = ["generate_series", "range"];
/// Position of the step among their arguments.
const STEP: usize = 2;
/// Characters of a value that a message shows.
const SHOWN: usize = 40;
/// Number of placeholder sets: kinds of lists for each kind of series.
pub(super) const STAND_INS: usize = LISTS * 3;
const LISTS: usize = 5;

/// A place whose value is needed for planning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the parameter, from 1.
    pub(super) parameter: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The list whose items become rows.
    List,
    /// An argument of a table function, counted from 0.
    Series(String, usize),
}

impl Place {
    /// The placeholder of a value that is not known, a different one in each round.
    pub(super) fn stand_in(&self, round: usize) -> Result<ScalarValue> {
        let utc = || Some(Arc::from("UTC"));
        let day = IntervalMonthDayNanoType::make_value(0, 1, 0);
        Ok(match (&self.kind, round / LISTS) {
            (Kind::List, _) => {
                let item = match round % LISTS {
                    0 => DataType::Null,
                    1 => DataType::Int64,
                    2 => DataType::Utf8,
                    3 => DataType::Timestamp(TimeUnit::Microsecond, utc()),
                    _ => DataType::Float64,
                };
                null_list(item)?
            }
            (Kind::Series(..), 0) => ScalarValue::Int64(Some(1)),
            (Kind::Series(_, STEP), _) => ScalarValue::IntervalMonthDayNano(Some(day)),
            (Kind::Series(..), 1) => ScalarValue::TimestampNanosecond(Some(0), utc()),
            (Kind::Series(..), _) => ScalarValue::Date32(Some(0)),
        })
    }

    /// The value as the place takes it.
    ///
    /// # Errors
    /// `Request` with the value and the types that the place takes.
    pub(super) fn fit(&self, value: &ScalarValue) -> Result<ScalarValue> {
        match &self.kind {
            Kind::List => self.list(value),
            Kind::Series(name, index) => self.argument(value, name, *index),
        }
    }

    fn list(&self, value: &ScalarValue) -> Result<ScalarValue> {
        use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView};
        match value.data_type() {
            DataType::Null => null_list(DataType::Null),
            List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_) => {
                Ok(value.clone())
            }
            other => Err(Error::request(format!(
                "parameter ${} is {other}, and unnest takes a list: bind an array, such as [1, 2, 3]",
                self.parameter
            ))),
        }
    }

    fn argument(&self, value: &ScalarValue, name: &str, index: usize) -> Result<ScalarValue> {
        let given = value.data_type();
        let wanted = match &given {
            _ if value.is_null() => return Ok(ScalarValue::Null),
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
            DataType::Date32 | DataType::Date64 => DataType::Date32,
            DataType::Interval(_) | DataType::Duration(_) if index == STEP => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DataType::Int64,
            of if of.is_numeric() => DataType::Int64,
            _ => return Err(self.refused(value, name)),
        };
        let fit = match (value.cast_to(&wanted), given.is_numeric()) {
            (Ok(fit), false) => Some(fit),
            // A fraction is no whole number, and is not made one.
            (Ok(fit), true) => {
                (fit.cast_to(&given).map_err(engine_error)? == *value).then_some(fit)
            }
            (Err(_), _) => None,
        };
        fit.filter(|fit| !fit.is_null()).ok_or_else(|| self.refused(value, name))
    }

    fn refused(&self, value: &ScalarValue, name: &str) -> Error {
        let shown: String = value.to_string().chars().take(SHOWN).collect();
        Error::request(format!(
            "parameter ${} is {shown} ({}), and {name} takes whole numbers, or two dates or times and an \
             interval between them",
            self.parameter,
            value.data_type()
        ))
    }
}

/// A null list with items of a type.
fn null_list(item: DataType) -> Result<ScalarValue> {
    ScalarValue::try_from(&DataType::new_list(item, true)).map_err(engine_error)
}

/// Marks places in a tree.
#[derive(Default)]
pub(super) struct Marks {
    pub(super) places: Vec<Place>,
}

impl Marks {
    /// Marks a parameter that stands alone.
    fn alone(&mut self, expr: &mut Expr, kind: Kind) {
        let mut inner = &mut *expr;
        while let Expr::Nested(of) = inner {
            inner = &mut **of;
        }
        let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = &*inner else {
            return;
        };
        if let Ok(parameter) = name.trim_start_matches('$').parse() {
            *inner = call(self.places.len());
            self.places.push(Place { parameter, kind });
        }
    }

    /// Marks all parameters of the arguments of a table function.
    fn arguments(&mut self, name: &ObjectName, args: &mut [FunctionArg]) -> Result<()> {
        let name = name.to_string().to_lowercase();
        for (index, arg) in args.iter_mut().enumerate() {
            let Some(expr) = expr_of(arg) else { continue };
            let kind = Kind::Series(name.clone(), index);
            let before = self.places.len();
            expr.each_expr(&mut |expr| {
                self.alone(expr, kind.clone());
                Ok(())
            })?;
            if self.places.len() > before && !SERIES.contains(&name.as_str()) {
                return Err(Error::request(format!(
                    "{name} takes no parameters: write what it takes in the statement, since the \
                     columns that there are depend on it"
                )));
            }
        }
        Ok(())
    }
}

impl Visitor for Marks {
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        match factor {
            TableFactor::UNNEST { array_exprs, .. } => {
                array_exprs.iter_mut().for_each(|expr| self.alone(expr, Kind::List));
                Ok(())
            }
            TableFactor::Table { name, args: Some(of), .. } => self.arguments(name, &mut of.args),
            TableFactor::Function { name, args, .. } => self.arguments(name, args),
            _ => Ok(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Result<()> {
        if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr
            && UNNEST.contains(&name.to_string().to_lowercase().as_str())
        {
            for expr in list.args.iter_mut().filter_map(expr_of) {
                self.alone(expr, Kind::List);
            }
        }
        Ok(())
    }
}

fn expr_of(arg: &mut FunctionArg) -> Option<&mut Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr),
        _ => None,
    }
}

/// `"(value)"(place)`.
fn call(place: usize) -> Expr {
    let place = Expr::Value(Value::Number(place.to_string(), false).into());
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(place))];
    let (duplicate_treatment, clauses) = (None, Vec::new());
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_quote('"', FUNCTION)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
