//! Rows: a batch of columns becomes messages with a row each, in the formats that the client has asked for.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, RecordBatch,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut, BytesMut};

use super::binary::{self, NANOS_PER_MICRO, sized};
use super::{Kind, PgType, numeric, text};

/// Kind of the message with a row.
const ROW: u8 = b'D';
const NULL: i32 = -1;
const OF_ARRAY: PgType = PgType { kind: Kind::Text, is_array: true };

/// The columns of a batch, as their values are sent.
#[derive(Debug)]
pub(crate) struct Cells {
    columns: Vec<(Values, bool)>,
    rows: usize,
    zone: Tz,
}

/// The values of a column.
#[derive(Debug)]
enum Values {
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric(StringArray),
    Text(StringArray),
    Bytea(BinaryArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    TimestampTz(TimestampMicrosecondArray),
    Interval(IntervalMonthDayNanoArray),
    Array(ListArray, Box<Values>, u32),
}

impl Cells {
    /// The values of `batch` as those of `types`; of each it is said whether it is sent in binary.
    ///
    /// # Errors
    /// If a value does not fit its type.
    pub(crate) fn new(
        batch: &RecordBatch,
        types: &[(PgType, bool)],
        zone: &Tz,
    ) -> Result<Self, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .zip(types)
            .map(|(column, (of, is_binary))| Ok((Values::of(column, *of)?, *is_binary)));
        let columns = columns.collect::<Result<_, ArrowError>>()?;
        Ok(Self { columns, rows: batch.num_rows(), zone: *zone })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Writes the message with a row.
    pub(crate) fn write(&self, row: usize, out: &mut BytesMut, spare: &mut String) {
        out.put_u8(ROW);
        let at = out.len();
        out.put_i32(0);
        out.put_u16(u16::try_from(self.columns.len()).unwrap_or(u16::MAX));
        for (values, is_binary) in &self.columns {
            values.write(row, *is_binary, &self.zone, out, spare);
        }
        let length = i32::try_from(out.len() - at).unwrap_or(i32::MAX);
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// A column as `of` a type, with an error where a value does not fit.
fn strict(column: &ArrayRef, of: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(column, of, &CastOptions { safe: false, ..CastOptions::default() })
}

/// A column as it is printed.
fn printed(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts = (0..column.len())
        .map(|row| column.is_valid(row).then(|| formatter.value(row).try_to_string()).transpose());
    Ok(Arc::new(texts.collect::<Result<StringArray, ArrowError>>()?))
}

/// A length of time as an interval of µs.
fn durations(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let micros = strict(column, &DataType::Duration(TimeUnit::Microsecond))?;
    let micros = micros.as_primitive::<DurationMicrosecondType>();
    let interval =
        |micros: i64| IntervalMonthDayNano::new(0, 0, micros.saturating_mul(NANOS_PER_MICRO));
    let intervals = micros.iter().map(|of| of.map(interval));
    Ok(Arc::new(intervals.collect::<IntervalMonthDayNanoArray>()))
}

impl Values {
    fn of(column: &ArrayRef, of: PgType) -> Result<Self, ArrowError> {
        if of.is_array {
            return Self::of_array(column, of);
        }
        let wanted = of.kind.arrow();
        let column = match column.data_type() {
            same if *same == wanted => Arc::clone(column),
            DataType::Duration(_) if of.kind == Kind::Interval => durations(column)?,
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => printed(column)?,
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Interval(_)
            | DataType::Duration(_)
                if wanted == DataType::Utf8 =>
            {
                printed(column)?
            }
            DataType::Interval(IntervalUnit::MonthDayNano) if of.kind != Kind::Interval => {
                printed(column)?
            }
            _ => strict(column, &wanted)?,
        };
        Ok(match of.kind {
            Kind::Bool => Self::Bool(column.as_boolean().clone()),
            Kind::Int2 => Self::Int2(column.as_primitive::<Int16Type>().clone()),
            Kind::Int4 => Self::Int4(column.as_primitive::<Int32Type>().clone()),
            Kind::Int8 => Self::Int8(column.as_primitive::<Int64Type>().clone()),
            Kind::Float4 => Self::Float4(column.as_primitive::<Float32Type>().clone()),
            Kind::Float8 => Self::Float8(column.as_primitive::<Float64Type>().clone()),
            Kind::Numeric => Self::Numeric(column.as_string::<i32>().clone()),
            Kind::Text => Self::Text(column.as_string::<i32>().clone()),
            Kind::Bytea => Self::Bytea(column.as_binary::<i32>().clone()),
            Kind::Date => Self::Date(column.as_primitive::<Date32Type>().clone()),
            Kind::Time => Self::Time(column.as_primitive::<Time64MicrosecondType>().clone()),
            Kind::Timestamp => {
                Self::Timestamp(column.as_primitive::<TimestampMicrosecondType>().clone())
            }
            Kind::TimestampTz => {
                Self::TimestampTz(column.as_primitive::<TimestampMicrosecondType>().clone())
            }
            Kind::Interval => {
                Self::Interval(column.as_primitive::<IntervalMonthDayNanoType>().clone())
            }
        })
    }

    fn of_array(column: &ArrayRef, of: PgType) -> Result<Self, ArrowError> {
        let list = match column.data_type() {
            DataType::List(_) => Arc::clone(column),
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                strict(column, &DataType::List(Arc::clone(item)))?
            }
            _ => strict(column, &OF_ARRAY.arrow())?,
        };
        let list = list.as_list::<i32>().clone();
        let of = PgType { is_array: false, ..of };
        let items = Self::of(list.values(), of)?;
        Ok(Self::Array(list, Box::new(items), of.oid()))
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(values) => values,
            Self::Int2(values) => values,
            Self::Int4(values) => values,
            Self::Int8(values) => values,
            Self::Float4(values) => values,
            Self::Float8(values) => values,
            Self::Numeric(values) | Self::Text(values) => values,
            Self::Bytea(values) => values,
            Self::Date(values) => values,
            Self::Time(values) => values,
            Self::Timestamp(values) | Self::TimestampTz(values) => values,
            Self::Interval(values) => values,
            Self::Array(values, ..) => values,
        }
    }

