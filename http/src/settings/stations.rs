//! The settings of stations: which table their readings are rows of, which key a station is, and which columns its values are.

use std::collections::BTreeMap;

use barograph_flight::{Error, Result};
use barograph_lake::TableSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Columns of the built-in table, and the names of their values. The first that a station sends counts: the pressure at the
/// station goes before that at sea level. Rain is not among them, since stations send sums of hours and days.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("temperature", &["tempf"]),
    ("humidity", &["humidity"]),
    ("pressure", &["baromabsin", "absbaromin", "baromin", "baromrelin"]),
    ("wind_speed", &["windspeedmph"]),
    ("wind_direction", &["winddir"]),
];

/// What the forms of weather stations mean here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StationSettings {
    /// Table whose rows are the readings of stations.
    pub table: String,
    /// Keys by the names of stations (`ID` of Weather Underground, `PASSKEY` of Ecowitt), such as `{ KPARIS1 = "Paris,FR" }`:
    /// whole numbers, or names of places where the keys of the table are places. A station without an entry is the key or
    /// the place of its name.
    pub keys: BTreeMap<String, String>,
    /// Values of stations by the columns that they become, such as `{ rain = ["rainin", "hourlyrainin"] }`; the first that is
    /// sent counts. They are brought to the unit of the column, metric if it has none. What is not named here is passed over,
    /// but for columns `temperature`, `humidity`, `pressure`, `wind_speed` and `wind_direction`, which have their usual
    /// values; `[]` leaves one of them empty.
    pub columns: BTreeMap<String, Vec<String>>,
}

impl Default for StationSettings {
    fn default() -> Self {
        Self { table: "readings".to_owned(), keys: BTreeMap::new(), columns: BTreeMap::new() }
    }
}

impl StationSettings {
    /// The columns of a table that stations fill, with the names of their values.
    pub(crate) fn columns_of<'a>(&'a self, table: &TableSchema) -> Vec<(usize, Vec<&'a str>)> {
        let own = self.columns.iter();
        let own = own.map(|(column, names)| {
            (column.as_str(), names.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let usual = COLUMNS.iter().filter(|(column, _)| !self.columns.contains_key(*column));
        let all = own.chain(usual.map(|(column, names)| (*column, names.to_vec())));
        all.filter_map(|(column, names)| Some((table.column(column).ok()?, names))).collect()
    }

    /// Refuses values that cannot be meant with these tables.
    pub(crate) fn check(&self, tables: &[TableSchema]) -> Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        let Some(table) = tables.iter().find(|table| table.name() == self.table) else {
            let names: Vec<_> = tables.iter().map(TableSchema::name).collect();
            return Err(Error::request(format!(
                "http.stations.table is {:?}: there is no such table, there are {}",
                self.table,
                names.join(", ")
            )));
        };
        for column in self.columns.keys() {
            let is_value = table.values().iter().any(|value| value.name == *column);
            table
                .column(column)
                .map_err(|e| Error::request(format!("http.stations.columns: {e}")))?;
            if !is_value {
                return Err(Error::request(format!(
                    "http.stations.columns names {column:?}, which is no value: keys are given by http.stations.keys, times by the stations"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use barograph_lake::{TableDeclaration, ValueColumn, ValueType};

    use super::*;

    fn table() -> TableSchema {
        let declaration = TableDeclaration::new("id", "at")
            .column(ValueColumn::new("temperature", ValueType::Float32))
            .column(ValueColumn::new("rain", ValueType::Float32));
        TableSchema::new("roof", declaration).unwrap()
    }

    #[test]
    fn usual_columns_are_filled_unless_the_settings_say_otherwise() {
        let mut settings = StationSettings::default();
        assert_eq!(settings.columns_of(&table()), [(2, vec!["tempf"])]);
        settings.columns.insert("rain".to_owned(), vec!["rainin".to_owned()]);
        settings.columns.insert("temperature".to_owned(), Vec::new());
        assert_eq!(settings.columns_of(&table()), [(3, vec!["rainin"]), (2, Vec::new())]);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let of = |name: &str, column: &str| StationSettings {
            table: name.to_owned(),
            columns: BTreeMap::from([(column.to_owned(), Vec::new())]),
            ..StationSettings::default()
        };
        of("roof", "rain").check(&[table()]).unwrap();
        for (settings, said) in [
            (of("cellar", "rain"), "http.stations.table is \"cellar\""),
            (of("roof", "snow"), "\"snow\""),
            (of("roof", "at"), "\"at\""),
            (of("roof", "ingested_at"), "\"ingested_at\""),
        ] {
            let error = settings.check(&[table()]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
