//! Tests of rolling windows: the one-liner of the reference page, the heat index of one day over a year of real
//! observations, against sums computed here from the text of the file; random tables and frames against DataFusion's
//! own operator; and what that operator gets wrong against values written here.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    RecordBatch, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::MemTable;
use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::session;

const DAY: i64 = 86_400_000_000;

/// The heat index in °F as the WPC page describes it, sentence by sentence.
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

/// Number of occurrences of a text in a plan.
fn count(plan: &str, what: &str) -> usize {
    plan.matches(what).count()
}

async fn plan(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(&format!("EXPLAIN {sql}")).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

fn random_table(context: &[&SessionContext], random: &mut SmallRng, parts: usize) {
    let rows = random.random_range(0..300);
    let (cities, span) = (random.random_range(1..6), random.random_range(1..400_i64));
    let mut rows: Vec<(i32, i64)> = (0..rows)
        .map(|_| (random.random_range(0..cities), random.random_range(-span..span)))
        .collect();
    rows.sort_unstable();
    // Eighths and small numbers: their sums are exact in any order.
    let mut values = |share: f64| -> Vec<Option<i64>> {
        let one =
            |_: &(i32, i64)| random.random_bool(share).then(|| random.random_range(-400..400));
        rows.iter().map(one).collect()
    };
    let eighths = |values: Vec<Option<i64>>| values.into_iter().map(|v| Some(v? as f64 / 8.0));
    let (v, f, n, s) = (values(0.8), values(0.1), values(0.9), values(1.0));
    let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("city", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))), false),
        ("at", Arc::new(at.with_timezone("UTC")), false),
        ("k", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))), false),
        ("v", Arc::new(eighths(v).collect::<Float64Array>()), true),
        ("f", Arc::new(eighths(f).map(|v| Some(v? as f32)).collect::<Float32Array>()), true),
        ("n", Arc::new(n.into_iter().collect::<Int64Array>()), true),
        ("s", Arc::new(s.into_iter().map(|v| Some(v? as i16)).collect::<Int16Array>()), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut batches = vec![Vec::new(); parts];
    let mut from = 0;
    while from < batch.num_rows() {
        let rows = random.random_range(1..50).min(batch.num_rows() - from);
        batches[random.random_range(0..parts)].push(batch.slice(from, rows));
        from += rows;
    }
    for context in context {
        let table = MemTable::try_new(batch.schema(), batches.clone()).unwrap();
        context.deregister_table("r").unwrap();
        context.register_table("r", Arc::new(table)).unwrap();
    }
}

