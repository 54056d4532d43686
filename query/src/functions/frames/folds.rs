//! Fold states of sums, means, extremes, bits, truth values, and of single values of any type.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use barograph_engine::scan::kernel::{FloatSum, Step, WholeSum, order};
use datafusion::common::{Result, internal_err};
use datafusion::scalar::ScalarValue;

use super::sliding::Fold;
use crate::functions::numbers::fitting;

/// Sum or mean of doubles.
#[derive(Debug)]
pub(super) struct Floats {
    pub(super) mean: bool,
}

impl Fold for Floats {
    type State = (f64, u64);

    fn nothing(&self) -> Self::State {
        (0.0, 0)
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Self::State)) -> Result<()> {
        let Some(values) = columns.first().and_then(|of| of.as_primitive_opt::<Float64Type>())
        else {
            return internal_err!("a sum of doubles got another type");
        };
        values.iter().for_each(|value| take(value.map_or((0.0, 0), |value| (value, 1))));
        Ok(())
    }

    fn join(&self, earlier: &Self::State, later: &Self::State) -> Self::State {
        (FloatSum::both(earlier.0, later.0), earlier.1 + later.1)
    }

    fn value(&self, (sum, count): &Self::State) -> Result<ScalarValue> {
        let value = if self.mean { sum / *count as f64 } else { *sum };
        Ok(ScalarValue::Float64((*count > 0).then_some(value)))
    }
}

/// Sum of whole numbers; an error if it does not fit.
#[derive(Debug)]
pub(super) struct Wholes {
    pub(super) signed: bool,
}

impl Fold for Wholes {
    type State = Option<i128>;

    fn nothing(&self) -> Self::State {
        None
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Self::State)) -> Result<()> {
        let column = columns.first();
        if let Some(values) = column.and_then(|of| of.as_primitive_opt::<Int64Type>()) {
            values.iter().for_each(|value| take(value.map(i128::from)));
        } else if let Some(values) = column.and_then(|of| of.as_primitive_opt::<UInt64Type>()) {
            values.iter().for_each(|value| take(value.map(i128::from)));
        } else {
            return internal_err!("a sum of whole numbers got another type");
        }
        Ok(())
    }

    fn join(&self, earlier: &Self::State, later: &Self::State) -> Self::State {
        match (earlier, later) {
            (Some(a), Some(b)) => Some(WholeSum::both(*a, *b)),
            (one, other) => one.or(*other),
        }
    }

    fn value(&self, sum: &Self::State) -> Result<ScalarValue> {
        fitting(*sum, self.signed)
    }
}

/// Which of two values is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    Min,
    Max,
    /// The first that is not null.
    First,
}

/// One of the values, of any type.
#[derive(Debug)]
pub(super) struct One {
    pub(super) stays: Stays,
    /// The null of their type.
    pub(super) null: ScalarValue,
}

impl Fold for One {
    type State = Option<ScalarValue>;

    fn nothing(&self) -> Self::State {
        None
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Self::State)) -> Result<()> {
        let Some(values) = columns.first() else { return internal_err!("no column") };
        for row in 0..values.len() {
            let value = ScalarValue::try_from_array(values, row)?;
            take((!value.is_null()).then_some(value));
        }
        Ok(())
    }

    fn join(&self, earlier: &Self::State, later: &Self::State) -> Self::State {
        let (Some(a), Some(b)) = (earlier, later) else {
            return earlier.clone().or_else(|| later.clone());
        };
        let later_stays = match self.stays {
            Stays::Min => compared(b, a).is_lt(),
            Stays::Max => compared(b, a).is_gt(),
            Stays::First => false,
        };
        Some(if later_stays { b.clone() } else { a.clone() })
    }

    fn value(&self, state: &Self::State) -> Result<ScalarValue> {
        Ok(state.clone().unwrap_or_else(|| self.null.clone()))
    }
}

/// Order in which zeros are equal, and NaN of either sign is equal to NaN and greater than everything else.
fn compared(a: &ScalarValue, b: &ScalarValue) -> Ordering {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => order(*a, *b),
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) => order(*a, *b),
        _ => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    }
}

/// AND, OR and XOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    And,
    Or,
    Xor,
}

impl Operation {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "bit_and" | "bool_and" => Self::And,
            "bit_or" | "bool_or" => Self::Or,
            "bit_xor" => Self::Xor,
            _ => return None,
        })
    }

    fn of(self, a: u64, b: u64) -> u64 {
        match self {
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
        }
    }
}

/// Bits of whole numbers and truth values.
#[derive(Debug)]
pub(super) struct Bits {
    pub(super) operation: Operation,
    pub(super) output: DataType,
}

impl Fold for Bits {
    type State = Option<u64>;

    fn nothing(&self) -> Self::State {
        None
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Self::State)) -> Result<()> {
        let Some(values) = columns.first() else { return internal_err!("no column") };
        if let Some(values) = values.as_boolean_opt() {
            values.iter().for_each(|value| take(value.map(u64::from)));
        } else if values.data_type().is_unsigned_integer() {
            let values = cast(values, &DataType::UInt64)?;
            values.as_primitive::<UInt64Type>().iter().for_each(take);
        } else {
            let values = cast(values, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>().iter();
            values.for_each(|value| take(value.map(|value| value as u64)));
        }
        Ok(())
    }

    fn join(&self, earlier: &Self::State, later: &Self::State) -> Self::State {
        match (*earlier, *later) {
            (Some(a), Some(b)) => Some(self.operation.of(a, b)),
            (one, other) => one.or(other),
        }
    }

    fn value(&self, state: &Self::State) -> Result<ScalarValue> {
        if self.output == DataType::Boolean {
            return Ok(ScalarValue::Boolean(state.map(|bit| bit != 0)));
        }
        let whole = match self.output.is_unsigned_integer() {
            true => ScalarValue::UInt64(*state),
            false => ScalarValue::Int64(state.map(|bits| bits as i64)),
        };
        whole.cast_to(&self.output)
    }
}
