//! Files of station networks: real ones, and the recipes of docs/import.md on lines as the networks write them. All are
//! imported by the real binary, into a server and as files of a lake, and every row is accounted for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::server::imports::both;

const SETTINGS: &str = r#"
[tables.observed]
key = "station"
key_type = "int64"
time = "at"
columns = [
  { name = "temperature", type = "float64" },
  { name = "humidity", type = "float64" },
  { name = "pressure", type = "float64" },
  { name = "wind_speed", type = "float64" },
  { name = "wind_direction", type = "float64" },
  { name = "name", type = "utf8" },
]
"#;
const ALL: &str = "SELECT station, at, temperature, humidity, pressure, wind_speed, wind_direction \
                   FROM observed ORDER BY station, at";

fn project(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

fn unpacked(path: &str) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(project(path)).unwrap();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// A mapping of docs/import.md, as a file.
fn recipe(folder: &Path, heading: &str) -> String {
    let docs = std::fs::read_to_string(project("docs/import.md")).unwrap();
    let section = docs.split("\n### ").find_map(|part| part.strip_prefix(heading)).unwrap();
    let section = section.strip_prefix('\n').unwrap();
    let mapping = section.split("```").nth(1).unwrap().strip_prefix("toml\n").unwrap();
    let path = folder.join("recipe.toml");
    std::fs::write(&path, mapping).unwrap();
    path.display().to_string()
}

/// Imports with a mapping; returns the rows, whose number is `read`.
fn imported(mapping: &str, more: &[&str], file: &Path, sql: &str, read: u64) -> Vec<Vec<String>> {
    let arguments = [&["--table", "observed", "--mapping", mapping], more].concat();
    let [one, other] = both(SETTINGS, &arguments, &[file.to_owned()], sql);
    for made in [&one, &other] {
        assert_eq!(made.figures(), [0, read, read, 0, 0, 0], "{}: {:?}", made.said, made.letters);
    }
    for (one, other) in one.rows.iter().flatten().zip(other.rows.iter().flatten()) {
        // Sums of floats depend on the order of rows.
        let is_near = |one: f64, other: f64| (one - other).abs() <= 1e-9 * one.abs();
        let numbers = one.parse().ok().zip(other.parse().ok());
        assert!(
            one == other || numbers.is_some_and(|(one, other)| is_near(one, other)),
            "{one} {other}"
        );
    }
    assert_eq!(one.rows.len(), other.rows.len());
    one.rows
}

/// Groups of figures as text, and as they are expected.
fn assert_near(found: &[Vec<String>], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for (found, expected) in found.iter().zip(expected) {
            let found: f64 = found.parse().unwrap();
            assert!(
                (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
    }
}

#[test]
fn a_day_of_ghent_comes_to_what_stands_in_its_text() {
    let text = unpacked("tests/data/ghent-2022-09-10.csv.gz");
    let mut stations: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<_> = line.split(';').collect();
        let number = |at: usize| cells[at].parse::<f64>().unwrap();
        let station = cells[12].strip_prefix("vlinder").unwrap().parse().unwrap();
        let sums =
            stations.entry(station).or_insert_with(|| vec![f64::from(station), 0.0, 0.0, 0.0, 0.0]);
        let of_row = [1.0, number(2), number(4) / 100.0, number(8) / 3.6];
        sums.iter_mut().skip(1).zip(of_row).for_each(|(sum, value)| *sum += value);
    }
    let expected: Vec<_> = stations.into_values().collect();
    let sql = "SELECT station, count(*), sum(temperature), sum(pressure), sum(wind_speed) \
               FROM observed GROUP BY station ORDER BY station";
    let mapping = project("examples/ghent-vlinder.toml").display().to_string();
    let path = project("tests/data/ghent-2022-09-10.csv.gz");
    assert_near(&imported(&mapping, &[], &path, sql, 8_061), &expected);
}

#[test]
fn a_day_of_surfrad_comes_to_what_stands_in_its_text_cut_at_blanks_and_by_width() {
    let folder = tempfile::tempdir().unwrap();
    let text = unpacked("tests/data/surfrad-slv16001.dat.gz");
    let mut expected = vec![0.0; 8];
    for line in text.lines().skip(2) {
        let cells: Vec<f64> = line.split_whitespace().map(|cell| cell.parse().unwrap()).collect();
        expected[0] += 1.0;
        expected[1] += cells[4] * 60.0 + cells[5];
        for (sum, at) in [(2, 38), (3, 40), (4, 42), (5, 44), (6, 46)] {
            let value = Some(cells[at]).filter(|value| *value > -9_999.0);
            expected[sum] += value.unwrap_or_default();
            expected[7] += f64::from(u8::from(value.is_none()));
        }
    }
    let missing = ["temperature", "humidity", "wind_speed", "wind_direction", "pressure"]
        .map(|column| format!("count(*) FILTER (WHERE {column} IS NULL)"));
    let sql = format!(
        "SELECT count(*), sum(date_part('hour', at) * 60 + date_part('minute', at)), sum(temperature), \
         sum(humidity), sum(wind_speed), sum(wind_direction), sum(pressure), {} FROM observed",
        missing.join(" + ")
    );
    let path = project("tests/data/surfrad-slv16001.dat.gz");
    let by_blanks = imported(&recipe(folder.path(), "SURFRAD"), &[], &path, &sql, 1_440);
    assert_near(&by_blanks, &[expected]);
    let fixed = folder.path().join("fixed.toml");
    let positions = "null = ['-9999.9']\n[format]\nskip = 2\n[format.positions]\nyear = '2-5'\nmonth = '11-12'\n\
         day = '14-15'\nhour = '17-18'\nminute = '20-21'\ntemperature = '186-193'\nhumidity = '196-203'\n\
         wind_speed = '206-213'\nwind_direction = '216-223'\npressure = '226-233'\n[columns]\nstation = '17'\n\
         [time]\ncolumns = ['year', 'month', 'day', 'hour', 'minute']\nformat = '%Y %m %d %H %M'\n";
    std::fs::write(&fixed, positions).unwrap();
    let by_width = imported(&fixed.display().to_string(), &[], &path, &sql, 1_440);
    assert_eq!(by_width, by_blanks);
}

#[test]
fn cities_and_the_hours_of_new_york_are_read_whole() {
    let text = std::fs::read_to_string(project("cli/data/cities.csv")).unwrap();
    // A name with a comma stands in quotes.
    let name = |line: &str| match line.split('"').nth(1) {
        Some(quoted) => quoted.chars().count(),
        None => line.split(',').nth(1).unwrap().chars().count(),
    };
    let names = text.lines().skip(1).map(name);
    let expected = vec![15_000.0, names.sum::<usize>() as f64];
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("cities.toml");
    std::fs::write(&mapping, "[columns]\nstation = 'city_id'\nat = \"'2026-01-01'\"\n").unwrap();
    let sql = "SELECT count(*), sum(character_length(name)) FROM observed";
    let path = project("cli/data/cities.csv");
    let found = imported(&mapping.display().to_string(), &[], &path, sql, 15_000);
    assert_near(&found, &[expected]);

    let mapping = project("examples/nyc-weather.toml").display().to_string();
    let path = project("tests/data/nyc-weather-2013.csv");
    let sql = "SELECT count(*) FROM readings";
    for made in both("", &["--mapping", &mapping], &[path], sql) {
        assert_eq!(made.figures(), [0, 26_115, 26_114, 0, 1, 0], "{}", made.said);
        assert_eq!(made.rows, [["26114"]]);
    }
}

/// Checks the rows that the recipe of a network makes of its lines.
fn assert_recipe(heading: &str, name: &str, bytes: &[u8], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mapping = recipe(folder.path(), heading);
    let rows = imported(&mapping, &[], &path, ALL, expected.len() as u64);
    let rows: Vec<_> = rows.into_iter().map(|row| row.join("|")).collect();
    assert_eq!(rows, expected, "{heading}");
}

#[test]
fn recipes_read_lines_above_and_below_the_header() {
    assert_recipe(
        "TOA5",
        "table.dat",
        b"\"TOA5\",\"CR1000\",\"CR1000\",\"1234\",\"CR1000.Std.27\",\"CPU:met.CR1\",\"5432\",\"Met\"\r\n\
          \"TIMESTAMP\",\"RECORD\",\"AirTC_Avg\",\"RH\"\r\n\"TS\",\"RN\",\"Deg C\",\"%\"\r\n\"\",\"\",\"Avg\",\"Smp\"\r\n\
          \"2022-09-01 00:10:00\",0,18.25,65.5\r\n\"2022-09-01 00:20:00\",1,\"NAN\",64\r\n",
        &["17|2022-09-01T00:10:00Z|18.25|65.5||||", "17|2022-09-01T00:20:00Z||64.0||||"].map(|row| &row[..row.len() - 1]),
    );
    assert_recipe(
        "Open-Meteo CSV",
        "open-meteo.csv",
        "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation\n\
         52.52,13.419,38.0,0,GMT,GMT\n\n\
         time,temperature_2m (°C),wind_speed_10m (km/h)\n2022-09-01T00:00,18.8,36.0\n2022-09-01T01:00,18.1,\n"
            .as_bytes(),
        &["17|2022-09-01T00:00:00Z|18.8|||10.0|", "17|2022-09-01T01:00:00Z|18.1||||"],
    );
    let spreadsheet = "# Wetterstation Süd\nZeit;Außen (°C);Bemerkung\n01.09.2022 02:10;18,8;schön, warm\n\
                       # Ausfall\n01.09.2022 02:20;-0,5;\n";
    let latin: Vec<u8> = spreadsheet.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_recipe(
        "Spreadsheets",
        "station.csv",
        &latin,
        &["17|2022-09-01T00:10:00Z|18.8||||", "17|2022-09-01T00:20:00Z|-0.5||||"],
    );
}

#[test]
fn recipes_read_other_delimiters_and_fixed_width() {
    assert_recipe(
        "DWD",
        "produkt_tu_stunde.txt",
        b"STATIONS_ID;MESS_DATUM;QN_9;TT_TU;RF_TU;eor\r\n\
          \x20       433;2022090100;    3;  18.8;  65.0;eor\r\n        433;2022090101;    3;-999;  66.0;eor\r\n",
        &["433|2022-09-01T00:00:00Z|18.8|65.0|||", "433|2022-09-01T01:00:00Z||66.0|||"],
    );
    let mut isd = String::new();
    for (hour, direction, speed, temperature) in
        [(0, "270", "0031", "+0188"), (1, "999", "9999", "+9999")]
    {
        let place = "4+33938-118389FM-15+0030KLAX V030";
        let line = format!("0243722950231742022090{}{hour:02}53{place}", 1);
        writeln!(isd, "{line:<60}{direction}1N{speed}1{:<17}{temperature}1", "").unwrap();
    }
    assert_recipe(
        "ISD",
        "722950-23174-2022",
        isd.as_bytes(),
        &["722950|2022-09-01T00:53:00Z|18.8|||3.1|270.0", "722950|2022-09-01T01:53:00Z|||||"],
    );
    assert_recipe(
        "ISD-Lite",
        "722950-23174-2022-lite",
        b"2022 09 01 00   188   161 10132   270    31     2     0 -9999\n\
          2022 09 01 01 -9999 -9999 -9999 -9999 -9999 -9999 -9999 -9999\n",
        &["722950|2022-09-01T00:00:00Z|18.8||1013.2|3.1|270.0", "722950|2022-09-01T01:00:00Z|||||"],
    );
    assert_recipe(
        "GHCN-h",
        "GHCNh_USW00023174_2022.psv",
        b"Station_ID|Station_name|Year|Month|Day|Hour|Minute|temperature|station_level_pressure|wind_speed|remarks\n\
          USW00023174|LOS ANGELES INTL|2022|9|1|0|53|18.8|1009.1|3.1|\"MET05 5'3\"\n\
          USW00023174|LOS ANGELES INTL|2022|9|1|1|53|||2.6|\n",
        &["722950|2022-09-01T00:53:00Z|18.8||1009.1|3.1|", "722950|2022-09-01T01:53:00Z||||2.6|"],
    );
}
