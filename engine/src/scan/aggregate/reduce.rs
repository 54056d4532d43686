//! Reductions of the segments of a column: sum, min, max, first and last value.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::util::bit_chunk_iterator::BitChunks;

use super::Part;
use super::kernel::{Number, float_sum, max, min, whole_sum};
use super::segments::Segments;
use crate::{Error, Result};

/// One array for each of `parts`, with one value a segment. First and last are by position.
pub(super) fn reduce(
    column: &ArrayRef,
    segments: &Segments,
    parts: &[Part],
) -> Result<Vec<ArrayRef>> {
    match column.data_type() {
        DataType::Int16 => numbers::<Int16Type>(column, segments, parts),
        DataType::Int32 => numbers::<Int32Type>(column, segments, parts),
        DataType::Int64 => numbers::<Int64Type>(column, segments, parts),
        DataType::Float32 => numbers::<Float32Type>(column, segments, parts),
        DataType::Float64 => numbers::<Float64Type>(column, segments, parts),
        DataType::Timestamp(..) => numbers::<TimestampMicrosecondType>(column, segments, parts),
        DataType::Utf8 => texts(column, segments, parts),
        other => Err(Error::internal(format!("aggregate: a column of type {other}"))),
    }
}

fn numbers<T: ArrowPrimitiveType<Native: Number>>(
    column: &ArrayRef,
    segments: &Segments,
    parts: &[Part],
) -> Result<Vec<ArrayRef>> {
    let array = column
        .as_primitive_opt::<T>()
        .ok_or_else(|| Error::internal("aggregate: a column in an unexpected unit"))?;
    let kept = [Part::FloatSum, Part::WholeSum, Part::Min, Part::Max];
    let [sums_floats, sums_wholes, has_min, has_max] = kept.map(|part| parts.contains(&part));
    let size = |wanted: bool| if wanted { segments.len() } else { 0 };
    let mut counts = Vec::with_capacity(segments.len());
    let mut float_sums = Vec::with_capacity(size(sums_floats));
    let mut whole_sums = Vec::with_capacity(size(sums_wholes));
    let mut mins = Vec::with_capacity(size(has_min));
    let mut maxs = Vec::with_capacity(size(has_max));
    let mut dense = Dense::new(array);
    for segment in segments.iter() {
        let values = dense.values(segment);
        counts.push(values.len() as i64);
        if sums_floats {
            float_sums.push(float_sum(values));
        }
        if sums_wholes {
            let sum = whole_sum(values);
            whole_sums.push(i64::try_from(sum).map_err(|_| overflow(sum))?);
        }
        if has_min {
            mins.push(min(values));
        }
        if has_max {
            maxs.push(max(values));
        }
    }
    let filled = filled(&counts);
    let typed = |values: Vec<T::Native>| -> Result<ArrayRef> {
        let array = PrimitiveArray::<T>::try_new(values.into(), filled.clone())?;
        Ok(Arc::new(array.with_data_type(column.data_type().clone())))
    };
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(parts.len());
    for part in parts {
        arrays.push(match part {
            Part::Count => Arc::new(Int64Array::from(counts.clone())),
            Part::FloatSum => Arc::new(Float64Array::try_new(
                std::mem::take(&mut float_sums).into(),
                filled.clone(),
            )?),
            Part::WholeSum => Arc::new(Int64Array::try_new(
                std::mem::take(&mut whole_sums).into(),
                filled.clone(),
            )?),
            Part::Min => typed(std::mem::take(&mut mins))?,
            Part::Max => typed(std::mem::take(&mut maxs))?,
            _ => return Err(Error::internal(format!("aggregate: {part:?} is no reduction"))),
        });
    }
    Ok(arrays)
}

fn overflow(sum: i128) -> Error {
    Error::request(format!(
        "a sum of integers is {sum}, more than 64 bits can hold: take shorter windows, or the mean"
    ))
}

fn filled(counts: &[i64]) -> Option<NullBuffer> {
    counts.contains(&0).then(|| counts.iter().map(|&count| count > 0).collect())
}

/// The values of a segment without its nulls, side by side.
struct Dense<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    nulls: Option<&'a NullBuffer>,
    scratch: Vec<T::Native>,
}

impl<'a, T: ArrowPrimitiveType> Dense<'a, T> {
    fn new(array: &'a PrimitiveArray<T>) -> Self {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        Self { array, nulls, scratch: Vec::new() }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "segments are ranges of the rows, and there is room for one value more than a segment has"
    )]
    fn values(&mut self, segment: Range<usize>) -> &[T::Native] {
        let values = &self.array.values()[segment.clone()];
        let Some(nulls) = self.nulls else { return values };
        let valid = nulls.inner();
        let bits = BitChunks::new(valid.values(), valid.offset() + segment.start, values.len());
        // Without branches: every value is written, and stays if the next one is written after it.
        self.scratch.resize(values.len() + 1, T::Native::default());
        let mut kept = 0;
        for (values, mut word) in values.chunks(64).zip(bits.iter_padded()) {
            for &value in values {
                self.scratch[kept] = value;
                kept += (word & 1) as usize;
                word >>= 1;
            }
        }
        &self.scratch[..kept]
    }
}

fn texts(column: &ArrayRef, segments: &Segments, parts: &[Part]) -> Result<Vec<ArrayRef>> {
    let texts = column.as_string::<i32>();
    let best = |better: Ordering| {
        pick(column, segments, |best, row| texts.value(row).cmp(texts.value(best)) == better)
    };
    parts
        .iter()
        .map(|part| match part {
            Part::Count => {
                let valid = |rows: Range<usize>| rows.filter(|&row| texts.is_valid(row)).count();
                let counts: Int64Array = segments.iter().map(|rows| valid(rows) as i64).collect();
                Ok(Arc::new(counts) as ArrayRef)
            }
            Part::Min => Ok(take(column, &best(Ordering::Less), None)?),
            Part::Max => Ok(take(column, &best(Ordering::Greater), None)?),
            _ => Err(Error::internal(format!("aggregate: {part:?} of text"))),
        })
        .collect()
}

/// Of every segment the row of `column` that is not null and than which none after it is `better`.
pub(super) fn pick(
    column: &dyn Array,
    segments: &Segments,
    better: impl Fn(usize, usize) -> bool,
) -> UInt64Array {
    let best = |rows: Range<usize>| {
        rows.filter(|&row| column.is_valid(row))
            .reduce(|best, row| if better(best, row) { row } else { best })
            .map(|row| row as u64)
    };
    segments.iter().map(best).collect()
}

/// Of every segment the first row, or the last, where `column` is not null.
pub(super) fn end(column: &dyn Array, segments: &Segments, last: bool) -> UInt64Array {
    let end = |rows: Range<usize>| if last { rows.end - 1 } else { rows.start };
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => UInt64Array::from_iter_values(segments.iter().map(|rows| end(rows) as u64)),
        Some(nulls) => {
            let valid = |row: &usize| nulls.is_valid(*row);
            let end =
                |mut rows: Range<usize>| if last { rows.rfind(valid) } else { rows.find(valid) };
            segments.iter().map(|rows| end(rows).map(|row| row as u64)).collect()
        }
    }
}
