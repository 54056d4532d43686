//! The layout of a schema's columns: which nodes and buffers a message has for each, and that their types are such as
//! arrow knows.

use std::collections::HashMap;

use arrow::ipc::{
    DateUnit, Endianness, Field, Int, IntervalUnit, Precision, Schema, TimeUnit, Type, UnionMode,
};

use super::{IpcError, Result};

/// Columns may be nested so deep.
const DEPTH_MAX: usize = 32;

/// The nodes and buffers of a column; a node comes before the buffers, and these before the children.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// No buffers.
    Null,
    /// Bits, and buffers of values of so many bytes.
    Plain(Vec<usize>),
    /// Bits, views, and a number of others that each message states.
    Views,
    /// Bits, buffers of offsets of so many bytes, and a child.
    Nested(Vec<usize>, Box<Layout>),
    /// Bits and children of as many rows.
    Struct(Vec<Layout>),
    /// No buffers of its own: ends and values.
    Runs(Box<[Layout; 2]>),
    /// Type ids, offsets if dense, and children.
    Union { is_dense: bool, children: Vec<Layout> },
}

/// The layouts of a schema.
#[derive(Debug)]
pub(super) struct Layouts {
    columns: Vec<Layout>,
    dictionaries: HashMap<i64, Layout>,
}

impl Layouts {
    /// Those of `schema`.
    ///
    /// # Errors
    /// Names the column whose type is none.
    pub(super) fn of(schema: &Schema<'_>) -> Result<Self> {
        if schema.endianness() != Endianness::Little {
            return Err(IpcError::Column("its numbers are big-endian".to_owned()));
        }
        let fields =
            schema.fields().ok_or_else(|| IpcError::Column("it has no columns".to_owned()))?;
        let mut dictionaries = HashMap::new();
        let columns = fields.iter().map(|field| layout(&field, &mut dictionaries, 0));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Self { columns, dictionaries })
    }

    /// Those of the columns.
    pub(super) fn columns(&self) -> &[Layout] {
        &self.columns
    }

    /// That of the values of a dictionary.
    pub(super) fn dictionary(&self, id: i64) -> Result<&Layout> {
        let layout = self.dictionaries.get(&id);
        layout.ok_or(IpcError::Malformed("a dictionary that no column has"))
    }
}

/// The layout of a field, with those of dictionaries added to `dictionaries`.
fn layout(
    field: &Field<'_>,
    dictionaries: &mut HashMap<i64, Layout>,
    depth: usize,
) -> Result<Layout> {
    if depth > DEPTH_MAX {
        return Err(wrong(field, "is nested too deep"));
    }
    let layout = plain(field, dictionaries, depth)?;
    let Some(encoding) = field.dictionary() else { return Ok(layout) };
    let width = encoding.indexType().and_then(|int| integer_width(&int));
    let width = width.ok_or_else(|| wrong(field, "has indexes of a type that is none"))?;
    dictionaries.insert(encoding.id(), layout);
    Ok(Layout::Plain(vec![width]))
}

fn plain(
    field: &Field<'_>,
    dictionaries: &mut HashMap<i64, Layout>,
    depth: usize,
) -> Result<Layout> {
    let unknown = || wrong(field, "has a type that is none");
    let children = || field.children().into_iter().flatten();
    let count = field.children().map_or(0, |children| children.len());
    let mut all = |count_wanted: Option<usize>| -> Result<Vec<Layout>> {
        if count_wanted.is_some_and(|wanted| wanted != count) {
            return Err(wrong(field, "has another number of children than its type"));
        }
        children().map(|child| layout(&child, dictionaries, depth + 1)).collect()
    };
    let mut only = |offsets: &[usize]| -> Result<Layout> {
        let child = all(Some(1))?.pop().ok_or_else(unknown)?;
        Ok(Layout::Nested(offsets.to_vec(), Box::new(child)))
    };
    match field.type_type() {
        Type::Null => Ok(Layout::Null),
        Type::Binary | Type::Utf8 => Ok(Layout::Plain(vec![4, 1])),
        Type::LargeBinary | Type::LargeUtf8 => Ok(Layout::Plain(vec![8, 1])),
        Type::BinaryView | Type::Utf8View => Ok(Layout::Views),
        Type::List => only(&[4]),
        Type::LargeList => only(&[8]),
        Type::Map => field.type_as_map().ok_or_else(unknown).and_then(|_| only(&[4])),
        Type::ListView => only(&[4, 4]),
        Type::LargeListView => only(&[8, 8]),
        Type::FixedSizeList => {
            let size = field.type_as_fixed_size_list().map(|list| list.listSize());
            size.filter(|size| *size >= 0).ok_or_else(unknown)?;
            only(&[])
        }
        Type::Struct_ => all(None).map(Layout::Struct),
        Type::RunEndEncoded if !ends_are_integers(field) => {
            Err(wrong(field, "has no ends of runs"))
        }
        Type::RunEndEncoded => match <[Layout; 2]>::try_from(all(Some(2))?) {
            Ok(children) => Ok(Layout::Runs(Box::new(children))),
            Err(_) => Err(unknown()),
        },
        Type::Union => {
            let union = field.type_as_union().ok_or_else(unknown)?;
            let is_dense = match union.mode() {
                UnionMode::Dense => true,
                UnionMode::Sparse => false,
                _ => return Err(unknown()),
            };
            if let Some(ids) = union.typeIds() {
                let mut ids: Vec<i32> = ids.iter().collect();
                let all = ids.len();
                ids.retain(|id| (0..=i32::from(i8::MAX)).contains(id));
                ids.sort_unstable();
                ids.dedup();
                if ids.len() != all || all != count {
                    return Err(wrong(field, "has other type ids than children"));
                }
            }
            if count > i8::MAX as usize + 1 {
                return Err(wrong(field, "has too many children"));
            }
            Ok(Layout::Union { is_dense, children: all(None)? })
        }
        _ => fixed(field).map(|width| Layout::Plain(vec![width])).ok_or_else(unknown),
    }
}

