//! `percentile_cont`: the value at a share of the way through the sorted values, interpolated linearly between the two
//! nearest. DataFusion's accumulators collect the values.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, internal_err};
use datafusion::functions_aggregate::percentile_cont::percentile_cont_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator,
};
use datafusion::scalar::ScalarValue;

use crate::functions::delegate::delegate_aggregate;
use crate::functions::planner::row;

pub(super) fn percentile_cont() -> AggregateUDF {
    AggregateUDF::new_from_impl(Percentile(percentile_cont_udaf()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile(Arc<AggregateUDF>);

impl AggregateUDFImpl for Percentile {
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let share = Share::of(&args)?;
        let output = args.return_type().clone();
        let of = self.0.accumulator(args)?;
        Ok(match share {
            Some(share) => Box::new(One { of, share, output }),
            None => of,
        })
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        self.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let share = Share::of(&args)?;
        let output = args.return_type().clone();
        let of = self.0.create_groups_accumulator(args)?;
        Ok(match share {
            Some(share) => Box::new(Groups { of, share, output }),
            None => of,
        })
    }

    delegate_aggregate!();
}

/// How far through the values, from the least or from the greatest.
#[derive(Debug, Clone, Copy)]
struct Share {
    of: f64,
    descending: bool,
}

impl Share {
    /// `None` where DataFusion decides: an argument that is no share, values without a type.
    fn of(args: &AccumulatorArgs<'_>) -> Result<Option<Self>> {
        let given = args.expr_fields.first().map(|field| field.data_type());
        let (Some(share), Some(DataType::Float16 | DataType::Float32 | DataType::Float64)) =
            (args.exprs.get(1), given)
        else {
            return Ok(None);
        };
        let share = match share.evaluate(&row()?) {
            Ok(ColumnarValue::Scalar(value)) => value.cast_to(&DataType::Float64).ok(),
            _ => None,
        };
        let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
        Ok(match share {
            Some(ScalarValue::Float64(Some(of))) if (0.0..=1.0).contains(&of) => {
                Some(Self { of, descending })
            }
            _ => None,
        })
    }

    fn value(self, values: &ArrayRef) -> Result<Option<f64>> {
        let values = cast(values, &DataType::Float64)?;
        let mut values: Vec<f64> = values.as_primitive::<Float64Type>().iter().flatten().collect();
        let Some(last) = values.len().checked_sub(1) else { return Ok(None) };
        let at = self.of * last as f64;
        let (below, above) = (at.floor() as usize, at.ceil() as usize);
        let order = |a: &f64, b: &f64| if self.descending { order(b, a) } else { order(a, b) };
        let (_, low, rest) = values.select_nth_unstable_by(below, order);
        let low = *low;
        if above == below {
            return Ok(Some(low));
        }
        let Some(high) = rest.iter().copied().min_by(order) else { return Ok(Some(low)) };
        let (weight, way) = (at - at.floor(), high - low);
        Ok(Some(match way {
            _ if low == high => low,
            way if way.is_finite() => low + way * weight,
            _ => low * (1.0 - weight) + high * weight,
        }))
    }
}

/// Order in which zeros are equal, and NaN is greater than everything else.
fn order(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[derive(Debug)]
struct One {
    of: Box<dyn Accumulator>,
    share: Share,
    output: DataType,
}

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.of.update_batch(columns)
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.of.retract_batch(columns)
    }

    fn supports_retract_batch(&self) -> bool {
        self.of.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |state| state.len());
        // One list a call is taken.
        (0..rows).try_for_each(|row| {
            let one: Vec<_> = states.iter().map(|state| state.slice(row, 1)).collect();
            self.of.merge_batch(&one)
        })
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let state = self.of.state()?;
        let Some(ScalarValue::List(values)) = state.first() else {
            return internal_err!("percentile_cont has no list of values");
        };
        let value = self.share.value(values.values())?;
        // The state may be all there is, and a frame that grows asks again.
        self.of.merge_batch(&[Arc::clone(values) as ArrayRef])?;
        ScalarValue::Float64(value).cast_to(&self.output)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.of.state()
    }

    fn size(&self) -> usize {
        self.of.size()
    }
}

struct Groups {
    of: Box<dyn GroupsAccumulator>,
    share: Share,
    output: DataType,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Groups of percentile_cont at {}", self.share.of)
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let values = columns.get(..1).unwrap_or_default();
        self.of.update_batch(values, groups, filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.of.merge_batch(states, groups, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = self.of.state(emit_to)?;
        let Some(lists) =
            states.first().and_then(|state| state.as_any().downcast_ref::<ListArray>())
        else {
            return internal_err!("percentile_cont has no lists of values");
        };
        let value = |values: Option<ArrayRef>| match values {
            Some(values) => self.share.value(&values),
            None => Ok(None),
        };
        let values = lists.iter().map(value).collect::<Result<Float64Array>>()?;
        Ok(cast(&values, &self.output)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.of.state(emit_to)
    }

    fn convert_to_state(
        &self,
        columns: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.of.convert_to_state(columns.get(..1).unwrap_or_default(), filter)
    }

    fn size(&self) -> usize {
        self.of.size()
    }
}
