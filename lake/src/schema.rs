//! The schema of a table: its declaration, checked, and the Arrow columns that follow from it.
//!
//! A table has one key column, one time column and any number of value columns; the engine adds
//! `ingested_at`. In Arrow the columns stand in this order:
//!
//! ```text
//! index   0     1      2 … n-2        n-1
//! column  key   time   value columns  ingested_at
//! ```

use std::collections::HashMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The value of a key column.
///
/// Invariants: it is widened to 64 bits whatever the column's type, and ordered as its number; `Display`
/// (the number in decimal) and `FromStr` are inverse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Key(i64);

/// Index of the key column in every table's Arrow schema.
pub const KEY_COLUMN: usize = 0;
/// Index of the time column in every table's Arrow schema.
pub const TIME_COLUMN: usize = 1;
/// Index of the first value column in every table's Arrow schema.
pub const FIRST_VALUE_COLUMN: usize = 2;
/// Name of the column that the engine assigns: when it accepted the row.
pub const INGESTED_AT: &str = "ingested_at";

/// Type of a key column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
}

/// Type of a value column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// 16-bit integer.
    Int16,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Single precision.
    Float32,
    /// Double precision.
    Float64,
    /// UTF-8 text.
    Utf8,
    /// µs since the Unix epoch, UTC.
    Timestamp,
}

/// A value column: what was measured, in which unit, and what is plausible.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueColumn {
    /// Column name.
    pub name: String,
    /// Column type.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// Unit of measure, as text for readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Smallest and largest plausible value, both inclusive; a row outside goes to the dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
}

impl ValueColumn {
    /// A column without unit and range.
    pub fn new(name: &str, value_type: ValueType) -> Self {
        Self { name: name.to_owned(), value_type, unit: None, range: None }
    }

    /// The unit of measure, as text for readers.
    #[must_use]
    pub fn unit(self, unit: &str) -> Self {
        Self { unit: Some(unit.to_owned()), ..self }
    }

    /// The smallest and the largest plausible value, both inclusive.
    #[must_use]
    pub fn range(self, least: f64, most: f64) -> Self {
        Self { range: Some([least, most]), ..self }
    }
}

/// A table as the settings declare it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableDeclaration {
    /// Name of the key column.
    pub key: String,
    /// Type of the key column.
    #[serde(default = "int32")]
    pub key_type: KeyType,
    /// Name of the time column (µs, UTC).
    pub time: String,
    /// The value columns in order.
    #[serde(default)]
    pub columns: Vec<ValueColumn>,
    /// Name of the dimension (such as `cities`) that lists the valid keys: a row with any other key
    /// goes to the dead letters. Absent: every key is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<String>,
}

impl TableDeclaration {
    /// A table with 32-bit keys, no value columns and no dimension.
    pub fn new(key: &str, time: &str) -> Self {
        Self {
            key: key.to_owned(),
            key_type: KeyType::Int32,
            time: time.to_owned(),
            columns: Vec::new(),
            dimension: None,
        }
    }

    /// The type of its keys.
    #[must_use]
    pub fn key_type(self, key_type: KeyType) -> Self {
        Self { key_type, ..self }
    }

    /// One more value column.
    #[must_use]
    pub fn column(mut self, column: ValueColumn) -> Self {
        self.columns.push(column);
        self
    }

    /// More value columns.
    #[must_use]
    pub fn columns(mut self, columns: impl IntoIterator<Item = ValueColumn>) -> Self {
        self.columns.extend(columns);
        self
    }

    /// The dimension that lists the valid keys.
    #[must_use]
    pub fn dimension(self, dimension: &str) -> Self {
        Self { dimension: Some(dimension.to_owned()), ..self }
    }
}

fn int32() -> KeyType {
    KeyType::Int32
}

/// A checked table declaration with its Arrow schema: the key, the time, the value columns, and when a row was accepted.
///
/// ```
/// use barograph_lake::schema::{TableDeclaration, TableSchema, ValueColumn, ValueType};
///
/// let temperature = ValueColumn::new("temperature", ValueType::Float32).unit("°C").range(-90.0, 60.0);
/// let readings = TableSchema::new("readings", TableDeclaration::new("city_id", "reading_at").column(temperature))?;
/// let columns: Vec<_> = readings.arrow().fields().iter().map(|field| field.name().as_str()).collect();
/// assert_eq!(columns, ["city_id", "reading_at", "temperature", "ingested_at"]);
/// # Ok::<_, barograph_lake::Error>(())
/// ```
///
/// Invariants: names are non-empty, distinct, of `[a-z0-9_]`; ranges are ordered and only on numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    name: String,
    declaration: TableDeclaration,
    arrow: SchemaRef,
}

