//! The built-in tables and rollups, and the names that are reserved.

use std::collections::BTreeMap;

use barograph_engine::dead_letters::DEAD_LETTERS;
use barograph_engine::rollup::RollupSettings;
use barograph_jobs::quality::QUALITY_FLAGS;
use barograph_lake::Span;
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_query::SYSTEM_SCHEMA;

use crate::{Error, Result};

/// Name of the built-in table.
pub(crate) const READINGS: &str = "readings";
/// Name of the dimension that lists the built-in cities.
pub(crate) const CITIES: &str = "cities";

/// Names that a table cannot have, and what they stand for.
const RESERVED: [(&str, &str); 5] = [
    (CITIES, "the table of the built-in cities"),
    (DEAD_LETTERS, "the table of rows that were refused"),
    ("information_schema", "what SQL tells of tables and columns"),
    (QUALITY_FLAGS, "the table of the flags of the job quality"),
    (SYSTEM_SCHEMA, "what SQL tells of the server"),
];

/// Refuses the names of tables and rollups that mean something else.
pub(crate) fn check_names<'a>(
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
pub(crate) fn check_dimensions(tables: &BTreeMap<String, TableDeclaration>) -> Result<()> {
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
pub(crate) fn readings() -> TableDeclaration {
    let number = |name: &str, unit: &str| ValueColumn::new(name, ValueType::Float32).unit(unit);
    let direction = ValueColumn::new("wind_direction", ValueType::Int16).unit("°");
    TableDeclaration::new("city_id", "reading_at")
        .column(number("temperature", "°C").range(-90.0, 60.0))
        .column(number("humidity", "%").range(0.0, 100.0))
        .column(number("pressure", "hPa").range(300.0, 1100.0))
        .column(number("wind_speed", "m/s").range(0.0, 120.0))
        .column(direction.range(0.0, 360.0))
        .column(number("precipitation", "mm").range(0.0, 100.0))
        .dimension(CITIES)
}

/// The rollups of `readings`: hours and days.
pub(crate) fn rollups() -> BTreeMap<String, RollupSettings> {
    let rollup = |name: &str, hours: i64| {
        let every = Span::seconds(hours * 3_600);
        (name.to_owned(), RollupSettings { of: READINGS.to_owned(), every })
    };
    BTreeMap::from([rollup("readings_1h", 1), rollup("readings_1d", 24)])
}
