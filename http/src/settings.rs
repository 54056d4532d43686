//! The settings of the HTTP API: which pages may ask, how large bodies may be, and what the names of other protocols mean
//! here.

mod stations;

use std::collections::BTreeMap;
use std::path::PathBuf;

use barograph_flight::{Error, Result};
use barograph_lake::{Size, TableSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use stations::StationSettings;

/// Settings of the HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Whether the server answers the HTTP API on the port of `flight.listen`, beside Flight. Without it, `/health`, `/ready`,
    /// `/version` and `/metrics` are answered only.
    pub enabled: bool,
    /// Origins of web pages whose scripts may ask, such as `["https://weather.example.org"]`; `["*"]` is every page. If
    /// empty, browsers let only pages of the server's own address ask.
    pub cors_origins: Vec<String>,
    /// Largest body of a request, as it is sent and as it is once it is decompressed. Raise it for writers that send larger
    /// files.
    pub body_bytes_max: Size,
    /// Memory for the bodies of all requests together. Beyond it a request is refused with 429, and may be sent again.
    pub bodies_bytes_max: Size,
    /// Answers in the shape of Open-Meteo at `/v1/forecast` and `/v1/archive`.
    pub open_meteo: OpenMeteoSettings,
    /// Line protocol at `/write`, `/api/v2/write` and `/api/v3/write_lp`.
    pub line_protocol: LineProtocolSettings,
    /// Forms of weather stations at `/weatherstation/updateweatherstation.php` (Weather Underground) and `/data/report/` (Ecowitt).
    pub stations: StationSettings,
}

/// What Open-Meteo's names mean here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpenMeteoSettings {
    /// Table whose readings are answered.
    pub table: String,
    /// Columns of the table by the names that Open-Meteo has for what they hold. Names whose column the table does not have
    /// are refused when they are asked for.
    pub variables: BTreeMap<String, String>,
    /// CSV file of the places that the keys of the table stand for, with the columns `id`, `name`, `latitude`, `longitude`,
    /// `elevation` and `timezone`. If absent, the built-in cities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<PathBuf>,
}

/// What the names of line protocol mean here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineProtocolSettings {
    /// Measurements by name, such as `[http.line_protocol.measurements.weather]` with `table = "readings"`, `key = "station"`
    /// (the tag or field that holds the key: a number, or the name of a place where the keys of the table are places),
    /// `columns = { temp = "temperature" }` (other names for tags and fields) and `ignored = ["battery"]`. A measurement
    /// without an entry is the table of that name, and its tags and fields are the columns of their names.
    pub measurements: BTreeMap<String, MeasurementSettings>,
    /// Tags that are passed over where the table has no column of that name. Any other tag without a column makes its line a
    /// bad one.
    pub ignored_tags: Vec<String>,
}

/// What a measurement of line protocol means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasurementSettings {
    /// Its table.
    pub table: String,
    /// The tag or field that holds the key. If absent, that of the key column's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Columns by the names of tags and fields.
    pub columns: BTreeMap<String, String>,
    /// Tags and fields that are passed over.
    pub ignored: Vec<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            cors_origins: Vec::new(),
            body_bytes_max: Size::mebibytes(64),
            bodies_bytes_max: Size::mebibytes(256),
            open_meteo: OpenMeteoSettings::default(),
            line_protocol: LineProtocolSettings::default(),
            stations: StationSettings::default(),
        }
    }
}

impl Default for OpenMeteoSettings {
    fn default() -> Self {
        let names = [
            ("precipitation", "precipitation"),
            ("rain", "precipitation"),
            ("relative_humidity_2m", "humidity"),
            ("relativehumidity_2m", "humidity"),
            ("surface_pressure", "pressure"),
            ("temperature_2m", "temperature"),
            ("wind_direction_10m", "wind_direction"),
            ("wind_speed_10m", "wind_speed"),
            ("winddirection_10m", "wind_direction"),
            ("windspeed_10m", "wind_speed"),
        ];
        let variables = names.map(|(name, column)| (name.to_owned(), column.to_owned()));
        Self { table: "readings".to_owned(), variables: BTreeMap::from(variables), places: None }
    }
}

