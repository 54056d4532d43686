//! The time to plan a statement, in a table of 24 and of 100,000 files.
//!
//! `cargo bench --workspace --bench planning`. A day of minutes of a thousand cities is stored; the hours of years
//! before it are only entries of the table, which planning must not look into. The time covers everything between text
//! and first batch: parsing, names, plan, optimizer, statistics, cost; once for a new text, once for a known one.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barograph_engine::{Durability, ManualClock};
use barograph_lake::ColumnStats;
use barograph_lake::schema::TableDeclaration;
use barograph_lake::{
    Change, FileEntry, FilePath, Hour, Key, LakeStore, LakeTable, LogPosition, Operation, Span,
    TableSchema, Timestamp, ValueColumn, ValueType,
};
use barograph_query::{Sql, SqlSession, SqlSettings};
use barograph_test_support::{engine_in, instants};
use datafusion::arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch};

const CITIES: i32 = 1_000;
/// 2026-11-21T00:00:00Z: the day that is there.
const DAY: Timestamp = Timestamp::from_micros(1_795_219_200_000_000);
const BEFORE: i64 = 100_000;
const ASKED: usize = 300;

fn table() -> TableSchema {
    let column = |name: &str| ValueColumn::new(name, ValueType::Float32).range(-90.0, 110.0);
    let declaration = TableDeclaration::new("city_id", "reading_at")
        .columns(["temperature", "humidity"].map(column));
    TableSchema::new("readings", declaration).expect("schema")
}

/// The entry of an hour whose file nobody needs.
fn entry(hour: i64) -> Arc<FileEntry> {
    let hour = Hour::of(DAY - hour * Span::HOUR).expect("hour");
    let stats = |min: serde_json::Value, max: serde_json::Value| ColumnStats {
        min: Some(min),
        max: Some(max),
        nulls: 0,
    };
    let times = (hour.start(), hour.end() - Span::MINUTE);
    let instant = |at: Timestamp| serde_json::Value::from(at.to_string());
    Arc::new(FileEntry {
        path: FilePath::new(hour, LogPosition::default()),
        bytes: 1 << 20,
        rows: CITIES as u64 * 60,
        keys: (Key::new(0), Key::from(CITIES - 1)),
        times,
        columns: vec![
            stats(0.into(), (CITIES - 1).into()),
            stats(instant(times.0), instant(times.1)),
            stats((-20.0).into(), 40.0.into()),
            stats(0.0.into(), 100.0.into()),
            stats(instant(times.0), instant(times.1)),
        ],
    })
}

/// Readings of a minute.
fn readings(minute: i64) -> RecordBatch {
    let at = instants((0..CITIES).map(|_| (DAY + minute * Span::MINUTE).as_micros()));
    let values = |from: i32| -> ArrayRef {
        Arc::new((0..CITIES).map(|city| ((city + from) % 60) as f32).collect::<Float32Array>())
    };
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("city_id", Arc::new((0..CITIES).collect::<Int32Array>()), false),
        ("reading_at", at, false),
        ("temperature", values(minute as i32), true),
        ("humidity", values(7), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("batch")
}

/// A table with the day, and `before` hours before it.
async fn serve(folder: &std::path::Path, before: i64) -> Arc<Sql> {
    let lake = LakeStore::local(&folder.join("lake")).expect("store");
    let (landed, snapshot) =
        LakeTable::open(lake.child("readings"), Arc::new(table())).await.expect("table");
    let entries = (1..=before).map(entry).collect();
    let landing = landed.transaction(&snapshot, Operation::Land, Change::Moved).add(entries);
    landing.commit(DAY).await.expect("commit").committed().expect("the only writer");
    let engine = engine_in(folder)
        .clock(Arc::new(ManualClock::new(DAY + 30 * Span::HOUR)))
        .table(table())
        .open()
        .await
        .expect("engine");
    for minute in 0..24 * 60 {
        engine.put("readings", readings(minute), "bench", Durability::Memory).await.expect("put");
    }
    engine.flush().await.expect("flush");
    Sql::with_dimensions(engine, SqlSettings::default(), BTreeMap::new()).expect("SQL")
}

/// Time from the text to its first batch being asked for.
async fn planned(sql: &Sql, text: &str) -> Duration {
    let session = SqlSession::default();
    let begun = Instant::now();
    let statement = sql.prepare(&session, text).await.expect("statement");
    let answer = sql.execute(&session, &statement, &[]).await.expect("plan");
    let planned = begun.elapsed();
    drop(answer);
    planned
}

fn median(times: &mut [Duration]) -> (f64, f64, f64) {
    times.sort_unstable();
    let millis = |at: usize| times[at].as_secs_f64() * 1e3;
    (millis(times.len() / 2), millis(0), millis(times.len() * 99 / 100))
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let (from, to) = (DAY, DAY + Span::DAY);
    let day = format!("reading_at >= timestamp '{from}' AND reading_at < timestamp '{to}'");
    let questions = [
        ("a day of one city", format!("SELECT * FROM readings WHERE city_id = 7 AND {day}")),
        (
            "hourly means of a day",
            format!(
                "SELECT city_id, date_bin(INTERVAL '1 hour', reading_at) AS hour, avg(temperature) \
                 FROM readings WHERE {day} GROUP BY 1, 2"
            ),
        ),
        ("rows of a day", format!("SELECT count(*) FROM readings WHERE {day}")),
    ];
    println!("planning, ms: median (least … 99th of a hundred)");
    for before in [0, BEFORE] {
        let folder = tempfile::tempdir().expect("folder");
        runtime.block_on(async {
            let sql = serve(folder.path(), before).await;
            for (name, text) in &questions {
                let (mut new, mut known) = (Vec::new(), Vec::new());
                for turn in 0..ASKED {
                    // Another text each time, of the same meaning.
                    new.push(planned(&sql, &format!("{text} -- {turn}")).await);
                    known.push(planned(&sql, text).await);
                    // What was dropped gives its place back before the next is timed.
                    while sql.queries().running() > 0 {
                        tokio::task::yield_now().await;
                    }
                }
                for (kind, times) in [("new", &mut new), ("known", &mut known)] {
                    let (middle, least, late) = median(&mut times[2..]);
                    println!(
                        "  {:>7} files  {name:<22} {kind:<6} {middle:6.3} ({least:.3} … {late:.3})",
                        before + 24
                    );
                }
            }
        });
    }
}
