//! The job `quality`: it flags doubtful readings, which jump, stand still, or disagree with what is measured near by.
//!
//! | bit | check | a reading is flagged if |
//! |---|---|---|
//! | 1 | step | it is more than `step` off its key's last reading that did not jump, at most `step_within` before |
//! | 2 | persistence | all readings of the `persistence_over` up to it lie within less than `persistence` |
//! | 4 | neighbour | it is more than `neighbour` off the median of the hour's means of the nearest sites |
//!
//! Step and persistence are the checks for maximum allowed and minimum required variability of I. Zahumenský,
//! Guidelines on Quality Control Procedures for Data from Automatic Weather Stations (WMO, 2004). A value that is
//! out of its plausible range never gets into a table.
//!
//! ```text
//! hour H:  rows of H ─────────── hour's means of all keys ─► medians of neighbours ┐
//!          rows of H and before ─► key by key, in order of time: step, persistence ┴► flags other than 0
//! ```

mod flags;
mod key;
mod neighbours;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use barograph_engine::Engine;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, TableDeclaration};
use barograph_lake::{Key, LakeStore, Span, TableSchema, ValueColumn, ValueType};
use serde::Serialize;

use crate::Result;
use crate::materialize::{DerivedTable, Materialize};
use flags::FlagsTable;

/// Name of the table of flags.
pub const QUALITY_FLAGS: &str = "quality_flags";
/// Flag of a reading that jumps.
pub const STEP: i16 = 1;
/// Flag of a reading at the end of a standstill.
pub const PERSISTENCE: i16 = 2;
/// Flag of a reading that disagrees with its neighbours.
pub const NEIGHBOUR: i16 = 4;

/// What is checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checks {
    /// How old the reading may be that a reading is compared with.
    pub step_within: Span,
    /// Over how long a value is to vary.
    pub persistence_over: Span,
    /// How far a neighbour may be, km.
    pub near_km: f64,
    /// So many of the nearest neighbours are asked.
    pub near_most: usize,
    /// So many of them must have readings.
    pub near_least: usize,
    /// The columns.
    pub columns: Vec<Check>,
}

/// What is checked of a column, in its unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The column.
    pub column: String,
    /// Greatest change from a reading to the next; absent: any.
    pub step: Option<f64>,
    /// Least that readings vary; absent: not at all.
    pub persistence: Option<f64>,
    /// Greatest difference from the neighbours; absent: any.
    pub neighbour: Option<f64>,
    /// How the column changes with height.
    pub height: Height,
}

/// How a quantity changes with height, where the heights of sites are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Height {
    /// It does not.
    Level,
    /// It falls by so much a metre: sites of unknown height are compared with each other alone.
    Falls(f64),
    /// It falls to 1/e over so many metres: sites of unknown height are not compared.
    Decays(f64),
}

/// The site of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Site {
    /// The key.
    pub key: Key,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres above the sea, if known.
    pub elevation: Option<f64>,
}

/// The table of the flags of `source`: one column of flags for each column that is checked.
///
/// # Errors
/// `Request` if names collide.
pub fn flags_of(source: &TableSchema, checks: &Checks) -> Result<TableSchema> {
    let declared = source.declaration();
    let columns =
        checked(source, checks).map(|(_, check)| ValueColumn::new(&check.column, ValueType::Int16));
    let declaration = TableDeclaration {
        key: declared.key.clone(),
        key_type: declared.key_type,
        time: declared.time.clone(),
        columns: columns.collect(),
        dimension: declared.dimension.clone(),
    };
    Ok(TableSchema::new(QUALITY_FLAGS, declaration)?)
}

/// The job `quality`, which keeps the flags of `source` up to date with its readings; its records and its progress
/// lie in `store`. Without an engine it can only be inspected.
///
/// # Errors
/// `Request` if names collide.
pub fn quality(
    engine: Option<Arc<Engine>>,
    store: LakeStore,
    source: TableSchema,
    checks: Checks,
    sites: Vec<Site>,
) -> Result<Materialize> {
    let flagged = FlagsTable::new(source, checks, sites)?;
    let derived_tables: Vec<Box<dyn DerivedTable>> = vec![Box::new(flagged)];
    let about = "flags readings that jump, stand still or disagree with their neighbours";
    Ok(Materialize::new("quality", about, engine, store, derived_tables))
}

/// The checks of columns that are there, with their places in the Arrow schema.
fn checked<'a>(
    source: &'a TableSchema,
    checks: &'a Checks,
) -> impl Iterator<Item = (usize, &'a Check)> {
    source.values().iter().enumerate().filter_map(|(at, column)| {
        let number = column.value_type.is_number();
        let check = checks.columns.iter().find(|check| check.column == column.name)?;
        number.then_some((FIRST_VALUE_COLUMN + at, check))
    })
}
