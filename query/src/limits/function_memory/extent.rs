//! Extents of arguments: the bytes and elements of every row of a column, or of a value that all rows share.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, FixedSizeListArray, GenericListArray, LargeBinaryArray,
    LargeStringArray, OffsetSizeTrait, StringArray,
};
use arrow::compute::max;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

/// Bytes that a value takes beside its content.
const VALUE: u64 = 16;
const DAY_NANOS: i128 = 86_400_000_000_000;

/// The size of one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes of a text or of all elements of a list.
    pub(super) bytes: u64,
    /// Elements of a list.
    pub(super) items: u64,
    /// A whole number; of a time or an interval, the shortest that it may be, in ns.
    pub(super) number: i128,
    /// Whether the value is null.
    pub(super) null: bool,
}

/// An argument of a function.
pub(super) enum Argument<'a> {
    Shared(Extent),
    Column(&'a ArrayRef),
}

impl<'a> Argument<'a> {
    pub(super) fn new(value: &'a ColumnarValue) -> Self {
        match value {
            ColumnarValue::Array(column) => Self::Column(column),
            ColumnarValue::Scalar(value) => Self::Shared(extent_of_scalar(value)),
        }
    }

    /// The extent of a row.
    pub(super) fn row(&self, row: usize) -> Extent {
        match self {
            Self::Shared(extent) => *extent,
            Self::Column(column) => extent(column, row),
        }
    }

    /// The bytes of `rows` rows.
    pub(super) fn bytes(&self, rows: usize) -> u64 {
        match self {
            Self::Shared(extent) => (extent.bytes + VALUE).saturating_mul(rows as u64),
            Self::Column(column) => bytes_of(column),
        }
    }

    /// An extent that no row exceeds.
    pub(super) fn largest(&self, rows: usize) -> Extent {
        match self {
            Self::Shared(extent) => *extent,
            Self::Column(column) => largest(column).unwrap_or_else(|| {
                let rows = (0..rows).map(|row| extent(column, row));
                rows.fold(Extent::default(), |most, of| Extent {
                    bytes: most.bytes.max(of.bytes),
                    items: most.items.max(of.items),
                    number: most.number.max(of.number),
                    null: false,
                })
            }),
        }
    }
}

/// Bytes of all values of a column, without the parts of its buffers that belong to other rows.
pub(super) fn bytes_of(column: &dyn Array) -> u64 {
    span(column, 0, column.len())
}

/// The extent of a row of a column.
pub(super) fn extent(column: &dyn Array, row: usize) -> Extent {
    if column.is_null(row) {
        return Extent { null: true, ..Extent::default() };
    }
    let items = match column.data_type() {
        DataType::List(_) => length(column.as_list::<i32>(), row),
        DataType::LargeList(_) => length(column.as_list::<i64>(), row),
        DataType::FixedSizeList(_, size) => u64::try_from(*size).unwrap_or_default(),
        DataType::Map(..) => column.as_map().value_length(row).try_into().unwrap_or_default(),
        _ => 0,
    };
    Extent { bytes: span(column, row, row + 1), items, number: number(column, row), null: false }
}

/// The extent of the largest value of a column of texts or numbers, found as fast as a column is read.
fn largest(column: &dyn Array) -> Option<Extent> {
    let bytes = match column.data_type() {
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            let steps = offsets.iter().zip(offsets.iter().skip(1));
            u64::try_from(steps.map(|(from, to)| to - from).max().unwrap_or(0)).ok()?
        }
        DataType::Utf8View => {
            let views = column.as_string_view().views();
            u64::from(views.iter().map(|view| *view as u32).max().unwrap_or(0))
        }
        DataType::Int64 => {
            let number = max(column.as_primitive::<Int64Type>()).unwrap_or(0);
            return Some(Extent { bytes: 8, number: number.into(), ..Extent::default() });
        }
        _ => return None,
    };
    Some(Extent { bytes: bytes + VALUE, ..Extent::default() })
}

fn extent_of_scalar(value: &ScalarValue) -> Extent {
    let text = match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.as_ref().map(String::len)
        }
        _ if value.is_null() => None,
        other => {
            let column = other.to_array();
            return column.map_or_else(|_| Extent::default(), |column| extent(&column, 0));
        }
    };
    match text {
        Some(bytes) => Extent { bytes: bytes as u64, ..Extent::default() },
        None => Extent { null: true, ..Extent::default() },
    }
}

fn length<O: OffsetSizeTrait>(list: &GenericListArray<O>, row: usize) -> u64 {
    list.value_length(row).as_usize() as u64
}

