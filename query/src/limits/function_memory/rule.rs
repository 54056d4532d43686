//! The rule that bounds all functions: those that a statement can name, and those that the planner brings in, before
//! anything is computed, constants included.

use std::sync::{Arc, LazyLock};

use barograph_engine::Result as EngineResult;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::functions::core::{named_struct, r#struct};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawDictionaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use super::concat::ConcatFunction;
use super::function::Bounded;
use super::patterns;
use crate::errors::engine_error;
use crate::tree;

/// Functions that the planner knows by their type, and that produce nothing new: they give parts of their arguments, or
/// numbers.
const KNOWN: [&str; 3] = ["get_field", "log", "power"];

/// Bounds the functions of a plan.
#[derive(Debug)]
pub(crate) struct BoundedFunctions;

impl AnalyzerRule for BoundedFunctions {
    fn name(&self) -> &str {
        "bounded_functions"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| {
            tree::map_named_expressions(plan, &mut functions)
        })
        .data()
    }
}

/// Makes structs written as `(a, b)` and `{x: a}` with bounded functions: types are compared and hashed already while
/// the text is planned.
#[derive(Debug)]
pub(crate) struct BoundedStructs;

impl ExprPlanner for BoundedStructs {
    fn plan_struct_literal(
        &self,
        args: Vec<Expr>,
        is_named_struct: bool,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let of = if is_named_struct { named_struct() } else { r#struct() };
        Ok(PlannerResult::Planned(bounded(&of).call(args)))
    }

    fn plan_dictionary_literal(
        &self,
        expr: RawDictionaryExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawDictionaryExpr>> {
        let pairs = expr.keys.into_iter().zip(expr.values);
        let args = pairs.flat_map(|(key, value)| [key, value]).collect();
        Ok(PlannerResult::Planned(bounded(&named_struct()).call(args)))
    }
}

/// Bounds the functions that statements can name.
///
/// # Errors
/// None, as long as the functions that are registered can be registered again.
pub(crate) fn all(state: &mut SessionState) -> EngineResult<()> {
    let functions: Vec<_> = state.scalar_functions().values().map(|of| bounded(of)).collect();
    for function in functions {
        state.register_udf(Arc::new(function)).map_err(engine_error)?;
    }
    Ok(())
}

/// Bounds the functions of an expression.
///
/// # Errors
/// None, as long as the expression is valid.
pub(crate) fn expression(expr: Expr) -> Result<Expr> {
    functions(expr).data()
}

/// Bounds all functions of the expression that are not bounded yet.
pub(super) fn functions(expr: Expr) -> Result<Transformed<Expr>> {
    static JOINED: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(bounded(&ScalarUDF::from(ConcatFunction::new()))));
    tree::transform_up(expr, &mut |expr| {
        if let Some(expr) = patterns::bounded(&expr) {
            return Ok(Transformed::yes(of_function(expr, &JOINED).data));
        }
        Ok(of_function(expr, &JOINED))
    })
}

fn of_function(expr: Expr, joined: &Arc<ScalarUDF>) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if is_open(&func) => {
            let func = Arc::new(bounded(&func));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let (func, args) = (Arc::clone(joined), vec![*left, *right]);
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        other => Transformed::no(other),
    }
}

fn is_open(function: &ScalarUDF) -> bool {
    !function.inner().is::<Bounded>() && !KNOWN.contains(&function.name())
}

/// A bounded function around `function`.
pub(super) fn bounded(function: &ScalarUDF) -> ScalarUDF {
    if is_open(function) {
        ScalarUDF::from(Bounded::new(Arc::clone(function.inner())))
    } else {
        function.clone()
    }
}
