//! The parameters of Open-Meteo that are known here.

use crate::request::Parameter;

/// The parameters. Those that ask for what is not observed are taken, and change nothing.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "latitude",
        "48.85,35.69",
        "Degrees north, of one place or several: the nearest place of each point is answered.",
    ),
    Parameter::new("longitude", "2.35,139.69", "Degrees east, as many."),
    Parameter::new("id", "2988507", "In place of a point: keys of places."),
    Parameter::new(
        "name",
        "Paris,FR",
        "In place of a point: the name of a place; may be given again.",
    ),
    Parameter::new("current", "temperature_2m,wind_speed_10m", "Variables of the newest reading."),
    Parameter::new(
        "minutely_15",
        "temperature_2m",
        "Variables of each quarter of an hour: the first reading in it; of amounts the sum of the quarter before.",
    ),
    Parameter::new("hourly", "temperature_2m,precipitation", "Variables of each hour, likewise."),
    Parameter::new(
        "daily",
        "temperature_2m_max,precipitation_sum",
        "Variables of each local day, with `_max`, `_min`, `_mean` or `_sum`.",
    ),
    Parameter::new("past_days", "2", "Days before today."),
    Parameter::new("past_hours", "24", "Hours before this one, for `hourly`, in place of days."),
    Parameter::new(
        "past_minutely_15",
        "4",
        "Quarters of an hour before this one, for `minutely_15`, in place of days.",
    ),
    Parameter::new("start_date", "2026-11-21", "First local day."),
    Parameter::new("end_date", "2026-11-22", "Last local day."),
    Parameter::new(
        "timezone",
        "auto",
        "IANA time zone of the answer, or `auto`: that of the place. If absent, GMT.",
    ),
    Parameter::new("temperature_unit", "fahrenheit", "`celsius` or `fahrenheit`."),
    Parameter::new("wind_speed_unit", "ms", "`kmh`, `ms`, `mph` or `kn`."),
    Parameter::new("windspeed_unit", "ms", "The same under its former name."),
    Parameter::new("precipitation_unit", "inch", "`mm` or `inch`."),
    Parameter::new("timeformat", "unixtime", "`iso8601` or `unixtime`."),
    Parameter::new("format", "csv", "`json` or `csv`."),
    Parameter::new("forecast_days", "1", "Taken, but nothing is answered that is still to come."),
    Parameter::new("forecast_hours", "1", "Likewise."),
    Parameter::new("forecast_minutely_15", "1", "Likewise."),
    Parameter::new("models", "best_match", "Taken: there are observations only."),
    Parameter::new("cell_selection", "land", "Taken: there are no cells."),
    Parameter::new("elevation", "38", "Taken: values are those of the place."),
    Parameter::new("apikey", "…", "Taken."),
];