    /// Writes a value with its length.
    fn write(
        &self,
        row: usize,
        is_binary: bool,
        zone: &Tz,
        out: &mut BytesMut,
        spare: &mut String,
    ) {
        if self.array().is_null(row) {
            return out.put_i32(NULL);
        }
        match (self, is_binary) {
            (Self::Text(values), _) => {
                sized(out, |out| out.put_slice(values.value(row).as_bytes()))
            }
            (_, true) => sized(out, |out| self.binary(row, zone, out, spare)),
            (_, false) => {
                spare.clear();
                self.text(row, zone, spare);
                sized(out, |out| out.put_slice(spare.as_bytes()));
            }
        }
    }

    fn binary(&self, row: usize, zone: &Tz, out: &mut BytesMut, spare: &mut String) {
        match self {
            Self::Bool(values) => out.put_u8(u8::from(values.value(row))),
            Self::Int2(values) => out.put_i16(values.value(row)),
            Self::Int4(values) => out.put_i32(values.value(row)),
            Self::Int8(values) => out.put_i64(values.value(row)),
            Self::Float4(values) => out.put_f32(values.value(row)),
            Self::Float8(values) => out.put_f64(values.value(row)),
            Self::Numeric(values) => {
                // Columns of numbers hold nothing else.
                let _ = numeric::write(values.value(row), out);
            }
            Self::Text(values) => out.put_slice(values.value(row).as_bytes()),
            Self::Bytea(values) => out.put_slice(values.value(row)),
            Self::Date(values) => binary::date(values.value(row), out),
            Self::Time(values) => out.put_i64(values.value(row)),
            Self::Timestamp(values) | Self::TimestampTz(values) => {
                binary::timestamp(values.value(row), out);
            }
            Self::Interval(values) => {
                let of = values.value(row);
                binary::interval(of.months, of.days, of.nanoseconds / NANOS_PER_MICRO, out);
            }
            Self::Array(list, items, oid) => {
                let range = range(list, row);
                let has_nulls = range.clone().any(|at| items.array().is_null(at));
                out.put_i32(i32::from(!range.is_empty()));
                out.put_i32(i32::from(has_nulls));
                out.put_u32(*oid);
                if !range.is_empty() {
                    out.put_i32(i32::try_from(range.len()).unwrap_or(i32::MAX));
                    // Arrays count from 1.
                    out.put_i32(1);
                }
                range.for_each(|at| items.write(at, true, zone, out, spare));
            }
        }
    }

