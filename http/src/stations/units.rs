//! Units: those in which stations send, by the names of their values, and those of columns.

/// What is measured, which a column has to measure as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Temperature,
    Pressure,
    Speed,
    Length,
}

/// A unit: its value is brought to that of its dimension (°C, hPa, m/s, mm) by a factor, after an offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    dimension: Dimension,
    offset: f64,
    factor: f64,
}

const fn unit(dimension: Dimension, offset: f64, factor: f64) -> Unit {
    Unit { dimension, offset, factor }
}

const FAHRENHEIT: Unit = unit(Dimension::Temperature, -32.0, 1.0 / 1.8);
/// Of mercury at 0 °C, whose density and gravity are the conventional ones (ISO 31-3).
const INCHES_OF_MERCURY: Unit = unit(Dimension::Pressure, 0.0, 33.863_886_67);
const MILES_PER_HOUR: Unit = unit(Dimension::Speed, 0.0, 0.447_04);
const INCHES: Unit = unit(Dimension::Length, 0.0, 25.4);
const NAUTICAL_MILES: Unit = unit(Dimension::Length, 0.0, 1_852_000.0);

/// Units of columns, as they are written.
const UNITS: [(&str, Unit); 25] = [
    ("°C", unit(Dimension::Temperature, 0.0, 1.0)),
    ("C", unit(Dimension::Temperature, 0.0, 1.0)),
    ("°F", FAHRENHEIT),
    ("F", FAHRENHEIT),
    ("K", unit(Dimension::Temperature, -273.15, 1.0)),
    ("hPa", unit(Dimension::Pressure, 0.0, 1.0)),
    ("mbar", unit(Dimension::Pressure, 0.0, 1.0)),
    ("Pa", unit(Dimension::Pressure, 0.0, 0.01)),
    ("kPa", unit(Dimension::Pressure, 0.0, 10.0)),
    ("inHg", INCHES_OF_MERCURY),
    ("mmHg", unit(Dimension::Pressure, 0.0, 33.863_886_67 / 25.4)),
    ("m/s", unit(Dimension::Speed, 0.0, 1.0)),
    ("km/h", unit(Dimension::Speed, 0.0, 1.0 / 3.6)),
    ("kmh", unit(Dimension::Speed, 0.0, 1.0 / 3.6)),
    ("mph", MILES_PER_HOUR),
    ("kn", unit(Dimension::Speed, 0.0, 1_852.0 / 3_600.0)),
    ("kt", unit(Dimension::Speed, 0.0, 1_852.0 / 3_600.0)),
    ("mm", unit(Dimension::Length, 0.0, 1.0)),
    // Rates of rain are lengths of an hour, sent and kept alike.
    ("mm/h", unit(Dimension::Length, 0.0, 1.0)),
    ("cm", unit(Dimension::Length, 0.0, 10.0)),
    ("m", unit(Dimension::Length, 0.0, 1_000.0)),
    ("km", unit(Dimension::Length, 0.0, 1e6)),
    ("inch", INCHES),
    ("in", INCHES),
    ("in/h", INCHES),
];

/// The unit in which stations send a value, by its name; none of what is sent as it is kept, such as `humidity`.
pub(super) fn sent_in(name: &str) -> Option<Unit> {
    let name = name.to_ascii_lowercase();
    let has = |part: &str| name.contains(part);
    let is_temperature = ["temp", "dewpt", "dewpoint", "windchill", "heatindex", "feelslike"];
    match () {
        () if name.ends_with('f') && is_temperature.iter().any(|part| has(part)) => {
            Some(FAHRENHEIT)
        }
        // `tf_ch1` and so on of Ecowitt; their batteries are `tf_batt1`.
        () if name.starts_with("tf_ch") || name == "tf_co2" => Some(FAHRENHEIT),
        // Whether it rains, as 0 or 1.
        () if name == "srain_piezo" => None,
        () if has("barom") || name == "vpd" => Some(INCHES_OF_MERCURY),
        () if has("mph") || name == "maxdailygust" => Some(MILES_PER_HOUR),
        () if has("rain") && (name.ends_with("in") || has("rain_piezo")) => Some(INCHES),
        () if name == "visibility" => Some(NAUTICAL_MILES),
        () => None,
    }
}

/// A value in the unit of a column, which is metric if the column has none.
///
/// # Errors
/// Says why it cannot be brought to that unit.
pub(super) fn bring(value: f64, from: Unit, column: Option<&str>) -> Result<f64, String> {
    let basic = (value + from.offset) * from.factor;
    let Some(name) = column.map(str::trim).filter(|name| !name.is_empty()) else {
        return Ok(rounded(basic));
    };
    let known = UNITS.iter().find(|(of, _)| *of == name);
    let Some((_, to)) = known.filter(|(_, to)| to.dimension == from.dimension) else {
        let of = UNITS.iter().filter(|(_, unit)| unit.dimension == from.dimension);
        let names: Vec<_> = of.map(|(name, _)| *name).collect();
        return Err(format!(
            "the unit of the column is {name:?}, to which it cannot be brought: there are {}",
            names.join(", ")
        ));
    };
    Ok(rounded(basic / to.factor - to.offset))
}

/// Without what the arithmetic has added beyond any sensor.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn brought(name: &str, value: f64, column: &str) -> f64 {
        bring(value, sent_in(name).unwrap(), Some(column)).unwrap()
    }

    #[test]
    fn values_are_brought_to_the_units_of_columns() {
        assert_eq!(brought("tempf", 68.0, "°C"), 20.0);
        assert_eq!(brought("temp2f", -40.0, "°C"), -40.0);
        assert_eq!(brought("dewptf", 71.6, "K"), 295.15);
        assert_eq!(brought("tempinf", 71.6, "°F"), 71.6);
        assert_eq!(brought("tf_co2", 68.0, "°C"), 20.0);
        // NIST SP 811: 1 inHg (0 °C) = 3.386 38 kPa.
        assert_eq!(brought("baromin", 29.921, "hPa"), 1_013.241_353);
        assert_eq!(brought("baromabsin", 29.921, "mmHg"), 759.9934);
        assert_eq!(brought("windspeedmph", 10.0, "m/s"), 4.4704);
        assert_eq!(brought("windgustmph_10m", 10.0, "km/h"), 16.09344);
        assert_eq!(brought("maxdailygust", 10.0, "kn"), 8.689_762);
        assert_eq!(brought("rainin", 0.5, "mm"), 12.7);
        assert_eq!(brought("drain_piezo", 1.0, "inch"), 1.0);
        assert_eq!(brought("rainratein", 0.1, "mm/h"), 2.54);
        assert_eq!(brought("visibility", 2.0, "km"), 3.704);
        assert_eq!(bring(50.0, sent_in("tempf").unwrap(), None), Ok(10.0));
    }

    #[test]
    fn other_values_are_kept_as_they_are_sent() {
        for name in [
            "humidity",
            "winddir",
            "UV",
            "solarradiation",
            "wh65batt",
            "pm25_ch1",
            "tf_batt1",
            "srain_piezo",
        ] {
            assert_eq!(sent_in(name), None, "{name}");
        }
    }

    #[test]
    fn a_unit_of_something_else_is_told() {
        let error = bring(1.0, sent_in("tempf").unwrap(), Some("hPa")).unwrap_err();
        assert!(error.contains("\"hPa\"") && error.contains("°C"), "{error}");
        assert!(bring(1.0, sent_in("rainin").unwrap(), Some("furlong")).is_err());
    }
}
