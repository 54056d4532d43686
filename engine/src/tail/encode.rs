//! The encoding of columns into rows: a batch is checked once, then turned block by block into the words of
//! [`Layout`], column after column, so that each inner loop has one type.

#![expect(
    clippy::indexing_slicing,
    reason = "a batch was checked against its table: its columns are there, equally long, and rows are as wide as the layout"
)]

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::{
    Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Hour, Key, Timestamp, ValueType};

use super::layout::{Field, Layout, TIME};
use super::pages::text;
use crate::{Error, Result};

/// A batch of fewer rows is appended as it is.
const REORDERED_ROWS_MIN: usize = 256;

/// A batch that fits the table: every column is there with its type, no key or instant is null.
pub(super) struct Batch<'a> {
    stride: usize,
    keys: Keys<'a>,
    times: &'a [i64],
    sources: Vec<Source<'a>>,
    texts: Vec<(Field, &'a StringArray)>,
    arrived: Timestamp,
}

enum Keys<'a> {
    Int32(&'a [i32]),
    Int64(&'a [i64]),
}

struct Source<'a> {
    field: Field,
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

enum Values<'a> {
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    /// Placed row by row, because the heap belongs to the row's hour.
    Text,
}

impl<'a> Batch<'a> {
    /// Checks that `rows` has the table's full Arrow schema.
    pub(super) fn new(layout: &Layout, rows: &'a RecordBatch) -> Result<Self> {
        check(layout, rows)?;
        let columns = rows.columns();
        let keys = match columns[KEY_COLUMN].as_primitive_opt::<Int32Type>() {
            Some(keys) => Keys::Int32(keys.values()),
            None => Keys::Int64(columns[KEY_COLUMN].as_primitive::<Int64Type>().values()),
        };
        let times = columns[TIME_COLUMN].as_primitive::<TimestampMicrosecondType>().values();
        let sources = layout.values().map(|(i, field)| Source::new(*field, &columns[i])).collect();
        let texts = layout
            .values()
            .filter(|(_, field)| field.is_text())
            .map(|(i, field)| (*field, columns[i].as_string::<i32>()))
            .collect();
        let ingested =
            columns[layout.schema.ingested_at()].as_primitive::<TimestampMicrosecondType>();
        let arrived =
            ingested.values().first().map_or(Timestamp::MAX, |at| Timestamp::from_micros(*at));
        Ok(Self { stride: layout.stride, keys, times, sources, texts, arrived })
    }