/// Bytes of the rows from `from` to `to`.
fn span(column: &dyn Array, from: usize, to: usize) -> u64 {
    let rows = (to - from) as u64;
    let of_offsets = |offsets: Option<(i64, i64)>, width: u64| {
        let bytes = offsets.map_or(0, |(from, to)| to.saturating_sub(from));
        u64::try_from(bytes).unwrap_or_default() + width * rows
    };
    let any = column.as_any();
    match column.data_type() {
        DataType::Null | DataType::Boolean => rows / 8 + 1,
        DataType::Utf8 => {
            let offsets = any.downcast_ref::<StringArray>().map(|of| of.value_offsets());
            of_offsets(ends(offsets, from, to), 4)
        }
        DataType::Binary => {
            let offsets = any.downcast_ref::<BinaryArray>().map(|of| of.value_offsets());
            of_offsets(ends(offsets, from, to), 4)
        }
        DataType::LargeUtf8 => {
            let offsets = any.downcast_ref::<LargeStringArray>().map(|of| of.value_offsets());
            of_offsets(ends(offsets, from, to), 8)
        }
        DataType::LargeBinary => {
            let offsets = any.downcast_ref::<LargeBinaryArray>().map(|of| of.value_offsets());
            of_offsets(ends(offsets, from, to), 8)
        }
        // The first four bytes of a view are the length.
        DataType::Utf8View => lengths(column.as_string_view().views(), from, to) + 16 * rows,
        DataType::BinaryView => lengths(column.as_binary_view().views(), from, to) + 16 * rows,
        DataType::List(_) => list(column.as_list::<i32>(), from, to) + 4 * rows,
        DataType::LargeList(_) => list(column.as_list::<i64>(), from, to) + 8 * rows,
        DataType::FixedSizeList(_, size) => {
            let of = any.downcast_ref::<FixedSizeListArray>();
            let size = usize::try_from(*size).unwrap_or_default();
            of.map_or(0, |of| span(of.values(), from * size, to * size))
        }
        DataType::Struct(_) => {
            column.as_struct().columns().iter().map(|child| span(child, from, to)).sum()
        }
        DataType::Map(..) => {
            let map = column.as_map();
            ends(Some(map.value_offsets()), from, to)
                .and_then(|(from, to)| Some((from.try_into().ok()?, to.try_into().ok()?)))
                .map_or(0, |(from, to)| span(map.entries(), from, to))
                + 4 * rows
        }
        other => match other.primitive_width() {
            Some(width) => width as u64 * rows,
            None => column.slice(from, to - from).get_array_memory_size() as u64,
        },
    }
}

fn list<O: OffsetSizeTrait>(list: &GenericListArray<O>, from: usize, to: usize) -> u64 {
    let offsets = list.value_offsets();
    let (Some(from), Some(to)) = (offsets.get(from), offsets.get(to)) else { return 0 };
    span(list.values(), from.as_usize(), to.as_usize())
}

fn ends<O: OffsetSizeTrait>(offsets: Option<&[O]>, from: usize, to: usize) -> Option<(i64, i64)> {
    let offsets = offsets?;
    let at = |at: usize| offsets.get(at).map(|offset| offset.as_usize() as i64);
    Some((at(from)?, at(to)?))
}

fn lengths(views: &[u128], from: usize, to: usize) -> u64 {
    let views = views.get(from..to).unwrap_or_default();
    views.iter().map(|view| *view as u32).map(u64::from).sum()
}

/// The number of a row, 0 if it has none.
fn number(column: &dyn Array, row: usize) -> i128 {
    macro_rules! value {
        ($of:ty) => {
            i128::from(column.as_primitive::<$of>().value(row))
        };
    }
    match column.data_type() {
        DataType::Int8 => value!(Int8Type),
        DataType::Int16 => value!(Int16Type),
        DataType::Int32 => value!(Int32Type),
        DataType::Int64 => value!(Int64Type),
        DataType::UInt8 => value!(UInt8Type),
        DataType::UInt16 => value!(UInt16Type),
        DataType::UInt32 => value!(UInt32Type),
        DataType::UInt64 => value!(UInt64Type),
        DataType::Date32 => value!(Date32Type) * DAY_NANOS,
        DataType::Date64 => value!(Date64Type) * 1_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => value!(TimestampSecondType) * 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            value!(TimestampMillisecondType) * 1_000_000
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => value!(TimestampMicrosecondType) * 1_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => value!(TimestampNanosecondType),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let days = i128::from(interval.months) * 28 + i128::from(interval.days);
            days * DAY_NANOS + i128::from(interval.nanoseconds)
        }
        _ => 0,
    }
}
