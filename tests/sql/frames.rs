//! Is every aggregate right in every frame? Random tables and frames, with NaN, infinities, outliers, constants and
//! nulls, against the plainest way to say what an aggregate is: over the rows of each frame, found by looking at
//! all rows.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::catalog::MemTable;
use datafusion::prelude::SessionContext;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::session;

#[derive(Debug, Clone, Copy)]
struct Row {
    part: i64,
    /// Order with peers, and a number of its own.
    k: i64,
    u: i64,
    x: Option<f64>,
    y: Option<f64>,
    n: Option<i64>,
    b: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Float(f64),
    /// How it prints.
    Text(String),
    /// What is only estimated.
    Between(f64, f64),
}

fn float(value: Option<f64>) -> Value {
    value.map_or(Value::Null, Value::Float)
}

fn text(value: Option<impl ToString>) -> Value {
    value.map_or(Value::Null, |value| Value::Text(value.to_string()))
}

type Model = fn(&[Row]) -> Value;

fn xs(rows: &[Row]) -> Vec<f64> {
    rows.iter().filter_map(|row| row.x).collect()
}

fn ns(rows: &[Row]) -> Vec<i64> {
    rows.iter().filter_map(|row| row.n).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sums of products of deviations, by two passes.
fn deviations(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (center(a), center(b));
    a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
}

/// The mean; of equal values the value itself.
fn center(values: &[f64]) -> f64 {
    match values {
        [first, others @ ..] if others.iter().all(|value| value == first) => *first,
        values => mean(values),
    }
}

fn variance(rows: &[Row], fewer: usize) -> Option<f64> {
    let x = xs(rows);
    (x.len() > fewer).then(|| deviations(&x, &x) / (x.len() - fewer) as f64)
}

fn pairs(rows: &[Row]) -> (Vec<f64>, Vec<f64>) {
    rows.iter().filter_map(|row| row.y.zip(row.x)).unzip()
}

fn line(rows: &[Row], value: fn(yy: f64, xx: f64, xy: f64) -> f64, both: bool) -> Value {
    let (y, x) = pairs(rows);
    let (yy, xx) = (deviations(&y, &y), deviations(&x, &x));
    let known = y.len() > 1 && xx != 0.0 && !(both && yy == 0.0);
    float(known.then(|| value(yy, xx, deviations(&y, &x))))
}

fn order(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn percentile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(order);
    let at = share * (values.len().checked_sub(1)? as f64);
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    Some(if low == high { low } else { low + (high - low) * at.fract() })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(order);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[half]),
        _ => Some(values[half - 1] / 2.0 + values[half] / 2.0),
    }
}

fn distinct(mut values: Vec<i64>) -> Vec<i64> {
    values.sort_unstable();
    values.dedup();
    values
}

fn joined(rows: &[Row]) -> Value {
    let all: Vec<_> = ns(rows).iter().map(ToString::to_string).collect();
    text((!all.is_empty()).then(|| all.join("+")))
}

fn listed(rows: &[Row]) -> Value {
    let all: Vec<_> =
        rows.iter().map(|row| row.n.map_or(String::new(), |n| n.to_string())).collect();
    text((!all.is_empty()).then(|| format!("[{}]", all.join(", "))))
}

fn grown(rows: &[Row]) -> Value {
    let mut points: Vec<_> = rows.iter().filter_map(|row| Some((row.u, row.n? as f64))).collect();
    points.sort_by_key(|point| point.0);
    let step = |pair: &[(i64, f64)]| match (pair[0].1, pair[1].1) {
        (before, value) if value < before => value,
        (before, value) => value - before,
    };
    float((!points.is_empty()).then(|| points.windows(2).map(step).sum()))
}

fn by_time(rows: &[Row], last: bool) -> Value {
    let known = rows.iter().filter_map(|row| Some((row.u, row.n?)));
    let of = if last { known.max_by_key(|row| row.0) } else { known.min_by_key(|row| row.0) };
    text(of.map(|row| row.1))
}