/// Bytes of a value of a field of fixed width, 1 if they are not whole numbers of bytes or of any size; `None` if there
/// is no such type.
fn fixed(field: &Field<'_>) -> Option<usize> {
    let is_unit = |unit: TimeUnit| {
        [TimeUnit::SECOND, TimeUnit::MILLISECOND, TimeUnit::MICROSECOND, TimeUnit::NANOSECOND]
            .contains(&unit)
    };
    match field.type_type() {
        Type::Bool => Some(1),
        Type::Int => integer_width(&field.type_as_int()?),
        Type::FloatingPoint => match field.type_as_floating_point()?.precision() {
            Precision::HALF => Some(2),
            Precision::SINGLE => Some(4),
            Precision::DOUBLE => Some(8),
            _ => None,
        },
        Type::FixedSizeBinary => (field.type_as_fixed_size_binary()?.byteWidth() >= 0).then_some(1),
        Type::Date => match field.type_as_date()?.unit() {
            DateUnit::DAY => Some(4),
            DateUnit::MILLISECOND => Some(8),
            _ => None,
        },
        Type::Time => {
            let time = field.type_as_time()?;
            match (time.bitWidth(), time.unit()) {
                (32, TimeUnit::SECOND | TimeUnit::MILLISECOND) => Some(4),
                (64, TimeUnit::MICROSECOND | TimeUnit::NANOSECOND) => Some(8),
                _ => None,
            }
        }
        Type::Timestamp => is_unit(field.type_as_timestamp()?.unit()).then_some(8),
        Type::Duration => is_unit(field.type_as_duration()?.unit()).then_some(8),
        Type::Interval => match field.type_as_interval()?.unit() {
            IntervalUnit::YEAR_MONTH => Some(4),
            IntervalUnit::DAY_TIME => Some(8),
            IntervalUnit::MONTH_DAY_NANO => Some(16),
            _ => None,
        },
        Type::Decimal => {
            let decimal = field.type_as_decimal()?;
            let (digits, width) = match decimal.bitWidth() {
                32 => (9_i32, 4),
                64 => (18, 8),
                128 => (38, 16),
                256 => (76, 32),
                _ => return None,
            };
            let is_whole = (1..=digits).contains(&decimal.precision());
            (is_whole && decimal.scale().unsigned_abs() <= digits.unsigned_abs()).then_some(width)
        }
        _ => None,
    }
}

/// Whether the first child of a field is one of the types that the ends of runs may have.
fn ends_are_integers(field: &Field<'_>) -> bool {
    let ends = field.children().into_iter().flatten().next();
    ends.is_some_and(|ends| {
        let int = ends.type_as_int();
        let is_signed =
            int.is_some_and(|int| int.is_signed() && matches!(int.bitWidth(), 16 | 32 | 64));
        is_signed && ends.dictionary().is_none()
    })
}

fn integer_width(int: &Int<'_>) -> Option<usize> {
    match int.bitWidth() {
        8 => Some(1),
        16 => Some(2),
        32 => Some(4),
        64 => Some(8),
        _ => None,
    }
}

fn wrong(field: &Field<'_>, what: &str) -> IpcError {
    IpcError::Column(format!("column {:?} {what}", field.name().unwrap_or_default()))
}
