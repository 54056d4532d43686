//! Which tables are built in?

use std::collections::BTreeMap;

use barograph_engine::dead_letters::DEAD_LETTERS;
use barograph_engine::rollup::RollupSettings;
use barograph_jobs::quality::QUALITY_FLAGS;
use barograph_lake::Span;
use barograph_lake::schema::{KeyType, TableDeclaration, ValueColumn, ValueType};
use barograph_query::SYSTEM_SCHEMA;

use crate::{Error, Result};

/// Name of the built-in table.
pub const READINGS: &str = "readings";
/// Name of the dimension that lists the built-in cities.
pub const CITIES: &str = "cities";

/// Names that a table cannot have, and what they stand for.
const RESERVED: [(&str, &str); 5] = [
    (CITIES, "the table of the built-in cities"),
    (DEAD_LETTERS, "the table of rows that were refused"),
    ("information_schema", "what SQL tells of tables and columns"),
    (QUALITY_FLAGS, "the table of the flags of the job quality"),
    (SYSTEM_SCHEMA, "what SQL tells of the server"),
];

/// Refuses the names of tables and rollups that mean something else.
pub fn check_names<'a>(
    tables: impl Iterator<Item = &'a String>,
    rollups: impl Iterator<Item = &'a String>,
) -> Result<()> {
    let all = tables.map(|name| ("tables", name)).chain(rollups.map(|name| ("rollups", name)));
    for (section, name) in all {
        if let Some((_, what)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
            return Err(Error::usage(format!(
                "{section}.{name}: {name} is the name of {what}: give yours another name"
            )));
        }
    }
    Ok(())
}

/// Refuses dimensions that there are not.
pub fn check_dimensions(tables: &BTreeMap<String, TableDeclaration>) -> Result<()> {
    for (name, table) in tables {
        match table.dimension.as_deref() {
            None | Some(CITIES) => {}
            Some(other) => {
                return Err(Error::usage(format!(
                    "tables.{name}.dimension {other:?}: there is no such dimension: write {CITIES:?}, or leave it out"
                )));
            }
        }
    }
    Ok(())
}

/// The declaration of `readings`: weather of cities.
pub fn readings() -> TableDeclaration {
    let column = |name: &str, value_type, unit: &str, range| ValueColumn {
        name: name.to_owned(),
        value_type,
        unit: Some(unit.to_owned()),
        range: Some(range),
    };
    TableDeclaration {
        key: "city_id".to_owned(),
        key_type: KeyType::Int32,
        time: "reading_at".to_owned(),
        columns: vec![
            column("temperature", ValueType::Float32, "°C", [-90.0, 60.0]),
            column("humidity", ValueType::Float32, "%", [0.0, 100.0]),
            column("pressure", ValueType::Float32, "hPa", [300.0, 1100.0]),
            column("wind_speed", ValueType::Float32, "m/s", [0.0, 120.0]),
            column("wind_direction", ValueType::Int16, "°", [0.0, 360.0]),
            column("precipitation", ValueType::Float32, "mm", [0.0, 100.0]),
        ],
        dimension: Some(CITIES.to_owned()),
    }
}

/// The rollups of `readings`: hours and days.
pub fn rollups() -> BTreeMap<String, RollupSettings> {
    let rollup = |name: &str, hours: i64| {
        let every = Span::seconds(hours * 3_600);
        (name.to_owned(), RollupSettings { of: READINGS.to_owned(), every })
    };
    BTreeMap::from([rollup("readings_1h", 1), rollup("readings_1d", 24)])
}
