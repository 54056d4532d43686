//! How do the rows of a chunk become rows of the table?
//!
//! ```text
//! file's columns ─plan─► value map ─► null texts ─► parse ─► steps ─► table's type
//!                                                     └──► bad row: reason + the row as it stood
//! ```
//!
//! Columns that have the right kind of type already pass untouched; the engine casts and checks them.

mod text;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
    TimestampMicrosecondType,
};
use barograph_engine::validate::Rejected;

use super::input::{Chunk, Originals};
use super::mapping::{Origin, Plan, Step};
use crate::Result;
use text::Reader;

/// Rows on their way to the table.
#[derive(Debug)]
pub struct Applied {
    /// Rows whose cells could be read.
    pub rows: RecordBatch,
    /// The others.
    pub rejected: Vec<Rejected>,
    /// Rows of the file: those of `rows` and the rejected ones.
    pub read: u64,
}

/// Makes rows of the table from the rows of a chunk.
pub fn apply(plan: &Plan, chunk: Chunk) -> Result<Applied> {
    let rows = chunk.columns.num_rows();
    let mut faults = Faults::new(rows);
    let mut fields = Vec::with_capacity(plan.columns.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.len());
    for (field, origin) in &plan.columns {
        let column = match origin {
            Origin::Constant(constant) => {
                let texts: StringArray =
                    std::iter::repeat_n(Some(constant.as_str()), rows).collect();
                Reader { plan, field, steps: &[], values: None, source: "constant" }
                    .read(&texts, &mut faults)?
            }
            Origin::File { column, steps, values } => {
                let source = plan.needed.get(*column).map(String::as_str).unwrap_or_default();
                let cells = chunk.columns.column(*column);
                let reader = Reader { plan, field, steps, values: values.as_deref(), source };
                match as_text(cells, values.is_some(), field.data_type())? {
                    Some(texts) => reader.read(&texts, &mut faults)?,
                    None => convert(cells, steps, field, &mut faults)?,
                }
            }
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let mut made =
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    let mut rejected = chunk.broken;
    if faults.any() {
        let json = |row: usize| original(&chunk.originals, row);
        for (row, reason) in faults.reasons.iter().enumerate() {
            if let Some(reason) = reason {
                let reason = format!("{reason} (row {})", chunk.numbers.get(row));
                rejected.push(Rejected { reason, row: json(row)? });
            }
        }
        let good: BooleanArray = faults.reasons.iter().map(|r| Some(r.is_none())).collect();
        made = filter_record_batch(&made, &good)?;
    }
    Ok(Applied { rows: made, rejected, read: chunk.read })
}

/// The first fault of each row that has one.
pub(super) struct Faults {
    reasons: Vec<Option<String>>,
    rows: usize,
}

impl Faults {
    fn new(rows: usize) -> Self {
        Self { reasons: Vec::new(), rows }
    }

    fn any(&self) -> bool {
        !self.reasons.is_empty()
    }

    fn add(&mut self, row: usize, reason: impl FnOnce() -> String) {
        if self.reasons.is_empty() {
            self.reasons.resize(self.rows, None);
        }
        if let Some(slot @ None) = self.reasons.get_mut(row) {
            *slot = Some(reason());
        }
    }
}

/// The cells as text, if they have to be read as text.
fn as_text(cells: &ArrayRef, mapped: bool, to: &DataType) -> Result<Option<StringArray>> {
    let text = match cells.data_type() {
        DataType::Dictionary(_, values) => is_text(values),
        other => is_text(other),
    };
    let needed =
        mapped || (text && (*to != DataType::Utf8 || *cells.data_type() == DataType::Utf8));
    if !needed {
        return Ok(None);
    }
    Ok(Some(cast(cells, &DataType::Utf8)?.as_string::<i32>().clone()))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Cells that are no text: dates and whole numbers become instants where one is wanted, numbers go
/// through the steps, everything else passes.
fn convert(
    cells: &ArrayRef,
    steps: &[Step],
    field: &Field,
    faults: &mut Faults,
) -> Result<ArrayRef> {
    let to = field.data_type();
    if steps.is_empty() {
        let instant = matches!(to, DataType::Timestamp(..))
            && (cells.data_type().is_integer()
                || matches!(cells.data_type(), DataType::Date32 | DataType::Date64));
        return Ok(if instant { cast(cells, to)? } else { Arc::clone(cells) });
    }
    let numbers = cast(cells, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let results: Float64Array = numbers.unary(|x| steps.iter().fold(x, |x, step| step.apply(x)));
    from_floats(results, field, faults)
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
        DataType::Timestamp(..) => {
            let instants = rounded::<TimestampMicrosecondType>(&numbers, field, faults);
            let instants = instants.as_primitive::<TimestampMicrosecondType>().clone();
            Arc::new(instants.with_timezone("UTC"))
        }
        // In double precision, so that the engine sees what single precision cannot hold.
        _ => Arc::new(numbers),
    })
}

/// Whole numbers that a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

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
                faults.add(row, || {
                    format!("{}: {number} does not fit {}", field.name(), field.data_type())
                });
            }
            fits
        })
        .collect();
    Arc::new(whole)
}

fn original(originals: &Originals, row: usize) -> Result<String> {
    match originals {
        Originals::Lines(lines) => {
            Ok(if row < lines.len() { lines.value(row).to_owned() } else { String::new() })
        }
        Originals::Columns(columns) => {
            let mut writer = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
            writer.write(&columns.slice(row, 1))?;
            writer.finish()?;
            Ok(String::from_utf8_lossy(&writer.into_inner()).trim_end().to_owned())
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
