//! The rows that the candidates append: one hour of 15,000 keys, one reading a minute each.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Int16Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
};
use barograph_lake::TableSchema;
use barograph_lake::time::MICROS_PER_HOUR;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const KEYS: usize = 15_000;
const MINUTES: usize = 60;
/// 2026-11-22T10:00:00Z.
const START: i64 = 1_795_341_600_000_000;

/// In which order rows come in.
#[derive(Clone, Copy)]
pub(crate) enum Arrival {
    /// Each minute's batch by key.
    InOrder,
    /// Each minute's batch in a random order of keys.
    Shuffled,
    /// The same, and 5 % of the rows up to ten minutes late or sent once more with other values.
    ShuffledWithLate,
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InOrder => "in order of keys",
            Self::Shuffled => "keys shuffled in each batch",
            Self::ShuffledWithLate => "keys shuffled, 5 % late or repeated",
        })
    }
}

pub(crate) fn schema() -> Arc<TableSchema> {
    let values =
        ["temperature", "humidity", "pressure", "wind_speed", "wind_direction", "precipitation"];
    let columns: Vec<_> = values
        .iter()
        .map(|&name| {
            let of = if name == "wind_direction" { "int16" } else { "float32" };
            serde_json::json!({ "name": name, "type": of })
        })
        .collect();
    let declaration =
        serde_json::json!({ "key": "city_id", "time": "reading_at", "columns": columns });
    Arc::new(TableSchema::new("readings", serde_json::from_value(declaration).unwrap()).unwrap())
}

/// Ascending keys as irregular as GeoNames ids.
pub(crate) fn keys() -> Vec<i32> {
    let mut random = SmallRng::seed_from_u64(1);
    let mut keys: Vec<i32> =
        (0..KEYS + 500).map(|_| random.random_range(10_000..12_600_000)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(KEYS);
    keys
}

/// The hour's batches, one a minute.
pub(crate) fn hour(arrival: Arrival) -> Vec<RecordBatch> {
    let mut random = SmallRng::seed_from_u64(2);
    let keys = keys();
    let mut minutes: Vec<Vec<(i32, i64)>> = (0..MINUTES as i64)
        .map(|minute| keys.iter().map(|&key| (key, START + minute * 60_000_000)).collect())
        .collect();
    if matches!(arrival, Arrival::ShuffledWithLate) {
        for minute in 0..MINUTES {
            for _ in 0..KEYS / 20 {
                let row = random.random_range(0..minutes[minute].len());
                let later = (minute + random.random_range(0..=10)).min(MINUTES - 1);
                let row = match random.random_bool(0.5) {
                    true => minutes[minute].swap_remove(row),
                    false => minutes[minute][row],
                };
                minutes[later].push(row);
            }
        }
    }
    let shuffled = !matches!(arrival, Arrival::InOrder);
    minutes
        .into_iter()
        .map(|mut rows| {
            if shuffled {
                rows.shuffle(&mut random);
            }
            batch(&rows, &mut random)
        })
        .collect()
}

/// A batch with `rows` readings in each of `hours` hours.
pub(crate) fn sparse(hours: i64, rows: i64) -> RecordBatch {
    let row = |i: i64| (i as i32 % rows as i32, START - i / rows * MICROS_PER_HOUR);
    let rows: Vec<_> = (0..hours * rows).map(row).collect();
    batch(&rows, &mut SmallRng::seed_from_u64(3))
}

fn batch(rows: &[(i32, i64)], random: &mut SmallRng) -> RecordBatch {
    let stamps = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    };
    let mut tenths = |from: i32, to: i32| -> ArrayRef {
        let mut value =
            || (!random.random_bool(0.01)).then(|| random.random_range(from..to) as f32 / 10.0);
        Arc::new(Float32Array::from_iter((0..rows.len()).map(|_| value())))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
        stamps(rows.iter().map(|row| row.1).collect()),
        tenths(-300, 450),
        tenths(0, 1_000),
        tenths(9_000, 10_500),
        tenths(0, 300),
        Arc::new(Int16Array::from_iter_values(rows.iter().map(|row| (row.0 % 360) as i16))),
        tenths(0, 50),
        stamps(rows.iter().map(|row| row.1 + 1_500_000).collect()),
    ];
    RecordBatch::try_new(Arc::clone(schema().arrow()), columns).unwrap()
}
