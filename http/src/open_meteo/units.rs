//! Units: those in which columns are kept, and those in which they are asked for.

use barograph_flight::{Error, Result};

use crate::request::Query;

/// The units that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units {
    temperature: &'static str,
    wind_speed: &'static str,
    precipitation: &'static str,
}

/// A unit as it is answered: its name, how a value is brought to it (factor and offset), and its decimals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    factor: f64,
    offset: f64,
    decimals: usize,
}

const fn unit(name: &'static str, factor: f64, offset: f64, decimals: usize) -> Unit {
    Unit { name, factor, offset, decimals }
}

impl Units {
    pub(super) fn read(query: &Query) -> Result<Self> {
        let wind_speed = match query.one("wind_speed_unit")? {
            None => "windspeed_unit",
            Some(_) => "wind_speed_unit",
        };
        Ok(Self {
            temperature: choice(query, "temperature_unit", &["celsius", "fahrenheit"])?,
            wind_speed: choice(query, wind_speed, &["kmh", "ms", "mph", "kn"])?,
            precipitation: choice(query, "precipitation_unit", &["mm", "inch"])?,
        })
    }

    /// The unit in which a column is answered that is kept in the unit `of`.
    pub(super) fn of(self, of: Option<&str>) -> Unit {
        match (of.unwrap_or_default(), self.temperature, self.wind_speed, self.precipitation) {
            ("°C", "fahrenheit", ..) => unit("°F", 1.8, 32.0, 1),
            ("°C", ..) => unit("°C", 1.0, 0.0, 1),
            ("m/s", _, "ms", _) => unit("m/s", 1.0, 0.0, 2),
            ("m/s", _, "mph", _) => unit("mp/h", 3_600.0 / 1_609.344, 0.0, 1),
            ("m/s", _, "kn", _) => unit("kn", 3_600.0 / 1_852.0, 0.0, 1),
            ("m/s", ..) => unit("km/h", 3.6, 0.0, 1),
            ("mm", .., "inch") => unit("inch", 1.0 / 25.4, 0.0, 3),
            ("mm", ..) => unit("mm", 1.0, 0.0, 2),
            ("hPa", ..) => unit("hPa", 1.0, 0.0, 1),
            ("%", ..) => unit("%", 1.0, 0.0, 0),
            ("°", ..) => unit("°", 1.0, 0.0, 0),
            _ => unit("", 1.0, 0.0, 3),
        }
    }
}

impl Unit {
    /// Writes a value that is kept in the unit of its column.
    pub(super) fn write(self, value: Option<f64>, nothing: &str, text: &mut String) {
        use std::fmt::Write as _;
        let Some(value) = value.filter(|value| value.is_finite()) else {
            text.push_str(nothing);
            return;
        };
        let scale = 10_f64.powi(self.decimals as i32);
        // Adding zero leaves no zero with a sign.
        let value = (value.mul_add(self.factor, self.offset) * scale).round() / scale + 0.0;
        let _ = write!(text, "{value:.*}", self.decimals);
    }
}

/// A parameter that is one of some words, the first of which is meant if it is absent.
pub(super) fn choice(query: &Query, name: &str, words: &[&'static str]) -> Result<&'static str> {
    let Some(text) = query.one(name)? else {
        return Ok(words.first().copied().unwrap_or_default());
    };
    words.iter().find(|word| **word == text).copied().ok_or_else(|| {
        Error::request(format!("parameter '{name}' is '{text}': there are {}", words.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_brought_to_their_units() {
        let written = |of, units: Units, value| {
            let mut text = String::new();
            units.of(Some(of)).write(value, "null", &mut text);
            text
        };
        let usual = Units { temperature: "celsius", wind_speed: "kmh", precipitation: "mm" };
        let imperial =
            Units { temperature: "fahrenheit", wind_speed: "mph", precipitation: "inch" };
        assert_eq!(written("°C", usual, Some(20.06)), "20.1");
        assert_eq!(written("°C", usual, Some(-0.04)), "0.0");
        assert_eq!(written("°C", imperial, Some(-40.0)), "-40.0");
        assert_eq!(written("m/s", usual, Some(10.0)), "36.0");
        assert_eq!(written("m/s", imperial, Some(10.0)), "22.4");
        assert_eq!(written("m/s", Units { wind_speed: "kn", ..usual }, Some(10.0)), "19.4");
        assert_eq!(written("mm", imperial, Some(25.4)), "1.000");
        assert_eq!(written("%", usual, Some(55.5)), "56");
        assert_eq!(written("%", usual, None), "null");
        assert_eq!(written("°C", usual, Some(f64::NAN)), "null");
    }
}
