//! `min` and `max` of floats, independent of the order of rows: NaN of either sign is greater than everything else, and
//! zeros are equal. Extremes of other types are DataFusion's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use barograph_engine::scan::kernel::{Number, greater, lesser};
use datafusion::common::{Result, internal_err};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, StatisticsArgs,
};
use datafusion::scalar::ScalarValue;

use super::{filtered, passed};
use crate::functions::delegate::delegate_aggregate;

pub(super) fn min() -> AggregateUDF {
    AggregateUDF::new_from_impl(Extreme(min_udaf(), false))
}

pub(super) fn max() -> AggregateUDF {
    AggregateUDF::new_from_impl(Extreme(max_udaf(), true))
}

/// DataFusion's aggregate, and whether it is `max`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme(Arc<AggregateUDF>, bool);

impl AggregateUDFImpl for Extreme {
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(match args.return_type() {
            DataType::Float32 => Box::new(One(Groups::<Float32Type>::new(self.1))),
            DataType::Float64 => Box::new(One(Groups::<Float64Type>::new(self.1))),
            _ => return self.0.accumulator(args),
        })
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        self.0.create_sliding_accumulator(args)
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
        Ok(match args.return_type() {
            DataType::Float32 => Box::new(Groups::<Float32Type>::new(self.1)),
            DataType::Float64 => Box::new(Groups::<Float64Type>::new(self.1)),
            _ => return self.0.create_groups_accumulator(args),
        })
    }

    fn is_descending(&self) -> Option<bool> {
        self.0.is_descending()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, of: &DataType) -> SetMonotonicity {
        self.0.inner().set_monotonicity(of)
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.0.value_from_stats(args)
    }

    delegate_aggregate!();
}

/// Extremes of groups.
struct Groups<T: ArrowPrimitiveType> {
    is_max: bool,
    /// Values of the groups; where a group has none, one that every value replaces.
    values: Vec<T::Native>,
    known: Vec<bool>,
}

impl<T: ArrowPrimitiveType> std::fmt::Debug for Groups<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Extremes of {} groups of {}", self.values.len(), T::DATA_TYPE)
    }
}

impl<T: ArrowPrimitiveType<Native: Number>> Groups<T> {
    fn new(is_max: bool) -> Self {
        Self { is_max, values: Vec::new(), known: Vec::new() }
    }

    fn nothing(&self) -> T::Native {
        if self.is_max { T::Native::SMALLEST } else { T::Native::LAST }
    }

    fn column(columns: &[ArrayRef]) -> Result<&PrimitiveArray<T>> {
        match columns.first().and_then(|column| column.as_primitive_opt::<T>()) {
            Some(column) => Ok(column),
            None => internal_err!("an extreme of {} got another type", T::DATA_TYPE),
        }
    }

    fn take(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let column = Self::column(columns)?;
        self.values.resize(total, self.nothing());
        self.known.resize(total, false);
        let nulls = NullBuffer::union(column.nulls(), filter.map(passed).as_ref());
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        match self.is_max {
            true => self.fold(column.values(), groups, nulls.as_ref(), greater),
            false => self.fold(column.values(), groups, nulls.as_ref(), lesser),
        }
        Ok(())
    }

    #[inline(always)]
    #[expect(
        clippy::indexing_slicing,
        reason = "groups are numbered below the number that was made room for"
    )]
    fn fold(
        &mut self,
        values: &[T::Native],
        groups: &[usize],
        nulls: Option<&NullBuffer>,
        wins: impl Fn(T::Native, T::Native) -> T::Native,
    ) {
        let rows = values.iter().zip(groups);
        match nulls {
            None => {
                for (&value, &group) in rows {
                    let held = &mut self.values[group];
                    *held = wins(*held, value);
                    self.known[group] = true;
                }
            }
            Some(nulls) => {
                for ((&value, &group), counts) in rows.zip(nulls) {
                    if counts {
                        let held = &mut self.values[group];
                        *held = wins(*held, value);
                        self.known[group] = true;
                    }
                }
            }
        }
    }

    /// Takes a column that belongs to a single group.
    fn take_all(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let column = Self::column(columns)?;
        let nothing = self.nothing();
        self.values.resize(1, nothing);
        self.known.resize(1, false);
        let wins = if self.is_max { greater } else { lesser };
        // NaN may also stand where a value is null.
        let nan = column.values().iter().fold(false, |nan, value| nan | value.is_nan());
        let found = match (nan, self.is_max) {
            (true, _) => column.iter().flatten().reduce(wins),
            (false, true) => compute::max(column),
            (false, false) => compute::min(column),
        };
        if let (Some(found), Some(held)) = (found, self.values.first_mut()) {
            *held = wins(*held, found);
            self.known.fill(true);
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut values = emit_to.take_needed(&mut self.values);
        values.iter_mut().for_each(|value| *value = value.plain());
        let known = NullBuffer::from(emit_to.take_needed(&mut self.known));
        Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), Some(known))?))
    }
}

impl<T: ArrowPrimitiveType<Native: Number> + Send> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.take(columns, groups, filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.take(states, groups, None, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn convert_to_state(
        &self,
        columns: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [column] = columns else { return internal_err!("an extreme has one column") };
        Ok(vec![match filter {
            Some(filter) => filtered(column, filter)?,
            None => Arc::clone(column),
        }])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.known.capacity()
    }
}

/// The extreme of all rows, as of a single group.
struct One<T: ArrowPrimitiveType>(Groups<T>);

impl<T: ArrowPrimitiveType> std::fmt::Debug for One<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ArrowPrimitiveType<Native: Number> + Send> Accumulator for One<T> {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.0.take_all(columns)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.0.values.first().zip(self.0.known.first());
        let value = value.and_then(|(value, known)| known.then_some(value.plain()));
        ScalarValue::new_primitive::<T>(value, &T::DATA_TYPE)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