impl TableSchema {
    /// Checks `declaration` and derives the Arrow schema.
    pub fn new(name: &str, declaration: TableDeclaration) -> Result<Self> {
        check_name("table", name)?;
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut fields = vec![
            Field::new(&declaration.key, declaration.key_type.arrow(), false),
            Field::new(&declaration.time, time.clone(), false),
        ];
        for column in &declaration.columns {
            let mut field = Field::new(&column.name, column.value_type.arrow(), true);
            if let Some(unit) = &column.unit {
                field.set_metadata(HashMap::from([("unit".to_owned(), unit.clone())]));
            }
            check_range(name, column)?;
            fields.push(field);
        }
        fields.push(Field::new(INGESTED_AT, time, false));
        for (i, field) in fields.iter().enumerate() {
            check_name("column", field.name())?;
            if fields.iter().take(i).any(|earlier| earlier.name() == field.name()) {
                return Err(Error::request(format!(
                    "table {name:?} declares the column {:?} twice: rename one ({INGESTED_AT} is the engine's own)",
                    field.name()
                )));
            }
        }
        Ok(Self { name: name.to_owned(), declaration, arrow: Arc::new(Schema::new(fields)) })
    }

    /// Table name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The declaration this schema was made from.
    pub fn declaration(&self) -> &TableDeclaration {
        &self.declaration
    }

    /// All columns: key, time, values, `ingested_at`.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The value columns in order; `values()[i]` is Arrow column `FIRST_VALUE_COLUMN + i`.
    pub fn values(&self) -> &[ValueColumn] {
        &self.declaration.columns
    }

    /// Type of the key column.
    pub fn key_type(&self) -> KeyType {
        self.declaration.key_type
    }

    /// Index of `ingested_at` in the Arrow schema: the last column.
    pub fn ingested_at(&self) -> usize {
        self.arrow.fields().len() - 1
    }

    /// Index of the column `name` in the Arrow schema, or an error that lists the columns.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.arrow.index_of(name).map_err(|_| {
            let names: Vec<_> = self.arrow.fields().iter().map(|f| f.name().as_str()).collect();
            Error::request(format!(
                "table {:?} has no column {name:?}: it has {}",
                self.name,
                names.join(", ")
            ))
        })
    }
}

impl Key {
    /// The smallest key.
    pub const MIN: Self = Self(i64::MIN);
    /// The largest key.
    pub const MAX: Self = Self(i64::MAX);

    /// The key of a number.
    #[inline]
    pub const fn new(key: i64) -> Self {
        Self(key)
    }

    /// As a number.
    #[inline]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The key after this one; `None` after the largest.
    #[inline]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The key before this one; none is before the smallest.
    #[inline]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl From<i32> for Key {
    #[inline]
    fn from(key: i32) -> Self {
        Self(key.into())
    }
}

impl From<i64> for Key {
    #[inline]
    fn from(key: i64) -> Self {
        Self(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Key {
    type Err = ParseIntError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl KeyType {
    /// The Arrow type of the key column.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
        }
    }
}

impl ValueType {
    /// The Arrow type of a value column.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Utf8 => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Whether a column of this type can become one of type `to` that holds the same values.
    pub(crate) fn widens_to(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Int16, Self::Int32 | Self::Int64)
                | (Self::Int32, Self::Int64)
                | (Self::Float32, Self::Float64)
        )
    }

    /// Whether a plausible range can be declared.
    pub fn is_number(self) -> bool {
        !matches!(self, Self::Utf8 | Self::Timestamp)
    }
}

fn check_name(what: &str, name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(Error::request(format!(
            "{what} name {name:?}: use 1 to 64 of the characters a-z, 0-9 and _"
        )));
    }
    Ok(())
}

fn check_range(table: &str, column: &ValueColumn) -> Result<()> {
    let Some([min, max]) = column.range else { return Ok(()) };
    if !column.value_type.is_number() {
        return Err(Error::request(format!(
            "table {table:?}, column {:?}: only numbers can have a range",
            column.name
        )));
    }
    if !(min.is_finite() && max.is_finite() && min <= max) {
        return Err(Error::request(format!(
            "table {table:?}, column {:?}: the range [{min}, {max}] must be two finite numbers, the smaller first",
            column.name
        )));
    }
    Ok(())
}
