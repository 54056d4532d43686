//! The decoding of rows into columns: blocks of rows in their final order are read column after column while their
//! words are still in the cache.

#![expect(
    clippy::indexing_slicing,
    reason = "rows are as wide as the layout that numbers their words"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    TimestampMicrosecondType,
};
use barograph_lake::schema::KEY_COLUMN;
use barograph_lake::{Key, KeyType, ValueType};

use super::layout::{Field, Layout};
use super::pages::{OpenPages, text};
use crate::{Error, Result};

/// The words of one row.
pub(super) type Row<'a> = &'a [AtomicU64];

/// Columns in the making.
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

struct Column {
    /// `None` for the key, which is not in the row.
    field: Option<Field>,
    values: Values,
    validity: Validity,
}

enum Values {
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Timestamp(Vec<i64>),
    Text { ends: Vec<i32>, bytes: Vec<u8> },
}

impl Columns {
    /// The columns with these Arrow indexes, with room for `rows` rows.
    pub(super) fn new(layout: &Layout, columns: &[usize], rows: usize) -> Result<Self> {
        let table = layout.schema.arrow();
        if let Some(column) = columns.iter().find(|&&column| !layout.has(column)) {
            return Err(Error::internal(format!(
                "a read asks for column {column} of {:?}, which has {}",
                layout.schema.name(),
                table.fields().len()
            )));
        }
        let whole = columns.iter().copied().eq(0..table.fields().len());
        let schema = if whole { Arc::clone(table) } else { Arc::new(table.project(columns)?) };
        let columns = columns.iter().map(|&column| Column::new(layout, column, rows)).collect();
        Ok(Self { schema, columns, rows: 0 })
    }

    /// Appends `rows`, which belong to `keys`: each key with how many of the rows are its.
    pub(super) fn extend(
        &mut self,
        keys: &[(Key, usize)],
        rows: &[Row<'_>],
        heap: &OpenPages,
    ) -> Result<()> {
        for column in &mut self.columns {
            match column.field {
                None => column.extend_keys(keys),
                Some(field) => column.extend(field, rows, heap)?,
            }
        }
        self.rows += rows.len();
        Ok(())
    }

    /// The columns as one batch.
    pub(super) fn finish(self) -> Result<RecordBatch> {
        let arrays = self.columns.into_iter().zip(self.schema.fields());
        let arrays = arrays
            .map(|(column, field)| column.finish(field.data_type()))
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(self.schema, arrays, &options)?)
    }
}

impl Column {
    fn new(layout: &Layout, column: usize, rows: usize) -> Self {
        let field = layout.field(column).filter(|_| column != KEY_COLUMN).copied();
        let values = match field.map(|field| field.value_type) {
            None if layout.schema.key_type() == KeyType::Int32 => {
                Values::Int32(Vec::with_capacity(rows))
            }
            None | Some(ValueType::Int64) => Values::Int64(Vec::with_capacity(rows)),
            Some(ValueType::Int16) => Values::Int16(Vec::with_capacity(rows)),
            Some(ValueType::Int32) => Values::Int32(Vec::with_capacity(rows)),
            Some(ValueType::Float32) => Values::Float32(Vec::with_capacity(rows)),
            Some(ValueType::Float64) => Values::Float64(Vec::with_capacity(rows)),
            Some(ValueType::Timestamp) => Values::Timestamp(Vec::with_capacity(rows)),
            Some(ValueType::Utf8) => {
                let mut ends = Vec::with_capacity(rows + 1);
                ends.push(0);
                Values::Text { ends, bytes: Vec::new() }
            }
        };
        Self { field, values, validity: Validity::default() }
    }

    fn extend_keys(&mut self, keys: &[(Key, usize)]) {
        for &(key, rows) in keys {
            match &mut self.values {
                // Widened from this type when it came in.
                Values::Int32(out) => out.resize(out.len() + rows, key.get() as i32),
                Values::Int64(out) => out.resize(out.len() + rows, key.get()),
                _ => {}
            }
        }
    }

    fn extend(&mut self, field: Field, rows: &[Row<'_>], heap: &OpenPages) -> Result<()> {
        let words = rows.iter().map(|row| row[field.word].load(Ordering::Relaxed) >> field.shift);
        match &mut self.values {
            Values::Int16(out) => out.extend(words.map(|word| word as i16)),
            Values::Int32(out) => out.extend(words.map(|word| word as i32)),
            Values::Int64(out) | Values::Timestamp(out) => {
                out.extend(words.map(|word| word as i64))
            }
            Values::Float32(out) => out.extend(words.map(|word| f32::from_bits(word as u32))),
            Values::Float64(out) => out.extend(words.map(f64::from_bits)),
            Values::Text { ends, bytes } => {
                for word in words {
                    text::append_to(heap, word, bytes);
                    ends.push(i32::try_from(bytes.len()).map_err(|_| too_much_text())?);
                }
            }
        }
        if let Some((word, bit)) = field.null {
            self.validity
                .extend(rows.iter().map(|row| row[word].load(Ordering::Relaxed) >> bit & 1));
        }
        Ok(())
    }

    fn finish(self, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = self.validity.finish();
        Ok(match self.values {
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, data_type)?,
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, data_type)?,
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, data_type)?,
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, data_type)?,
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, data_type)?,
            Values::Timestamp(values) => {
                primitive::<TimestampMicrosecondType>(values, nulls, data_type)?
            }
            Values::Text { ends, bytes } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(StringArray::try_new(offsets, bytes.into(), nulls)?)
            }
        })
    }
}

/// Which rows have a value, a bit a row. Written 64 at a time, which Arrow's builder does not offer for
/// bits that come one by one.
#[derive(Default)]
struct Validity {
    full: Vec<u64>,
    last: u64,
    rows: usize,
    nulls: u64,
}

impl Validity {
    /// Appends rows by whether they are null (1) or not (0).
    fn extend(&mut self, nulls: impl Iterator<Item = u64>) {
        // In locals, or every bit would wait for the one before it to reach memory.
        let (mut last, mut rows, mut count) = (self.last, self.rows, 0);
        for null in nulls {
            last |= (null ^ 1) << (rows % 64);
            count += null;
            rows += 1;
            if rows.is_multiple_of(64) {
                self.full.push(last);
                last = 0;
            }
        }
        (self.last, self.rows) = (last, rows);
        self.nulls += count;
    }

    /// `None` if no row is null.
    fn finish(mut self) -> Option<NullBuffer> {
        if self.nulls == 0 {
            return None;
        }
        self.full.push(self.last);
        let bits = BooleanBuffer::new(Buffer::from_vec(self.full), 0, self.rows);
        Some(NullBuffer::new(bits))
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls)?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

fn too_much_text() -> Error {
    Error::resources(
        "text of one answer",
        "a text column of one batch holds at most 2 GiB: ask for fewer keys or a shorter time",
        Duration::ZERO,
    )
}
