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
    /// Bits, and so many more.
    Plain(usize),
    /// Bits, views, and a number of others that each message states.
    Views,
    /// Bits, so many more, and a child.
    Nested(usize, Box<Layout>),
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
    if !encoding.indexType().is_some_and(|int| is_integer(&int)) {
        return Err(wrong(field, "has indexes of a type that is none"));
    }
    dictionaries.insert(encoding.id(), layout);
    Ok(Layout::Plain(1))
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
    let mut only = |buffers| -> Result<Layout> {
        let child = all(Some(1))?.pop().ok_or_else(unknown)?;
        Ok(Layout::Nested(buffers, Box::new(child)))
    };
    match field.type_type() {
        Type::Null => Ok(Layout::Null),
        Type::Binary | Type::LargeBinary | Type::Utf8 | Type::LargeUtf8 => Ok(Layout::Plain(2)),
        Type::BinaryView | Type::Utf8View => Ok(Layout::Views),
        Type::List | Type::LargeList => only(1),
        Type::Map => field.type_as_map().ok_or_else(unknown).and_then(|_| only(1)),
        Type::ListView | Type::LargeListView => only(2),
        Type::FixedSizeList => {
            let size = field.type_as_fixed_size_list().map(|list| list.listSize());
            size.filter(|size| *size >= 0).ok_or_else(unknown)?;
            only(0)
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
        _ if is_fixed(field) => Ok(Layout::Plain(1)),
        _ => Err(unknown()),
    }
}

/// Whether the field is of a type of fixed width, and one that there is.
fn is_fixed(field: &Field<'_>) -> bool {
    let is_unit = |unit: TimeUnit| {
        [TimeUnit::SECOND, TimeUnit::MILLISECOND, TimeUnit::MICROSECOND, TimeUnit::NANOSECOND]
            .contains(&unit)
    };
    let known = match field.type_type() {
        Type::Bool => Some(true),
        Type::Int => field.type_as_int().map(|int| is_integer(&int)),
        Type::FloatingPoint => field.type_as_floating_point().map(|float| {
            [Precision::HALF, Precision::SINGLE, Precision::DOUBLE].contains(&float.precision())
        }),
        Type::FixedSizeBinary => {
            field.type_as_fixed_size_binary().map(|binary| binary.byteWidth() >= 0)
        }
        Type::Date => field
            .type_as_date()
            .map(|date| [DateUnit::DAY, DateUnit::MILLISECOND].contains(&date.unit())),
        Type::Time => field.type_as_time().map(|time| match time.bitWidth() {
            32 => [TimeUnit::SECOND, TimeUnit::MILLISECOND].contains(&time.unit()),
            64 => [TimeUnit::MICROSECOND, TimeUnit::NANOSECOND].contains(&time.unit()),
            _ => false,
        }),
        Type::Timestamp => field.type_as_timestamp().map(|time| is_unit(time.unit())),
        Type::Duration => field.type_as_duration().map(|duration| is_unit(duration.unit())),
        Type::Interval => field.type_as_interval().map(|interval| {
            [IntervalUnit::YEAR_MONTH, IntervalUnit::DAY_TIME, IntervalUnit::MONTH_DAY_NANO]
                .contains(&interval.unit())
        }),
        Type::Decimal => field.type_as_decimal().map(|decimal| {
            let digits: i32 = match decimal.bitWidth() {
                32 => 9,
                64 => 18,
                128 => 38,
                256 => 76,
                _ => 0,
            };
            let scale = decimal.scale();
            (1..=digits).contains(&decimal.precision())
                && scale.unsigned_abs() <= digits.unsigned_abs()
        }),
        _ => None,
    };
    known.unwrap_or(false)
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

fn is_integer(int: &Int<'_>) -> bool {
    matches!(int.bitWidth(), 8 | 16 | 32 | 64)
}

fn wrong(field: &Field<'_>, what: &str) -> IpcError {
    IpcError::Column(format!("column {:?} {what}", field.name().unwrap_or_default()))
}