/// What is asked, its model, and whether the order of rows counts in it.
const AGGREGATES: &[(&str, Model, bool)] = &[
    ("count(*)", |rows| text(Some(rows.len())), false),
    ("count(x)", |rows| text(Some(xs(rows).len())), false),
    ("count(DISTINCT n)", |rows| text(Some(distinct(ns(rows)).len())), false),
    ("sum(x)", |rows| float((!xs(rows).is_empty()).then(|| xs(rows).iter().sum())), false),
    ("avg(x)", |rows| float((!xs(rows).is_empty()).then(|| mean(&xs(rows)))), false),
    ("sum(n)", |rows| text((!ns(rows).is_empty()).then(|| ns(rows).iter().sum::<i64>())), false),
    (
        "sum(DISTINCT n)",
        |rows| {
            let all = distinct(ns(rows));
            text((!all.is_empty()).then(|| all.iter().sum::<i64>()))
        },
        false,
    ),
    (
        "avg(n)",
        |rows| {
            let all: Vec<f64> = ns(rows).iter().map(|n| *n as f64).collect();
            float((!all.is_empty()).then(|| mean(&all)))
        },
        false,
    ),
    (
        "avg(DISTINCT n)",
        |rows| {
            let all: Vec<f64> = distinct(ns(rows)).iter().map(|n| *n as f64).collect();
            float((!all.is_empty()).then(|| mean(&all)))
        },
        false,
    ),
    ("min(x)", |rows| float(xs(rows).into_iter().min_by(order)), false),
    ("max(x)", |rows| float(xs(rows).into_iter().max_by(order)), false),
    ("min(n)", |rows| text(ns(rows).into_iter().min()), false),
    ("max(n)", |rows| text(ns(rows).into_iter().max()), false),
    ("max(n::text)", |rows| text(ns(rows).iter().map(ToString::to_string).max()), false),
    ("bool_and(b)", |rows| text(rows.iter().filter_map(|row| row.b).reduce(|a, b| a & b)), false),
    ("bool_or(b)", |rows| text(rows.iter().filter_map(|row| row.b).reduce(|a, b| a | b)), false),
    ("bit_and(n)", |rows| text(ns(rows).into_iter().reduce(|a, b| a & b)), false),
    ("bit_or(n)", |rows| text(ns(rows).into_iter().reduce(|a, b| a | b)), false),
    ("bit_xor(n)", |rows| text(ns(rows).into_iter().reduce(|a, b| a ^ b)), false),
    (
        "bit_xor(DISTINCT n)",
        |rows| text(distinct(ns(rows)).into_iter().reduce(|a, b| a ^ b)),
        false,
    ),
    ("median(x)", |rows| float(median(xs(rows))), false),
    ("percentile_cont(x, 0.9)", |rows| float(percentile(xs(rows), 0.9)), false),
    (
        "approx_median(n)",
        |rows| {
            let all = ns(rows);
            let ends = all.iter().min().zip(all.iter().max());
            ends.map_or(Value::Null, |(least, most)| Value::Between(*least as f64, *most as f64))
        },
        false,
    ),
    ("approx_distinct(n)", |rows| text(Some(distinct(ns(rows)).len())), false),
    ("var_pop(x)", |rows| float(variance(rows, 0)), false),
    ("var_samp(x)", |rows| float(variance(rows, 1)), false),
    ("stddev_pop(x)", |rows| float(variance(rows, 0).map(f64::sqrt)), false),
    ("stddev(x)", |rows| float(variance(rows, 1).map(f64::sqrt)), false),
    (
        "covar_pop(y, x)",
        |rows| {
            let (y, x) = pairs(rows);
            float((!y.is_empty()).then(|| deviations(&y, &x) / y.len() as f64))
        },
        false,
    ),
    (
        "covar_samp(y, x)",
        |rows| {
            let (y, x) = pairs(rows);
            float((y.len() > 1).then(|| deviations(&y, &x) / (y.len() - 1) as f64))
        },
        false,
    ),
    ("corr(y, x)", |rows| line(rows, |yy, xx, xy| xy / xx.sqrt() / yy.sqrt(), true), false),
    ("regr_slope(y, x)", |rows| line(rows, |_, xx, xy| xy / xx, false), false),
    ("regr_r2(y, x)", |rows| line(rows, |yy, xx, xy| (xy / xx) * (xy / yy), true), false),
    (
        "regr_intercept(y, x)",
        |rows| {
            let (y, x) = pairs(rows);
            let xx = deviations(&x, &x);
            let known = y.len() > 1 && xx != 0.0;
            float(known.then(|| center(&y) - deviations(&y, &x) / xx * center(&x)))
        },
        false,
    ),
    ("regr_count(y, x)", |rows| text(Some(pairs(rows).0.len())), false),
    (
        "regr_avgx(y, x)",
        |rows| {
            let x = pairs(rows).1;
            float((!x.is_empty()).then(|| mean(&x)))
        },
        false,
    ),
    (
        "regr_avgy(y, x)",
        |rows| {
            let y = pairs(rows).0;
            float((!y.is_empty()).then(|| mean(&y)))
        },
        false,
    ),
    (
        "regr_sxx(y, x)",
        |rows| {
            let x = pairs(rows).1;
            float((!x.is_empty()).then(|| deviations(&x, &x)))
        },
        false,
    ),
    (
        "regr_sxy(y, x)",
        |rows| {
            let (y, x) = pairs(rows);
            float((!x.is_empty()).then(|| deviations(&y, &x)))
        },
        false,
    ),
    ("string_agg(n::text, '+')", joined, true),
    ("array_agg(n)", listed, true),
    ("any_value(n)", |rows| text(ns(rows).first()), true),
    ("first_value(n)", |rows| text(rows.first().and_then(|row| row.n)), true),
    ("last_value(n)", |rows| text(rows.last().and_then(|row| row.n)), true),
    ("nth_value(n, 2)", |rows| text(rows.get(1).and_then(|row| row.n)), true),
    ("first(n, u)", |rows| by_time(rows, false), false),
    ("last(n, u)", |rows| by_time(rows, true), false),
    ("counter_sum(n, u)", grown, true),
    (
        "mean_direction(n)",
        |rows| {
            let (mut east, mut north) = (0.0, 0.0);
            for n in ns(rows) {
                let (sin, cos) = (n as f64).to_radians().sin_cos();
                (east, north) = (east + sin, north + cos);
            }
            let calm = f64::hypot(east, north) <= 1e-9 * ns(rows).len() as f64;
            float((!calm).then(|| f64::atan2(east, north).to_degrees().rem_euclid(360.0)))
        },
        false,
    ),
];

