//! The model of the aggregates: each computed in the plainest way, over all rows at once.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub part: i64,
    /// Order with peers, and a number of its own.
    pub k: i64,
    pub u: i64,
    pub x: Option<f64>,
    pub y: Option<f64>,
    pub n: Option<i64>,
    pub b: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Float(f64),
    /// The value as printed.
    Text(String),
    /// A value that is only estimated.
    Between(f64, f64),
}

fn float(value: Option<f64>) -> Value {
    value.map_or(Value::Null, Value::Float)
}

fn text(value: Option<impl ToString>) -> Value {
    value.map_or(Value::Null, |value| Value::Text(value.to_string()))
}

pub(crate) type Model = fn(&[Row]) -> Value;

fn xs(rows: &[Row]) -> Vec<f64> {
    rows.iter().filter_map(|row| row.x).collect()
}

fn ns(rows: &[Row]) -> Vec<i64> {
    rows.iter().filter_map(|row| row.n).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sums of products of deviations, in two passes.
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

pub(crate) fn distinct(mut values: Vec<i64>) -> Vec<i64> {
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

/// The aggregate as SQL, its model, and whether it depends on the order of rows.
pub(crate) const AGGREGATES: &[(&str, Model, bool)] = &[
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
