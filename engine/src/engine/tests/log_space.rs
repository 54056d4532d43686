//! Tests of log space: it is given back behind rows that stay in the tail, and the log holds the same rows as before.

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_fuzz::number;
use barograph_lake::{Key, Size, Span, TimeRange, Timestamp};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Bed, HOUR, MINUTE, START, put, rows_with_arrival};
use crate::landing::DeletionRequest;
use crate::log::LogSettings;
use crate::{Engine, EngineSettings};

/// The rows of each table by key and instant: value, and when it came.
type Model = BTreeMap<&'static str, BTreeMap<(i32, i64), (f32, i64)>>;

const SEGMENT: usize = 16 << 10;

fn settings() -> EngineSettings {
    EngineSettings {
        future_max: Span::seconds(20 * 24 * 3600),
        late_merge_every: Span::millis(0),
        log: LogSettings {
            segment_bytes: Size::bytes(SEGMENT as u64),
            record_bytes_max: Size::mebibytes(1),
        },
        ..EngineSettings::default()
    }
}

fn log_bytes(engine: &Engine) -> usize {
    engine.log_gauge().bytes() as usize
}

#[tokio::test]
async fn one_row_far_ahead_of_time_keeps_no_more_than_it_must() {
    let bed = Bed::new(settings());
    let engine = bed.open().await;
    let far = START + 19 * 24 * HOUR;
    put(&engine, "tides", &[(1, far, 1.0), (2, far, 2.0)]).await.unwrap();
    bed.set(START + 1);
    put(&engine, "tides", &[(2, far, 3.0)]).await.unwrap();
    let mut most = 0;
    for hour in 0..60 {
        for minute in 0..60 {
            let at = START + hour * HOUR + minute * MINUTE;
            bed.set(at);
            let rows: Vec<_> = (0..4).map(|key| (key, at, minute as f32)).collect();
            put(&engine, "readings", &rows).await.unwrap();
        }
        bed.set(START + (hour + 1) * HOUR + 6 * MINUTE);
        engine.land_due().await.unwrap();
        most = most.max(log_bytes(&engine));
    }
    assert!(most < 10 * SEGMENT, "the log grew to {most} bytes");
    let expected = [((1, far, 1.0), START), ((2, far, 3.0), START + 1)];
    assert_eq!(rows_with_arrival(&engine, "tides").await.unwrap(), expected);
    // The repetition is replayed in its place, and the newest row still wins.
    put(&engine, "tides", &[(1, far, 4.0)]).await.unwrap();
    let now = bed.clock_now();
    drop(engine);
    let engine = bed.open().await;
    let expected = [((1, far, 4.0), now), ((2, far, 3.0), START + 1)];
    assert_eq!(rows_with_arrival(&engine, "tides").await.unwrap(), expected);
    engine.flush().await.unwrap();
    drop(engine);
    let engine = bed.open().await;
    assert_eq!(engine.recovery().rows, 0, "what has landed is not replayed");
    assert_eq!(rows_with_arrival(&engine, "tides").await.unwrap(), expected);
    engine.shutdown().await.unwrap();
}

/// Puts near, late and far, landings, deletions and crashes in any order come to what a map says, whether the log
/// gives back what it may or keeps it. `BAROGRAPH_TEST_SEEDS=24` runs more than the seeds of the gate.
#[tokio::test]
async fn whatever_is_written_again_changes_no_row() {
    for seed in 0..number("BAROGRAPH_TEST_SEEDS", 8) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let bed = Bed::new(settings());
        bed.disk.set_keeps(seed.is_multiple_of(2));
        let mut engine = bed.open().await;
        let mut model: Model = BTreeMap::new();
        let mut again = 0;
        for step in 0..150 {
            bed.set(START + step * 10 * MINUTE);
            let now = bed.clock_now();
            let table = if rng.random_bool(0.5) { "readings" } else { "tides" };
            for put_number in 0..rng.random_range(1..6) {
                // Each batch comes later than the one before.
                bed.set(now + put_number);
                let ahead = match rng.random_range(0..10) {
                    0 => rng.random_range(0..3) * 100 * HOUR,
                    1 => -rng.random_range(0..20) * HOUR,
                    _ => 0,
                };
                let at = now + ahead - now.rem_euclid(20 * MINUTE);
                let keys = if rng.random_bool(0.3) { 1 } else { 60 };
                let value = rng.random_range(0..1_000) as f32;
                let rows: Vec<_> = (0..keys).map(|key| (key, at, value)).collect();
                put(&engine, table, &rows).await.unwrap();
                for (key, at, value) in rows {
                    model.entry(table).or_default().insert((key, at), (value, now + put_number));
                }
            }
            match rng.random_range(0..12) {
                0 => drop(engine.flush().await.unwrap()),
                1..6 => drop(engine.land_due().await.unwrap()),
                6 => {
                    let from = now - rng.random_range(0..6) * HOUR;
                    let [from, to] = [from, now + 150 * HOUR].map(Timestamp::from_micros);
                    let time = TimeRange { from, to };
                    let (by, reason) = ("test".to_owned(), "test".to_owned());
                    let keys = Some([0, 1, 2].map(Key::new).to_vec());
                    let asked = DeletionRequest { keys, time, by, reason };
                    engine.delete(table, asked).await.unwrap();
                    let rows = model.entry(table).or_default();
                    rows.retain(|&(key, at), _| {
                        key > 2 || !time.contains(Timestamp::from_micros(at))
                    });
                }
                7 | 8 => {
                    again += engine.log_gauge().rows_written_again();
                    drop(engine);
                    engine = bed.open().await;
                }
                _ => {}
            }
            check(&engine, &model, seed, step).await;
        }
        again += engine.log_gauge().rows_written_again();
        assert!(again > 0, "seed {seed}: nothing was written again");
        engine.shutdown().await.unwrap();
    }
}

async fn check(engine: &Arc<Engine>, model: &Model, seed: u64, step: i64) {
    for (table, rows) in model {
        let found = rows_with_arrival(engine, table).await.unwrap();
        let expected = rows.iter().map(|(&(key, at), &(value, came))| ((key, at, value), came));
        let expected: Vec<_> = expected.collect();
        assert_eq!(found, expected, "seed {seed}, step {step}, table {table}");
    }
}