/// A bound, in distances from the current row; the edges of the partition if absent.
#[derive(Debug, Clone, Copy)]
struct Frame {
    units: &'static str,
    from: Option<i64>,
    to: Option<i64>,
}

impl Frame {
    fn random(random: &mut SmallRng, units: &'static str) -> Self {
        let mut bound = || random.random_bool(0.75).then(|| random.random_range(-5..=5));
        let (mut from, mut to) = (bound(), bound());
        if let (Some(a), Some(b)) = (from, to) {
            (from, to) = (Some(a.min(b)), Some(a.max(b)));
        }
        Self { units, from, to }
    }

    fn sql(self) -> String {
        let bound = |at: Option<i64>, edge: &str| match at {
            None => format!("UNBOUNDED {edge}"),
            Some(0) => "CURRENT ROW".to_owned(),
            Some(at) if at < 0 => format!("{} PRECEDING", -at),
            Some(at) => format!("{at} FOLLOWING"),
        };
        let (from, to) = (bound(self.from, "PRECEDING"), bound(self.to, "FOLLOWING"));
        format!("{} BETWEEN {from} AND {to}", self.units)
    }

    /// The rows of `rows`, all of one partition in order, in the frame of one of them.
    fn rows(self, rows: &[Row], at: usize, by: fn(&Row) -> i64) -> Vec<Row> {
        let groups = distinct(rows.iter().map(by).collect());
        let place = |index: usize, row: &Row| -> i64 {
            match self.units {
                "ROWS" => index as i64 - at as i64,
                "RANGE" => by(row) - by(&rows[at]),
                _ => {
                    let of = |row: &Row| groups.binary_search(&by(row)).unwrap() as i64;
                    of(row) - of(&rows[at])
                }
            }
        };
        let inside = |(index, row): &(usize, &Row)| {
            let place = place(*index, row);
            self.from.is_none_or(|from| place >= from) && self.to.is_none_or(|to| place <= to)
        };
        rows.iter().enumerate().filter(inside).map(|(_, row)| *row).collect()
    }
}

