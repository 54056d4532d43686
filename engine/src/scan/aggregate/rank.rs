//! Ranks: 64-bit integers in the order of the values that they stand for, so that one kernel compares values of all
//! types: among floats NaN is the greatest, whatever its sign, and zeros are equal.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};

use super::kernel::Number;
use crate::{Error, Result};

/// Whether values of a type can be compared as 64-bit integers.
pub fn is_comparable(of: &DataType) -> bool {
    use DataType::{Float32, Float64, Int16, Int32, Int64, Timestamp};
    matches!(of, Int16 | Int32 | Int64 | Float32 | Float64 | Timestamp(..))
}

/// Integers in the order of the values.
pub fn ranks(array: &ArrayRef) -> Result<Int64Array> {
    Ok(match array.data_type() {
        DataType::Float32 => {
            let rank = |value: f32| i64::from(rank32(value.plain().to_bits()));
            array.as_primitive::<Float32Type>().unary(rank)
        }
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().unary(|value| rank64(value.plain().to_bits()))
        }
        DataType::Int16 => widened::<Int16Type>(array),
        DataType::Int32 => widened::<Int32Type>(array),
        DataType::Int64 => widened::<Int64Type>(array),
        DataType::Timestamp(..) => widened::<Int64Type>(&cast(array, &DataType::Int64)?),
        other => {
            return Err(Error::internal(format!("aggregate: ranks of values of type {other}")));
        }
    })
}

fn widened<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef) -> Int64Array {
    array.as_primitive::<T>().unary(Into::into)
}

/// The values of the type `of` that have `ranks`.
pub fn of_ranks(ranks: Vec<i64>, nulls: Option<NullBuffer>, of: &DataType) -> Result<ArrayRef> {
    // A row without a value has the rank that stands for nothing, which no narrow type holds.
    let narrow = |rank: i64| rank as i32;
    Ok(match of {
        DataType::Float32 => {
            let values =
                ranks.iter().map(|&rank| f32::from_bits(rank32(narrow(rank) as u32) as u32));
            primitive::<Float32Type>(values.collect(), nulls)?
        }
        DataType::Float64 => {
            let values = ranks.iter().map(|&rank| f64::from_bits(rank64(rank as u64) as u64));
            primitive::<Float64Type>(values.collect(), nulls)?
        }
        DataType::Int16 => {
            primitive::<Int16Type>(ranks.iter().map(|&rank| rank as i16).collect(), nulls)?
        }
        DataType::Int32 => {
            primitive::<Int32Type>(ranks.iter().map(|&rank| narrow(rank)).collect(), nulls)?
        }
        _ => cast(&primitive::<Int64Type>(ranks, nulls)?, of)?,
    })
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
}

/// The rank of a float in the total order, from its bits; applied twice it gives them back.
fn rank32(bits: u32) -> i32 {
    let bits = bits as i32;
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

fn rank64(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}
