//! Size of operands: one pass without a branch per number tells whether they are so small that no result can overflow,
//! in which case the operator does not have to check.

use arrow::array::{ArrowPrimitiveType, AsArray, Datum, PrimitiveArray};
use arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

use super::arithmetic::Operation;

/// Whether no result of the operation can overflow the type of the operands.
pub(super) fn fits(operation: Operation, operands: &[&dyn Datum]) -> bool {
    let mut sizes = [0; 2];
    let mut room = u32::MAX;
    for (size, of) in sizes.iter_mut().zip(operands) {
        let Some((bits, of_type)) = bits(*of) else { return false };
        *size = bits;
        room = room.min(of_type.room(operation));
    }
    let [left, right] = sizes;
    match operation {
        Operation::Multiply => left + right <= room,
        _ => left.max(right) < room,
    }
}

/// A type of whole numbers.
#[derive(Debug, Clone, Copy)]
enum Width {
    Signed(u32),
    Unsigned(u32),
}

impl Width {
    /// Bits that a result can have: one fewer than the numbers of the type, the least of which has no opposite.
    fn room(self, operation: Operation) -> u32 {
        match (self, operation) {
            (Self::Signed(bits), _) => bits - 2,
            (Self::Unsigned(bits), Operation::Add | Operation::Multiply) => bits,
            (Self::Unsigned(_), _) => 0,
        }
    }
}

/// Bits that the numbers of an operand take without their sign.
fn bits(of: &dyn Datum) -> Option<(u32, Width)> {
    let (array, _) = of.get();
    let (all, width) = match array.data_type() {
        DataType::Int8 => (signed(array.as_primitive::<Int8Type>()), Width::Signed(8)),
        DataType::Int16 => (signed(array.as_primitive::<Int16Type>()), Width::Signed(16)),
        DataType::Int32 => (signed(array.as_primitive::<Int32Type>()), Width::Signed(32)),
        DataType::Int64 => (signed(array.as_primitive::<Int64Type>()), Width::Signed(64)),
        DataType::UInt8 => (unsigned(array.as_primitive::<UInt8Type>()), Width::Unsigned(8)),
        DataType::UInt16 => (unsigned(array.as_primitive::<UInt16Type>()), Width::Unsigned(16)),
        DataType::UInt32 => (unsigned(array.as_primitive::<UInt32Type>()), Width::Unsigned(32)),
        DataType::UInt64 => (unsigned(array.as_primitive::<UInt64Type>()), Width::Unsigned(64)),
        _ => return None,
    };
    Some((u64::BITS - all.leading_zeros(), width))
}

/// All bits that are set in any number, in a negative one those of its complement.
fn signed<T: ArrowPrimitiveType<Native: Into<i64>>>(values: &PrimitiveArray<T>) -> u64 {
    let of = |value: i64| (value ^ (value >> 63)) as u64;
    values.values().iter().fold(0, |all, &value| all | of(value.into()))
}

fn unsigned<T: ArrowPrimitiveType<Native: Into<u64>>>(values: &PrimitiveArray<T>) -> u64 {
    values.values().iter().fold(0, |all: u64, &value| -> u64 {
        let value: u64 = value.into();
        all | value
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int8Array, UInt8Array};
    use arrow::compute::kernels::numeric::{add, mul, neg, sub};

    use super::*;

    /// Every pair of 8-bit numbers that fits gives the same with and without a check.
    #[test]
    fn what_fits_never_leaves() {
        let known = |operation: Operation, left: &dyn Datum, right: &dyn Datum| match operation {
            Operation::Add => add(left, right).is_ok(),
            Operation::Subtract => sub(left, right).is_ok(),
            Operation::Multiply => mul(left, right).is_ok(),
            Operation::Negate => neg(left.get().0).is_ok(),
        };
        let operations =
            [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Negate];
        let mut fitted = [0; 4];
        let mut each = |left: Arc<dyn Array>, right: Arc<dyn Array>, signed: bool| {
            for (at, operation) in operations.into_iter().enumerate() {
                let operands: Vec<&dyn Datum> = match operation {
                    Operation::Negate if !signed => continue,
                    Operation::Negate => vec![&left],
                    _ => vec![&left, &right],
                };
                if fits(operation, &operands) {
                    fitted[at] += 1;
                    assert!(known(operation, &left, &right), "{operation:?} {left:?} {right:?}");
                }
            }
        };
        for a in i8::MIN..=i8::MAX {
            for b in i8::MIN..=i8::MAX {
                let [left, right] = [a, b].map(|of| Arc::new(Int8Array::from(vec![of])) as _);
                each(left, right, true);
                let [left, right] =
                    [a, b].map(|of| Arc::new(UInt8Array::from(vec![of as u8])) as _);
                each(left, right, false);
            }
        }
        assert!(fitted.iter().all(|&times| times > 1_000), "{fitted:?}");
    }
}
