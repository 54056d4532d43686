//! The application of a mapping: the rows of a chunk become rows of the table.
//!
//! ```text
//! file's columns ─plan─► nulls ─► value map ─► parse ─► steps, or time ─► table's type
//!                                                     └──► bad row: reason + the row as it stood
//! ```
//!
//! Columns that already have the right kind of type pass untouched; the engine casts and checks them.

mod computed;
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
use super::time::{Found, TimeForm};
use crate::{Error, Result};
use nulls::Nulls;
use numbers::convert;
use text::{Reader, as_text};

/// A chunk as rows of the table.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Rows whose cells could be read.
    pub rows: RecordBatch,
    /// Rows with a cell that could not be read.
    pub rejected: Vec<Rejected>,
    /// Rows of the file: those of `rows` and the rejected ones.
    pub read: u64,
    /// Ambiguous and nonexistent local times.
    pub found: Found,
}

/// Makes rows of the table from the rows of a chunk, which is the `first` of its file or a later one.
///
/// # Errors
/// `Input` if what is wrong with the times of the first chunk is wrong with the whole file.
pub(crate) fn apply(plan: &Plan, chunk: Chunk, first: bool) -> Result<Applied> {
    let rows = chunk.columns.num_rows();
    let (faults, found) = (Faults::new(rows), Found::default());
    let nulls = Nulls::new(&plan.null);
    let mut applying = Applying { plan, chunk: &chunk, nulls, first, faults, found };
    let mut fields = Vec::with_capacity(plan.columns.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.len());
    for (field, origin) in &plan.columns {
        let column = applying.column(field, origin)?;
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let Applying { faults, found, .. } = applying;
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

/// A chunk on its way.
struct Applying<'a> {
    plan: &'a Plan,
    chunk: &'a Chunk,
    nulls: Nulls<'a>,
    first: bool,
    faults: Faults,
    found: Found,
}

impl Applying<'_> {
    fn column(&mut self, field: &Field, origin: &Origin) -> Result<ArrayRef> {
        let (plan, chunk) = (self.plan, self.chunk);
        let form = plan.times.get(field.name());
        let name = |column: usize| plan.needed.get(column).map(String::as_str).unwrap_or_default();
        let nulls = self.nulls.clone();
        let reader = |steps, values, source| Reader { nulls: &nulls, field, steps, values, source };
        match origin {
            Origin::Joined(columns) => {
                let names: Vec<_> = columns.iter().map(|column| name(*column)).collect();
                let source = names.join(" + ");
                let cells: Vec<_> =
                    columns.iter().map(|column| chunk.columns.column(*column)).collect();
                let texts = times::joined(&cells, &nulls)?;
                let holds_none = || Error::internal(format!("{} holds no times", field.name()));
                let form = form.ok_or_else(holds_none)?;
                self.times(&reader(&[], None, &source), &texts, form)
            }
            Origin::Constant(constant) => {
                let rows = chunk.columns.num_rows();
                let texts: StringArray =
                    std::iter::repeat_n(Some(constant.as_str()), rows).collect();
                let reader = reader(&[], None, "constant");
                match form {
                    Some(form) => self.times(&reader, &texts, form),
                    None => reader.read(&texts, &mut self.faults),
                }
            }
            Origin::File { column, steps, values } => {
                let reader = reader(steps, values.as_deref(), name(*column));
                self.cells(&reader, chunk.columns.column(*column), form)
            }
            Origin::Computed(computed) => {
                let cells = computed::cells(computed, chunk, &nulls, field, &mut self.faults)?;
                let none = Nulls::new(&[]);
                let reader = Reader {
                    nulls: &none,
                    field,
                    steps: &[],
                    values: None,
                    source: &computed.text,
                };
                // What was computed in double precision is as the table's rules judge it.
                match (form, cells.data_type()) {
                    (None, data_type) if data_type.is_floating() => Ok(cells),
                    _ => self.cells(&reader, &cells, form),
                }
            }
        }
    }

    /// Cells of one column.
    fn cells(
        &mut self,
        reader: &Reader<'_>,
        cells: &ArrayRef,
        form: Option<&TimeForm>,
    ) -> Result<ArrayRef> {
        let texts = as_text(cells, reader.values.is_some())?;
        let faults = &mut self.faults;
        match (texts, form) {
            (Some(texts), Some(form)) if reader.steps.is_empty() => {
                self.times(reader, &texts, form)
            }
            (Some(texts), None) => reader.read(&texts, faults),
            (None, None) => {
                convert(&reader.nulls.removed(cells)?, reader.steps, reader.field, faults)
            }
            (texts, Some(form)) => {
                let cells = match texts {
                    Some(texts) => reader.calculated(&texts, faults),
                    None => numbers::calculated(&reader.nulls.removed(cells)?, reader.steps)?,
                };
                let read = times::of_cells(reader, &cells, form.begin(reader.source), faults)?;
                times::found(read, self.first, &mut self.found)
            }
        }
    }

    /// Times that are text.
    fn times(
        &mut self,
        reader: &Reader<'_>,
        texts: &StringArray,
        form: &TimeForm,
    ) -> Result<ArrayRef> {
        let reading = form.begin(reader.source);
        let read = times::of_texts(reader, texts, reading, &mut self.faults)?;
        times::found(read, self.first, &mut self.found)
    }
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
