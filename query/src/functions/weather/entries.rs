//! Reference entries of the weather functions: units, validity, source and example of each.

use crate::functions::reference::{Entry, Section};

/// Full heat index in °C.
pub(crate) const HEAT_INDEX: Entry = Entry {
    name: "heat_index",
    section: Section::Weather,
    syntax: "heat_index(temperature, humidity)",
    what: "Heat index of the US National Weather Service: how hot the air feels in the shade. Where Steadman's \
           simple formula gives less than 80 °F (26.7 °C), that is the result; otherwise it is the nine-term \
           regression with both adjustments: lower in dry air (below 13 % at 80…112 °F), higher in damp air \
           (above 85 % at 80…87 °F). The web page and the calculator of the NWS differ on where the simple \
           formula ends, 80 or 79 °F; this function follows the page.",
    arguments: &[("temperature", "air temperature, °C"), ("humidity", "relative humidity, %")],
    returns: "heat index, °C",
    source: Some(
        "NWS Weather Prediction Center, The Heat Index Equation, \
         <https://www.wpc.ncep.noaa.gov/html/heatindex_equation.shtml>",
    ),
    example: "SELECT reading_at, heat_index(temperature, humidity) FROM readings WHERE city_id = 5128581",
};

/// The plain regression in °F.
pub(crate) const HEAT_INDEX_ROTHFUSZ: Entry = Entry {
    name: "heat_index_rothfusz",
    section: Section::Weather,
    syntax: "heat_index_rothfusz(temperature, humidity)",
    what: "The plain nine-term regression for the heat index, without the simple formula and without adjustments. \
           It is meant for at least 80 °F and 40 %; elsewhere its results are meaningless. `heat_index` uses it \
           only where it applies.",
    arguments: &[("temperature", "air temperature, °F"), ("humidity", "relative humidity, %")],
    returns: "heat index, °F",
    source: Some("L. P. Rothfusz, The Heat Index \"Equation\", NWS Southern Region SR 90-23, 1990"),
    example: "SELECT heat_index_rothfusz(temperature * 1.8 + 32, humidity) FROM readings",
};

/// Dew point.
pub(crate) const DEW_POINT: Entry = Entry {
    name: "dew_point",
    section: Section::Weather,
    syntax: "dew_point(temperature, humidity)",
    what: "Dew point over water: the temperature to which the air must cool for its vapour to condense. Magnus \
           formula with a = 17.625 and b = 243.04 °C, valid for -40…50 °C.",
    arguments: &[("temperature", "air temperature, °C"), ("humidity", "relative humidity, %")],
    returns: "dew point, °C; null where humidity is 0 or less, since dry air has none",
    source: Some(
        "constants: O. A. Alduchov, R. E. Eskridge, Improved Magnus Form Approximation of Saturation \
         Vapor Pressure, J. Appl. Meteor. 35 (1996), 601-609",
    ),
    example: "SELECT temperature, dew_point(temperature, humidity) FROM readings",
};

/// Wind chill.
pub(crate) const WIND_CHILL: Entry = Entry {
    name: "wind_chill",
    section: Section::Weather,
    syntax: "wind_chill(temperature, wind_speed)",
    what: "Wind chill temperature of 2001, used in the USA and Canada: how cold the wind feels on bare skin. \
           Valid up to 10 °C and for wind above 4.8 km/h (1.33 m/s).",
    arguments: &[
        ("temperature", "air temperature, °C"),
        ("wind_speed", "wind at 10 m above ground, m/s"),
    ],
    returns: "wind chill, °C; null outside the range of validity: `coalesce(wind_chill(t, v), t)` falls back to \
              the temperature",
    source: Some(
        "Joint Action Group for Temperature Indices (JAG/TI), Report on Wind Chill Temperature and \
         Extreme Heat Indices, OFCM, 2001",
    ),
    example: "SELECT coalesce(wind_chill(temperature, wind_speed), temperature) FROM readings",
};

/// Apparent temperature.
pub(crate) const APPARENT_TEMPERATURE: Entry = Entry {
    name: "apparent_temperature",
    section: Section::Weather,
    syntax: "apparent_temperature(temperature, humidity, wind_speed)",
    what: "Apparent temperature in the shade, for warm and cold air alike, without the effect of radiation.",
    arguments: &[
        ("temperature", "air temperature, °C"),
        ("humidity", "relative humidity, %"),
        ("wind_speed", "wind at 10 m above ground, m/s"),
    ],
    returns: "apparent temperature, °C",
    source: Some(
        "R. G. Steadman, Norms of apparent temperature in Australia, Aust. Met. Mag. 43 (1994), 1-16, \
         as the Bureau of Meteorology applies it, <http://www.bom.gov.au/info/thermal_stress/>",
    ),
    example: "SELECT apparent_temperature(temperature, humidity, wind_speed) FROM readings",
};

/// Pressure at sea level.
pub(crate) const SEA_LEVEL_PRESSURE: Entry = Entry {
    name: "sea_level_pressure",
    section: Section::Weather,
    syntax: "sea_level_pressure(pressure, elevation, temperature)",
    what: "Pressure at the station reduced to sea level, assuming a lapse rate of 6.5 K/km.",
    arguments: &[
        ("pressure", "pressure at the station, hPa"),
        ("elevation", "elevation of the station above sea level, m"),
        ("temperature", "air temperature at the station, °C"),
    ],
    returns: "pressure at sea level, hPa",
    source: Some("U.S. Standard Atmosphere, 1976 (NOAA-S/T 76-1562), equation 33a"),
    example: "SELECT reading_at, sea_level_pressure(pressure, 25, temperature)\n\
              FROM readings WHERE city_id = 2643743",
};

/// Eastward wind.
pub(crate) const WIND_U: Entry = Entry {
    name: "wind_u",
    section: Section::Weather,
    syntax: "wind_u(speed, direction)",
    what: "Eastward component of the wind. The direction is where the wind comes from, clockwise from north, so a \
           west wind (270°) has a positive `u`.",
    arguments: &[("speed", "wind speed, m/s or any unit"), ("direction", "degrees from north")],
    returns: "-speed · sin(direction), in the unit of `speed`",
    source: Some("WMO-No. 8, Guide to Instruments and Methods of Observation, chapter 5"),
    example: "SELECT wind_u(wind_speed, wind_direction) FROM readings",
};

/// Northward wind.
pub(crate) const WIND_V: Entry = Entry {
    name: "wind_v",
    section: Section::Weather,
    syntax: "wind_v(speed, direction)",
    what: "Northward component of the wind. The direction is where the wind comes from, clockwise from north, so \
           a south wind (180°) has a positive `v`.",
    arguments: &[("speed", "wind speed, m/s or any unit"), ("direction", "degrees from north")],
    returns: "-speed · cos(direction), in the unit of `speed`",
    source: Some("WMO-No. 8, Guide to Instruments and Methods of Observation, chapter 5"),
    example: "SELECT wind_v(wind_speed, wind_direction) FROM readings",
};
