//! Sums of intervals: months, days and nanoseconds, each summed by itself.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit,
};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::utils::format_state_name;
use datafusion::scalar::ScalarValue;

use super::DIGITS;

const PARTS: [&str; 3] = ["months", "days", "nanoseconds"];

pub(super) fn is_span(of: &DataType) -> bool {
    *of == DataType::Interval(IntervalUnit::MonthDayNano)
}

pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
    let field = |part: &&str| {
        let of = DataType::Decimal128(DIGITS, 0);
        Arc::new(Field::new(format_state_name(name, part), of, true))
    };
    PARTS.iter().map(field).collect()
}

/// The sums of months, days and nanoseconds, and the number of intervals.
#[derive(Debug, Default)]
pub(super) struct IntervalSum {
    parts: [i128; 3],
    values: usize,
}

impl IntervalSum {
    fn take(&mut self, columns: &[ArrayRef], sign: i128) -> Result<usize> {
        let Some(column) =
            columns.first().and_then(|of| of.as_primitive_opt::<IntervalMonthDayNanoType>())
        else {
            return internal_err!("a sum of intervals got another type");
        };
        for span in column.iter().flatten() {
            let [months, days, nanos] = &mut self.parts;
            *months += sign * i128::from(span.months);
            *days += sign * i128::from(span.days);
            *nanos += sign * i128::from(span.nanoseconds);
        }
        Ok(column.len() - column.null_count())
    }
}

impl Accumulator for IntervalSum {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.values += self.take(columns, 1)?;
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.values -= self.take(columns, -1)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (part, state) in self.parts.iter_mut().zip(states) {
            *part += state.as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
        }
        self.values += states.first().map_or(0, |state| state.len() - state.null_count());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.values == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let [months, days, nanos] = self.parts;
        let fits = || {
            let (months, days) = (i32::try_from(months).ok()?, i32::try_from(days).ok()?);
            Some(IntervalMonthDayNano::new(months, days, i64::try_from(nanos).ok()?))
        };
        let sum = fits().ok_or_else(|| {
            exec_datafusion_err!(
                "a sum of intervals is longer than an interval can hold: sum numbers, as in \
                 sum(extract(epoch FROM interval))"
            )
        })?;
        Ok(ScalarValue::IntervalMonthDayNano(Some(sum)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let known = |part: &i128| (self.values > 0).then_some(*part);
        let states = self.parts.iter().map(|part| ScalarValue::Decimal128(known(part), DIGITS, 0));
        Ok(states.collect())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
