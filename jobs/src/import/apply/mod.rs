//! How do the rows of a chunk become rows of the table?
//!
//! ```text
//! file's columns ─plan─► nulls ─► value map ─► parse ─► steps, or time ─► table's type
//!                                                     └──► bad row: reason + the row as it stood
//! ```
//!
//! Columns that have the right kind of type already pass untouched; the engine casts and checks them.

mod nulls;
mod numbers;
mod text;
mod times;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema};
use barograph_engine::validate::Rejected;

use super::input::{Chunk, Originals};
use super::mapping::{Origin, Plan};
use super::time::Found;
use crate::{Error, Result};
use nulls::Nulls;
use numbers::convert;
use text::{Reader, as_text};

/// Rows on their way to the table.
#[derive(Debug)]
pub struct Applied {
    /// Rows whose cells could be read.
    pub rows: RecordBatch,
    /// The others.
    pub rejected: Vec<Rejected>,
    /// Rows of the file: those of `rows` and the rejected ones.
    pub read: u64,
    /// Local times that come twice or not at all.
    pub found: Found,
}

/// Makes rows of the table from the rows of a chunk, which is the `first` of its file or a later one.
///
/// # Errors
/// `Input` if what is wrong with the times of the first chunk is wrong with the whole file.
pub fn apply(plan: &Plan, chunk: Chunk, first: bool) -> Result<Applied> {
    let nulls = Nulls::new(&plan.null);
    let mut found = Found::default();
    let rows = chunk.columns.num_rows();
    let mut faults = Faults::new(rows);
    let mut fields = Vec::with_capacity(plan.columns.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.len());
    for (field, origin) in &plan.columns {
        let reader = |steps, values, source| Reader { nulls: &nulls, field, steps, values, source };
        let form = plan.times.get(field.name());
        let name = |column: usize| plan.needed.get(column).map(String::as_str).unwrap_or_default();
        let column = match (origin, form) {
            (Origin::Joined(columns), Some(form)) => {
                let names: Vec<_> = columns.iter().map(|column| name(*column)).collect();
                let source = names.join(" + ");
                let cells: Vec<_> =
                    columns.iter().map(|column| chunk.columns.column(*column)).collect();
                let texts = times::joined(&cells, &nulls)?;
                let reading = form.begin(&source);
                times::of_texts(&reader(&[], None, &source), &texts, reading, &mut faults)
                    .and_then(|read| times::found(read, first, &mut found))?
            }
            (Origin::Constant(constant), _) => {
                let texts: StringArray =
                    std::iter::repeat_n(Some(constant.as_str()), rows).collect();
                let reader = reader(&[], None, "constant");
                match form {
                    Some(form) => {
                        times::of_texts(&reader, &texts, form.begin("constant"), &mut faults)
                            .and_then(|read| times::found(read, first, &mut found))?
                    }
                    None => reader.read(&texts, &mut faults)?,
                }
            }
            (Origin::File { column, steps, values }, form) => {
                let cells = chunk.columns.column(*column);
                let reader = reader(steps, values.as_deref(), name(*column));
                let texts = as_text(cells, values.is_some())?;
                match (texts, form) {
                    (Some(texts), Some(form)) if steps.is_empty() => {
                        let reading = form.begin(reader.source);
                        times::of_texts(&reader, &texts, reading, &mut faults)
                            .and_then(|read| times::found(read, first, &mut found))?
                    }
                    (Some(texts), None) => reader.read(&texts, &mut faults)?,
                    (texts, Some(form)) => {
                        let cells = match texts {
                            Some(texts) => reader.calculated(&texts, &mut faults),
                            None => numbers::calculated(&nulls.removed(cells)?, steps)?,
                        };
                        let reading = form.begin(reader.source);
                        times::of_cells(&reader, &cells, reading, &mut faults)
                            .and_then(|read| times::found(read, first, &mut found))?
                    }
                    (None, None) => convert(&nulls.removed(cells)?, steps, field, &mut faults)?,
                }
            }
            (Origin::Joined(_), None) => {
                return Err(Error::internal(format!("{} holds no times", field.name())));
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
    Ok(Applied { rows: made, rejected, read: chunk.read, found })
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
