//! `sum` of whole numbers, decimals, durations and intervals, added up in 128 bits. A sum that its type cannot hold is
//! an error, as in tickets; neither intermediate sums nor the order of rows matter.

mod groups;
mod intervals;

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, Int64Array, PrimitiveArray,
    UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use barograph_engine::scan::kernel::{Step, WholeSum, unsigned_sum, whole_sum};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator};
use datafusion::scalar::ScalarValue;

use groups::Groups;
use intervals::{IntervalSum, is_span};

use crate::functions::delegate::delegate_aggregate;

/// Digits of the largest decimal of 128 bits.
const DIGITS: u8 = 38;

pub(super) fn sum() -> AggregateUDF {
    AggregateUDF::new_from_impl(Sum(sum_udaf()))
}

/// The sum in 64 bits.
pub(in crate::functions) fn fitting(sum: Option<i128>, signed: bool) -> Result<ScalarValue> {
    match (sum, signed) {
        (None, true) => Ok(ScalarValue::Int64(None)),
        (None, false) => Ok(ScalarValue::UInt64(None)),
        (Some(sum), true) => {
            i64::try_from(sum).map(ScalarValue::from).map_err(|_| too_large(sum, &DataType::Int64))
        }
        (Some(sum), false) => {
            u64::try_from(sum).map(ScalarValue::from).map_err(|_| too_large(sum, &DataType::UInt64))
        }
    }
}

fn too_large(sum: i128, of: &DataType) -> DataFusionError {
    match of {
        DataType::Decimal128(_, _) => exec_datafusion_err!(
            "a sum of decimals has more than {DIGITS} digits: sum the column as double, or take the mean"
        ),
        DataType::Duration(_) => exec_datafusion_err!(
            "a sum of durations is longer than 64 bits can hold: sum numbers, as in \
             sum(extract(epoch FROM duration))"
        ),
        _ => exec_datafusion_err!(
            "a sum of integers is {sum}, more than 64 bits can hold: sum the column as decimal(38, 0) or \
             double, or take the mean"
        ),
    }
}

/// The type in which partial sums are sent; `None` if the sum is DataFusion's.
fn state_of(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Int64 | DataType::UInt64 | DataType::Duration(_) => {
            Some(DataType::Decimal128(DIGITS, 0))
        }
        DataType::Decimal128(_, scale) => Some(DataType::Decimal128(DIGITS, *scale)),
        _ => None,
    }
}

