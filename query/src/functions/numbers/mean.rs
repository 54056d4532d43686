//! `avg` of durations, added up in 128 bits since their sum may exceed 64 bits where their mean does not. Other means
//! are DataFusion's.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, internal_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF,
};
use datafusion::scalar::ScalarValue;

use crate::functions::delegate::delegate_aggregate;

pub(super) fn avg() -> AggregateUDF {
    AggregateUDF::new_from_impl(Mean(avg_udaf()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mean(Arc<AggregateUDF>);

fn is_duration(of: &DataType) -> bool {
    matches!(of, DataType::Duration(_))
}

impl AggregateUDFImpl for Mean {
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match is_duration(args.return_type()) && !args.is_distinct {
            true => {
                let output = args.return_type().clone();
                Ok(Box::new(One { sum: 0, count: 0, output }))
            }
            false => self.0.accumulator(args),
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        match is_duration(args.return_type()) && !args.is_distinct {
            true => self.accumulator(args),
            false => self.0.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if args.is_distinct || !is_duration(args.return_field.data_type()) {
            return self.0.state_fields(args);
        }
        let field = |part, of| Arc::new(Field::new(format_state_name(args.name, part), of, true));
        Ok(vec![field("count", DataType::UInt64), field("sum", DataType::Decimal128(38, 0))])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !is_duration(args.return_type()) && self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.0.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.0.reverse_udf()
    }

    delegate_aggregate!();
}

#[derive(Debug)]
struct One {
    sum: i128,
    count: u64,
    output: DataType,
}

impl One {
    fn take(&mut self, columns: &[ArrayRef], sign: i128) -> Result<u64> {
        let [column] = columns else { return internal_err!("a mean has one column") };
        let numbers = cast(column, &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        self.sum += sign * numbers.iter().flatten().map(i128::from).sum::<i128>();
        Ok((numbers.len() - numbers.null_count()) as u64)
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.count += self.take(columns, 1)?;
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.count -= self.take(columns, -1)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [count, sum] = states else {
            return internal_err!("a mean has a state of two columns");
        };
        self.count += count.as_primitive::<UInt64Type>().iter().flatten().sum::<u64>();
        self.sum += sum.as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mean = (self.count > 0).then(|| (self.sum / i128::from(self.count)) as i64);
        ScalarValue::Int64(mean).cast_to(&self.output)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = ScalarValue::Decimal128(Some(self.sum), 38, 0);
        Ok(vec![ScalarValue::UInt64(Some(self.count)), sum])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