fn random_rows(random: &mut SmallRng) -> Vec<Row> {
    let count = random.random_range(1..120);
    let (parts, span) = (random.random_range(1..4), random.random_range(1..100_i64));
    let kind = random.random_range(0..5);
    let mut u = 0;
    let value = |random: &mut SmallRng| -> f64 {
        match (kind, random.random_range(0..12)) {
            (0, _) => 0.1,
            (1, 0) => 1e15,
            (2, 0) => f64::NAN,
            (2, 1) => f64::INFINITY,
            (2, 2) => f64::NEG_INFINITY,
            (3, _) => 1e9 + random.random_range(0.0..1.0),
            _ => f64::from(random.random_range(-400..400)) / 8.0,
        }
    };
    let mut rows: Vec<Row> = (0..count)
        .map(|_| {
            u += random.random_range(1..4);
            Row {
                part: random.random_range(0..parts),
                k: random.random_range(0..span),
                u,
                x: random.random_bool(0.8).then(|| value(random)),
                y: random.random_bool(0.8).then(|| value(random)),
                n: random.random_bool(0.8).then(|| random.random_range(0..20)),
                b: random.random_bool(0.8).then(|| random.random_bool(0.7)),
            }
        })
        .collect();
    rows.sort_by_key(|row| (row.k, row.u));
    rows
}

fn table(context: &SessionContext, rows: &[Row], batch_rows: usize) {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("part", Arc::new(rows.iter().map(|row| row.part).collect::<Int64Array>()), false),
        ("k", Arc::new(rows.iter().map(|row| row.k).collect::<Int64Array>()), false),
        ("u", Arc::new(rows.iter().map(|row| row.u).collect::<Int64Array>()), false),
        ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()), true),
        ("y", Arc::new(rows.iter().map(|row| row.y).collect::<Float64Array>()), true),
        ("n", Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>()), true),
        ("b", Arc::new(rows.iter().map(|row| row.b).collect::<BooleanArray>()), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let cuts = (0..rows.len()).step_by(batch_rows);
    let batches = cuts.map(|at| batch.slice(at, batch_rows.min(rows.len() - at))).collect();
    let table = MemTable::try_new(batch.schema(), vec![batches]).unwrap();
    context.deregister_table("r").unwrap();
    context.register_table("r", Arc::new(table)).unwrap();
}

/// What differs, if it does. A float may be off by what its own frame's numbers round to.
fn differs(
    sql: &str,
    got: &ArrayRef,
    row: usize,
    expected: &Value,
    frame: &[Row],
) -> Option<String> {
    let shown = || array_value_to_string(got, row).unwrap();
    match expected {
        Value::Null if got.is_null(row) => None,
        Value::Text(text) if got.is_valid(row) && shown() == *text => None,
        Value::Float(expected) if got.is_valid(row) => {
            let got = cast(got, &DataType::Float64).unwrap();
            let got = got.as_primitive::<Float64Type>().value(row);
            let size = frame.iter().flat_map(|row| [row.x, row.y]).flatten().map(f64::abs);
            let size = size.filter(|size| size.is_finite()).fold(1.0, f64::max);
            // What is far from the origin hides the slope; products of outliers cancel out.
            let size_share = if sql.starts_with("regr_intercept") || sql.starts_with("percentile") {
                1e-5
            } else {
                1e-13
            };
            let outliers = if size > 1e12 { 1e-12 * size * size } else { 0.0 };
            let finite = frame.iter().flat_map(|row| [row.x, row.y]).flatten().all(f64::is_finite);
            if sql.starts_with("percentile") && !finite {
                // What lies between a number and an infinity is not defined.
                return None;
            }
            let allowed = 1e-9 * expected.abs() + size_share * size + outliers;
            let close = (got - expected).abs() <= allowed;
            let same = got == *expected || (got.is_nan() && expected.is_nan()) || close;
            (!same).then(|| format!("{got}, expected {expected}"))
        }
        Value::Between(least, most) if got.is_valid(row) => {
            let got = cast(got, &DataType::Float64).unwrap();
            let got = got.as_primitive::<Float64Type>().value(row);
            (!(*least..=*most).contains(&got)).then(|| format!("{got} of {least} to {most}"))
        }
        expected => Some(format!("{}, expected {expected:?}", shown())),
    }
}

