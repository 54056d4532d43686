//! The speed of filter, merge and aggregation, each beside its peer or the limit of memory.
//!
//! `cargo bench --bench kernels`. Every contender of a comparison runs in turn in every round, so that a busy machine
//! harms all alike; times are the minimum, the median and the maximum of the rounds.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::indexing_slicing)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, Datum, Float32Array, Int16Array, Int32Array, PrimitiveArray,
    RecordBatch, Scalar, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cmp;
use arrow::compute::{and, concat_batches, is_not_null};
use arrow::datatypes::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use barograph_engine::filter::Predicate;
use barograph_engine::internal::{Lane, available};
use barograph_engine::scan::merge;
use barograph_engine::{Aggregate, Aggregation};
use barograph_lake::{Span, TableSchema};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 31;
const VALUES: usize = 64 << 10;
const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;

type Contender<'a> = (String, Box<dyn FnMut() + 'a>);

/// Runs all contenders in turns and prints each beside the first.
fn compare(title: &str, unit: &str, work: usize, contenders: &mut [Contender<'_>]) {
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    // As many repeats as make a round of the first contender last about a millisecond.
    let once = time(1, &mut contenders[0].1).max(Duration::from_nanos(50));
    let repeats = (1_000_000 / once.as_nanos()).clamp(1, 10_000) as u32;
    for _ in 0..ROUNDS {
        for (times, (_, run)) in times.iter_mut().zip(contenders.iter_mut()) {
            times.push(time(repeats, run));
        }
    }
    println!("{title}");
    let mut first = None;
    for (times, (name, _)) in times.iter_mut().zip(contenders) {
        times.sort_unstable();
        let nanos = |time: Duration| time.as_nanos() as f64;
        let (min, median, max) =
            (nanos(times[0]), nanos(times[ROUNDS / 2]), nanos(times[ROUNDS - 1]));
        let base = *first.get_or_insert(median);
        println!(
            "  {name:<28} {:>8.2} × | {:>9.1} M {unit}/s | µs {:>9.1} {:>9.1} {:>9.1}",
            base / median,
            work as f64 * 1_000.0 / median,
            min / 1_000.0,
            median / 1_000.0,
            max / 1_000.0,
        );
    }
}

fn time(repeats: u32, run: &mut Box<dyn FnMut() + '_>) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        run();
    }
    start.elapsed() / repeats
}

fn main() {
    println!("columns: speed against the first line | throughput | least, median, greatest time");
    comparisons::<Float32Type>("float32", 20.0, |rng| rng.random_range(-40.0..40.0));
    comparisons::<Float64Type>("float64", 20.0, |rng| rng.random_range(-40.0..40.0));
    comparisons::<Int16Type>("int16", 90, |rng| rng.random_range(0..360));
    comparisons::<Int32Type>("int32", 500, |rng| rng.random_range(0..1_000));
    comparisons::<Int64Type>("int64", 500, |rng| rng.random_range(0..1_000));
    predicates();
    lists();
    merges();
    aggregations();
}

fn comparisons<T: ArrowPrimitiveType<Native: Lane>>(
    name: &str,
    literal: T::Native,
    mut value: impl FnMut(&mut SmallRng) -> T::Native,
) {
    let mut rng = SmallRng::seed_from_u64(1);
    let array: PrimitiveArray<T> =
        PrimitiveArray::from_iter_values((0..VALUES).map(|_| value(&mut rng)));
    let scalar = Scalar::new(PrimitiveArray::<T>::from_iter_values([literal]));
    let mut contenders: Vec<Contender<'_>> = vec![(
        "arrow cmp::lt".to_owned(),
        Box::new(|| {
            let datum: &dyn Datum = &array;
            black_box(cmp::lt(black_box(datum), &scalar).ok());
        }),
    )];
    for path in available() {
        let kernel = T::Native::of(path).lt;
        let array = &array;
        contenders.push((
            path.name.to_owned(),
            Box::new(move || {
                let mut words = vec![0; VALUES / 64];
                kernel(black_box(array.values()), literal, &mut words);
                black_box(words);
            }),
        ));
    }
    compare(&format!("{name} < literal, {VALUES} values"), "values", VALUES, &mut contenders);
}

/// The built-in table, as far as the benches need it.
fn table() -> TableSchema {
    let of = |name: &str, of: &str| serde_json::json!({ "name": name, "type": of });
    let declaration = serde_json::json!({
        "key": "city_id", "time": "reading_at", "columns": [
            of("temperature", "float32"), of("humidity", "float32"), of("pressure", "float32"),
            of("wind_speed", "float32"), of("wind_direction", "int16"), of("precipitation", "float32"),
        ],
    });
    serde_json::from_value(declaration)
        .map_err(|error| error.to_string())
        .and_then(|declaration| {
            TableSchema::new("readings", declaration).map_err(|error| error.to_string())
        })
        .unwrap_or_else(|error| exit(&error))
}

