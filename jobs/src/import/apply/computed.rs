//! Computed columns: the values of a SQL expression over the columns of a chunk.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use barograph_engine::expression::Input;

use super::super::input::Chunk;
use super::super::mapping::{Computed, Scalar};
use super::Faults;
use super::nulls::Nulls;
use super::numbers::from_floats;
use super::text::{Reader, as_text};
use crate::Result;

/// The values, as cells of a file that are yet to become values of `field`; the fault of a row that has none.
pub(super) fn cells(
    computed: &Computed,
    chunk: &Chunk,
    nulls: &Nulls<'_>,
    field: &Field,
    faults: &mut Faults,
) -> Result<ArrayRef> {
    let mut inputs = Vec::with_capacity(computed.inputs.len());
    for (input, (column, values)) in computed.expression.inputs().iter().zip(&computed.inputs) {
        let cells = chunk.columns.column(*column);
        let values = values.as_deref();
        inputs.push(taken(cells, input, values, nulls, field, faults)?);
    }
    let mut refused = |row: usize, reason: String| {
        faults.add(row, || format!("{}: `{}`: {reason}", field.name(), computed.text));
    };
    let rows = chunk.columns.num_rows();
    let values = computed.expression.evaluate(inputs, rows, &mut refused)?;
    Ok(match (values.data_type(), field.data_type()) {
        (from, to) if from.is_floating() && to.is_numeric() => {
            let doubles = cast(&values, &DataType::Float64)?;
            from_floats(doubles.as_primitive::<Float64Type>().clone(), field, faults)?
        }
        (DataType::Boolean, to) if to.is_numeric() => cast(&values, to)?,
        (_, DataType::Utf8) => cast(&values, &DataType::Utf8)?,
        _ => values,
    })
}

/// A column of the file as `input` of an expression.
fn taken(
    cells: &ArrayRef,
    input: &Input,
    values: Option<&BTreeMap<String, Scalar>>,
    nulls: &Nulls<'_>,
    field: &Field,
    faults: &mut Faults,
) -> Result<ArrayRef> {
    let Some(texts) = as_text(cells, values.is_some())? else { return nulls.removed(cells) };
    let as_read = Field::new(field.name(), input.data_type.clone(), true);
    let reader = Reader { nulls, field: &as_read, steps: &[], values, source: &input.name };
    match input.data_type {
        DataType::Utf8 => reader.read(&texts, faults),
        _ => Ok(reader.calculated(&texts, faults)),
    }
}