async fn check(seed: u64) -> (usize, Vec<String>) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut rows = random_rows(&mut random);
    let batch_rows = random.random_range(1..40);
    let context = session(random.random_range(1..4), batch_rows);
    table(&context, &rows, batch_rows);
    rows.sort_by_key(|row| (row.part, row.k, row.u));
    let (mut asked, mut wrong) = (0, Vec::new());
    let at = random.random_range(0..AGGREGATES.len());
    for (sql, model, ordered) in AGGREGATES.iter().cycle().skip(at).take(12) {
        let partitioned = random.random_bool(0.7);
        let units = ["ROWS", "RANGE", "GROUPS"][random.random_range(0..3)];
        let (by, column): (fn(&Row) -> i64, _) = match (*ordered, units) {
            (false, "RANGE" | "GROUPS") if random.random_bool(0.7) => (|row| row.k, "k"),
            _ => (|row| row.u, "u"),
        };
        let frame = Frame::random(&mut random, units);
        let filtered = !ordered && !sql.contains("value(") && random.random_bool(0.2);
        let mut query = format!("SELECT part, u, {sql} ");
        if filtered {
            query += "FILTER (WHERE u % 2 = 0) ";
        }
        let by_part = if partitioned { "PARTITION BY part " } else { "" };
        write!(query, "OVER ({by_part}ORDER BY {column} {}) AS w FROM r", frame.sql()).unwrap();
        let plan = format!("SELECT * FROM ({query}) ORDER BY u");
        let batches = match context.sql(&plan).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        let batches = match batches {
            Ok(batches) => batches,
            Err(error) => {
                wrong.push(format!("seed {seed}: {query}: {error}"));
                continue;
            }
        };
        let schema = batches[0].schema();
        let all = datafusion::arrow::compute::concat_batches(&schema, &batches).unwrap();
        let mut by_u: Vec<&Row> = rows.iter().collect();
        by_u.sort_by_key(|row| row.u);
        for (row, of) in by_u.into_iter().enumerate() {
            let mut part: Vec<Row> = rows.clone();
            part.retain(|other| !partitioned || other.part == of.part);
            part.sort_by_key(|row| (by(row), row.u));
            let place = part.iter().position(|other| other.u == of.u).unwrap();
            let mut inside = frame.rows(&part, place, by);
            if filtered {
                inside.retain(|row| row.u % 2 == 0);
            }
            asked += 1;
            if let Some(how) = differs(sql, all.column(2), row, &model(&inside), &inside) {
                wrong.push(format!("seed {seed}: {query}: row {}: {how}", of.u));
                break;
            }
        }
    }
    (asked, wrong)
}

#[tokio::test]
async fn every_aggregate_in_every_frame() {
    let (mut asked, mut wrong) = (0, Vec::new());
    for seed in 0..200 {
        let (more, differ) = check(seed).await;
        asked += more;
        wrong.extend(differ);
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 50_000, "{asked}");
}

async fn floats(context: &SessionContext, sql: &str) -> Vec<Option<f64>> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut all = Vec::new();
    for batch in &batches {
        all.extend(batch.column(0).as_primitive::<Float64Type>().iter());
    }
    all
}

#[tokio::test]
async fn equal_values_have_no_variance() {
    let context = session(1, 8192);
    let frames = "OVER (ORDER BY i ROWS 1 PRECEDING) FROM (
        SELECT value AS i, (value % 7) / 7 * 0.0 + 0.1 * ((value / 50) % 9) AS x FROM generate_series(1, 20000)) ORDER BY i";
    for aggregate in ["stddev_pop(x)", "var_pop(x)"] {
        let all = floats(&context, &format!("SELECT {aggregate} {frames}")).await;
        assert_eq!(all.len(), 20_000);
        let fine = all.iter().filter(|value| value.is_some_and(|value| value >= 0.0)).count();
        assert_eq!(fine, 20_000, "{aggregate}");
        let zero = all.iter().filter(|value| **value == Some(0.0)).count();
        assert!(zero >= 19_500, "{aggregate}: {zero}");
    }
}

#[tokio::test]
async fn a_frame_of_counters_follows_time() {
    let context = session(1, 8192);
    let sql = "SELECT counter_sum(x, t) OVER (ORDER BY o ROWS 2 PRECEDING)
               FROM (VALUES (1, 5, 1.0), (2, 1, 2.0), (3, 3, 4.0)) AS t(o, t, x)";
    let error = context.sql(sql).await.unwrap().collect().await.unwrap_err().to_string();
    assert!(error.contains("ORDER BY time"), "{error}");
    // Downwards is an order of time, too.
    let sql = "SELECT counter_sum(x, t) OVER (ORDER BY t DESC ROWS 1 PRECEDING)
               FROM (VALUES (1, 1.0), (2, 2.0), (3, 4.0)) AS t(t, x) ORDER BY t";
    assert_eq!(floats(&context, sql).await, [Some(1.0), Some(2.0), Some(0.0)]);
}
