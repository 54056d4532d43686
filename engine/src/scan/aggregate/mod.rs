//! Aggregation: rows become windows.
//!
//! Rows are sorted by (key, time), so the rows of a window lie side by side and are reduced where they
//! lie, without hashing:
//!
//! ```text
//! rows ──partial──► one state a (key, window)     of each source by itself
//!        combine ─► one state a (key, window)     of all sources together
//!        finish ──► key, window_start, temperature_mean, …
//! ```
//!
//! | aggregate | type | state | of nothing |
//! |---|---|---|---|
//! | count | int64 | count of values that are not null | 0 |
//! | sum | float64 of floats, int64 of integers | sum | null |
//! | mean | float64 | sum as float64, count | null |
//! | min, max | the column's | value, by the rule of [`kernel`] | null |
//! | first, last | the column's | value that is not null and its time | null |
//! | mean direction | float64 | sum of the wind vectors, length of the way | null |
//!
//! Windows are aligned to the Unix epoch, before it too: an hour's window begins at a full hour.

mod combine;
mod finish;
pub mod kernel;
mod partial;
pub mod rank;
mod reduce;
mod segments;
#[cfg(test)]
mod tests;
pub(crate) mod winds;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::time::MICROS_PER_SECOND;
use barograph_lake::{Span, TableSchema};

use crate::{Error, Result};

/// A function of the values of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Number of values that are not null.
    Count,
    /// Sum. Of integers it is exact, and an error where it leaves 64 bits.
    Sum,
    /// Arithmetic mean.
    Mean,
    /// Smallest value.
    Min,
    /// Greatest value.
    Max,
    /// Earliest value that is not null.
    First,
    /// Latest value that is not null.
    Last,
    /// Mean of directions in degrees on the circle, as `mean_direction` of SQL gives it.
    MeanDirection {
        /// Index into the table's Arrow schema of the speed that each direction weighs; absent: all weigh
        /// the same.
        speed: Option<usize>,
    },
}

impl Aggregate {
    /// Its name in output columns and requests: `mean` in `temperature_mean`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Mean | Self::MeanDirection { .. } => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Name of the output column that holds the first instant of a window.
pub(crate) const WINDOW_START: &str = "window_start";

/// Windows of a fixed length, and the aggregates of each column in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregation {
    /// Length of a window, more than zero.
    pub every: Span,
    /// Columns by their index in the table's Arrow schema, each once, with their aggregates, each once.
    pub aggregates: Vec<(usize, Vec<Aggregate>)>,
}

