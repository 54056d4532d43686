//! Sums of groups, each in 128 bits.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use barograph_engine::scan::kernel::{Step, WholeSum};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::super::{filtered, passed};
use super::{numbers, results, too_large};

#[derive(Debug)]
pub(super) struct Groups {
    sums: Vec<i128>,
    known: Vec<bool>,
    state: DataType,
    output: DataType,
}

impl Groups {
    pub(super) fn new(state: DataType, output: DataType) -> Self {
        Self { sums: Vec::new(), known: Vec::new(), state, output }
    }

    /// Calls `add` with the sum of the group of each value that counts, and the value.
    #[inline(always)]
    #[expect(
        clippy::indexing_slicing,
        reason = "groups are numbered below the number that was made room for"
    )]
    fn each<T: ArrowPrimitiveType>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        nulls: Option<&NullBuffer>,
        mut add: impl FnMut(&mut i128, T::Native),
    ) {
        let rows = values.values().iter().zip(groups);
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => {
                for (value, &group) in rows {
                    add(&mut self.sums[group], *value);
                    self.known[group] = true;
                }
            }
            Some(nulls) => {
                for ((value, &group), counts) in rows.zip(nulls) {
                    if counts {
                        add(&mut self.sums[group], *value);
                        self.known[group] = true;
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let [column] = columns else { return internal_err!("a sum has one column") };
        self.sums.resize(total, 0);
        self.known.resize(total, false);
        let mut nulls = column.nulls().cloned();
        if let Some(filter) = filter {
            nulls = NullBuffer::union(nulls.as_ref(), Some(&passed(filter)));
        }
        let nulls = nulls.as_ref();
        let column = numbers(column)?;
        match column.data_type() {
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>();
                self.each(values, groups, nulls, |sum, value| {
                    *sum = WholeSum::both(*sum, value.into())
                });
            }
            DataType::UInt64 => {
                let values = column.as_primitive::<UInt64Type>();
                self.each(values, groups, nulls, |sum, value| {
                    *sum = WholeSum::both(*sum, value.into())
                });
            }
            DataType::Decimal128(_, _) => {
                let mut left = false;
                let values = column.as_primitive::<Decimal128Type>();
                self.each(values, groups, nulls, |sum, value| {
                    let (more, over) = sum.overflowing_add(value);
                    *sum = more;
                    left |= over;
                });
                if left {
                    return Err(too_large(0, &self.state));
                }
            }
            other => return internal_err!("a sum got values of type {other}"),
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> (Vec<i128>, NullBuffer) {
        let sums = emit_to.take_needed(&mut self.sums);
        (sums, NullBuffer::from(emit_to.take_needed(&mut self.known)))
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
        self.take(columns, groups, filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.take(states, groups, None, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, known) = self.emit(emit_to);
        results(sums, known, &self.output)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, known) = self.emit(emit_to);
        let sums = Decimal128Array::try_new(sums.into(), Some(known))?;
        Ok(vec![Arc::new(sums.with_data_type(self.state.clone()))])
    }

    fn convert_to_state(
        &self,
        columns: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [column] = columns else { return internal_err!("a sum has one column") };
        let states = cast(&numbers(column)?, &self.state)?;
        Ok(vec![match filter {
            Some(filter) => filtered(&states, filter)?,
            None => states,
        }])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.known.capacity()
    }
}
