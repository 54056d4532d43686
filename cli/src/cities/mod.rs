//! The built-in cities: the 15,000 most populous of GeoNames (CC BY 4.0, geonames.org), embedded in the binary.

mod find;
pub(crate) mod fold;
mod rows;

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema};
use barograph_lake::Key;

use crate::{Error, Result};

const BUILT_IN: &str = include_str!("../../data/cities.csv");

/// The key column whose values are city ids: where a table has it, city names are taken and shown.
pub(crate) const CITY_KEY: &str = "city_id";

/// A city.
#[derive(Debug, Clone, PartialEq)]
pub struct City {
    /// GeoNames id.
    pub id: i32,
    /// Name in its usual spelling.
    pub name: String,
    /// ISO 3166 code of its country.
    pub country: String,
    /// GeoNames code of its first-level division; empty where there is none.
    pub admin: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Inhabitants.
    pub population: i64,
    /// IANA time zone.
    pub timezone: String,
    /// Metres above the sea, if known.
    pub elevation: Option<f64>,
}

/// Cities by id and by name.
#[derive(Debug)]
pub struct Cities {
    /// Ascending by id.
    cities: Vec<City>,
    by_name: OnceLock<HashMap<String, Vec<usize>>>,
}

impl Cities {
    /// The embedded cities.
    pub fn built_in() -> Result<&'static Self> {
        static CITIES: OnceLock<Cities> = OnceLock::new();
        if let Some(cities) = CITIES.get() {
            return Ok(cities);
        }
        let cities = Self::parse(BUILT_IN)?;
        Ok(CITIES.get_or_init(|| cities))
    }

    /// Reads the CSV form of `data/cities.csv`, header included.
    pub(crate) fn parse(csv: &str) -> Result<Self> {
        let columns = [
            ("city_id", DataType::Int32),
            ("name", DataType::Utf8),
            ("country", DataType::Utf8),
            ("admin1", DataType::Utf8),
            ("latitude", DataType::Float64),
            ("longitude", DataType::Float64),
            ("population", DataType::Int64),
            ("timezone", DataType::Utf8),
            ("elevation", DataType::Float64),
        ];
        let fields: Vec<_> =
            columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
        let reader = arrow::csv::ReaderBuilder::new(Arc::new(Schema::new(fields)))
            .with_header(true)
            .build(Cursor::new(csv))?;
        let mut cities = Vec::new();
        for batch in reader {
            let batch = batch?;
            let text = |column: usize, row: usize| {
                let values = batch.column(column).as_string::<i32>();
                if values.is_valid(row) { values.value(row).to_owned() } else { String::new() }
            };
            let number = |column: usize, row: usize| {
                batch.column(column).as_primitive::<Float64Type>().value(row)
            };
            for row in 0..batch.num_rows() {
                cities.push(City {
                    id: batch.column(0).as_primitive::<Int32Type>().value(row),
                    name: text(1, row),
                    country: text(2, row),
                    admin: text(3, row),
                    latitude: number(4, row),
                    longitude: number(5, row),
                    population: batch.column(6).as_primitive::<Int64Type>().value(row),
                    timezone: text(7, row),
                    elevation: batch.column(8).is_valid(row).then(|| number(8, row)),
                });
            }
        }
        cities.sort_by_key(|city| city.id);
        if let Some([twice, _]) = cities.array_windows().find(|[a, b]| a.id == b.id) {
            return Err(Error::failed(format!("cities: the id {} stands twice", twice.id)));
        }
        Ok(Self { cities, by_name: OnceLock::new() })
    }

    /// All cities, ascending by id.
    pub fn all(&self) -> &[City] {
        &self.cities
    }

    /// The `count` most populous cities, ascending by id.
    pub(crate) fn largest(&self, count: usize) -> Vec<City> {
        let mut cities = self.cities.clone();
        cities.sort_by_key(|city| (-city.population, city.id));
        cities.truncate(count);
        cities.sort_by_key(|city| city.id);
        cities
    }

    /// The city with the id.
    pub fn get(&self, id: Key) -> Option<&City> {
        let id = i32::try_from(id.get()).ok()?;
        self.cities.binary_search_by_key(&id, |city| city.id).ok().and_then(|i| self.cities.get(i))
    }
}