impl Aggregation {
    /// Checks that `table` can be aggregated in this way.
    ///
    /// # Errors
    /// `Request` that names the column: it does not exist or comes twice, an aggregate comes twice, a sum or mean is
    /// asked of something other than numbers, or a window has no length.
    pub fn check(&self, table: &TableSchema) -> Result<()> {
        if self.every <= Span::ZERO {
            return Err(Error::request(format!(
                "windows of {} µs: a window must be longer than zero",
                self.every
            )));
        }
        for (i, (column, aggregates)) in self.aggregates.iter().enumerate() {
            let field = table.arrow().fields().get(*column).ok_or_else(|| {
                Error::request(format!("table {:?} has no column {column}", table.name()))
            })?;
            if self.aggregates.iter().take(i).any(|(earlier, _)| earlier == column) {
                return Err(Error::request(format!(
                    "column {:?} is aggregated twice: list its aggregates together",
                    field.name()
                )));
            }
            for (j, aggregate) in aggregates.iter().enumerate() {
                if aggregates.iter().take(j).any(|earlier| earlier == aggregate) {
                    return Err(Error::request(format!(
                        "{aggregate} of column {:?} is asked for twice",
                        field.name()
                    )));
                }
                let needs_number = matches!(
                    aggregate,
                    Aggregate::Sum | Aggregate::Mean | Aggregate::MeanDirection { .. }
                );
                let speed = aggregate.speed().map(|speed| table.arrow().fields().get(speed));
                if speed.is_some_and(|of| !of.is_some_and(|of| of.data_type().is_numeric())) {
                    return Err(Error::request(format!(
                        "the mean direction {:?} is weighted by a column that holds no numbers",
                        field.name()
                    )));
                }
                if needs_number && !field.data_type().is_numeric() {
                    return Err(Error::request(format!(
                        "{aggregate} of column {:?}: it holds no numbers; count, min, max, first and last are possible",
                        field.name()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Indexes into the table's Arrow schema of the columns it reads besides key and time.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> = self.aggregates.iter().map(|(column, _)| *column).collect();
        columns.retain(|&column| column >= FIRST_VALUE_COLUMN);
        for (_, aggregates) in &self.aggregates {
            let speeds = aggregates.iter().filter_map(|aggregate| aggregate.speed());
            for speed in speeds {
                if !columns.contains(&speed) {
                    columns.push(speed);
                }
            }
        }
        columns
    }

    /// Columns of the answer: key, `window_start`, then the aggregates in the order asked for.
    pub fn output_schema(&self, table: &TableSchema) -> SchemaRef {
        let mut fields = vec![key_field(table), window_field()];
        for (column, aggregates) in &self.aggregates {
            let Some(field) = table.arrow().fields().get(*column) else { continue };
            for aggregate in aggregates {
                let of = aggregate.data_type(field.data_type());
                let name = format!("{}_{aggregate}", field.name());
                let output = Field::new(name, of, true);
                let has_unit = *aggregate != Aggregate::Count;
                fields.push(Arc::new(if has_unit {
                    output.with_metadata(field.metadata().clone())
                } else {
                    output
                }));
            }
        }
        Arc::new(Schema::new(fields))
    }

    /// How the states of the columns stand in a batch of states.
    fn layout(&self, table: &TableSchema) -> Result<Layout> {
        self.check(table)?;
        let mut fields = vec![key_field(table), window_field()];
        let mut columns = Vec::with_capacity(self.aggregates.len());
        let read = self.columns();
        let position = |column: usize| {
            let value = read.iter().position(|&read| read == column);
            value.map_or(column, |value| FIRST_VALUE_COLUMN + value)
        };
        for (column, aggregates) in &self.aggregates {
            let field = table.arrow().field(*column);
            let speed = aggregates.iter().find_map(|aggregate| aggregate.speed());
            let parts = parts(aggregates, field.data_type());
            let at = fields.len();
            fields.extend(parts.iter().map(|part| {
                let name = format!("{} {part:?}", field.name());
                Arc::new(Field::new(name, part.data_type(field.data_type()), true))
            }));
            columns.push(ColumnStates {
                position: position(*column),
                speed: speed.map(position),
                at,
                parts,
            });
        }
        Ok(Layout { schema: Arc::new(Schema::new(fields)), columns })
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every = self.every.micros();
        match every % MICROS_PER_SECOND {
            0 => write!(f, "every {} s", every / MICROS_PER_SECOND),
            _ => write!(f, "every {every} µs"),
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "every table has a key")]
fn key_field(table: &TableSchema) -> FieldRef {
    Arc::clone(&table.arrow().fields()[KEY_COLUMN])
}

fn window_field() -> FieldRef {
    Arc::new(Field::new(WINDOW_START, instant(), false))
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl Aggregate {
    fn speed(self) -> Option<usize> {
        match self {
            Self::MeanDirection { speed } => speed,
            _ => None,
        }
    }

    fn data_type(self, of: &DataType) -> DataType {
        match self {
            Self::Count => DataType::Int64,
            Self::Sum if of.is_integer() => DataType::Int64,
            Self::Sum | Self::Mean | Self::MeanDirection { .. } => DataType::Float64,
            Self::Min | Self::Max | Self::First | Self::Last => of.clone(),
        }
    }
}

/// What is kept of a window's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Count,
    /// Exact sum of integers.
    WholeSum,
    FloatSum,
    Min,
    Max,
    First,
    FirstTime,
    Last,
    LastTime,
    /// Sum of the wind vectors' parts from the east and from the north, and of their lengths.
    East,
    North,
    Way,
}

impl Part {
    /// Whether it is made of the values alone, without their times.
    fn is_reduction(self) -> bool {
        !self.is_wind()
            && !matches!(self, Self::First | Self::FirstTime | Self::Last | Self::LastTime)
    }

    /// Whether it is made of directions and speeds.
    fn is_wind(self) -> bool {
        matches!(self, Self::East | Self::North | Self::Way)
    }

    fn data_type(self, of: &DataType) -> DataType {
        match self {
            Self::Count | Self::WholeSum => DataType::Int64,
            Self::FloatSum | Self::East | Self::North | Self::Way => DataType::Float64,
            Self::FirstTime | Self::LastTime => instant(),
            Self::Min | Self::Max | Self::First | Self::Last => of.clone(),
        }
    }
}

/// States of one column.
#[derive(Debug)]
struct ColumnStates {
    /// Where the column stands in a batch of rows.
    position: usize,
    /// Where the speed of directions stands in a batch of rows.
    speed: Option<usize>,
    /// Where its first part stands in a batch of states.
    at: usize,
    /// Its parts, side by side.
    parts: Vec<Part>,
}

impl ColumnStates {
    /// Where a part stands in a batch of states.
    fn place(&self, part: Part) -> Result<usize> {
        let within = self.parts.iter().position(|&kept| kept == part);
        within.map(|within| self.at + within).ok_or_else(|| {
            Error::internal(format!("aggregate: {part:?} is not kept of column {}", self.position))
        })
    }
}

/// Columns of a batch of states: key, window start, then the parts of each column.
#[derive(Debug)]
struct Layout {
    schema: SchemaRef,
    columns: Vec<ColumnStates>,
}

fn parts(aggregates: &[Aggregate], of: &DataType) -> Vec<Part> {
    let mut parts = Vec::new();
    for aggregate in aggregates {
        let needed: &[Part] = match aggregate {
            Aggregate::Count => &[Part::Count],
            Aggregate::Sum if of.is_integer() => &[Part::WholeSum],
            Aggregate::Sum => &[Part::FloatSum],
            Aggregate::Mean => &[Part::FloatSum, Part::Count],
            Aggregate::Min => &[Part::Min],
            Aggregate::Max => &[Part::Max],
            Aggregate::First => &[Part::First, Part::FirstTime],
            Aggregate::Last => &[Part::Last, Part::LastTime],
            Aggregate::MeanDirection { .. } => &[Part::East, Part::North, Part::Way],
        };
        for part in needed {
            if !parts.contains(part) {
                parts.push(*part);
            }
        }
    }
    parts
}

/// The time column of rows and the window column of states stand in the same place.
const WINDOW_COLUMN: usize = TIME_COLUMN;
