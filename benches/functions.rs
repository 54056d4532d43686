//! The speed of the SQL functions that Barograph adds, each beside the plain SQL that computes the same.
//!
//! `cargo bench --bench functions`. One day of minutes of 1,500 cities in memory (2.16 M rows, in order of
//! city and time, as the lake holds them) and an hourly forecast of each. Every contender of a comparison
//! runs in turn in every round, and all must give the same number of rows.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use barograph_query::functions::register;
use datafusion::arrow::array::{
    ArrayRef, Float32Array, Int16Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::catalog::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext, col};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const CITIES: i32 = 1_500;
const MINUTE: i64 = 60_000_000;
const MINUTES: i64 = 1_440;
const ROUNDS: usize = 7;

/// A table of `times` for every city, in order of city and time, in `parts` ranges of cities.
fn table(step: i64, count: i64, parts: i32, keep: f64) -> MemTable {
    let schema = Arc::new(Schema::new(vec![
        Field::new("city_id", DataType::Int32, false),
        Field::new("reading_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("temperature", DataType::Float32, true),
        Field::new("humidity", DataType::Float32, true),
        Field::new("wind_speed", DataType::Float32, true),
        Field::new("wind_direction", DataType::Int16, true),
    ]));
    let mut random = SmallRng::seed_from_u64(7);
    let partitions = (0..parts)
        .map(|part| {
            let keys: Vec<(i32, i64)> = (0..CITIES)
                .filter(|city| city * parts / CITIES == part)
                .flat_map(|city| (0..count).map(move |i| (city, i * step)))
                .filter(|_| random.random_bool(keep))
                .collect();
            keys.chunks(8192)
                .map(|keys| {
                    let mut floats = |least: f32, most: f32| -> ArrayRef {
                        let values = keys.iter().map(|_| random.random_range(least..most));
                        Arc::new(Float32Array::from_iter_values(values))
                    };
                    let (t, rh, v) = (floats(10.0, 40.0), floats(20.0, 100.0), floats(0.0, 20.0));
                    let d = keys.iter().map(|_| random.random_range(0..360));
                    let columns: Vec<ArrayRef> = vec![
                        Arc::new(Int32Array::from_iter_values(keys.iter().map(|k| k.0))),
                        Arc::new(TimestampMicrosecondArray::from_iter_values(
                            keys.iter().map(|k| k.1),
                        )),
                        t,
                        rh,
                        v,
                        Arc::new(Int16Array::from_iter_values(d)),
                    ];
                    RecordBatch::try_new(Arc::clone(&schema), columns).expect("a batch")
                })
                .collect()
        })
        .collect();
    let order = vec![vec![col("city_id").sort(true, true), col("reading_at").sort(true, true)]];
    MemTable::try_new(schema, partitions).expect("a table").with_sort_order(order)
}

async fn run(context: &SessionContext, sql: &str) -> (Duration, usize) {
    let start = Instant::now();
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
    let batches = frame.collect().await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
    (start.elapsed(), batches.iter().map(RecordBatch::num_rows).sum())
}

async fn compare(context: &SessionContext, title: &str, contenders: &[(&str, &str)]) {
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    let mut rows = Vec::new();
    for round in 0..=ROUNDS {
        for (times, (_, sql)) in times.iter_mut().zip(contenders) {
            let (time, count) = run(context, sql).await;
            rows.push(count);
            if round > 0 {
                times.push(time);
            }
        }
    }
    assert!(rows.windows(2).all(|w| w[0] == w[1]), "{title}: {rows:?}");
    println!("{title}, {} rows out", rows[0]);
    let mut first = None;
    for (times, (name, _)) in times.iter_mut().zip(contenders) {
        times.sort_unstable();
        let ms = |i: usize| times[i].as_secs_f64() * 1_000.0;
        let median = ms(ROUNDS / 2);
        let base = *first.get_or_insert(median);
        println!(
            "  {name:<34} {:>6.2} × | ms {:>8.1} {median:>8.1} {:>8.1}",
            median / base,
            ms(0),
            ms(ROUNDS - 1)
        );
    }
}

const ASOF: &[(&str, &str)] = &[
    (
        "asof",
        "SELECT r.city_id, r.reading_at, f.temperature FROM readings r
         LEFT JOIN forecasts f ON f.city_id = r.city_id AND asof(r.reading_at, f.reading_at)",
    ),
    (
        "window over the union",
        "SELECT city_id, reading_at, forecast FROM (
           SELECT city_id, reading_at, kind,
                  last_value(temperature) IGNORE NULLS OVER (
                    PARTITION BY city_id ORDER BY reading_at, kind
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS forecast
           FROM (SELECT city_id, reading_at, 1 AS kind, NULL::real AS temperature FROM readings
                 UNION ALL SELECT city_id, reading_at, 0, temperature FROM forecasts)) WHERE kind = 1",
    ),
    (
        "join and row_number",
        "SELECT city_id, reading_at, temperature FROM (
           SELECT r.city_id, r.reading_at, f.temperature, row_number() OVER (
             PARTITION BY r.city_id, r.reading_at ORDER BY f.reading_at DESC) AS n
           FROM readings r JOIN forecasts f ON f.city_id = r.city_id AND f.reading_at <= r.reading_at)
         WHERE n = 1",
    ),
];

