//! The conversion of cells that have a type into values of the table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float64Type, Int16Type, Int32Type, Int64Type,
};
use arrow::util::display::array_value_to_string;

use super::super::mapping::Step;
use super::Faults;
use crate::Result;

/// Cells that are no text: numbers go through the steps, decimals become numbers of the table, everything else
/// passes, and is cast and checked by the table's rules.
pub(super) fn convert(
    cells: &ArrayRef,
    steps: &[Step],
    field: &Field,
    faults: &mut Faults,
) -> Result<ArrayRef> {
    if !steps.is_empty() {
        let numbers = calculated(cells, steps)?;
        return from_floats(numbers.as_primitive::<Float64Type>().clone(), field, faults);
    }
    match (cells.data_type(), field.data_type()) {
        (from, to) if is_decimal(from) && to.is_numeric() => decimal(cells, field, faults),
        _ => Ok(Arc::clone(cells)),
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

/// Decimals as the table's numbers: the nearest ones, or exactly where those are whole.
fn decimal(cells: &ArrayRef, field: &Field, faults: &mut Faults) -> Result<ArrayRef> {
    let to = field.data_type();
    if to.is_floating() {
        let doubles = cast(cells, &DataType::Float64)?;
        return from_floats(doubles.as_primitive::<Float64Type>().clone(), field, faults);
    }
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    let whole = cast_with_options(cells, to, &safe)?;
    let back = cast_with_options(&whole, cells.data_type(), &safe)?;
    let differs = arrow::compute::kernels::cmp::distinct(cells, &back)?;
    if differs.true_count() > 0 {
        for row in (0..cells.len()).filter(|row| differs.value(*row)) {
            faults.add(row, || {
                let value = array_value_to_string(cells, row).unwrap_or_default();
                format!("{}: {value} does not fit {to}", field.name())
            });
        }
    }
    Ok(whole)
}

/// Cells that went through the steps, if there are any.
pub(super) fn calculated(cells: &ArrayRef, steps: &[Step]) -> Result<ArrayRef> {
    if steps.is_empty() {
        return Ok(Arc::clone(cells));
    }
    let numbers = cast(cells, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let results: Float64Array = numbers.unary(|x| steps.iter().fold(x, |x, step| step.apply(x)));
    Ok(Arc::new(results))
}

/// Calculated numbers in the table's type: rounded where that is a whole number.
pub(super) fn from_floats(
    numbers: Float64Array,
    field: &Field,
    faults: &mut Faults,
) -> Result<ArrayRef> {
    Ok(match field.data_type() {
        DataType::Int16 => rounded::<Int16Type>(&numbers, field, faults),
        DataType::Int32 => rounded::<Int32Type>(&numbers, field, faults),
        DataType::Int64 => rounded::<Int64Type>(&numbers, field, faults),
        // In double precision, so that the engine sees what single precision cannot hold.
        _ => Arc::new(numbers),
    })
}

fn unfit(field: &Field, number: f64) -> String {
    format!("{}: {number} does not fit {}", field.name(), field.data_type())
}

/// Whole numbers that a double holds exactly.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;

fn rounded<T>(numbers: &Float64Array, field: &Field, faults: &mut Faults) -> ArrayRef
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    let whole: PrimitiveArray<T> = numbers
        .iter()
        .enumerate()
        .map(|(row, number)| {
            let number = number?;
            let whole = number.round_ties_even();
            let fits = (whole.abs() <= EXACT).then_some(whole as i64);
            let fits = fits.and_then(|whole| T::Native::try_from(whole).ok());
            if fits.is_none() {
                faults.add(row, || unfit(field, number));
            }
            fits
        })
        .collect();
    Arc::new(whole)
}