    fn text(&self, row: usize, zone: &Tz, out: &mut String) {
        match self {
            Self::Bool(values) => out.push(if values.value(row) { 't' } else { 'f' }),
            Self::Int2(values) => out.push_str(&values.value(row).to_string()),
            Self::Int4(values) => out.push_str(&values.value(row).to_string()),
            Self::Int8(values) => out.push_str(&values.value(row).to_string()),
            Self::Float4(values) => text::float4(values.value(row), out),
            Self::Float8(values) => text::float8(values.value(row), out),
            Self::Numeric(values) | Self::Text(values) => out.push_str(values.value(row)),
            Self::Bytea(values) => text::bytes(values.value(row), out),
            Self::Date(values) => text::date(values.value(row), out),
            Self::Time(values) => text::time(values.value(row), out),
            Self::Timestamp(values) => text::timestamp(values.value(row), out),
            Self::TimestampTz(values) => text::timestamp_tz(values.value(row), zone, out),
            Self::Interval(values) => {
                let of = values.value(row);
                text::interval(of.months, of.days, of.nanoseconds / NANOS_PER_MICRO, out);
            }
            Self::Array(list, items, _) => {
                out.push('{');
                let range = range(list, row);
                let first = range.start;
                let mut item = String::new();
                for at in range {
                    if at != first {
                        out.push(',');
                    }
                    if items.array().is_null(at) {
                        out.push_str("NULL");
                        continue;
                    }
                    item.clear();
                    items.text(at, zone, &mut item);
                    text::item(&item, out);
                }
                out.push('}');
            }
        }
    }
}

/// Where the items of a list stand among those of all.
fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| {
        let offset = list.value_offsets().get(row).copied().unwrap_or_default();
        usize::try_from(offset).unwrap_or_default()
    };
    at(row)..at(row + 1)
}

#[cfg(test)]
mod tests {
    use arrow::array::{DurationSecondArray, UInt64Array};

    use super::*;

    fn written(column: ArrayRef, is_binary: bool) -> Vec<Option<Vec<u8>>> {
        let of = PgType::of(column.data_type());
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let zone = text::zone("UTC").unwrap();
        let cells = Cells::new(&batch, &[(of, is_binary)], &zone).unwrap();
        let value = |row| {
            let mut out = BytesMut::new();
            cells.write(row, &mut out, &mut String::new());
            assert_eq!((out[0], &out[5..7]), (ROW, &[0, 1][..]));
            assert_eq!(u32::from_be_bytes(out[1..5].try_into().unwrap()) as usize, out.len() - 1);
            let length = i32::from_be_bytes(out[7..11].try_into().unwrap());
            (length >= 0).then(|| {
                assert_eq!(length as usize, out.len() - 11);
                out[11..].to_vec()
            })
        };
        (0..cells.rows()).map(value).collect()
    }

    fn texts(column: impl Array + 'static) -> Vec<Option<String>> {
        let bytes = written(Arc::new(column), false);
        bytes.into_iter().map(|of| of.map(|of| String::from_utf8(of).unwrap())).collect()
    }

    #[test]
    fn values_are_written_as_texts() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts(BooleanArray::from(vec![Some(true), None])), [some("t"), None]);
        assert_eq!(texts(UInt64Array::from(vec![u64::MAX])), [some("18446744073709551615")]);
        assert_eq!(texts(DurationSecondArray::from(vec![90])), [some("00:01:30")]);
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            Some(Vec::new()),
            None,
        ]);
        assert_eq!(texts(list), [some("{1,NULL}"), some("{}"), None]);
    }

    #[test]
    fn values_are_written_in_binary() {
        let binary = |column: ArrayRef| written(column, true).remove(0).unwrap();
        assert_eq!(binary(Arc::new(Int16Array::from(vec![258]))), [1, 2]);
        assert_eq!(binary(Arc::new(Date32Array::from(vec![10_958]))), [0, 0, 0, 1]);
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(7), None])]);
        let expected = [1, 1, 23, 2, 1, 4, 7, -1].map(i32::to_be_bytes).concat();
        assert_eq!(binary(Arc::new(list)), expected);
        let empty = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(Vec::new())]);
        assert_eq!(binary(Arc::new(empty)), [0, 0, 23].map(i32::to_be_bytes).concat());
    }
}
