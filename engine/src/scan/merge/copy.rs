//! The copying of spans: those of several runs become one batch by copies of memory, column by column, a block of
//! spans at a time so that the spans stay in the nearest cache.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanBufferBuilder, Capacities, MutableArrayData,
    PrimitiveArray, RecordBatch, make_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};

use barograph_lake::internal::yield_if_background;

use super::Span;
use crate::{Error, Result};

/// Spans that are copied in one column before the next column's turn.
const BLOCK: usize = 1_024;

/// The rows of `spans`, one after the other.
pub(super) fn gather(runs: &[&RecordBatch], spans: &[Span]) -> Result<RecordBatch> {
    let first = runs.first().ok_or_else(|| Error::internal("merge: no runs"))?;
    let rows = spans.iter().map(|span| span.rows as usize).sum();
    let parts: Vec<Vec<&ArrayRef>> = (0..first.num_columns())
        .map(|column| runs.iter().map(|run| run.column(column)).collect())
        .collect();
    // Columns without a typed copy go through Arrow's general one, which borrows their data.
    let data: Vec<Vec<ArrayData>> = parts
        .iter()
        .map(|parts| match parts.first().is_some_and(|part| has_typed_copy(part.data_type())) {
            true => Vec::new(),
            false => parts.iter().map(|part| part.to_data()).collect(),
        })
        .collect();
    let mut columns: Vec<Box<dyn Column + '_>> = parts
        .iter()
        .zip(&data)
        .map(|(parts, data)| column(parts, data, rows, text_bytes(parts, spans)))
        .collect();
    for spans in spans.chunks(BLOCK) {
        yield_if_background();
        let block = Block { spans, single: spans.iter().all(|span| span.rows == 1) };
        for column in &mut columns {
            column.append(&block)?;
        }
    }
    let columns = columns.into_iter().map(|column| column.finish());
    Ok(RecordBatch::try_new(first.schema(), columns.collect::<Result<_>>()?)?)
}

/// Some spans, and whether each is of one row: runs that take turns row by row would pay for a call
/// of memcpy each.
struct Block<'a> {
    spans: &'a [Span],
    single: bool,
}

/// A column in the making.
trait Column {
    fn append(&mut self, block: &Block<'_>) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<ArrayRef>;
}

fn has_typed_copy(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

/// Bytes of the texts of a column; none if it does not hold texts, or more of them than one column can.
#[expect(clippy::indexing_slicing, reason = "spans are ranges of the rows of their runs")]
fn text_bytes(parts: &[&ArrayRef], spans: &[Span]) -> Option<usize> {
    let offsets = parts.iter().map(|part| Some(part.as_string_opt::<i32>()?.offsets()));
    let offsets: Vec<_> = offsets.collect::<Option<_>>()?;
    let bytes = |at: &Span| {
        let (offsets, rows) = (offsets[at.run as usize], at.range());
        offsets[rows.end].abs_diff(offsets[rows.start]) as usize
    };
    Some(spans.iter().map(bytes).sum()).filter(|bytes| *bytes <= i32::MAX as usize)
}

fn column<'a>(
    parts: &[&'a ArrayRef],
    data: &'a [ArrayData],
    rows: usize,
    text_bytes: Option<usize>,
) -> Box<dyn Column + 'a> {
    match parts.first().map(|part| part.data_type()) {
        Some(DataType::Int16) => Fixed::<Int16Type>::of(parts, rows),
        Some(DataType::Int32) => Fixed::<Int32Type>::of(parts, rows),
        Some(DataType::Int64) => Fixed::<Int64Type>::of(parts, rows),
        Some(DataType::Float32) => Fixed::<Float32Type>::of(parts, rows),
        Some(DataType::Float64) => Fixed::<Float64Type>::of(parts, rows),
        Some(DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            Fixed::<TimestampMicrosecondType>::of(parts, rows)
        }
        _ => {
            // Buffers that grow are held twice, and leave those behind that were too small.
            let room = match text_bytes {
                Some(bytes) => Capacities::Binary(rows, Some(bytes)),
                None => Capacities::Array(rows),
            };
            Box::new(MutableArrayData::with_capacities(data.iter().collect(), false, room))
        }
    }
}

/// A column of values of one width.
struct Fixed<'a, T: ArrowPrimitiveType> {
    of: DataType,
    sources: Vec<&'a [T::Native]>,
    values: Vec<T::Native>,
    nulls: Option<Nulls<'a>>,
}

/// Which values are there, of the runs that have nulls.
struct Nulls<'a> {
    sources: Vec<Option<&'a BooleanBuffer>>,
    valid: BooleanBufferBuilder,
}

impl<'a, T: ArrowPrimitiveType> Fixed<'a, T> {
    fn of(parts: &[&'a ArrayRef], rows: usize) -> Box<dyn Column + 'a> {
        let nulls: Vec<_> = parts
            .iter()
            .map(|&part| part.nulls().filter(|nulls| nulls.null_count() > 0).map(NullBuffer::inner))
            .collect();
        Box::new(Self {
            of: parts.first().map_or(T::DATA_TYPE, |part| part.data_type().clone()),
            sources: parts.iter().map(|&part| &part.as_primitive::<T>().values()[..]).collect(),
            values: Vec::with_capacity(rows),
            nulls: nulls
                .iter()
                .any(Option::is_some)
                .then(|| Nulls { sources: nulls, valid: BooleanBufferBuilder::new(rows) }),
        })
    }
}

#[expect(clippy::indexing_slicing, reason = "spans are ranges of the rows of their runs")]
impl<T: ArrowPrimitiveType> Column for Fixed<'_, T> {
    fn append(&mut self, block: &Block<'_>) -> Result<()> {
        let sources = &self.sources;
        if block.single {
            let value = |at: &Span| sources[at.run as usize][at.start as usize];
            self.values.extend(block.spans.iter().map(value));
        } else {
            for span in block.spans {
                self.values.extend_from_slice(&sources[span.run as usize][span.range()]);
            }
        }
        if let Some(nulls) = &mut self.nulls {
            nulls.append(block);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        let nulls = self.nulls.map(|mut nulls| NullBuffer::new(nulls.valid.finish()));
        let array = PrimitiveArray::<T>::try_new(self.values.into(), nulls)?;
        Ok(Arc::new(array.with_data_type(self.of)))
    }
}

#[expect(clippy::indexing_slicing, reason = "spans are ranges of the rows of their runs")]
impl Nulls<'_> {
    fn append(&mut self, block: &Block<'_>) {
        if block.single {
            let is_valid = |at: &Span| {
                self.sources[at.run as usize].is_none_or(|valid| valid.value(at.start as usize))
            };
            for spans in block.spans.chunks(64) {
                let bits =
                    spans.iter().rev().fold(0, |bits, at| bits << 1 | u64::from(is_valid(at)));
                self.valid.append_packed_range(0..spans.len(), &bits.to_le_bytes());
            }
            return;
        }
        for span in block.spans {
            let rows = span.range();
            match self.sources[span.run as usize] {
                Some(valid) => {
                    let at = valid.offset();
                    self.valid.append_packed_range(at + rows.start..at + rows.end, valid.values());
                }
                None => self.valid.append_n(rows.len(), true),
            }
        }
    }
}

impl Column for MutableArrayData<'_> {
    fn append(&mut self, block: &Block<'_>) -> Result<()> {
        for span in block.spans {
            let rows = span.range();
            self.try_extend(span.run as usize, rows.start, rows.end)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        Ok(make_array(self.freeze()))
    }
}
