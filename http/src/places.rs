//! The places that the keys of a table stand for: found by id, by name, or as the nearest to a point on the globe.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use barograph_flight::{Error, Result};
use barograph_lake::Key;

/// A place.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The key of its readings.
    pub key: Key,
    /// Its name.
    pub name: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres above the sea, if known.
    pub elevation: Option<f64>,
    /// IANA time zone.
    pub timezone: String,
}

/// Finds the key that a name means, or says why there is none.
pub type FindPlace = Box<dyn Fn(&str) -> Result<Key, String> + Send + Sync>;

/// Places, and how their names are understood.
pub struct Places {
    /// Ascending by key.
    all: Vec<Place>,
    /// On the globe of radius 1, in the order of `all`.
    points: Vec<[f64; 3]>,
    find: FindPlace,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

impl Places {
    /// Places whose names `find` understands.
    pub fn new(mut all: Vec<Place>, find: FindPlace) -> Self {
        all.sort_by_key(|place| place.key);
        let points = all.iter().map(|place| point(place.latitude, place.longitude)).collect();
        Self { all, points, find }
    }

    /// Reads a CSV file with the columns `id`, `name`, `latitude`, `longitude`, `elevation` and `timezone`, in any order.
    ///
    /// # Errors
    /// `Request` that names the line.
    pub fn read(csv: impl Read) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(csv);
        let wrong = |e: csv::Error| Error::request(format!("places: {e}"));
        let header = reader.headers().map_err(wrong)?.clone();
        let at = |name: &str| {
            header.iter().position(|column| column == name).ok_or_else(|| {
                Error::request(format!("places: there is no column {name:?} in the first line"))
            })
        };
        let [id, name, latitude, longitude, elevation, timezone] =
            ["id", "name", "latitude", "longitude", "elevation", "timezone"].map(at);
        let (id, name, latitude, longitude) = (id?, name?, latitude?, longitude?);
        let (elevation, timezone) = (elevation?, timezone?);
        let (mut all, mut by_name) = (Vec::new(), HashMap::new());
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let line = record.position().map_or(0, csv::Position::line);
            let text = |at: usize| record.get(at).unwrap_or_default();
            let unreadable = |column: &str, at: usize| {
                Error::request(format!("places, line {line}: {column} is {:?}", text(at)))
            };
            let number = |column: &str, at: usize, most: f64| {
                let number = text(at).parse::<f64>().ok().filter(|of| of.abs() <= most);
                number.ok_or_else(|| unreadable(column, at))
            };
            let zone = text(timezone);
            if zone.parse::<chrono_tz::Tz>().is_err() {
                return Err(unreadable("timezone", timezone));
            }
            let place = Place {
                key: text(id).parse().map_err(|_| unreadable("id", id))?,
                name: text(name).to_owned(),
                latitude: number("latitude", latitude, 90.0)?,
                longitude: number("longitude", longitude, 180.0)?,
                elevation: match text(elevation) {
                    "" => None,
                    _ => Some(number("elevation", elevation, 1e5)?),
                },
                timezone: zone.to_owned(),
            };
            let keys: &mut Vec<Key> = by_name.entry(place.name.to_lowercase()).or_default();
            keys.push(place.key);
            all.push(place);
        }
        let find =
            move |text: &str| match by_name.get(&text.trim().to_lowercase()).map(Vec::as_slice) {
                Some([key]) => Ok(*key),
                Some(keys) => {
                    Err(format!("{text:?} is the name of {} places: give the id", keys.len()))
                }
                None => Err(format!("there is no place {text:?}: give the id or the name of one")),
            };
        Ok(Self::new(all, Box::new(find)))
    }

    /// The place of a key.
    pub fn get(&self, key: Key) -> Option<&Place> {
        self.all.binary_search_by_key(&key, |place| place.key).ok().and_then(|at| self.all.get(at))
    }

    /// The key that `text` means: a number, or the name of a place.
    ///
    /// # Errors
    /// Says what else may have been meant.
    pub fn key(&self, text: &str) -> Result<Key, String> {
        match text.trim().parse::<i64>() {
            Ok(key) => Ok(Key::new(key)),
            Err(_) => (self.find)(text),
        }
    }

    /// The place nearest to a point; none if there are no places.
    pub fn nearest(&self, latitude: f64, longitude: f64) -> Option<&Place> {
        let [x, y, z] = point(latitude, longitude);
        // Of points on a globe the nearest has the greatest scalar product.
        let near = |[a, b, c]: &[f64; 3]| a * x + b * y + c * z;
        let nearness = self.points.iter().map(near).zip(&self.all);
        nearness.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, place)| place)
    }
}

fn point(latitude: f64, longitude: f64) -> [f64; 3] {
    let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
    let parallel = latitude.cos();
    [parallel * longitude.cos(), parallel * longitude.sin(), latitude.sin()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CSV: &str = "name,id,latitude,longitude,elevation,timezone\n\
        Suva,7,-18.1,178.4,,Pacific/Fiji\nApia,3,-13.8,-171.8,2,Pacific/Apia\n\
        Kiel,11,54.3,10.1,5,Europe/Berlin\nKiel,12,54.4,10.2,5,Europe/Berlin\n";

    #[test]
    fn the_nearest_place_may_lie_beyond_the_date_line() {
        let places = Places::read(CSV.as_bytes()).unwrap();
        let nearest = |latitude, longitude| places.nearest(latitude, longitude).unwrap().key.get();
        assert_eq!(nearest(-17.0, -179.5), 7);
        assert_eq!(nearest(-17.0, -174.0), 3);
        assert_eq!(nearest(90.0, 0.0), 12);
    }

    #[test]
    fn a_place_is_found_by_number_and_by_a_name_of_its_own() {
        let places = Places::read(CSV.as_bytes()).unwrap();
        assert_eq!(places.key("99").unwrap().get(), 99);
        assert_eq!(places.key(" suva").unwrap().get(), 7);
        assert!(places.key("Kiel").unwrap_err().contains("2 places"));
        assert!(places.key("Kie").unwrap_err().contains("no place"));
        assert_eq!(places.get(Key::new(7)).unwrap().elevation, None);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, why) in [
            ("id,name\n", "no column \"latitude\""),
            (&CSV.replace("54.3", "154.3"), "line 4: latitude"),
            (&CSV.replace("Pacific/Fiji", "Fiji/Pacific"), "line 2: timezone"),
        ] {
            let error = Places::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
