//! Models of gap filling and as-of joins: loops over vectors, in the plainest way, held against seeded random tables in
//! every batch size and number of partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::TimestampMicrosecondArray;
use datafusion::arrow::array::{Array, AsArray, Float64Array, Int32Array, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use datafusion::catalog::MemTable;
use datafusion::prelude::SessionContext;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::session;

type Row = (i32, i64, Option<f64>);

fn rows(random: &mut SmallRng, count: usize, keys: i32, span: i64) -> Vec<Row> {
    (0..count)
        .map(|_| {
            let value =
                random.random_bool(0.8).then(|| f64::from(random.random_range(-400..400)) / 8.0);
            (random.random_range(0..keys), random.random_range(-span..span), value)
        })
        .collect()
}

fn table(context: &SessionContext, name: &str, rows: &[Row], parts: usize) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("city", DataType::Int32, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("v", DataType::Float64, true),
    ]));
    let mut batches: Vec<Vec<RecordBatch>> = rows
        .chunks(rows.len().div_ceil(parts).max(1))
        .map(|rows| {
            let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1));
            let batch = RecordBatch::try_new(
                Arc::clone(&schema),
                vec![
                    Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.0))),
                    Arc::new(at.with_timezone("UTC")),
                    Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>()),
                ],
            );
            vec![batch.unwrap()]
        })
        .collect();
    if batches.is_empty() {
        batches.push(Vec::new());
    }
    context.register_table(name, Arc::new(MemTable::try_new(schema, batches).unwrap())).unwrap();
}

async fn ask(context: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

fn float(array: &dyn Array, row: usize) -> Option<f64> {
    let array = array.as_primitive::<Float64Type>();
    array.is_valid(row).then(|| array.value(row))
}

type Filled = (i32, i64, Option<f64>, Option<f64>, Option<f64>);

/// Windows of `step` for each city from `from` to before `to`: mean, carried forward, interpolated.
fn fill_by_hand(rows: &[Row], step: i64, from: i64, to: i64) -> Vec<Filled> {
    let mut sums: BTreeMap<i32, BTreeMap<i64, (f64, u32)>> = BTreeMap::new();
    for (city, at, value) in rows.iter().filter(|r| (from..to).contains(&r.1)) {
        let window = at.div_euclid(step) * step;
        let sum = sums.entry(*city).or_default().entry(window).or_default();
        if let Some(value) = value {
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    let mut filled = Vec::new();
    for (city, windows) in sums {
        let first = from.div_euclid(step) * step;
        let all: Vec<i64> = (0..).map(|i| first + i * step).take_while(|w| *w < to).collect();
        let mean = |w: &i64| windows.get(w).filter(|s| s.1 > 0).map(|s| s.0 / f64::from(s.1));
        for (i, window) in all.iter().enumerate() {
            let before = all[..=i].iter().rev().find_map(|w| Some((*w, mean(w)?)));
            let after = all[i..].iter().find_map(|w| Some((*w, mean(w)?)));
            let line = before.zip(after).map(|((t0, y0), (t1, y1))| {
                if t0 == t1 { y0 } else { y0 + (y1 - y0) * (window - t0) as f64 / (t1 - t0) as f64 }
            });
            filled.push((city, *window, mean(window), before.map(|b| b.1), line));
        }
    }
    filled
}

#[tokio::test]
async fn gap_filling_agrees_with_loops() {
    let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    };
    for seed in 0..40 {
        let mut random = SmallRng::seed_from_u64(seed);
        let count = random.random_range(0..200);
        let rows = rows(&mut random, count, 6, 1_000);
        let step = random.random_range(1..60);
        let (from, to) = (random.random_range(-1_100..0), random.random_range(1..1_100));
        let context = session(random.random_range(1..5), random.random_range(1..40));
        table(&context, "r", &rows, 3);
        let time = |at: i64| format!("arrow_cast({at}, 'Timestamp(Microsecond, Some(\"UTC\"))')");
        let sql = format!(
            "SELECT city, date_bin_gapfill(INTERVAL '{step} microseconds', at) AS t,
                    avg(v), locf(avg(v)), interpolate(avg(v))
             FROM r WHERE at >= {} AND at < {} GROUP BY city, t ORDER BY city, t",
            time(from),
            time(to)
        );
        let mut got: Vec<Filled> = Vec::new();
        for batch in ask(&context, &sql).await {
            let cities = batch.column(0).as_primitive::<Int32Type>();
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                let value = |i: usize| float(batch.column(i).as_ref(), row);
                got.push((cities.value(row), times.value(row), value(2), value(3), value(4)));
            }
        }
        let expected = fill_by_hand(&rows, step, from, to);
        assert_eq!(got.len(), expected.len(), "seed {seed}");
        for (got, expected) in got.iter().zip(&expected) {
            let same = (got.0, got.1) == (expected.0, expected.1)
                && close(got.2, expected.2)
                && close(got.3, expected.3)
                && close(got.4, expected.4);
            assert!(same, "seed {seed}: {got:?}, expected {expected:?}");
        }
    }
}

#[tokio::test]
async fn as_of_joins_agree_with_loops() {
    for seed in 0..60 {
        let mut random = SmallRng::seed_from_u64(1_000 + seed);
        // Times of the right are distinct in a city, as they are where they are part of the key.
        let (left_count, right_count) = (random.random_range(0..300), random.random_range(0..300));
        let left = rows(&mut random, left_count, 7, 500);
        let right = rows(&mut random, right_count, 7, 500);
        let right: BTreeMap<(i32, i64), Option<f64>> =
            right.into_iter().map(|(city, at, v)| ((city, at), v)).collect();
        let right_rows: Vec<Row> = right.iter().map(|((c, at), v)| (*c, *at, *v)).collect();
        let tolerance = random.random_bool(0.5).then(|| random.random_range(0..200));
        let outer = random.random_bool(0.5);
        let least = random.random_range(-600..500);
        let context = session(random.random_range(1..5), random.random_range(1..40));
        table(&context, "l", &left, 3);
        table(&context, "r", &right_rows, 2);
        let sql = format!(
            "SELECT l.city, l.at, l.v, r.at, r.v FROM l {} JOIN r ON l.city = r.city AND asof(l.at, r.at{})
             WHERE l.at >= arrow_cast({least}, 'Timestamp(Microsecond, Some(\"UTC\"))') AND l.city > 0",
            if outer { "LEFT" } else { "" },
            tolerance.map(|t| format!(", INTERVAL '{t} microseconds'")).unwrap_or_default()
        );
        let mut got = Vec::new();
        for batch in ask(&context, &sql).await {
            let cities = batch.column(0).as_primitive::<Int32Type>();
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            let met = batch.column(3).as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                let at = met.is_valid(row).then(|| met.value(row));
                let value = |i: usize| float(batch.column(i).as_ref(), row);
                got.push(format!(
                    "{:?}",
                    (cities.value(row), times.value(row), value(2), at, value(4))
                ));
            }
        }
        let mut expected = Vec::new();
        for (city, at, v) in left.iter().filter(|r| r.0 > 0 && r.1 >= least) {
            let newest = right
                .range((*city, i64::MIN)..=(*city, *at))
                .next_back()
                .filter(|((_, then), _)| tolerance.is_none_or(|most| at - then <= most));
            match newest {
                Some(((_, then), w)) => {
                    expected.push(format!("{:?}", (city, at, v, Some(then), w)))
                }
                None if outer => {
                    expected.push(format!("{:?}", (city, at, v, None::<i64>, None::<f64>)));
                }
                None => {}
            }
        }
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "seed {seed}");
    }
}
