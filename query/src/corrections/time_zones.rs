//! Zones of times. A column is in UTC whatever the session's zone is, and so is what is made of a column
//! and of other times: `coalesce(reading_at, now())` reads a text beside it as `reading_at` does. Times that are read
//! from a column of texts are in the session's zone, as those from a constant are.
//!
//! DataFusion 55.2 reads a text beside a column in the column's zone, one beside `coalesce(…)` in the session's, and refuses
//! `to_timestamp` of a column of texts in a session with a zone.

use std::sync::Arc;

use arrow::array::{Array, make_array};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Case, ColumnarValue, Documentation, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, cast,
};
use datafusion::optimizer::AnalyzerRule;

use crate::tree;

const UTC: &str = "UTC";
/// Functions that give one of their arguments.
const GIVING: [&str; 7] = ["coalesce", "greatest", "least", "nvl", "nvl2", "ifnull", "nullif"];
/// Functions that read times.
const READING: [&str; 5] = [
    "to_timestamp",
    "to_timestamp_seconds",
    "to_timestamp_millis",
    "to_timestamp_micros",
    "to_timestamp_nanos",
];

/// Keeps what is made of columns in UTC.
#[derive(Debug)]
pub(crate) struct ColumnTimeZones;

impl AnalyzerRule for ColumnTimeZones {
    fn name(&self) -> &str {
        "zone_of_columns"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            if !gives_one(&plan)? {
                return Ok(Transformed::no(plan));
            }
            let schema = merge_schema(&plan.inputs());
            let is_time = |of: &DataType| matches!(of, DataType::Timestamp(_, Some(_)));
            if !schema.fields().iter().any(|field| is_time(field.data_type())) {
                return Ok(Transformed::no(plan));
            }
            tree::transform_named_expressions(plan, &mut |expr| zoned(expr, &schema))?
                .map_data(LogicalPlan::recompute_schema)
        })
        .data()
    }
}

/// Whether something of a node gives one of several values.
fn gives_one(plan: &LogicalPlan) -> Result<bool> {
    tree::exists_in_expressions(plan, &mut |expr| match expr {
        Expr::Case(_) => true,
        Expr::ScalarFunction(call) => GIVING.contains(&call.name()),
        _ => false,
    })
}

fn zoned(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if GIVING.contains(&func.name()) => {
            let mixed = is_mixed(&args.iter().collect::<Vec<_>>(), schema);
            let in_utc = |arg| if mixed { utc(arg, schema) } else { arg };
            let args = args.into_iter().map(in_utc).collect();
            let call = Expr::ScalarFunction(ScalarFunction { func, args });
            Ok(Transformed::new_transformed(call, mixed))
        }
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let all: Vec<_> = when_then_expr
                .iter()
                .map(|(_, then)| then.as_ref())
                .chain(else_expr.as_deref())
                .collect();
            let mixed = is_mixed(&all, schema);
            let in_utc = |of: Box<Expr>| if mixed { Box::new(utc(*of, schema)) } else { of };
            let whens = when_then_expr.into_iter();
            let case = Expr::Case(Case {
                expr,
                when_then_expr: whens.map(|(when, then)| (when, in_utc(then))).collect(),
                else_expr: else_expr.map(in_utc),
            });
            Ok(Transformed::new_transformed(case, mixed))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn zone(expr: &Expr, schema: &DFSchema) -> Option<(TimeUnit, Arc<str>)> {
    match expr.get_type(schema) {
        Ok(DataType::Timestamp(unit, Some(zone))) => Some((unit, zone)),
        _ => None,
    }
}

/// Whether times of UTC and of another zone stand together.
fn is_mixed(exprs: &[&Expr], schema: &DFSchema) -> bool {
    let zones: Vec<_> = exprs.iter().filter_map(|expr| zone(expr, schema)).collect();
    let of_utc = |(_, zone): &(TimeUnit, Arc<str>)| **zone == *UTC;
    zones.iter().any(of_utc) && !zones.iter().all(of_utc)
}

/// The same instant in UTC.
fn utc(expr: Expr, schema: &DFSchema) -> Expr {
    match zone(&expr, schema) {
        Some((unit, of)) if *of != *UTC => cast(expr, DataType::Timestamp(unit, Some(UTC.into()))),
        _ => expr,
    }
}

/// Gives the session functions that read times in its zone, be they constants or columns.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    for name in READING {
        let inner = state.udf(name)?;
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Reading(inner))))?;
    }
    Ok(())
}

/// A function that reads times, whose zone is what it says.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Reading(Arc<ScalarUDF>);

impl ScalarUDFImpl for Reading {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.0.simplify(args, info)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = self.0.inner().with_updated_config(config)?;
        Some(ScalarUDF::new_from_impl(Self(Arc::new(inner))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wanted = args.return_field.data_type().clone();
        match (self.0.invoke_with_args(args)?, &wanted) {
            // The instants are right, only their zone is not told.
            (ColumnarValue::Array(times), DataType::Timestamp(..))
                if times.data_type() != &wanted =>
            {
                let times = times.to_data().into_builder().data_type(wanted).build()?;
                Ok(ColumnarValue::Array(make_array(times)))
            }
            (value, _) => Ok(value),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}
