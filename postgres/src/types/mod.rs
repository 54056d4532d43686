//! Types: which type of PostgreSQL the values of a column have, by the number that clients know it by.
//!
//! | column | type |
//! |---|---|
//! | boolean | `bool` |
//! | integers of 8 and 16 bits, 32, 64 | `int2`, `int4`, `int8` |
//! | unsigned integers | the next larger of these, `numeric` for 64 bits |
//! | floats | `float4`, `float8` |
//! | decimals | `numeric` |
//! | texts; maps and structures, as they are printed | `text` |
//! | bytes | `bytea` |
//! | dates, times, instants without and with a zone | `date`, `time`, `timestamp`, `timestamptz` |
//! | durations and intervals | `interval` |
//! | lists of these | arrays of these |

mod binary;
mod numeric;
mod parameters;
mod rows;
mod text;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use pgwire::messages::data::FieldDescription;

pub(crate) use parameters::{Given, value};
pub(crate) use rows::Cells;
pub(crate) use text::zone;

/// A type of PostgreSQL whose values are written and read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Bytea,
    Int8,
    Int2,
    Int4,
    Text,
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Numeric,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PgType {
    pub(crate) kind: Kind,
    /// Whether its values are arrays of such.
    pub(crate) is_array: bool,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) of: PgType,
}

/// Kind, number, name, number of its arrays, and bytes of a value (-1: they differ).
pub(crate) const KINDS: [(Kind, u32, &str, u32, i16); 14] = [
    (Kind::Bool, 16, "bool", 1_000, 1),
    (Kind::Bytea, 17, "bytea", 1_001, -1),
    (Kind::Int8, 20, "int8", 1_016, 8),
    (Kind::Int2, 21, "int2", 1_005, 2),
    (Kind::Int4, 23, "int4", 1_007, 4),
    (Kind::Text, 25, "text", 1_009, -1),
    (Kind::Float4, 700, "float4", 1_021, 4),
    (Kind::Float8, 701, "float8", 1_022, 8),
    (Kind::Date, 1_082, "date", 1_182, 4),
    (Kind::Time, 1_083, "time", 1_183, 8),
    (Kind::Timestamp, 1_114, "timestamp", 1_115, 8),
    (Kind::TimestampTz, 1_184, "timestamptz", 1_185, 8),
    (Kind::Interval, 1_186, "interval", 1_187, 16),
    (Kind::Numeric, 1_700, "numeric", 1_231, -1),
];

/// Numbers of types that are read as others: names, characters, `json` and the like are text.
const READ_AS: [(u32, u32); 10] = [
    (0, 25),
    (18, 25),
    (19, 25),
    (26, 20),
    (114, 25),
    (705, 25),
    (1_042, 25),
    (1_043, 25),
    (2_950, 25),
    (3_802, 25),
];
/// Arrays of names and characters.
const ARRAYS_READ_AS: [(u32, u32); 4] =
    [(1_002, 1_009), (1_003, 1_009), (1_014, 1_009), (1_015, 1_009)];

impl Kind {
    fn row(self) -> (u32, &'static str, u32, i16) {
        let row = KINDS.iter().find(|row| row.0 == self);
        row.map_or((25, "text", 1_009, -1), |row| (row.1, row.2, row.3, row.4))
    }

    /// The type of columns that its values are written from and read into.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Bytea => DataType::Binary,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            // Digits as they are written.
            Self::Numeric | Self::Text => DataType::Utf8,
        }
    }
}

impl PgType {
    pub(crate) const TEXT: Self = Self { kind: Kind::Text, is_array: false };

    /// The type that values of a column are sent as.
    pub(crate) fn of(column: &DataType) -> Self {
        let is_array = matches!(
            column,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
        );
        let kind = match column {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                return match Self::of(item.data_type()) {
                    Self { kind, is_array: false } => Self { kind, is_array },
                    // Arrays of arrays are those of their printed values.
                    _ => Self { kind: Kind::Text, is_array },
                };
            }
            DataType::Boolean => Kind::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Kind::Int2,
            DataType::Int32 | DataType::UInt16 => Kind::Int4,
            DataType::Int64 | DataType::UInt32 => Kind::Int8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Kind::Numeric,
            DataType::Float16 | DataType::Float32 => Kind::Float4,
            DataType::Float64 => Kind::Float8,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Kind::Bytea,
            DataType::Date32 | DataType::Date64 => Kind::Date,
            DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
            DataType::Timestamp(_, None) => Kind::Timestamp,
            DataType::Timestamp(_, Some(_)) => Kind::TimestampTz,
            DataType::Interval(_) | DataType::Duration(_) => Kind::Interval,
            DataType::Dictionary(_, values) => return Self::of(values),
            _ => Kind::Text,
        };
        Self { kind, is_array }
    }

    /// The type of this number; `None` if there is none whose values are read here.
    pub(crate) fn by_oid(oid: u32) -> Option<Self> {
        let read_as = READ_AS.iter().chain(&ARRAYS_READ_AS).find(|(of, _)| *of == oid);
        let oid = read_as.map_or(oid, |(_, as_oid)| *as_oid);
        KINDS.iter().find_map(|row| match oid {
            of if of == row.1 => Some(Self { kind: row.0, is_array: false }),
            of if of == row.3 => Some(Self { kind: row.0, is_array: true }),
            _ => None,
        })
    }

    /// The number by which clients know it.
    pub(crate) fn oid(self) -> u32 {
        let (oid, _, array, _) = self.kind.row();
        if self.is_array { array } else { oid }
    }

    /// Its name.
    pub(crate) fn name(self) -> String {
        let (_, name, ..) = self.kind.row();
        if self.is_array { format!("{name}[]") } else { name.to_owned() }
    }

    /// Bytes of a value; -1 where they differ.
    pub(crate) fn size(self) -> i16 {
        if self.is_array { -1 } else { self.kind.row().3 }
    }

    /// The type of columns that its values are written from and read into.
    pub(crate) fn arrow(self) -> DataType {
        let item = self.kind.arrow();
        match self.is_array {
            false => item,
            true => DataType::List(Arc::new(Field::new_list_field(item, true))),
        }
    }
}

impl Column {
    pub(crate) fn of(field: &Field) -> Self {
        Self { name: field.name().clone(), of: PgType::of(field.data_type()) }
    }

    /// A column of texts.
    pub(crate) fn text(name: &str) -> Self {
        Self { name: name.to_owned(), of: PgType::TEXT }
    }

    /// As it is described, with values in `format`.
    pub(crate) fn description(&self, format: i16) -> FieldDescription {
        FieldDescription::new(
            self.name.replace('\0', " "),
            0,
            0,
            self.of.oid(),
            self.of.size(),
            -1,
            format,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_types_that_clients_know() {
        let oid = |of| PgType::of(&of).oid();
        assert_eq!(oid(DataType::Float32), 700);
        assert_eq!(oid(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))), 1_184);
        assert_eq!(oid(DataType::UInt64), 1_700);
        let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        assert_eq!(oid(list(DataType::Int64)), 1_016);
        assert_eq!(oid(list(list(DataType::Int64))), 1_009);
        assert_eq!(oid(DataType::Null), 25);
        for row in KINDS {
            for is_array in [false, true] {
                let of = PgType { kind: row.0, is_array };
                assert_eq!(PgType::by_oid(of.oid()), Some(of));
            }
        }
        assert_eq!(PgType::by_oid(1_043), Some(PgType::TEXT));
        assert_eq!(PgType::by_oid(600), None, "points");
    }
}