fn random_windows(random: &mut SmallRng) -> String {
    let functions = [
        "sum(v)",
        "avg(v)",
        "min(v)",
        "max(v)",
        "count(v)",
        "count(*)",
        "sum(f)",
        "avg(f)",
        "min(f)",
        "max(f)",
        "count(f)",
        "sum(n)",
        "avg(n)",
        "min(n)",
        "max(n)",
        "sum(s)",
        "min(s)",
        "max(s)",
        "min(at)",
        "max(at)",
        "sum(v * 2 + n)",
    ];
    let by = ["", "PARTITION BY city "][random.random_range(0..2)];
    let windows = (0..random.random_range(1..5)).map(|column| {
        let function = functions[random.random_range(0..functions.len())];
        let back = random.random_range(0..200);
        let frame = match random.random_range(0..8) {
            // Rows of equal order stand in any order: all columns make it one.
            0 => format!("k, v, f, n, s ROWS BETWEEN {back} PRECEDING AND CURRENT ROW"),
            1 => "k, v, f, n, s ROWS UNBOUNDED PRECEDING".to_owned(),
            2 => "k, v, f, n, s ROWS CURRENT ROW".to_owned(),
            3 => format!("k RANGE BETWEEN {back} PRECEDING AND CURRENT ROW"),
            4 => "at".to_owned(),
            5 => "at RANGE CURRENT ROW".to_owned(),
            _ => {
                format!("at RANGE BETWEEN INTERVAL '{back} microseconds' PRECEDING AND CURRENT ROW")
            }
        };
        format!("{function} OVER ({by}ORDER BY {frame}) AS w{column}")
    });
    windows.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn windows_are_those_of_datafusion() {
    let mut ours = 0;
    for seed in 0..300 {
        let mut random = SmallRng::seed_from_u64(seed);
        let (parts, batch_rows) = (random.random_range(1..4), random.random_range(1..40));
        let config = SessionConfig::new().with_target_partitions(parts).with_batch_size(batch_rows);
        let (context, plain) =
            (session(parts, batch_rows), SessionContext::new_with_config(config));
        random_table(&[&context, &plain], &mut random, parts);
        let sql = format!("SELECT *, {} FROM r", random_windows(&mut random));
        ours += count(&plan(&context, &sql).await, "RollingExec");
        let mut answers = Vec::new();
        for context in [&context, &plain] {
            let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
            let text = pretty_format_batches(&batches).unwrap().to_string();
            let mut lines: Vec<_> = text.lines().skip(3).map(str::to_owned).collect();
            lines.sort_unstable();
            answers.push(lines);
        }
        let differ = answers[0].iter().zip(&answers[1]).find(|(ours, plain)| ours != plain);
        assert_eq!(answers[0].len(), answers[1].len(), "seed {seed}: {sql}");
        assert!(differ.is_none(), "seed {seed}: {sql}\n{differ:#?}");
    }
    assert!(ours > 300, "{ours}");
}

#[tokio::test]
async fn what_is_not_finite_counts_while_it_is_in_the_frame() {
    let context = session(1, 3);
    let sql = "
        SELECT at, sum(v) OVER w, avg(v) OVER w, min(v) OVER w, max(v) OVER w, count(v) OVER w
        FROM (VALUES (1, 1.5), (2, 'Infinity'::double), (3, 2.5), (4, 'NaN'::double), (5, NULL), (6, NULL),
                     (7, NULL), (9, '-Infinity'::double), (10, 0.5), (20, 4.0)) AS t(at, v)
        WINDOW w AS (ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        ORDER BY at";
    assert_eq!(count(&plan(&context, sql).await, "RollingExec"), 1);
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let cells = |line: &str| line.split_whitespace().collect::<String>();
    let got: Vec<_> =
        text.lines().skip(3).filter(|line| line.starts_with("| ")).map(cells).collect();
    let expected = [
        "|1|1.5|1.5|1.5|1.5|1|",
        "|2|inf|inf|1.5|inf|2|",
        "|3|inf|inf|2.5|inf|2|",
        "|4|NaN|NaN|2.5|NaN|2|",
        "|5|NaN|NaN|NaN|NaN|1|",
        "|6|||||0|",
        "|7|||||0|",
        "|9|-inf|-inf|-inf|-inf|1|",
        "|10|-inf|-inf|-inf|0.5|2|",
        "|20|4.5|2.25|0.5|4.0|2|",
    ];
    assert_eq!(got, expected);
}

#[tokio::test]
async fn what_it_cannot_do_stays_with_datafusion() {
    let mut random = SmallRng::seed_from_u64(1);
    let context = session(2, 100);
    random_table(&[&context], &mut random, 1);
    for window in [
        "sum(v) FILTER (WHERE n > 0) OVER (ORDER BY at)",
        "sum(v) OVER (ORDER BY at DESC)",
        "sum(v) OVER (ORDER BY at ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING)",
        "sum(v) OVER (ORDER BY at ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)",
        "sum(v) OVER (ORDER BY at RANGE BETWEEN INTERVAL '1 month' PRECEDING AND CURRENT ROW)",
        "sum(v) OVER (ORDER BY at GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        "sum(v) OVER (ORDER BY n)",
        "max(v::text) OVER (ORDER BY at)",
        "stddev(v) OVER (ORDER BY at)",
        "row_number() OVER (ORDER BY at)",
    ] {
        let plan = plan(&context, &format!("SELECT {window} FROM r")).await;
        assert_eq!(count(&plan, "RollingExec"), 0, "{window}\n{plan}");
        assert!(count(&plan, "WindowAggExec") > 0, "{window}\n{plan}");
    }
}
