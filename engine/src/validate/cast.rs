//! The cast of a column that was sent to a column of the table. A value that the table's type cannot hold is a fault
//! of its row.
//!
//! | to | fits |
//! |---|---|
//! | integer | a number of any type that is the same integer |
//! | float | any number, rounded to the nearest, that does not become infinite or zero by it |
//! | time | an instant of any unit that is a whole number of µs |
//! | text | text |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use barograph_lake::TableSchema;

use super::rejections::{Fault, Faults};
use crate::{Error, Result};

/// The type of the values that a dictionary or runs stand for.
fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => other,
    }
}

/// The batch with the values that dictionaries and runs stand for.
pub(super) fn plain(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema_ref();
    if schema.fields().iter().all(|f| plain_type(f.data_type()) == f.data_type()) {
        return Ok(batch.clone());
    }
    let fields = schema.fields().iter().map(|field| {
        Field::new(field.name(), plain_type(field.data_type()).clone(), field.is_nullable())
    });
    let fields: Vec<_> = fields.collect();
    let columns = batch.columns().iter().zip(&fields);
    let columns = columns.map(|(column, field)| Ok(cast(column, field.data_type())?));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Casts column `index` to the table's type.
pub(super) fn cast_column(
    schema: &TableSchema,
    index: usize,
    sent: &ArrayRef,
    faults: &mut Faults,
) -> Result<ArrayRef> {
    let field = schema.arrow().field(index);
    let to = field.data_type();
    if sent.data_type() == to {
        return Ok(Arc::clone(sent));
    }
    if !can_take(to, sent.data_type()) {
        return Err(Error::request(format!(
            "table {:?}, column {:?}: cannot take {} where {to} is declared",
            schema.name(),
            field.name(),
            sent.data_type()
        )));
    }
    let held = cast_safely(sent, to)?;
    let unfit = match to {
        DataType::Utf8 => None,
        DataType::Float32 | DataType::Float64 => vanished(sent, &held)?,
        _ => changed(sent, &held)?,
    };
    let lost = held.null_count() > sent.logical_null_count();
    if lost || unfit.is_some() {
        for row in 0..sent.len() {
            // What stands behind a null is no value.
            let missing = *sent.data_type() == DataType::Null || sent.is_null(row);
            let unfit = || unfit.as_ref().is_some_and(|unfit| unfit.value(row));
            if !missing && (held.is_null(row) || unfit()) {
                faults.add(row, index, Fault::Unfit);
            }
        }
    }
    Ok(held)
}

fn cast_safely(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: true, ..Default::default() };
    Ok(cast_with_options(values, to, &options)?)
}

fn can_take(to: &DataType, from: &DataType) -> bool {
    if *from == DataType::Null {
        return true;
    }
    match to {
        DataType::Timestamp(..) => matches!(from, DataType::Timestamp(..)),
        DataType::Utf8 => {
            matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        _ => from.is_numeric(),
    }
}

/// The rows whose value is another one when it is cast back, if there are any.
fn changed(sent: &ArrayRef, held: &ArrayRef) -> Result<Option<BooleanArray>> {
    // Zeros of both signs are one integer.
    let sent: ArrayRef = match sent.data_type() {
        DataType::Float64 => {
            Arc::new(sent.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| x + 0.0))
        }
        DataType::Float32 => {
            Arc::new(sent.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| x + 0.0))
        }
        _ => Arc::clone(sent),
    };
    let back = cast_safely(held, sent.data_type())?;
    let differs = arrow::compute::kernels::cmp::distinct(&sent, &back)?;
    Ok((differs.true_count() > 0).then_some(differs))
}

/// The rows whose number became infinite or zero, if there are any.
fn vanished(sent: &ArrayRef, held: &ArrayRef) -> Result<Option<BooleanArray>> {
    if sent.data_type().is_integer() || *sent.data_type() == DataType::Null {
        return Ok(None);
    }
    let wide = match sent.data_type() {
        DataType::Float64 => Arc::clone(sent),
        _ => cast_safely(sent, &DataType::Float64)?,
    };
    let wide = wide.as_primitive::<Float64Type>().values();
    let marks = match held.data_type() {
        DataType::Float32 => vanished_of(wide, held.as_primitive::<Float32Type>().values()),
        _ => vanished_of(wide, held.as_primitive::<Float64Type>().values()),
    };
    Ok(marks.map(BooleanArray::from))
}

fn vanished_of<F: Into<f64> + Copy>(sent: &[f64], held: &[F]) -> Option<Vec<bool>> {
    let is_vanished = |(&sent, &held): (&f64, &F)| {
        let held: f64 = held.into();
        (held.is_infinite() & sent.is_finite()) | ((held == 0.0) & (sent != 0.0))
    };
    let any = sent.iter().zip(held).fold(false, |any, pair| any | is_vanished(pair));
    any.then(|| sent.iter().zip(held).map(is_vanished).collect())
}