/// The sums as values of the type `of`; an error if one does not fit.
fn results(sums: Vec<i128>, known: NullBuffer, of: &DataType) -> Result<ArrayRef> {
    let fits = |sum: &i128| match of {
        DataType::UInt64 => u64::try_from(*sum).is_ok(),
        DataType::Decimal128(_, _) => sum.unsigned_abs() < 10_u128.pow(u32::from(DIGITS)),
        _ => i64::try_from(*sum).is_ok(),
    };
    if let Some(sum) = sums.iter().find(|sum| !fits(sum)) {
        return Err(too_large(*sum, of));
    }
    let known = Some(known);
    Ok(match of {
        DataType::UInt64 => {
            let narrow: Vec<_> = sums.iter().map(|sum| *sum as u64).collect();
            Arc::new(UInt64Array::try_new(narrow.into(), known)?)
        }
        DataType::Decimal128(_, _) => {
            let sums = Decimal128Array::try_new(sums.into(), known)?;
            Arc::new(sums.with_data_type(of.clone()))
        }
        _ => {
            let narrow: Vec<_> = sums.iter().map(|sum| *sum as i64).collect();
            cast(&Int64Array::try_new(narrow.into(), known)?, of)?
        }
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum(Arc<AggregateUDF>);

impl AggregateUDFImpl for Sum {
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let output = args.return_type().clone();
        match (state_of(&output), args.is_distinct) {
            (Some(_), true) => Ok(Box::new(Distinct { of: self.0.accumulator(args)?, output })),
            (Some(state), false) => Ok(Box::new(One { sum: 0, values: 0, state, output })),
            (None, false) if is_span(&output) => Ok(Box::new(IntervalSum::default())),
            (None, _) => self.0.accumulator(args),
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        match state_of(args.return_type()).is_some() || is_span(args.return_type()) {
            true => self.accumulator(args),
            false => self.0.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match state_of(args.return_field.data_type()) {
            Some(state) if !args.is_distinct => {
                Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sum"), state, true))])
            }
            None if is_span(args.return_field.data_type()) && !args.is_distinct => {
                Ok(intervals::state_fields(args.name))
            }
            _ => self.0.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !is_span(args.return_type()) && self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let output = args.return_type().clone();
        match state_of(&output) {
            Some(state) => Ok(Box::new(Groups::new(state, output))),
            None => self.0.create_groups_accumulator(args),
        }
    }

    delegate_aggregate!();
}

/// The sum of 64-bit values, nulls left out.
fn whole<T: ArrowPrimitiveType<Native: Into<i128>>>(
    values: &PrimitiveArray<T>,
    sum: impl Fn(&[T::Native]) -> i128,
) -> i128 {
    if values.null_count() > 0 {
        return values.iter().flatten().map(Into::into).fold(WholeSum::NOTHING, WholeSum::both);
    }
    sum(values.values())
}

/// The values as numbers.
fn numbers(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Duration(_) => cast(column, &DataType::Int64)?,
        _ => Arc::clone(column),
    })
}

/// The sum of all values of a column.
fn total(column: &ArrayRef) -> Result<i128> {
    let column = numbers(column)?;
    Ok(match column.data_type() {
        DataType::Int64 => whole(column.as_primitive::<Int64Type>(), whole_sum),
        DataType::UInt64 => whole(column.as_primitive::<UInt64Type>(), unsigned_sum),
        DataType::Decimal128(_, _) => {
            let mut values = column.as_primitive::<Decimal128Type>().iter().flatten();
            values.try_fold(0, |sum, value| added(sum, value, column.data_type()))?
        }
        other => return internal_err!("a sum got values of type {other}"),
    })
}

fn added(sum: i128, value: i128, of: &DataType) -> Result<i128> {
    sum.checked_add(value).ok_or_else(|| too_large(sum, of))
}

#[derive(Debug)]
struct One {
    sum: i128,
    values: usize,
    state: DataType,
    output: DataType,
}

impl One {
    fn column(columns: &[ArrayRef]) -> Result<(i128, usize)> {
        let [column] = columns else { return internal_err!("a sum has one column") };
        Ok((total(column)?, column.len() - column.null_count()))
    }

    fn known(&self) -> Option<i128> {
        (self.values > 0).then_some(self.sum)
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (more, values) = Self::column(columns)?;
        self.sum = added(self.sum, more, &self.state)?;
        self.values += values;
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (less, values) = Self::column(columns)?;
        self.sum -= less;
        self.values -= values;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let known = NullBuffer::from(vec![self.values > 0]);
        ScalarValue::try_from_array(&results(vec![self.sum], known, &self.output)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        match self.state {
            DataType::Decimal128(digits, scale) => {
                Ok(vec![ScalarValue::Decimal128(self.known(), digits, scale)])
            }
            _ => internal_err!("a sum has a state of type {}", self.state),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sum of distinct values, which DataFusion's accumulator keeps.
#[derive(Debug)]
struct Distinct {
    of: Box<dyn Accumulator>,
    output: DataType,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.of.update_batch(columns)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.of.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let state = self.of.state()?;
        let Some(ScalarValue::List(values)) = state.first() else {
            return internal_err!("a sum of distinct values has no list of them");
        };
        let values = values.values();
        let known = NullBuffer::from(vec![values.null_count() < values.len()]);
        ScalarValue::try_from_array(&results(vec![total(values)?], known, &self.output)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.of.state()
    }

    fn size(&self) -> usize {
        self.of.size()
    }
}
