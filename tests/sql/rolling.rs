//! Is the rolling heat index of one day right? The one-liner of the reference page over a year of real
//! observations, against sums computed here from the text of the file.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::prelude::CsvReadOptions;

use crate::session;

const DAY: i64 = 86_400_000_000;

/// The heat index in °F as the WPC page tells it, sentence by sentence.
/// <https://www.wpc.ncep.noaa.gov/html/heatindex_equation.shtml>
fn heat_index(t: f64, rh: f64) -> f64 {
    let simple = 0.5 * (t + 61.0 + ((t - 68.0) * 1.2) + (rh * 0.094));
    if simple < 80.0 {
        return simple;
    }
    let mut hi = -42.379 + 2.04901523 * t + 10.14333127 * rh
        - 0.22475541 * t * rh
        - 0.00683783 * t * t
        - 0.05481717 * rh * rh
        + 0.00122874 * t * t * rh
        + 0.00085282 * t * rh * rh
        - 0.00000199 * t * t * rh * rh;
    if rh < 13.0 && (80.0..=112.0).contains(&t) {
        hi -= ((13.0 - rh) / 4.0) * ((17.0 - (t - 95.0).abs()) / 17.0).sqrt();
    } else if rh > 85.0 && (80.0..=87.0).contains(&t) {
        hi += ((rh - 85.0) / 10.0) * ((87.0 - t) / 5.0);
    }
    hi
}

/// Airport, µs, °F, %.
fn observations() -> Vec<(String, i64, f64, f64)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/nyc-weather-2013.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows: Vec<(String, i64, f64, f64)> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let at = chrono::DateTime::parse_from_rfc3339(cells[14]).unwrap().timestamp_micros();
            Some((cells[0].to_owned(), at, cells[5].parse().ok()?, cells[7].parse().ok()?))
        })
        .collect();
    rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    rows
}

#[tokio::test]
async fn the_mean_over_the_closed_day_before_each_reading() {
    let rows = observations();
    assert!(rows.len() > 26_000, "{}", rows.len());
    let context = session(2, 1000);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/nyc-weather-2013.csv");
    context
        .register_csv("raw", path, CsvReadOptions::new().schema_infer_max_records(0))
        .await
        .unwrap();
    let sql = "
        WITH readings AS (
          SELECT origin AS city_id,
                 arrow_cast(time_hour::timestamp, 'Timestamp(Microsecond, None)') AS reading_at,
                 (try_cast(temp AS double) - 32) / 1.8 AS temperature, try_cast(humid AS double) AS humidity
          FROM raw WHERE temp <> 'NA' AND humid <> 'NA')
        SELECT city_id, reading_at,
               avg(heat_index(temperature, humidity)) OVER (
                 PARTITION BY city_id ORDER BY reading_at
                 RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW
               ) AS heat_index_1d,
               count(*) OVER (
                 PARTITION BY city_id ORDER BY reading_at
                 RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW
               ) AS n
        FROM readings ORDER BY city_id, reading_at";
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut got = Vec::new();
    for batch in &batches {
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        let means = batch.column(2).as_primitive::<Float64Type>();
        let counts = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            assert!(means.is_valid(row));
            got.push((times.value(row), means.value(row), counts.value(row)));
        }
    }
    assert_eq!(got.len(), rows.len());
    let (mut widest, mut hot) = (0, 0);
    for (i, ((city, at, t, rh), (got_at, mean, count))) in rows.iter().zip(&got).enumerate() {
        assert_eq!(at, got_at);
        let near = rows.iter().skip(i.saturating_sub(30)).take(62);
        let window: Vec<f64> = near
            .filter(|(c, a, _, _)| c == city && (at - DAY..=*at).contains(a))
            .map(|(_, _, t, rh)| (heat_index(*t, *rh) - 32.0) / 1.8)
            .collect();
        let expected = window.iter().sum::<f64>() / window.len() as f64;
        assert!((mean - expected).abs() < 1e-6, "{city} {at}: {mean}, expected {expected}");
        assert_eq!(*count, window.len() as i64);
        widest = widest.max(window.len());
        hot += usize::from(heat_index(*t, *rh) >= 80.0);
    }
    // Both ends belong to the window: an hourly day has 25 readings. The hot branch was taken, too.
    assert_eq!(widest, 25);
    assert!(hot > 500, "{hot}");
}