const GAPS: &[(&str, &str)] = &[
    (
        "date_bin_gapfill, locf, interpolate",
        "SELECT city_id, date_bin_gapfill(INTERVAL '1 minute', reading_at) AS t, avg(temperature),
                locf(avg(temperature)), interpolate(avg(temperature)) FROM sparse
         WHERE reading_at >= '1970-01-01T00:00:00' AND reading_at < '1970-01-02T00:00:00'
         GROUP BY city_id, t",
    ),
    (
        "generate_series and windows",
        "WITH means AS (
           SELECT city_id, date_bin(INTERVAL '1 minute', reading_at) AS t, avg(temperature) AS v
           FROM sparse GROUP BY city_id, t),
         spine AS (
           SELECT city_id, arrow_cast(value, 'Timestamp(Microsecond, None)') AS t
           FROM (SELECT DISTINCT city_id FROM sparse)
           CROSS JOIN generate_series(TIMESTAMP '1970-01-01T00:00:00', TIMESTAMP '1970-01-01T23:59:00', INTERVAL '1 minute')),
         filled AS (
           SELECT s.city_id, s.t, v, CASE WHEN v IS NOT NULL THEN s.t END AS known
           FROM spine s LEFT JOIN means m ON m.city_id = s.city_id AND m.t = s.t)
         SELECT city_id, t, v,
                last_value(v) IGNORE NULLS OVER before, first_value(v) IGNORE NULLS OVER after,
                last_value(known) IGNORE NULLS OVER before, first_value(known) IGNORE NULLS OVER after
         FROM filled
         WINDOW before AS (PARTITION BY city_id ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
                after AS (PARTITION BY city_id ORDER BY t ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
    ),
];

const LAST: &[(&str, &str)] = &[
    ("last(v, t)", "SELECT city_id, last(temperature, reading_at) FROM readings GROUP BY city_id"),
    (
        "last_value(v ORDER BY t)",
        "SELECT city_id, last_value(temperature ORDER BY reading_at) FROM readings GROUP BY city_id",
    ),
    ("max(v), for scale", "SELECT city_id, max(temperature) FROM readings GROUP BY city_id"),
];

const HEAT: &[(&str, &str)] = &[
    ("avg(heat_index)", "SELECT city_id, avg(heat_index(temperature, humidity)) FROM readings GROUP BY city_id"),
    (
        "the regression alone, spelled out",
        "SELECT city_id, avg(-42.379 + 2.04901523*f + 10.14333127*h - 0.22475541*f*h - 0.00683783*f*f
           - 0.05481717*h*h + 0.00122874*f*f*h + 0.00085282*f*h*h - 0.00000199*f*f*h*h)
         FROM (SELECT city_id, temperature * 1.8 + 32 AS f, humidity AS h FROM readings) GROUP BY city_id",
    ),
    ("avg(temperature), for scale", "SELECT city_id, avg(temperature) FROM readings GROUP BY city_id"),
];

const WIND: &[(&str, &str)] = &[
    (
        "mean_direction(d, s)",
        "SELECT city_id, mean_direction(wind_direction, wind_speed) FROM readings GROUP BY city_id",
    ),
    (
        "atan2 of sums, spelled out",
        "SELECT city_id, degrees(atan2(sum(wind_speed * sin(radians(wind_direction))),
                                      sum(wind_speed * cos(radians(wind_direction)))))
         FROM readings GROUP BY city_id",
    ),
];

const ROLLING: &[(&str, &str)] = &[(
    "rolling heat index of one day",
    "SELECT city_id, reading_at, avg(heat_index(temperature, humidity)) OVER (
       PARTITION BY city_id ORDER BY reading_at
       RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) FROM readings",
)];

#[tokio::main]
async fn main() {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    register(&context).expect("functions");
    for (name, table) in [
        ("readings", table(MINUTE, MINUTES, 2, 1.0)),
        ("sparse", table(MINUTE, MINUTES, 2, 0.2)),
        ("forecasts", table(60 * MINUTE, 24, 2, 1.0)),
    ] {
        context.register_table(name, Arc::new(table)).expect("a table");
    }
    compare(&context, "as-of join of readings and hourly forecasts", ASOF).await;
    compare(&context, "filling minutes of which one in five has a row", GAPS).await;
    compare(&context, "last value of each city", LAST).await;
    compare(&context, "mean heat index of each city", HEAT).await;
    compare(&context, "mean wind direction of each city", WIND).await;
    compare(&context, "rolling", ROLLING).await;
}
