//! Tests of the simulated weather: a pure function, plausible, smooth, and delivered in every way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int16Type, Int32Type};

use super::*;
use crate::cities::Cities;

fn weather(cities: usize) -> Weather {
    Weather::new(7, &Cities::built_in().unwrap().largest(cities))
}

fn hour(text: &str) -> Hour {
    text.parse().unwrap()
}

fn floats(batch: &RecordBatch, name: &str) -> Vec<Option<f32>> {
    batch.column_by_name(name).unwrap().as_primitive::<Float32Type>().iter().collect()
}

#[test]
fn it_is_a_pure_function_of_seed_station_and_instant() {
    let (hour, many, few) = (hour("2026-11-22T10"), weather(3_000), weather(100));
    let at = hour.start() + 17 * Span::MINUTE;
    let batch = many.minute_batch(at).unwrap();
    assert_eq!(batch, many.hour_batches(hour).nth(17).unwrap().unwrap());
    assert_eq!(batch, weather(3_000).minute_batch(at).unwrap());
    assert_ne!(
        batch,
        Weather::new(8, &Cities::built_in().unwrap().largest(3_000)).minute_batch(at).unwrap()
    );

    let rows: HashMap<i32, RecordBatch> = (0..batch.num_rows())
        .map(|i| (batch.column(0).as_primitive::<Int32Type>().value(i), batch.slice(i, 1)))
        .collect();
    let small = few.minute_batch(at).unwrap();
    assert_eq!(small.num_rows(), 100);
    for i in 0..100 {
        let row = small.slice(i, 1);
        assert_eq!(rows[&row.column(0).as_primitive::<Int32Type>().value(0)], row);
    }
}

#[test]
fn values_are_plausible_and_quantised() {
    let weather = weather(15_000);
    for text in ["2026-01-15T03", "2026-07-15T12", "2026-11-22T23"] {
        let batch = weather.hour_batches(hour(text)).nth(31).unwrap().unwrap();
        assert_eq!(batch.num_rows(), 15_000);
        for (name, min, max, mean) in [
            ("temperature", -75.0, 55.0, 0.0..30.0),
            ("humidity", 2.0, 100.0, 40.0..90.0),
            ("pressure", 600.0, 1_060.0, 960.0..1_020.0),
            ("wind_speed", 0.0, 60.0, 1.0..8.0),
            ("precipitation", 0.0, 2.0, 0.0..0.05),
        ] {
            let values: Vec<f32> = floats(&batch, name).into_iter().flatten().collect();
            assert!(values.iter().all(|v| (min..=max).contains(v)), "{name} in {text}");
            assert!(values.iter().all(|v| *v == ((f64::from(*v) * 10.0).round() / 10.0) as f32));
            let found = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
            assert!(mean.contains(&found), "mean {name} = {found} in {text}");
            let silent = 15_000 - values.len();
            assert!((80..250).contains(&silent), "{silent} of {name} are silent");
        }
        let rain = floats(&batch, "precipitation");
        assert!(rain.iter().flatten().filter(|v| **v == 0.0).count() > 11_000);
        let directions = batch.column_by_name("wind_direction").unwrap();
        assert!(
            directions.as_primitive::<Int16Type>().iter().flatten().all(|d| (0..360).contains(&d))
        );
    }
}

#[test]
fn days_are_warmer_than_nights_and_summers_than_winters() {
    let cities = Cities::built_in().unwrap();
    let madrid = cities.find("Madrid,ES").unwrap().clone();
    let weather = Weather::new(7, std::slice::from_ref(&madrid));
    let mean = |month: u32, hour: u32| {
        let mut values = Vec::new();
        for day in 1..=28 {
            let at: Hour = format!("2026-{month:02}-{day:02}T{hour:02}").parse().unwrap();
            values.extend(floats(&weather.minute_batch(at.start()).unwrap(), "temperature"));
        }
        let values: Vec<f32> = values.into_iter().flatten().collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    assert!(mean(7, 15) > mean(7, 4) + 4.0);
    assert!(mean(7, 15) > mean(1, 15) + 10.0);
}

#[test]
fn neighbours_measure_similar_weather_and_it_moves_slowly() {
    let cities = Cities::built_in().unwrap();
    let pair = |name: &str| {
        let mut city = cities.find(name).unwrap().clone();
        let near = city.clone();
        city.id += 1;
        city.latitude += 0.2;
        [near, city]
    };
    let [a, b] = pair("Paris,FR");
    let c = cities.find("Sydney,AU").unwrap().clone();
    let weather = Weather::new(7, &[c, a, b]);
    let (mut near, mut far, mut minute) = (0.0f32, 0.0f32, 0.0f32);
    let mut last: Option<f32> = None;
    for batch in weather.hour_batches(hour("2026-03-05T08")) {
        let values = floats(&batch.unwrap(), "temperature");
        let [c, a, b] = [values[0].unwrap(), values[1].unwrap(), values[2].unwrap()];
        near = near.max((a - b).abs());
        far = far.max((a - c).abs());
        minute = minute.max(last.map_or(0.0, |last| (a - last).abs()));
        last = Some(a);
    }
    assert!(near < 7.0 && minute < 1.0, "near {near}, minute {minute}");
    assert!(far > near, "far {far}, near {near}");
}

#[test]
fn every_way_of_delivery_occurs_at_its_rate() {
    let weather = weather(15_000);
    let hour = hour("2026-11-22T10");
    let count = |wanted: fn(Delivery) -> bool| {
        weather.stations_in(hour, |id| wanted(weather.delivery(id, hour))).len()
    };
    let missing = count(|d| d == Delivery::Missing);
    let late = count(|d| matches!(d, Delivery::Late { hours: 1..=3 }));
    let repeated = count(|d| d == Delivery::Repeated);
    let prompt = count(|d| d == Delivery::Prompt);
    assert!((3..40).contains(&missing), "{missing}");
    assert!((20..80).contains(&late), "{late}");
    assert!((40..120).contains(&repeated), "{repeated}");
    assert_eq!(missing + late + repeated + prompt, 15_000);
}

#[test]
fn a_station_measures_nonsense_in_every_hour_however_few_there_are() {
    let (few, many) = (weather(3), weather(15_000));
    let first = hour("2026-11-22T10");
    let hours = std::iter::successors(Some(first), |hour| Some(hour.next())).take(1_000);
    let mut broken = [0; 2];
    for hour in hours {
        for (weather, broken) in [&few, &many].into_iter().zip(&mut broken) {
            let count = weather.count(|id| weather.is_broken(id, hour));
            assert!(count > 0, "{hour}");
            *broken += count;
        }
    }
    let [few, many] = broken;
    assert!(few < 1_020, "{few}");
    assert!((3_500..4_500).contains(&many), "{many}");
    let none = weather(0);
    assert_eq!(none.count(|id| none.is_broken(id, first)), 0);
}

#[test]
fn hours_have_a_row_of_each_city_and_minute() {
    let weather = weather(15_000);
    let mut rows = 0;
    for text in ["2026-11-22T10", "2026-11-22T11", "2026-11-22T12"] {
        for batch in weather.hour_batches(hour(text)) {
            rows += batch.unwrap().num_rows();
        }
    }
    assert_eq!(rows, 2_700_000);
}
