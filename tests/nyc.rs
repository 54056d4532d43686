//! Real observations: the hourly weather of New York's airports in 2013, imported from the command line with the
//! shipped mapping. Every row is accounted for, and every answer is held against figures computed here from the text of
//! the CSV file, without the engine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use barograph_engine::Aggregate;
use barograph_flight::ticket::{RangeRead, Windows};
use barograph_flight::{Client, Ticket};
use barograph_lake::{Span, Timestamp};

use crate::server::{Server, command};

const ROWS: usize = 26_115;
/// Days of 24 h, counted from 1970 as windows are.
const DAY: Span = Span::seconds(24 * 3_600);

/// Temperature °C, humidity %, pressure hPa, wind m/s, direction °, precipitation mm.
type Observation = ([Option<f64>; 4], Option<i64>, Option<f64>);

fn project(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// Observations in the file, in the table's units.
fn observations() -> BTreeMap<(i32, i64), Observation> {
    let text = std::fs::read_to_string(project("tests/data/nyc-weather-2013.csv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    let mut observations = BTreeMap::new();
    for line in lines {
        let cells: Vec<_> = line.split(',').collect();
        let cell = |name: &str| cells[names.iter().position(|n| *n == name).unwrap()];
        let number = |name: &str| cell(name).parse::<f64>().ok();
        let city = match cell("origin") {
            "EWR" => 5_101_798,
            "JFK" => 5_128_581,
            "LGA" => 5_133_273,
            other => panic!("airport {other}"),
        };
        let observation = (
            [
                number("temp").map(|fahrenheit| (fahrenheit - 32.0) / 1.8),
                number("humid"),
                number("pressure"),
                number("wind_speed").map(|miles_an_hour| miles_an_hour * 0.44704),
            ],
            number("wind_dir").map(|degrees| degrees as i64),
            number("precip").map(|inches| inches * 25.4),
        );
        let at = cell("time_hour").parse::<Timestamp>().unwrap().as_micros();
        assert!(observations.insert((city, at), observation).is_none(), "{line} is there twice");
    }
    assert_eq!(observations.len(), ROWS);
    observations
}

#[test]
fn a_year_of_real_observations() {
    let folder = tempfile::tempdir().unwrap();
    let import = || {
        let output = command(&["import", "--data"])
            .arg(folder.path())
            .arg("--mapping")
            .arg(project("examples/nyc-weather.toml"))
            .arg(project("tests/data/nyc-weather-2013.csv"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let said = import();
    let counts = |said: &str| -> Vec<String> {
        let line = said.lines().find(|line| line.contains("nyc-weather-2013.csv ")).unwrap();
        line.split_whitespace().skip(1).take(5).map(str::to_owned).collect()
    };
    // Earlier, read, accepted, unreadable, implausible.
    assert_eq!(counts(&said), ["0", "26115", "26114", "0", "1"], "{said}");
    assert_eq!(
        counts(&import()),
        ["26115", "0", "0", "0", "0"],
        "the second time nothing is left to do"
    );

    let table = folder.path().join("lake/readings");
    assert_eq!(std::fs::read_dir(table.join("month")).unwrap().count(), 12, "a year is old enough");
    assert!(!table.join("hour").exists() && !table.join("day").exists());

    // The one implausible row blows at 1,048 miles an hour.
    let mut expected = observations();
    let storm = expected.extract_if(.., |_, o| o.0[3].is_some_and(|wind| wind > 120.0));
    assert_eq!(storm.count(), 1);

    let server = Server::start(&[], folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (rows, letters, windows) = runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let all = |table: &str| Ticket::range(table, RangeRead::default());
        let mean = RangeRead {
            windows: Some(Windows {
                every: DAY,
                aggregates: vec![(
                    "temperature".to_owned(),
                    vec![Aggregate::Count, Aggregate::Mean, Aggregate::Max],
                )],
            }),
            ..RangeRead::default()
        };
        let rows = client.get(&all("readings")).await.unwrap().collect().await.unwrap();
        let letters = client.get(&all("dead_letters")).await.unwrap().collect().await.unwrap();
        let windows = Ticket::range("readings", mean);
        (rows, letters, client.get(&windows).await.unwrap().collect().await.unwrap())
    });
    check_rows(&rows, &expected);
    check_windows(&windows, &expected);
    assert_eq!(letters.num_rows(), 1);
    let reason = letters.column_by_name("reason").unwrap().as_string::<i32>().value(0);
    assert!(reason.contains("wind_speed = 468.6"), "{reason}");
    let row = letters.column_by_name("row").unwrap().as_string::<i32>().value(0);
    assert!(row.contains("\"wind_speed\":468.65"), "the row as it was to be put: {row}");
    server.terminate();
}

fn check_rows(rows: &RecordBatch, expected: &BTreeMap<(i32, i64), Observation>) {
    assert_eq!(rows.num_rows(), expected.len());
    let keys = rows.column(0).as_primitive::<Int32Type>();
    let times = rows.column(1).as_primitive::<TimestampMicrosecondType>();
    let column = |name: &str| rows.column_by_name(name).unwrap();
    let floats = ["temperature", "humidity", "pressure", "wind_speed", "precipitation"]
        .map(|name| column(name).as_primitive::<Float32Type>());
    let directions = column("wind_direction").as_primitive::<Int16Type>();
    for (i, (key, (values, direction, rain))) in expected.iter().enumerate() {
        assert_eq!((keys.value(i), times.value(i)), *key);
        let values = values.iter().chain([rain]);
        for (float, value) in floats.iter().zip(values) {
            assert_eq!(float.is_valid(i), value.is_some(), "{key:?}");
            let error = f64::from(float.value(i)) - value.unwrap_or_default();
            assert!(value.is_none() || error.abs() < 1e-4, "{key:?}: {value:?} off by {error}");
        }
        let stored = directions.is_valid(i).then(|| i64::from(directions.value(i)));
        assert_eq!(stored, *direction, "{key:?}");
    }
}

fn check_windows(windows: &RecordBatch, expected: &BTreeMap<(i32, i64), Observation>) {
    let mut days: BTreeMap<(i32, i64), Vec<f64>> = BTreeMap::new();
    for ((city, at), (values, ..)) in expected {
        let day = at.div_euclid(DAY.micros()) * DAY.micros();
        days.entry((*city, day)).or_default().extend(values[0]);
    }
    assert_eq!(windows.num_rows(), days.len());
    let keys = windows.column(0).as_primitive::<Int32Type>();
    let starts = windows.column(1).as_primitive::<TimestampMicrosecondType>();
    let counts = windows.column(2).as_primitive::<Int64Type>();
    let means = windows.column(3).as_primitive::<Float64Type>();
    let maxima = windows.column(4).as_primitive::<Float32Type>();
    for (i, (window, values)) in days.iter().enumerate() {
        assert_eq!((keys.value(i), starts.value(i)), *window);
        assert_eq!(counts.value(i) as usize, values.len(), "{window:?}");
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!(values.is_empty() || (means.value(i) - mean).abs() < 1e-4, "{window:?}");
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        assert!(values.is_empty() || (f64::from(maxima.value(i)) - most).abs() < 1e-4);
    }
}
