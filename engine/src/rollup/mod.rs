//! Rollups: tables whose rows are the windows of another table.
//!
//! ```text
//! readings     (key, reading_at)     temperature                                     …
//!                    │ every hour
//! readings_1h  (key, window_start)   rows expected completeness temperature_count mean min max first last sum …
//! ```
//!
//! | column | what it is |
//! |---|---|
//! | `rows` | readings in the window; 0 where all of them were deleted, and all values are null then |
//! | `expected` | readings due in a whole window, by `sql.reading_every` |
//! | `completeness` | `rows` / `expected` |
//! | `NAME_count`, `_mean`, `_min`, `_max`, `_first`, `_last`, `_sum` | of a column of numbers |
//! | `NAME_count`, `_mean`, `_first`, `_last` | of a direction, a column with the unit ° |
//! | `NAME_count`, `_min`, `_max`, `_first`, `_last` | of a column of text or times |
//!
//! The mean of a direction is taken on the circle. `P_direction` is weighted by `P_speed` of the same row, where the
//! table has such a column.

mod compute;
mod freshness;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use barograph_lake::schema::{FIRST_VALUE_COLUMN, TIME_COLUMN, TableDeclaration};
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{Hour, Span, TableSchema, TimeRange, Timestamp, ValueColumn, ValueType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use freshness::RollupRegistry;
pub use freshness::Rollups;
pub use freshness::{Changed, RegisteredRollup, SourceWatermark};

use crate::scan::aggregate::WINDOW_START;
use crate::{Aggregate, Aggregation, Error, Result, View};

/// Index of the column `rows` in a rollup's Arrow schema.
pub const ROWS_COLUMN: usize = FIRST_VALUE_COLUMN;
/// Columns between the time and those of values.
const COUNTS: [(&str, ValueType); 3] = [
    ("rows", ValueType::Int64),
    ("expected", ValueType::Int64),
    ("completeness", ValueType::Float64),
];
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
/// Unit of directions.
const DEGREES: &str = "°";

/// A rollup as the settings declare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollupSettings {
    /// The table whose windows it holds.
    pub of: String,
    /// Length of a window: a whole number of hours that divides a day, or whole days. Windows are aligned
    /// to the Unix epoch, in UTC.
    pub every: Span,
}

/// A checked rollup with the schema of its table.
#[derive(Debug, Clone)]
pub struct Rollup {
    source: Arc<TableSchema>,
    table: Arc<TableSchema>,
    aggregation: Aggregation,
    expected: i64,
}

impl Rollup {
    /// The rollup `name` of `source`, whose keys report every `reading_every`.
    ///
    /// # Errors
    /// `Request` if the windows have another length than is possible, or two columns would have one name.
    pub fn new(
        name: &str,
        settings: &RollupSettings,
        source: Arc<TableSchema>,
        reading_every: Span,
    ) -> Result<Self> {
        let every = settings.every.micros();
        let divides = MICROS_PER_DAY % every == 0 || every % MICROS_PER_DAY == 0;
        if every % MICROS_PER_HOUR != 0 || !divides {
            return Err(Error::request(format!(
                "rollups.{name}.every {}: write hours that divide a day, such as 1h or 6h, or whole days",
                settings.every
            )));
        }
        let mut aggregates = vec![(TIME_COLUMN, vec![Aggregate::Count])];
        let counts = COUNTS.map(|(name, value_type)| ValueColumn::new(name, value_type));
        let mut columns = Vec::from(counts);
        for (at, column) in source.values().iter().enumerate() {
            let wanted = wanted(&source, column);
            for aggregate in &wanted {
                let unit = column.unit.clone().filter(|_| *aggregate != Aggregate::Count);
                columns.push(ValueColumn {
                    name: format!("{}_{aggregate}", column.name),
                    value_type: value_type(*aggregate, column.value_type),
                    unit,
                    range: None,
                });
            }
            aggregates.push((FIRST_VALUE_COLUMN + at, wanted));
        }
        let declared = source.declaration();
        let declaration = TableDeclaration {
            key: declared.key.clone(),
            key_type: declared.key_type,
            time: WINDOW_START.to_owned(),
            columns,
            dimension: declared.dimension.clone(),
        };
        let table = TableSchema::new(name, declaration)?;
        let aggregation = Aggregation { every: settings.every, aggregates };
        aggregation.check(&source)?;
        let expected = (every / reading_every.micros().max(1)).max(1);
        Ok(Self { source, table: Arc::new(table), aggregation, expected })
    }

    /// The table whose windows it holds.
    pub fn source(&self) -> &Arc<TableSchema> {
        &self.source
    }

    /// The table of its windows.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// Length of a window.
    pub fn every(&self) -> Span {
        self.aggregation.every
    }

    /// The window that holds an instant.
    pub fn window(&self, instant: Timestamp) -> TimeRange {
        let from = instant.floor_to(self.every());
        TimeRange { from, to: from + self.every() }
    }

    /// First instant of the windows that can be computed of `source`: rows of the windows before may have
    /// expired.
    pub(crate) fn computed_from(&self, source: &View) -> Timestamp {
        let expired = source.snapshot.expired_through();
        expired.map_or(Timestamp::MIN, |hour| self.window(hour.start()).to)
    }

    /// First instants of the windows that overlap `hours`.
    pub fn windows<'a>(&self, hours: impl IntoIterator<Item = &'a Hour>) -> BTreeSet<Timestamp> {
        hours.into_iter().map(|hour| self.window(hour.start()).from).collect()
    }
}

impl fmt::Display for Rollup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, every) = (self.source.name(), self.every());
        write!(f, "windows of {source} every {every}, {} readings due in each", self.expected)
    }
}

/// What is kept of a column.
fn wanted(source: &TableSchema, column: &ValueColumn) -> Vec<Aggregate> {
    use Aggregate::{Count, First, Last, Max, Mean, Min, Sum};
    let is_number = column.value_type.is_number();
    if is_number && column.unit.as_deref() == Some(DEGREES) {
        let speed = column.name.strip_suffix("direction").and_then(|prefix| {
            let name = format!("{prefix}speed");
            let at = source.values().iter().position(|other| other.name == name)?;
            source.values().get(at)?.value_type.is_number().then_some(FIRST_VALUE_COLUMN + at)
        });
        return vec![Count, Aggregate::MeanDirection { speed }, First, Last];
    }
    match is_number {
        true => vec![Count, Mean, Min, Max, First, Last, Sum],
        false => vec![Count, Min, Max, First, Last],
    }
}

fn value_type(aggregate: Aggregate, of: ValueType) -> ValueType {
    match aggregate {
        Aggregate::Count => ValueType::Int64,
        Aggregate::Sum if matches!(of, ValueType::Int16 | ValueType::Int32 | ValueType::Int64) => {
            ValueType::Int64
        }
        Aggregate::Sum | Aggregate::Mean | Aggregate::MeanDirection { .. } => ValueType::Float64,
        Aggregate::Min | Aggregate::Max | Aggregate::First | Aggregate::Last => of,
    }
}
