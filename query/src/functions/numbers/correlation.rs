//! `corr` from moments, which are joined without loss, over all rows and over groups as in frames. DataFusion's groups
//! add up squares, which loses small differences, and leave NaN undefined.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{FieldRef, Float64Type, UInt64Type};
use datafusion::common::{Result, internal_err};
use datafusion::functions_aggregate::correlation::corr_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator,
};
use datafusion::scalar::ScalarValue;

use super::passed;
use crate::functions::delegate::delegate_aggregate;
use crate::functions::frames::Moments;

pub(super) fn corr() -> AggregateUDF {
    AggregateUDF::new_from_impl(Correlation(corr_udaf()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Correlation(Arc<AggregateUDF>);

impl AggregateUDFImpl for Correlation {
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match args.is_distinct {
            true => self.0.accumulator(args),
            false => Ok(Box::new(One(Groups { states: vec![Moments::default()] }))),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        _: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups { states: Vec::new() }))
    }

    delegate_aggregate!();
}

#[derive(Debug)]
struct Groups {
    states: Vec<Moments>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "groups are numbered below the number that was made room for, and states have equal columns"
)]
impl Groups {
    fn take(
        &mut self,
        columns: &[ArrayRef],
        groups: impl Iterator<Item = usize>,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let [y, x] = columns else { return internal_err!("a correlation has two columns") };
        let mut nulls = NullBuffer::union(y.nulls(), x.nulls());
        if let Some(filter) = filter {
            nulls = NullBuffer::union(nulls.as_ref(), Some(&passed(filter)));
        }
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let (y, x) = (y.as_primitive::<Float64Type>(), x.as_primitive::<Float64Type>());
        let pairs = y.values().iter().zip(x.values());
        for (row, ((&y, &x), group)) in pairs.zip(groups).enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                let state = &mut self.states[group];
                *state = state.joined(&Moments::of(y, x));
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: impl Iterator<Item = usize>) -> Result<()> {
        let [count, numbers @ ..] = states else {
            return internal_err!("a correlation has a state");
        };
        let numbers: Vec<_> =
            numbers.iter().map(|of| of.as_primitive::<Float64Type>().values()).collect();
        let [mean_y, yy, mean_x, xx, xy] = numbers.as_slice() else {
            return internal_err!("a correlation has a state of six columns");
        };
        let counts = count.as_primitive::<UInt64Type>().values();
        for (row, (&count, group)) in counts.iter().zip(groups).enumerate() {
            let other = Moments {
                count,
                mean_y: mean_y[row],
                mean_x: mean_x[row],
                yy: yy[row],
                xx: xx[row],
                xy: xy[row],
            };
            let state = &mut self.states[group];
            *state = state.joined(&other);
        }
        Ok(())
    }

    fn grow(&mut self, total: usize) {
        self.states.resize(total, Moments::default());
    }
}

/// The columns of states, as DataFusion names them.
fn columns(states: &[Moments]) -> Vec<ArrayRef> {
    vec![
        Arc::new(UInt64Array::from_iter_values(states.iter().map(|state| state.count))),
        numbers(states, |state| state.mean_y),
        numbers(states, |state| state.yy),
        numbers(states, |state| state.mean_x),
        numbers(states, |state| state.xx),
        numbers(states, |state| state.xy),
    ]
}

fn numbers(states: &[Moments], of: impl Fn(&Moments) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(states.iter().map(of)))
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        self.take(columns, groups.iter().copied(), filter)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        self.merge(states, groups.iter().copied())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = emit_to.take_needed(&mut self.states);
        Ok(Arc::new(states.iter().map(Moments::correlation).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(columns(&emit_to.take_needed(&mut self.states)))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let mut each = Self { states: vec![Moments::default(); rows] };
        each.take(values, 0..rows, filter)?;
        Ok(columns(&each.states))
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<Moments>()
    }
}

/// The correlation of all rows, as of a single group.
#[derive(Debug)]
struct One(Groups);

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.0.take(columns, std::iter::repeat(0), None)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge(states, std::iter::repeat(0))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.0.states.first().and_then(Moments::correlation)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        columns(&self.0.states).iter().map(|of| ScalarValue::try_from_array(of, 0)).collect()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}
