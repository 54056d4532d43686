//! The builder of an Arrow array from the pages of a column: it decodes the rows that a read asks for.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::dictionary::Dictionary;
use super::page::Page;
use super::slice::{Slice, dense, malformed, pieces};
use super::value::{Kind, Load};
use crate::{Key, Result};

/// An array in the making.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    data_type: DataType,
    values: Values,
    /// Which rows are not null; made at the first null.
    valid: Option<BooleanBufferBuilder>,
}

#[derive(Debug)]
enum Values {
    Int16(Numbers<i16>),
    Int32(Numbers<i32>),
    Int64(Numbers<i64>),
    Float32(Numbers<f32>),
    Float64(Numbers<f64>),
    Text { ends: Vec<i32>, bytes: Vec<u8> },
}

#[derive(Debug)]
struct Numbers<V> {
    out: Vec<V>,
    /// The values of a page without gaps for its nulls.
    dense: Vec<V>,
}

/// Room for what is worked out of each page.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Rows that are not null.
    runs: Vec<Range<usize>>,
}

impl ColumnBuilder {
    /// A column with room for so many rows and bytes of texts.
    pub(super) fn new(data_type: &DataType, capacity: usize, texts: usize) -> Self {
        let values = match Kind::of(data_type) {
            Kind::Int16 => Values::Int16(Numbers::new(capacity)),
            Kind::Int32 => Values::Int32(Numbers::new(capacity)),
            Kind::Int64 => Values::Int64(Numbers::new(capacity)),
            Kind::Float32 => Values::Float32(Numbers::new(capacity)),
            Kind::Float64 => Values::Float64(Numbers::new(capacity)),
            Kind::Text => {
                let mut ends = Vec::with_capacity(capacity + 1);
                ends.push(0);
                Values::Text { ends, bytes: Vec::with_capacity(texts) }
            }
        };
        Self { data_type: data_type.clone(), values, valid: None }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Int16(values) => values.out.len(),
            Values::Int32(values) => values.out.len(),
            Values::Int64(values) => values.out.len(),
            Values::Float32(values) => values.out.len(),
            Values::Float64(values) => values.out.len(),
            Values::Text { ends, .. } => ends.len() - 1,
        }
    }

    /// Appends the rows `ranges` of a page; they are ascending and apart.
    pub(super) fn append(
        &mut self,
        page: &Page<'_>,
        dictionary: Option<&Dictionary>,
        ranges: &[Range<usize>],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(()) };
        let span = first.start..last.end;
        if span.end > page.rows {
            return Err(malformed());
        }
        let before = page.valid(span.clone(), &mut scratch.runs)?;
        let runs = scratch.runs.as_slice();
        self.append_valid(runs, &span, ranges);
        let slice = Slice { page, before, runs, ranges };
        match (&mut self.values, dictionary) {
            (Values::Int16(out), Some(Dictionary::Int16(entries))) => out.append(&slice, entries),
            (Values::Int32(out), Some(Dictionary::Int32(entries))) => out.append(&slice, entries),
            (Values::Int64(out), Some(Dictionary::Int64(entries))) => out.append(&slice, entries),
            (Values::Float32(out), Some(Dictionary::Float32(entries))) => {
                out.append(&slice, entries)
            }
            (Values::Float64(out), Some(Dictionary::Float64(entries))) => {
                out.append(&slice, entries)
            }
            (Values::Int16(out), None) => out.append(&slice, &[]),
            (Values::Int32(out), None) => out.append(&slice, &[]),
            (Values::Int64(out), None) => out.append(&slice, &[]),
            (Values::Float32(out), None) => out.append(&slice, &[]),
            (Values::Float64(out), None) => out.append(&slice, &[]),
            (Values::Text { ends, bytes }, dictionary) => slice.texts(dictionary, ends, bytes),
            _ => Err(malformed()),
        }
    }

    fn append_valid(
        &mut self,
        runs: &[Range<usize>],
        span: &Range<usize>,
        ranges: &[Range<usize>],
    ) {
        if runs.first() == Some(span) {
            if let Some(bits) = &mut self.valid {
                bits.append_n(ranges.iter().map(|range| range.len()).sum(), true);
            }
            return;
        }
        let rows = self.len();
        let bits = self.valid.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(rows + span.len());
            bits.append_n(rows, true);
            bits
        });
        pieces(runs, ranges, |nulls, values| {
            bits.append_n(nulls, false);
            bits.append_n(values.len(), true);
        });
    }

    /// Appends `count` nulls.
    pub(super) fn append_nulls(&mut self, count: usize) {
        let rows = self.len();
        let bits = self.valid.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(rows + count);
            bits.append_n(rows, true);
            bits
        });
        bits.append_n(count, false);
        match &mut self.values {
            Values::Int16(values) => values.out.resize(rows + count, 0),
            Values::Int32(values) => values.out.resize(rows + count, 0),
            Values::Int64(values) => values.out.resize(rows + count, 0),
            Values::Float32(values) => values.out.resize(rows + count, 0.0),
            Values::Float64(values) => values.out.resize(rows + count, 0.0),
            Values::Text { ends, .. } => {
                let end = ends.last().copied().unwrap_or_default();
                ends.resize(ends.len() + count, end);
            }
        }
    }

    /// Appends `key` `count` times; only for a key column.
    pub(super) fn append_key(&mut self, key: Key, count: usize) -> Result<()> {
        match &mut self.values {
            Values::Int32(values) => {
                let key = i32::try_from(key.get()).map_err(|_| malformed())?;
                values.out.resize(values.out.len() + count, key);
            }
            Values::Int64(values) => values.out.resize(values.out.len() + count, key.get()),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Appends instants that are not null; only for a timestamp column.
    pub(super) fn append_times(&mut self, times: &[i64]) -> Result<()> {
        match &mut self.values {
            Values::Int64(values) => values.out.extend_from_slice(times),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// The array.
    pub(super) fn finish(self) -> Result<ArrayRef> {
        let nulls = self
            .valid
            .map(|mut bits| NullBuffer::new(bits.finish()))
            .filter(|nulls| nulls.null_count() > 0);
        Ok(match (self.values, &self.data_type) {
            (Values::Int16(values), _) => array::<Int16Type>(values.out, nulls),
            (Values::Int32(values), _) => array::<Int32Type>(values.out, nulls),
            (Values::Int64(values), DataType::Timestamp(_, zone)) => Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::new(values.out.into(), nulls)
                    .with_timezone_opt(zone.clone()),
            ),
            (Values::Int64(values), _) => array::<Int64Type>(values.out, nulls),
            (Values::Float32(values), _) => array::<Float32Type>(values.out, nulls),
            (Values::Float64(values), _) => array::<Float64Type>(values.out, nulls),
            (Values::Text { ends, bytes }, _) => {
                let texts = StringArray::try_new(
                    OffsetBuffer::new(ends.into()),
                    Buffer::from_vec(bytes),
                    nulls,
                );
                Arc::new(texts.map_err(|e| malformed().with_source(e))?)
            }
        })
    }
}

fn array<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

impl<V: Load> Numbers<V> {
    fn new(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity), dense: Vec::new() }
    }

    fn append(&mut self, slice: &Slice<'_>, entries: &[V]) -> Result<()> {
        if slice.runs.len() == 1 && slice.runs == slice.ranges {
            return dense(slice.page, entries, slice.values(), &mut self.out);
        }
        self.dense.clear();
        dense(slice.page, entries, slice.values(), &mut self.dense)?;
        pieces(slice.runs, slice.ranges, |nulls, values| {
            self.out.resize(self.out.len() + nulls, V::default());
            self.out.extend_from_slice(self.dense.get(values).unwrap_or_default());
        });
        Ok(())
    }
}
