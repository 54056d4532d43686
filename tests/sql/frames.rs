//! Aggregates in window frames, every one in every frame: random tables and frames, with NaN, infinities, outliers,
//! constants and nulls, held against the plainest definition of each aggregate over the rows of a frame, which are
//! found by looking at all rows.

mod model;

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

use self::model::{AGGREGATES, Row, Value, distinct};
use crate::session;

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

    /// The rows among `rows`, all of one partition in order, that are in the frame of the row `at`.
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

/// The difference of two answers, if there is one. A float may differ by the rounding of its own frame's numbers.
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