fn exit(error: &dyn std::fmt::Display) -> ! {
    eprintln!("{error}");
    std::process::exit(1)
}

/// Rows of `keys` cities, one a minute from `from` to `to` where `keep` says so. One city in 50 has no
/// humidity; with `nulls` one value in 100 of the pressure is missing too.
fn rows(
    table: &TableSchema,
    keys: i32,
    from: i64,
    to: i64,
    nulls: bool,
    mut keep: impl FnMut(i32, i64) -> bool,
) -> RecordBatch {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut at = Vec::new();
    for key in 0..keys {
        at.extend((from..to).step_by(MINUTE as usize).filter(|&t| keep(key, t)).map(|t| (key, t)));
    }
    let mut float = |low: f32, high: f32| -> ArrayRef {
        let quantised = |rng: &mut SmallRng| (rng.random_range(low..high) * 10.0).round() / 10.0;
        Arc::new(Float32Array::from_iter_values(at.iter().map(|_| quantised(&mut rng))))
    };
    let (temperature, wind, rain) = (float(-20.0, 40.0), float(0.0, 20.0), float(0.0, 1.0));
    let mut rng = SmallRng::seed_from_u64(3);
    let humidity: Float32Array = at
        .iter()
        .map(|(key, _)| (key % 50 != 0).then(|| rng.random_range(0.0_f32..100.0)))
        .collect();
    let pressure: Float32Array = at
        .iter()
        .map(|_| (!nulls || rng.random_range(0..100) > 0).then(|| rng.random_range(900.0..1_050.0)))
        .collect();
    let direction = Int16Array::from_iter_values(at.iter().map(|_| rng.random_range(0..360)));
    let times = || {
        TimestampMicrosecondArray::from_iter_values(at.iter().map(|(_, time)| *time))
            .with_timezone("UTC")
    };
    let keys = Int32Array::from_iter_values(at.iter().map(|(key, _)| *key));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys),
        Arc::new(times()),
        temperature,
        Arc::new(humidity),
        Arc::new(pressure),
        wind,
        Arc::new(direction),
        rain,
        Arc::new(times()),
    ];
    RecordBatch::try_new(table.arrow().clone(), columns).unwrap_or_else(|error| exit(&error))
}

fn predicates() {
    let table = table();
    let rows = rows(&table, 1_093, 0, HOUR, false, |_, _| true);
    let columns: Vec<usize> = (0..rows.num_columns()).collect();
    let hot = Scalar::new(Float32Array::from_iter_values([30.0]));
    let predicate =
        |text: &str| Predicate::parse(text, &table).unwrap_or_else(|error| exit(&error));
    let both = predicate("temperature > 30 AND humidity IS NOT NULL");
    let mut contenders: Vec<Contender<'_>> = vec![
        (
            "arrow gt, is_not_null, and".to_owned(),
            Box::new(|| {
                let selected = || -> Result<BooleanArray, arrow::error::ArrowError> {
                    let hot = cmp::gt(rows.column(2), &hot)?;
                    and(&hot, &is_not_null(rows.column(3))?)
                };
                black_box(selected().ok());
            }),
        ),
        (
            "predicate".to_owned(),
            Box::new(|| {
                black_box(both.select(&rows, &columns).ok());
            }),
        ),
    ];
    compare(&both.to_string(), "rows", rows.num_rows(), &mut contenders);
}

fn lists() {
    let table = table();
    let rows = rows(&table, 1_093, 0, HOUR, false, |_, _| true);
    let columns: Vec<usize> = (0..rows.num_columns()).collect();
    let contender = |count: usize| -> Contender<'_> {
        let list: Vec<_> = (0..count).map(|i| (i * 7).to_string()).collect();
        let text = format!("city_id IN ({})", list.join(", "));
        let predicate = Predicate::parse(&text, &table).unwrap_or_else(|error| exit(&error));
        let (rows, columns) = (&rows, &columns);
        let run = move || {
            black_box(predicate.select(rows, columns).ok());
        };
        (format!("{count} keys"), Box::new(run))
    };
    let mut contenders: Vec<_> = [1, 8, 32, 33, 1_000].into_iter().map(contender).collect();
    compare("city_id IN (…)", "rows", rows.num_rows(), &mut contenders);
}