impl Default for LineProtocolSettings {
    fn default() -> Self {
        Self { measurements: BTreeMap::new(), ignored_tags: vec!["host".to_owned()] }
    }
}

impl HttpSettings {
    /// Refuses values that cannot be meant with these tables.
    ///
    /// # Errors
    /// `Request` that names the setting.
    pub fn check(&self, tables: &[TableSchema]) -> Result<()> {
        for origin in &self.cors_origins {
            let is_origin = origin == "*"
                || url::Url::parse(origin).is_ok_and(|url| {
                    url.has_host()
                        && url.path() == "/"
                        && !origin.ends_with('/')
                        && url.query().is_none()
                });
            if !is_origin {
                return Err(Error::request(format!(
                    "http.cors_origins has {origin:?}: write an origin, like https://weather.example.org, or *"
                )));
            }
        }
        let least = Size::bytes(1 << 10);
        for (name, size) in
            [("body_bytes_max", self.body_bytes_max), ("bodies_bytes_max", self.bodies_bytes_max)]
        {
            if !(least.get()..=1 << 32).contains(&size.get()) {
                return Err(Error::request(format!("http.{name} is {size}: give {least} to 4GiB")));
            }
        }
        if self.bodies_bytes_max.get() < self.body_bytes_max.get() {
            return Err(Error::request(format!(
                "http.bodies_bytes_max is {}, less than http.body_bytes_max = {}: give as much at least",
                self.bodies_bytes_max, self.body_bytes_max
            )));
        }
        self.stations.check(tables)?;
        let mut measurements = self.line_protocol.measurements.iter();
        measurements.try_for_each(|(name, of)| of.check(name, tables))
    }
}

impl MeasurementSettings {
    fn check(&self, name: &str, tables: &[TableSchema]) -> Result<()> {
        let place = format!("http.line_protocol.measurements.{name}");
        let Some(table) = tables.iter().find(|table| table.name() == self.table) else {
            let names: Vec<_> = tables.iter().map(TableSchema::name).collect();
            return Err(Error::request(format!(
                "{place}.table is {:?}: there is no such table, there are {}",
                self.table,
                names.join(", ")
            )));
        };
        for column in self.columns.values() {
            let column = table.column(column);
            column.map_err(|e| Error::request(format!("{place}.columns: {e}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use barograph_lake::TableDeclaration;

    use super::*;

    #[test]
    fn what_cannot_be_meant_is_named() {
        let tables = [TableSchema::new("tides", TableDeclaration::new("port", "at")).unwrap()];
        HttpSettings::default().check(&tables).unwrap();
        let origins = |origin: &str| HttpSettings {
            cors_origins: vec![origin.to_owned()],
            ..HttpSettings::default()
        };
        for good in ["*", "https://a.example", "http://localhost:8080"] {
            origins(good).check(&tables).unwrap();
        }
        for wrong in ["", "a.example", "https://a.example/", "https://a.example/b"] {
            let error = origins(wrong).check(&tables).unwrap_err().to_string();
            assert!(error.contains("http.cors_origins"), "{error}");
        }
        let mut settings = HttpSettings::default();
        let of =
            |table: &str| MeasurementSettings { table: table.to_owned(), ..Default::default() };
        settings.line_protocol.measurements.insert("w".to_owned(), of("waves"));
        let error = settings.check(&tables).unwrap_err().to_string();
        assert!(error.contains("measurements.w.table is \"waves\""), "{error}");
        let mut known = of("tides");
        known.columns.insert("h".to_owned(), "height".to_owned());
        settings.line_protocol.measurements.insert("w".to_owned(), known);
        let error = settings.check(&tables).unwrap_err().to_string();
        assert!(error.contains("measurements.w.columns"), "{error}");
    }
}
