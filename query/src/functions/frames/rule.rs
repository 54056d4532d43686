//! The rule that gives aggregates in windows the accumulators of this folder and checks the bounds of their frames.
//!
//! The planner must not conclude an order from the result of a window either: it takes the maximum of a growing frame
//! for sorted ascending with nulls last, that of a shrinking one for sorted descending with nulls first, and so on, and
//! drops a sort by it. Frames begin and end empty, or hold nothing but nulls, so that nulls stand elsewhere. Aggregates
//! over windows therefore report no order.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, LogicalPlan, ReversedUDAF, SetMonotonicity,
    WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;

use super::bounds;
use super::folds::{Bits, Floats, One, Operation, Stays, Wholes};
use super::moments::Moment;
use super::repeated::{Maker, Repeated};
use super::shift;
use super::sliding::Sliding;
use crate::functions::delegate::delegate_aggregate;
use crate::tree;

/// Aggregates that are the same over rows in reverse.
const SAME_REVERSED: [&str; 5] = ["avg", "count", "max", "min", "sum"];

/// Gives aggregates in windows the accumulators of this folder.
#[derive(Debug)]
pub(in crate::functions) struct FramesRule;

impl AnalyzerRule for FramesRule {
    fn name(&self) -> &str {
        "frames"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| match plan {
            LogicalPlan::Window(_) => {
                tree::map_expressions(plan, &mut |expr| tree::transform_up(expr, &mut framed))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

fn framed(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut window) = expr else { return Ok(Transformed::no(expr)) };
    bounds::check(&window.params.window_frame)?;
    let over_nulls = window.params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let changed = match &mut window.fun {
        WindowFunctionDefinition::WindowUDF(of) if over_nulls => match shift::over_nulls(of) {
            Some(shift) => {
                *of = shift;
                true
            }
            None => false,
        },
        WindowFunctionDefinition::AggregateUDF(of) if !of.inner().is::<Framed>() => {
            *of = Arc::new(AggregateUDF::new_from_impl(Framed(Arc::clone(of))));
            true
        }
        _ => false,
    };
    let expr = Expr::WindowFunction(window);
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// An aggregate in a window.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Framed(Arc<AggregateUDF>);

impl Framed {
    fn moment(&self, args: &AccumulatorArgs<'_>) -> Option<Moment> {
        if args.is_distinct { None } else { Moment::named(self.0.name()) }
    }

    /// The accumulator for frames whose rows leave, if there is one of our own.
    fn fold(&self, args: &AccumulatorArgs<'_>) -> Result<Option<Box<dyn Accumulator>>> {
        let name = self.0.name();
        let output = args.return_type().clone();
        let given = args.expr_fields.first().map(|field| field.data_type().clone());
        if let Some(moment) = self.moment(args) {
            return Ok(Some(Box::new(Sliding::new(moment))));
        }
        let one = |stays| -> Result<Option<Box<dyn Accumulator>>> {
            let null = ScalarValue::try_from(&output)?;
            Ok(Some(Box::new(Sliding::new(One { stays, null }))))
        };
        match (name, args.is_distinct) {
            ("min", _) => return one(Stays::Min),
            ("max", _) => return one(Stays::Max),
            ("any_value", _) => return one(Stays::First),
            ("bit_xor", true) => return Ok(None),
            _ => {}
        }
        if let Some(operation) = Operation::named(name) {
            return Ok(Some(Box::new(Sliding::new(Bits { operation, output }))));
        }
        Ok(match (name, args.is_distinct, given, output) {
            ("sum", false, Some(DataType::Float64), DataType::Float64) => {
                Some(Box::new(Sliding::new(Floats { mean: false })))
            }
            ("avg", false, Some(DataType::Float64), DataType::Float64) => {
                Some(Box::new(Sliding::new(Floats { mean: true })))
            }
            ("sum", false, Some(DataType::Int64), DataType::Int64) => {
                Some(Box::new(Sliding::new(Wholes { signed: true })))
            }
            ("sum", false, Some(DataType::UInt64), DataType::UInt64) => {
                Some(Box::new(Sliding::new(Wholes { signed: false })))
            }
            _ => None,
        })
    }
}

impl AggregateUDFImpl for Framed {
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match self.moment(&args) {
            Some(moment) => Ok(Box::new(Sliding::growing(moment))),
            None => self.0.accumulator(args),
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        if let Some(fold) = self.fold(&args)? {
            return Ok(fold);
        }
        let maker = Maker::new(&self.0, &args);
        match self.0.create_sliding_accumulator(args) {
            Ok(own) if own.supports_retract_batch() => Ok(own),
            _ => {
                // What cannot be made at all says so here, before the first frame.
                maker.make()?;
                Ok(Box::new(Repeated::new(maker)))
            }
        }
    }

    fn set_monotonicity(&self, _: &DataType) -> SetMonotonicity {
        SetMonotonicity::NotMonotonic
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match SAME_REVERSED.contains(&self.0.name()) {
            true => ReversedUDAF::Identical,
            false => ReversedUDAF::NotSupported,
        }
    }

    fn state_fields(&self, of: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.0.state_fields(of)
    }

    delegate_aggregate!();
}
