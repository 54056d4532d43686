//! The weather that is written: one hour of readings, in order of city and time.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Builder, Int16Builder, Int32Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use barograph::{City, Weather};
use barograph_lake::{Hour, TableSchema, Timestamp};
use barograph_test_support::instants;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Readings of a city.
pub(crate) const MINUTES: usize = 60;
const MICROS_PER_MINUTE: i64 = 60_000_000;

/// The demonstration's weather in the hour that begins at `start`.
pub(crate) fn demonstration(cities: &[City], schema: &TableSchema, start: i64) -> RecordBatch {
    let weather = Weather::new(1, cities);
    let hour = Hour::of(Timestamp::from_micros(start)).unwrap();
    let minutes: Vec<_> = weather.hour_batches(hour).map(Result::unwrap).collect();
    let rows = concat_batches(weather.schema(), &minutes).unwrap();
    let by_city: UInt32Array = (0..cities.len() as u32)
        .flat_map(|city| (0..MINUTES as u32).map(move |minute| (minute, city)))
        .map(|(minute, city)| minute * cities.len() as u32 + city)
        .collect();
    let mut columns = take_record_batch(&rows, &by_city).unwrap().columns().to_vec();
    columns.push(ingested_at(start, rows.num_rows()));
    RecordBatch::try_new(Arc::clone(schema.arrow()), columns).unwrap()
}

/// One batch a minute, accepted a little after it was measured.
fn ingested_at(start: i64, rows: usize) -> ArrayRef {
    let instant =
        |row: usize| minute(start, row) + 1_000_000 + (row % MINUTES * 7_919 % 800) as i64 * 1_000;
    instants((0..rows).map(instant))
}

fn minute(start: i64, row: usize) -> i64 {
    start + (row % MINUTES) as i64 * MICROS_PER_MINUTE
}

/// One hour in which each reading is near the one before it, quantised as a display is, a few values silent.
pub(crate) fn drifting(cities: &[City], schema: &TableSchema, start: i64) -> RecordBatch {
    let mut random = SmallRng::seed_from_u64(11 ^ start as u64);
    let mut normal = move || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let mut chance = SmallRng::seed_from_u64(13 ^ start as u64);
    let rows = cities.len() * MINUTES;
    let mut floats: [Float32Builder; 5] =
        std::array::from_fn(|_| Float32Builder::with_capacity(rows));
    let mut directions = Int16Builder::with_capacity(rows);
    let hour_of_day = (start / 3_600_000_000 % 24) as f64;
    for city in cities {
        let mut drift = [0.0; 5];
        let climate = 28.0 - 0.6 * city.latitude.abs() + 2.0 * normal();
        let swing = 6.0 + 1.5 * normal();
        let elevation = (300.0 * normal()).abs();
        let sea_level = 1_013.25 + 6.0 * normal();
        let damp = 65.0 + 8.0 * normal();
        let wind = (4.0 + 2.0 * normal()).abs();
        let heading = chance.random_range(0.0..360.0);
        let rains = chance.random_bool(0.08);
        for minute in 0..MINUTES {
            let steps = [0.08, 0.3, 0.05, 0.4, 4.0];
            for (drift, step) in drift.iter_mut().zip(steps) {
                *drift = 0.97 * *drift + step * normal();
            }
            let local = hour_of_day + minute as f64 / 60.0 + city.longitude / 15.0;
            let cycle = ((local - 9.0) / 24.0 * std::f64::consts::TAU).sin();
            let rain = if rains { (-0.3 * chance.random::<f64>().ln()).max(0.0) } else { 0.0 };
            let values = [
                climate + swing * cycle + drift[0],
                (damp - 2.0 * swing * cycle + drift[1]).clamp(0.0, 100.0),
                sea_level * (-elevation / 8_400.0).exp() + drift[2],
                (wind + drift[3]).max(0.0),
                rain,
            ];
            for (builder, value) in floats.iter_mut().zip(values) {
                let value = ((value * 10.0).round() / 10.0) as f32;
                builder.append_option((!chance.random_bool(0.015)).then_some(value));
            }
            let direction = (heading + drift[4]).rem_euclid(360.0) as i16;
            directions.append_option((!chance.random_bool(0.015)).then_some(direction));
        }
    }
    let keys = cities.iter().flat_map(|city| std::iter::repeat_n(city.id, MINUTES));
    let times = instants((0..rows).map(|row| minute(start, row)));
    let [temperature, humidity, pressure, wind_speed, precipitation] =
        floats.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(keys)),
        times,
        temperature,
        humidity,
        pressure,
        wind_speed,
        Arc::new(directions.finish()),
        precipitation,
        ingested_at(start, rows),
    ];
    RecordBatch::try_new(Arc::clone(schema.arrow()), columns).unwrap()
}