    /// When the rows came, as the first of them says.
    pub(super) fn arrived(&self) -> Timestamp {
        self.arrived
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Key of a row.
    #[inline]
    pub(super) fn key(&self, row: usize) -> Key {
        match self.keys {
            Keys::Int32(keys) => Key::from(keys[row]),
            Keys::Int64(keys) => Key::new(keys[row]),
        }
    }

    /// Instant of a row.
    #[inline]
    pub(super) fn time(&self, row: usize) -> Timestamp {
        Timestamp::from_micros(self.times[row])
    }

    /// The text columns: their places and their values.
    pub(super) fn texts(&self) -> &[(Field, &'a StringArray)] {
        &self.texts
    }

    /// Words that the text of all rows takes in a heap.
    pub(super) fn text_words(&self) -> usize {
        let columns = self.texts.iter();
        columns.flat_map(|(_, column)| column.iter().flatten()).map(|s| text::words(s.len())).sum()
    }

    /// The rows cut where the hour changes: each piece ends before the row given with its hour.
    pub(super) fn hours(&self) -> Result<Vec<(Hour, usize)>> {
        let mut pieces: Vec<(Hour, usize)> = Vec::new();
        for (row, &time) in self.times.iter().enumerate() {
            let time = Timestamp::from_micros(time);
            match pieces.last_mut() {
                Some((hour, end)) if hour.range().contains(time) => *end = row + 1,
                _ => {
                    let hour = Hour::of(time).ok_or_else(|| {
                        Error::internal(format!(
                            "{time} lies outside the years a date can name: validation lets no such row pass"))
                    })?;
                    pieces.push((hour, row + 1));
                }
            }
        }
        Ok(pieces)
    }

    /// Writes `rows` as words to `out`, one row after another; headers and text places stay zero.
    pub(super) fn stage(&self, rows: Range<usize>, out: &mut Vec<u64>) {
        out.clear();
        out.resize(rows.len() * self.stride, 0);
        for (row, &time) in out.chunks_exact_mut(self.stride).zip(&self.times[rows.clone()]) {
            row[TIME] = time as u64;
        }
        for source in &self.sources {
            source.stage(rows.clone(), self.stride, out);
        }
    }
}

impl<'a> Source<'a> {
    fn new(field: Field, column: &'a ArrayRef) -> Self {
        let values = match field.value_type {
            ValueType::Int16 => Values::Int16(column.as_primitive::<Int16Type>().values()),
            ValueType::Int32 => Values::Int32(column.as_primitive::<Int32Type>().values()),
            ValueType::Int64 => Values::Int64(column.as_primitive::<Int64Type>().values()),
            ValueType::Float32 => Values::Float32(column.as_primitive::<Float32Type>().values()),
            ValueType::Float64 => Values::Float64(column.as_primitive::<Float64Type>().values()),
            ValueType::Timestamp => {
                Values::Int64(column.as_primitive::<TimestampMicrosecondType>().values())
            }
            ValueType::Utf8 => Values::Text,
        };
        Self { field, values, nulls: column.nulls().filter(|nulls| nulls.null_count() > 0) }
    }

    fn stage(&self, rows: Range<usize>, stride: usize, out: &mut [u64]) {
        match self.values {
            Values::Int16(v) => self.place(rows, stride, out, v, |v| u64::from(v as u16)),
            Values::Int32(v) => self.place(rows, stride, out, v, |v| u64::from(v as u32)),
            Values::Int64(v) => self.place(rows, stride, out, v, |v| v as u64),
            Values::Float32(v) => self.place(rows, stride, out, v, |v| u64::from(v.to_bits())),
            Values::Float64(v) => self.place(rows, stride, out, v, |v| v.to_bits()),
            Values::Text => self.place_nulls(rows, stride, out),
        }
    }

    #[inline]
    fn place<T: Copy>(
        &self,
        rows: Range<usize>,
        stride: usize,
        out: &mut [u64],
        values: &[T],
        bits: impl Fn(T) -> u64,
    ) {
        let Field { word, shift, null, .. } = self.field;
        let out_rows = out.chunks_exact_mut(stride);
        match (self.nulls, null) {
            (Some(nulls), Some((null_word, bit))) => {
                for (out, row) in out_rows.zip(rows) {
                    if nulls.is_null(row) {
                        out[null_word] |= 1 << bit;
                    } else {
                        out[word] |= bits(values[row]) << shift;
                    }
                }
            }
            _ => {
                for (out, &value) in out_rows.zip(&values[rows]) {
                    out[word] |= bits(value) << shift;
                }
            }
        }
    }

    fn place_nulls(&self, rows: Range<usize>, stride: usize, out: &mut [u64]) {
        if let (Some(nulls), Some((word, bit))) = (self.nulls, self.field.null) {
            for (out, row) in out.chunks_exact_mut(stride).zip(rows) {
                out[word] |= u64::from(nulls.is_null(row)) << bit;
            }
        }
    }
}

/// The rows of a large batch of one hour by key, if they are not so already; a key's rows keep their
/// order. Which keys' rows stand beside each other means nothing to a reader, but rows that stand in
/// the order in which the hour will be read spare it most of its cache misses.
pub(super) fn by_key(layout: &Layout, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
    if rows.num_rows() < REORDERED_ROWS_MIN {
        return Ok(None);
    }
    let batch = Batch::new(layout, rows)?;
    let keys = || (0..batch.len()).map(|row| batch.key(row).get());
    if keys().is_sorted() || batch.hours()?.len() > 1 {
        return Ok(None);
    }
    let least = keys().min().unwrap_or_default();
    // Key and row in one word sort faster than as a pair; only keys that lie far apart do not fit.
    let spread = keys().all(|key| key.abs_diff(least) <= u64::from(u32::MAX));
    let order = if spread {
        let mut order: Vec<u64> =
            keys().zip(0..).map(|(key, row)| key.abs_diff(least) << 32 | row).collect();
        order.sort_unstable();
        UInt32Array::from_iter_values(order.into_iter().map(|packed| packed as u32))
    } else {
        let mut order: Vec<(i64, u32)> = keys().zip(0..).collect();
        order.sort_unstable();
        UInt32Array::from_iter_values(order.into_iter().map(|(_, row)| row))
    };
    Ok(Some(take_record_batch(rows, &order)?))
}

fn check(layout: &Layout, rows: &RecordBatch) -> Result<()> {
    let declared = layout.schema.arrow().fields();
    let types = rows.columns().iter().map(|column| column.data_type());
    if !types.eq(declared.iter().map(|field| field.data_type())) {
        return Err(Error::internal(format!(
            "a batch for the tail of {:?} has the columns {:?} where the table has {:?}",
            layout.schema.name(),
            rows.schema().fields(),
            declared
        )));
    }
    for (field, column) in declared.iter().zip(rows.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(Error::internal(format!(
                "a batch for the tail of {:?} has {} nulls in {:?}, which has none",
                layout.schema.name(),
                column.null_count(),
                field.name()
            )));
        }
    }
    Ok(())
}