/// With 45 cities a merge is as large as a slice of a scan, with 600 it leaves the caches.
fn merges() {
    let table = table();
    for keys in [45, 600] {
        let hours = |nulls: bool| -> Vec<RecordBatch> {
            let hour = |h| rows(&table, keys, h * HOUR, (h + 1) * HOUR, nulls, |_, _| true);
            (0..24).map(hour).collect()
        };
        let mut rng = SmallRng::seed_from_u64(4);
        let day =
            |keep: &mut dyn FnMut(i32, i64) -> bool| rows(&table, keys, 0, 24 * HOUR, false, keep);
        let whole = day(&mut |_, _| true);
        let late = day(&mut |_, _| rng.random_bool(0.01));
        let odd = day(&mut |_, t| t / MINUTE % 2 == 1);
        let even = day(&mut |_, t| t / MINUTE % 2 == 0);
        for (title, runs) in [
            ("24 runs, 60-row spans, 9 columns", hours(false)),
            ("the same, a column with scattered nulls", hours(true)),
            ("one file and 1 % late rows", vec![whole, late]),
            ("two runs that take turns row by row", vec![odd, even]),
        ] {
            let total = runs.iter().map(RecordBatch::num_rows).sum();
            let mut contenders: Vec<Contender<'_>> = vec![
                (
                    "limit: concat_batches".to_owned(),
                    Box::new(|| {
                        black_box(concat_batches(table.arrow(), &runs).ok());
                    }),
                ),
                (
                    "merge".to_owned(),
                    Box::new(|| {
                        black_box(merge(&runs).ok());
                    }),
                ),
            ];
            compare(&format!("merge {total} rows: {title}"), "rows", total, &mut contenders);
        }
    }
}

fn aggregations() {
    let table = table();
    let rows = rows(&table, 600, 0, 24 * HOUR, true, |_, _| true);
    let of = |columns: &[usize], aggregates: &[Aggregate], every| {
        let aggregates = columns.iter().map(|&column| (column, aggregates.to_vec())).collect();
        Aggregation { every: Span::from_micros(every), aggregates }
    };
    use Aggregate::{Count, First, Last, Max, Mean, Min};
    let all = [2, 3, 4, 5, 6, 7];
    for (title, aggregation) in [
        ("mean of temperature every hour", of(&[2], &[Mean], HOUR)),
        ("mean, max of temperature every hour", of(&[2], &[Mean, Max], HOUR)),
        ("mean of pressure (scattered nulls) every hour", of(&[4], &[Mean], HOUR)),
        ("count, mean, min, max of 6 columns every hour", of(&all, &[Count, Mean, Min, Max], HOUR)),
        ("first, last of 6 columns every hour", of(&all, &[First, Last], HOUR)),
        ("mean of temperature every minute", of(&[2], &[Mean], MINUTE)),
        ("mean of temperature every day", of(&[2], &[Mean], 24 * HOUR)),
    ] {
        let mut columns = vec![0, 1];
        columns.extend(aggregation.columns());
        let rows = rows.project(&columns).unwrap_or_else(|error| exit(&error));
        let mut contenders: Vec<Contender<'_>> = vec![
            (
                "limit: sum of each column".to_owned(),
                Box::new(|| {
                    for column in rows.columns().iter().skip(2) {
                        black_box(plain_sum(column));
                    }
                }),
            ),
            (
                "partial".to_owned(),
                Box::new(|| {
                    black_box(aggregation.partial(&table, &rows).ok());
                }),
            ),
        ];
        compare(&format!("aggregate: {title}"), "rows", rows.num_rows(), &mut contenders);
    }
    let daily = of(&all, &[Count, Mean, Min, Max], 24 * HOUR);
    let hourly = of(&all, &[Count, Mean, Min, Max], HOUR);
    let states: Vec<RecordBatch> = (0..24)
        .map(|hour| {
            let hour =
                self::rows(&table, 15_000, hour * HOUR, (hour * HOUR) + MINUTE, false, |_, _| true);
            let columns: Vec<usize> = [0, 1].into_iter().chain(daily.columns()).collect();
            let rows = hour.project(&columns).unwrap_or_else(|error| exit(&error));
            daily.partial(&table, &rows).unwrap_or_else(|error| exit(&error))
        })
        .collect();
    let total = states.iter().map(RecordBatch::num_rows).sum();
    let mut contenders: Vec<Contender<'_>> = vec![
        (
            "limit: concat_batches".to_owned(),
            Box::new(|| {
                black_box(concat_batches(states[0].schema_ref(), &states).ok());
            }),
        ),
        (
            "combine, a state a window".to_owned(),
            Box::new(|| {
                black_box(hourly.combine(&table, &states).ok());
            }),
        ),
    ];
    compare("aggregate: 24 states a day, 6 columns", "states", total, &mut contenders);
}

fn plain_sum(column: &ArrayRef) -> f64 {
    fn of<T: ArrowPrimitiveType<Native: Into<f64>>>(column: &ArrayRef) -> Option<f64> {
        let array = column.as_any().downcast_ref::<PrimitiveArray<T>>()?;
        let (chunks, rest) = array.values().as_chunks::<8>();
        let mut lanes = [0.0; 8];
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += value.into();
            }
        }
        Some(lanes.into_iter().sum::<f64>() + rest.iter().map(|&value| value.into()).sum::<f64>())
    }
    of::<Float32Type>(column).or_else(|| of::<Int16Type>(column)).unwrap_or_default()
}
