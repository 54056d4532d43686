//! The mapping of a form to a row: which key is the station, when was it, and what are its values in the units of columns?

use std::sync::Arc;

use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN};
use barograph_lake::{TableSchema, Timestamp, ValueType};

use super::form::Form;
use super::units;
use crate::rows::{Cell, Precision, TableRows};
use crate::{Places, StationSettings};

/// Names of values that say when a reading was; each protocol has one of them.
const TIME: &str = "dateutc";
/// What a station without a clock sends as its time.
const NOW: &str = "now";

/// The row that a form is, or why it is none. `station` is the name of the one that holds the station's name.
pub(crate) fn row_of(
    form: &Form<'_>,
    station: &str,
    table: &Arc<TableSchema>,
    (settings, places): (&StationSettings, &Places),
    now: i64,
) -> Result<TableRows, String> {
    let mut rows = TableRows::new(Arc::clone(table), Precision(None), false);
    rows.give(KEY_COLUMN, Cell::Int(key(form, station, table, (settings, places))?))?;
    rows.give_time(time(form, now)?);
    for (column, names) in settings.columns_of(table) {
        let said = names.iter().find_map(|name| Some((*name, form.sensor(name)?)));
        if let Some((name, text)) = said {
            give(&mut rows, column, name, text)?;
        }
    }
    rows.keep_row(1)?;
    Ok(rows)
}

fn key(
    form: &Form<'_>,
    station: &str,
    table: &TableSchema,
    (settings, places): (&StationSettings, &Places),
) -> Result<i64, String> {
    let Some(name) = form.get(station).filter(|name| !name.is_empty()) else {
        return Err(format!("{station} is missing, which says whose reading it is"));
    };
    let text = settings.keys.get(name).map_or(name, String::as_str).trim();
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let unknown =
        |why: &str| format!("{station} is {name:?}{why}: give its key under [http.stations.keys]");
    match table.declaration().dimension {
        None => Err(unknown(", which is no whole number")),
        Some(_) => {
            places.key(text).map(|key| key.get()).map_err(|why| unknown(&format!(" ({why})")))
        }
    }
}

fn time(form: &Form<'_>, now: i64) -> Result<i64, String> {
    match form.get(TIME).filter(|text| !text.is_empty()) {
        None => Err(format!("{TIME} is missing, which says when the reading was")),
        Some(text) if text.eq_ignore_ascii_case(NOW) => Ok(now),
        Some(text) => {
            let wrong = || format!("{TIME} is {text:?}: write it like 2026-11-22 10:00:00, or now");
            text.parse::<Timestamp>().map(Timestamp::as_micros).map_err(|_| wrong())
        }
    }
}

fn give(rows: &mut TableRows, column: usize, name: &str, text: &str) -> Result<(), String> {
    let Some(unit) = units::sent_in(name) else {
        return rows.give(column, Cell::Word(text)).map_err(|why| format!("{name}: {why}"));
    };
    let value = Cell::Word(text).as_float().map_err(|why| format!("{name}: {why}"))?;
    let of = column.checked_sub(FIRST_VALUE_COLUMN).and_then(|at| rows.schema().values().get(at));
    let of = of.ok_or_else(|| format!("{name}: the column is no value"))?;
    let is_whole = !matches!(of.value_type, ValueType::Float32 | ValueType::Float64);
    let value = units::bring(value, unit, of.unit.as_deref());
    let value = value.map_err(|why| format!("{}: {name}: {why}", of.name))?;
    if !value.is_finite() {
        return Err(format!("{name}: {text:?} is out of range"));
    }
    rows.give(column, Cell::Float(if is_whole { value.round() } else { value }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
    use barograph_lake::{TableDeclaration, ValueColumn};

    use super::*;

    const NOW: i64 = 1_767_225_600_000_000;

    fn table() -> Arc<TableSchema> {
        let of = |name: &str, of: ValueType, unit: &str| ValueColumn::new(name, of).unit(unit);
        let declaration = TableDeclaration::new("id", "at")
            .column(of("temperature", ValueType::Float32, "°C"))
            .column(of("pressure", ValueType::Float32, "hPa"))
            .column(of("wind_speed", ValueType::Int16, "km/h"))
            .column(of("wind_direction", ValueType::Int16, "°"))
            .column(of("rain", ValueType::Float32, "mm"));
        Arc::new(TableSchema::new("roof", declaration).unwrap())
    }

    fn row(form: &str) -> Result<arrow::array::RecordBatch, String> {
        let mut settings = StationSettings::default();
        settings
            .columns
            .insert("rain".to_owned(), vec!["rainin".to_owned(), "hourlyrainin".to_owned()]);
        settings.keys = BTreeMap::from([("KPARIS1".to_owned(), "7".to_owned())]);
        let places = Places::new(Vec::new(), Box::new(|_| Err("no places".to_owned())));
        let form = Form::read(form.as_bytes());
        let mut rows = row_of(&form, "ID", &table(), (&settings, &places), NOW)?;
        Ok(rows.take().unwrap().unwrap().0)
    }

    #[test]
    fn a_form_becomes_a_row_in_the_units_of_its_columns() {
        let form = "ID=KPARIS1&PASSWORD=x&dateutc=2026-01-01+10%3A32%3A35&tempf=68&baromin=29.921&windspeedmph=10\
            &winddir=225&hourlyrainin=0.5&softwaretype=x&action=updateraw&indoortempf=-9999";
        let row = row(form).unwrap();
        assert_eq!(row["id"].as_primitive::<Int64Type>().value(0), 7);
        let at = row["at"].as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(at, NOW + (10 * 3_600 + 32 * 60 + 35) * 1_000_000);
        assert_eq!(row["temperature"].as_primitive::<Float64Type>().value(0), 20.0);
        let rain = row["rain"].as_primitive::<Float64Type>().value(0);
        assert_eq!(rain, 12.7);
        let whole = |name: &str| row[name].as_primitive::<Int64Type>().value(0);
        assert_eq!((whole("wind_speed"), whole("wind_direction")), (16, 225));
    }

    #[test]
    fn silent_sensors_leave_their_columns_empty() {
        let row = row("ID=9&dateutc=now&tempf=-9999&rainin=&hourlyrainin=0").unwrap();
        assert_eq!(row["at"].as_primitive::<TimestampMicrosecondType>().value(0), NOW);
        assert!(row.column_by_name("temperature").is_none());
        assert_eq!(row["rain"].as_primitive::<Float64Type>().value(0), 0.0);
    }

    #[test]
    fn what_cannot_be_a_row_is_told() {
        for (form, said) in [
            ("dateutc=now&tempf=68", "ID is missing"),
            ("ID=K2&dateutc=now", "[http.stations.keys]"),
            ("ID=9&tempf=68", "dateutc is missing"),
            ("ID=9&dateutc=noon", "dateutc is \"noon\""),
            ("ID=9&dateutc=now&tempf=warm", "tempf: \"warm\""),
            ("ID=9&dateutc=now&winddir=N", "winddir: wind_direction: \"N\""),
            ("ID=9&dateutc=now&tempf=nan", "tempf: \"nan\""),
        ] {
            let error = row(form).unwrap_err();
            assert!(error.contains(said), "{form}: {error}");
        }
    }
}
