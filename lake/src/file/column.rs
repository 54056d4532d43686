//! How do the rows asked for of a column's pages become an Arrow array?

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::bits::{Piece, unpack, visit_hybrid};
use super::dictionary::{Dictionary, TextDictionary, take_text};
use super::page::Page;
use super::value::{Kind, Load};
use super::{delta, header};
use crate::{Error, ErrorKind, Result};

/// Indexes unpacked at a time.
const BATCH: usize = 256;

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
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Text { ends: Vec<i32>, bytes: Vec<u8> },
}

impl ColumnBuilder {
    pub(super) fn new(data_type: &DataType, capacity: usize) -> Self {
        let values = match Kind::of(data_type) {
            Kind::Int16 => Values::Int16(Vec::with_capacity(capacity)),
            Kind::Int32 => Values::Int32(Vec::with_capacity(capacity)),
            Kind::Int64 => Values::Int64(Vec::with_capacity(capacity)),
            Kind::Float32 => Values::Float32(Vec::with_capacity(capacity)),
            Kind::Float64 => Values::Float64(Vec::with_capacity(capacity)),
            Kind::Text => Values::Text { ends: vec![0], bytes: Vec::new() },
        };
        Self { data_type: data_type.clone(), values, valid: None }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Int16(values) => values.len(),
            Values::Int32(values) => values.len(),
            Values::Int64(values) => values.len(),
            Values::Float32(values) => values.len(),
            Values::Float64(values) => values.len(),
            Values::Text { ends, .. } => ends.len() - 1,
        }
    }

    /// Appends the rows `ranges` of a page; they are ascending and apart.
    pub(super) fn append(
        &mut self,
        page: &Page<'_>,
        dictionary: Option<&Dictionary>,
        ranges: &[Range<usize>],
    ) -> Result<()> {
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(()) };
        let span = first.start..last.end;
        if span.end > page.rows {
            return Err(malformed());
        }
        let valid = page.valid(span.end)?;
        self.append_valid(valid.as_ref(), ranges);
        match (&mut self.values, dictionary) {
            (Values::Int16(out), Some(Dictionary::Int16(entries))) => numbers(page, entries, valid, span, ranges, out),
            (Values::Int32(out), Some(Dictionary::Int32(entries))) => numbers(page, entries, valid, span, ranges, out),
            (Values::Int64(out), Some(Dictionary::Int64(entries))) => numbers(page, entries, valid, span, ranges, out),
            (Values::Float32(out), Some(Dictionary::Float32(entries))) => numbers(page, entries, valid, span, ranges, out),
            (Values::Float64(out), Some(Dictionary::Float64(entries))) => numbers(page, entries, valid, span, ranges, out),
            (Values::Int16(out), None) => numbers(page, &[], valid, span, ranges, out),
            (Values::Int32(out), None) => numbers(page, &[], valid, span, ranges, out),
            (Values::Int64(out), None) => numbers(page, &[], valid, span, ranges, out),
            (Values::Float32(out), None) => numbers(page, &[], valid, span, ranges, out),
            (Values::Float64(out), None) => numbers(page, &[], valid, span, ranges, out),
            (Values::Text { ends, bytes }, dictionary) => {
                let entries = match dictionary {
                    Some(Dictionary::Text(texts)) => Some(texts),
                    _ => None,
                };
                texts(page, entries, valid.as_ref(), ranges, ends, bytes)
            }
            _ => Err(malformed()),
        }
    }

    fn append_valid(&mut self, valid: Option<&BooleanBuffer>, ranges: &[Range<usize>]) {
        let rows = self.len();
        match (valid, &mut self.valid) {
            (None, None) => {}
            (None, Some(bits)) => {
                bits.append_n(ranges.iter().map(|range| range.len()).sum(), true);
            }
            (Some(valid), slot) => {
                let bits = slot.get_or_insert_with(|| {
                    let mut bits = BooleanBufferBuilder::new(rows + valid.len());
                    bits.append_n(rows, true);
                    bits
                });
                for range in ranges {
                    bits.append_buffer(&valid.slice(range.start, range.len()));
                }
            }
        }
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
            Values::Int16(values) => values.resize(rows + count, 0),
            Values::Int32(values) => values.resize(rows + count, 0),
            Values::Int64(values) => values.resize(rows + count, 0),
            Values::Float32(values) => values.resize(rows + count, 0.0),
            Values::Float64(values) => values.resize(rows + count, 0.0),
            Values::Text { ends, .. } => {
                let end = ends.last().copied().unwrap_or_default();
                ends.resize(ends.len() + count, end);
            }
        }
    }

    /// Appends `key` `count` times; only for a key column.
    pub(super) fn append_key(&mut self, key: i64, count: usize) -> Result<()> {
        match &mut self.values {
            Values::Int32(values) => {
                let key = i32::try_from(key).map_err(|_| malformed())?;
                values.resize(values.len() + count, key);
            }
            Values::Int64(values) => values.resize(values.len() + count, key),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Appends instants that are not null; only for a timestamp column.
    pub(super) fn append_times(&mut self, times: &[i64]) -> Result<()> {
        match &mut self.values {
            Values::Int64(values) => values.extend_from_slice(times),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// The array.
    pub(super) fn finish(self) -> Result<ArrayRef> {
        let nulls = self.valid.map(|mut bits| NullBuffer::new(bits.finish())).filter(|nulls| nulls.null_count() > 0);
        Ok(match (self.values, &self.data_type) {
            (Values::Int16(values), _) => array::<Int16Type>(values, nulls),
            (Values::Int32(values), _) => array::<Int32Type>(values, nulls),
            (Values::Int64(values), DataType::Timestamp(_, zone)) => Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::new(values.into(), nulls)
                    .with_timezone_opt(zone.clone()),
            ),
            (Values::Int64(values), _) => array::<Int64Type>(values, nulls),
            (Values::Float32(values), _) => array::<Float32Type>(values, nulls),
            (Values::Float64(values), _) => array::<Float64Type>(values, nulls),
            (Values::Text { ends, bytes }, _) => {
                let texts = StringArray::try_new(OffsetBuffer::new(ends.into()), Buffer::from_vec(bytes), nulls);
                Arc::new(texts.map_err(|e| malformed().with_source(e))?)
            }
        })
    }
}

fn array<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

fn numbers<V: Load>(
    page: &Page<'_>,
    entries: &[V],
    valid: Option<BooleanBuffer>,
    span: Range<usize>,
    ranges: &[Range<usize>],
    out: &mut Vec<V>,
) -> Result<()> {
    let base = out.len();
    match valid {
        None => dense(page, entries, span.clone(), out)?,
        Some(valid) => {
            let skipped = valid.slice(0, span.start).count_set_bits();
            let valid = valid.slice(span.start, span.len());
            dense(page, entries, skipped..skipped + valid.count_set_bits(), out)?;
            spread(&valid, base, out);
        }
    }
    if ranges.len() > 1 {
        let mut end = base;
        for range in ranges {
            let from = base + range.start - span.start;
            out.copy_within(from..from + range.len(), end);
            end += range.len();
        }
        out.truncate(end);
    }
    Ok(())
}

/// Appends the values `range`, counted without nulls, of a page.
pub(super) fn dense<V: Load>(
    page: &Page<'_>,
    entries: &[V],
    range: Range<usize>,
    out: &mut Vec<V>,
) -> Result<()> {
    match page.encoding {
        header::RLE_DICTIONARY => {
            let (&width, stream) = page.values.split_first().ok_or_else(malformed)?;
            let (width, Some(last)) = (usize::from(width), entries.len().checked_sub(1)) else {
                return if range.is_empty() { Ok(()) } else { Err(malformed()) };
            };
            let mut largest = 0;
            let mut indexes = [0; BATCH];
            visit_hybrid(stream, width, range.start, range.end, |piece| {
                match piece {
                    Piece::Repeat { value, len } => {
                        largest = largest.max(value);
                        let value = entries[(value as usize).min(last)];
                        out.resize(out.len() + len, value);
                    }
                    Piece::Packed { bytes, from, len } => {
                        for start in (0..len).step_by(BATCH) {
                            let indexes = &mut indexes[..(len - start).min(BATCH)];
                            unpack(bytes, width, from + start, indexes);
                            largest = indexes.iter().copied().fold(largest, u32::max);
                            out.extend(indexes.iter().map(|&index| entries[(index as usize).min(last)]));
                        }
                    }
                }
                Ok(())
            })?;
            if largest as usize > last { Err(malformed()) } else { Ok(()) }
        }
        header::DELTA_BINARY_PACKED => {
            let bits = V::INTEGER_BITS.ok_or_else(malformed)?;
            let mut integers = Vec::with_capacity(range.end);
            delta::read(page.values, bits, range.end, &mut integers)?;
            for &integer in integers.get(range).ok_or_else(malformed)? {
                out.push(V::from_integer(integer).ok_or_else(malformed)?);
            }
            Ok(())
        }
        header::PLAIN => {
            let bytes = page.values.get(range.start * V::BYTES..range.end * V::BYTES).ok_or_else(malformed)?;
            for bytes in bytes.chunks_exact(V::BYTES) {
                out.push(V::load(bytes).ok_or_else(malformed)?);
            }
            Ok(())
        }
        _ => Err(malformed()),
    }
}

/// Moves the values from `base` on, which stand without gaps, to the rows that are not null.
fn spread<V: Load>(valid: &BooleanBuffer, base: usize, out: &mut Vec<V>) {
    let mut end = out.len();
    if end - base == valid.len() {
        return;
    }
    out.resize(base + valid.len(), V::default());
    let runs: Vec<_> = valid.set_slices().collect();
    for &(from, to) in runs.iter().rev() {
        // Nothing moves below its own place, so from the last run on none is overwritten.
        out.copy_within(end - (to - from)..end, base + from);
        end -= to - from;
    }
}

fn texts(
    page: &Page<'_>,
    entries: Option<&TextDictionary>,
    valid: Option<&BooleanBuffer>,
    ranges: &[Range<usize>],
    ends: &mut Vec<i32>,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let upto = ranges.last().map_or(0, |range| range.end);
    let count = valid.map_or(upto, |valid| valid.count_set_bits());
    let mut plain = page.values;
    let mut indexes = Vec::new();
    if page.encoding == header::RLE_DICTIONARY {
        let (&width, stream) = page.values.split_first().ok_or_else(malformed)?;
        visit_hybrid(stream, usize::from(width), 0, count, |piece| {
            match piece {
                Piece::Repeat { value, len } => indexes.resize(indexes.len() + len, value),
                Piece::Packed { bytes, from, len } => {
                    let start = indexes.len();
                    indexes.resize(start + len, 0);
                    unpack(bytes, usize::from(width), from, &mut indexes[start..]);
                }
            }
            Ok(())
        })?;
    } else if page.encoding != header::PLAIN {
        return Err(malformed());
    }
    let mut indexes = indexes.into_iter();
    let mut next = 0;
    for row in 0..upto {
        while ranges.get(next).is_some_and(|range| range.end <= row) {
            next += 1;
        }
        let wanted = ranges.get(next).is_some_and(|range| range.contains(&row));
        if valid.is_none_or(|valid| valid.value(row)) {
            let text = match entries {
                Some(entries) if page.encoding == header::RLE_DICTIONARY => {
                    indexes.next().and_then(|index| entries.get(index as usize)).ok_or_else(malformed)?
                }
                _ => take_text(&mut plain)?,
            };
            if wanted {
                bytes.extend_from_slice(text);
            }
        }
        if wanted {
            ends.push(i32::try_from(bytes.len()).map_err(|_| {
                Error::new(ErrorKind::Request, "more than 2 GiB of text in one read: ask for fewer keys at once")
            })?);
        }
    }
    Ok(())
}

fn malformed() -> Error {
    Error::damage("a Parquet page holds values that its column cannot have")
}
