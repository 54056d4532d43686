//! Tests of re-drives: values go in as they were sent, newer rows stay, and nothing is put over rows that came
//! meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Float32Type, Int32Type};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{LakeStore, Span, TableSchema, Timestamp};

use super::*;
use crate::{Ack, LogSource, ManualClock};

const AT: i64 = 1_767_225_600_000_000;

/// `readings` with temperatures up to `most`.
fn table(most: f64) -> TableSchema {
    let declaration = TableDeclaration::new("id", "at")
        .column(ValueColumn::new("temperature", ValueType::Float32).range(-90.0, most))
        .column(ValueColumn::new("direction", ValueType::Int16))
        .column(ValueColumn::new("level", ValueType::Float64));
    TableSchema::new("readings", declaration).unwrap()
}

/// An engine over a folder, whose clock is a second later with each step.
struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
}

async fn open(folder: &Path, clock: &Arc<ManualClock>, most: f64) -> Arc<Engine> {
    Engine::builder(LakeStore::local(&folder.join("lake")).unwrap())
        .log(LogSource::folder(folder.join("log")))
        .clock(Arc::clone(clock) as _)
        .table(table(most))
        .open()
        .await
        .unwrap()
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(AT) + 30 * Span::HOUR));
        let engine = open(folder.path(), &clock, 60.0).await;
        Self { folder, clock, engine }
    }

    fn tick(&self) {
        self.clock.set(crate::Clock::now(self.clock.as_ref()) + Span::SECOND);
    }

    async fn put(&self, batch: RecordBatch) -> Ack {
        self.tick();
        self.engine.put("readings", batch, "test", Durability::Disk).await.unwrap()
    }

    /// One temperature of key 1 at `AT`.
    async fn temperature(&self, temperature: f32) -> Ack {
        self.put(rows(vec![("temperature", Arc::new(Float32Array::from(vec![temperature])))])).await
    }

    /// The same engine after a restart, with another range.
    async fn restart(&mut self, most: f64) {
        self.tick();
        self.engine.shutdown().await.unwrap();
        self.engine = open(self.folder.path(), &self.clock, most).await;
    }

    async fn redrive(&self) -> RedriveReport {
        self.tick();
        self.engine.redrive("readings", TimeRange::ALL).await.unwrap()
    }

    async fn all(&self, table: &str) -> RecordBatch {
        let view = self.engine.view(table).unwrap();
        let columns = (2..view.schema.arrow().fields().len()).collect();
        let scan = Scan { columns, ..Scan::of(KeySelection::All, TimeRange::ALL) };
        let answer = self.engine.scan(view, scan).await.unwrap();
        let batches: Vec<_> = answer.batches.try_collect().await.unwrap();
        concat_batches(&answer.schema, &batches).unwrap()
    }

    async fn temperatures(&self) -> Vec<(i32, f32)> {
        let rows = self.all("readings").await;
        let keys = rows.column(0).as_primitive::<Int32Type>();
        let values = rows.column(2).as_primitive::<Float32Type>();
        keys.values().iter().copied().zip(values.values().iter().copied()).collect()
    }

    async fn reasons(&self) -> Vec<String> {
        let rows = self.all("dead_letters").await;
        let reasons = rows.column_by_name("reason").unwrap().as_string::<i32>();
        reasons.iter().flatten().map(str::to_owned).collect()
    }
}

/// A row of key 1 at `AT` and these columns, or rows of keys from 1 on.
fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let count = columns.iter().map(|(_, column)| column.len()).max().unwrap_or(1);
    let has = |name: &str| columns.iter().any(|(given, _)| *given == name);
    let mut all: Vec<(&str, ArrayRef)> = Vec::new();
    if !has("id") {
        all.push(("id", Arc::new(Int64Array::from_iter_values(1..=count as i64))));
    }
    if !has("at") {
        let times = TimestampMicrosecondArray::from_value(AT, count).with_timezone("UTC");
        all.push(("at", Arc::new(times)));
    }
    all.extend(columns);
    let nullable = all.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
}

fn report(letters: u64, accepted: u64, rejected: u64, superseded: u64) -> RedriveReport {
    RedriveReport { letters, accepted, rejected, superseded, unreadable: 0 }
}

#[tokio::test]
async fn with_nothing_mended_nothing_is_taken() {
    let mut fixture = Fixture::new().await;
    fixture.temperature(20.0).await;
    let text = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let fine = TimestampNanosecondArray::from(vec![AT * 1_000 + 1]).with_timezone("UTC");
    let hot = |value: f64| ("temperature", text(vec![value]));
    let refused: Vec<Vec<(&str, ArrayRef)>> = vec![
        vec![("id", text(vec![1.5])), hot(1.0)],
        vec![("direction", text(vec![270.5]))],
        vec![("direction", text(vec![f64::NAN]))],
        vec![("direction", Arc::new(Int64Array::from(vec![40_000])))],
        vec![("at", Arc::new(fine)), hot(2.0)],
        vec![hot(f64::NAN)],
        vec![hot(f64::INFINITY)],
        vec![hot(70.0)],
        vec![hot(1e39)],
        vec![("temperature", Arc::new(StringArray::new_null(1))), ("id", text(vec![f64::NAN]))],
    ];
    let mut letters = 0;
    for mut columns in refused {
        columns.retain(|(_, column)| *column.data_type() != arrow::datatypes::DataType::Utf8);
        let ack = fixture.put(rows(columns)).await;
        assert_eq!((ack.accepted, ack.rejected), (0, 1));
        letters += 1;
    }
    let before = fixture.all("readings").await;
    for _ in 0..2 {
        assert_eq!(fixture.redrive().await, report(letters, 0, letters, 0));
        assert_eq!(fixture.all("readings").await, before);
        fixture.restart(60.0).await;
    }
}

#[tokio::test]
async fn after_a_fix_the_values_as_they_were_sent_go_in() {
    let mut fixture = Fixture::new().await;
    let hot = Arc::new(Float32Array::from(vec![70.1, 80.3, 61.0])) as ArrayRef;
    let level = Arc::new(Float32Array::from(vec![0.1, f32::NAN, f32::INFINITY])) as ArrayRef;
    let sent = rows(vec![("temperature", hot), ("level", level)]);
    assert_eq!(fixture.put(sent.clone()).await.rejected, 3);
    fixture.restart(75.0).await;
    assert_eq!(fixture.redrive().await, report(3, 2, 1, 0));
    fixture.restart(100.0).await;
    assert_eq!(fixture.redrive().await, report(1, 1, 0, 0));
    assert_eq!(fixture.redrive().await, report(0, 0, 0, 0));
    let put_whole = Fixture::new().await;
    let engine =
        open(put_whole.folder.path().join("wide").as_path(), &put_whole.clock, 100.0).await;
    let direct = Fixture { engine, ..put_whole };
    direct.put(sent).await;
    let (redriven, direct) = (fixture.all("readings").await, direct.all("readings").await);
    let values = 0..redriven.num_columns() - 1;
    for column in values {
        // Not by equality of numbers, so that NaN is compared, too.
        assert_eq!(
            format!("{:?}", redriven.column(column)),
            format!("{:?}", direct.column(column))
        );
    }
}

#[tokio::test]
async fn a_row_that_was_accepted_later_stays() {
    for landed in [false, true] {
        let mut fixture = Fixture::new().await;
        fixture.temperature(70.0).await;
        fixture.temperature(20.0).await;
        if landed {
            fixture.engine.flush().await.unwrap();
        }
        fixture.restart(100.0).await;
        if landed {
            assert_eq!(fixture.engine.view("readings").unwrap().tail.rows(), 0);
        }
        assert_eq!(fixture.redrive().await, report(1, 0, 0, 1));
        assert_eq!(fixture.temperatures().await, [(1, 20.0)]);
        let reasons = fixture.reasons().await;
        assert!(reasons[0].starts_with("superseded"), "{reasons:?}");
        assert_eq!(fixture.redrive().await, report(0, 0, 0, 0));
        fixture.restart(100.0).await;
        fixture.engine.flush().await.unwrap();
        fixture.restart(100.0).await;
        assert_eq!(fixture.temperatures().await, [(1, 20.0)]);
    }
}

#[tokio::test]
async fn a_row_that_was_accepted_before_is_replaced() {
    for landed in [false, true] {
        let mut fixture = Fixture::new().await;
        fixture.temperature(20.0).await;
        if landed {
            fixture.engine.flush().await.unwrap();
        }
        fixture.temperature(70.0).await;
        fixture.restart(100.0).await;
        assert_eq!(fixture.redrive().await, report(1, 1, 0, 0));
        assert_eq!(fixture.temperatures().await, [(1, 70.0)]);
        fixture.engine.flush().await.unwrap();
        fixture.restart(100.0).await;
        assert_eq!(fixture.temperatures().await, [(1, 70.0)]);
    }
}

#[tokio::test]
async fn of_letters_of_one_row_the_last_goes_in_and_a_row_of_the_same_batch_stays() {
    let mut fixture = Fixture::new().await;
    for temperature in [70.0, 90.0, 80.0] {
        fixture.temperature(temperature).await;
    }
    let (id, hot) = (Int64Array::from(vec![2, 2]), Float32Array::from(vec![70.0, 20.0]));
    fixture.put(rows(vec![("id", Arc::new(id)), ("temperature", Arc::new(hot))])).await;
    fixture.restart(100.0).await;
    assert_eq!(fixture.redrive().await, report(4, 1, 0, 3));
    assert_eq!(fixture.temperatures().await, [(1, 80.0), (2, 20.0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_put_while_letters_are_put_again_stay() {
    const KEYS: i64 = 3_000;
    let mut fixture = Fixture::new().await;
    let all = |value: f32| {
        let values = Float32Array::from_value(value, KEYS as usize);
        rows(vec![("temperature", Arc::new(values))])
    };
    assert_eq!(fixture.put(all(70.0)).await.rejected, KEYS as u64);
    fixture.restart(100.0).await;
    fixture.tick();
    let engine = Arc::clone(&fixture.engine);
    let redriving = tokio::spawn(async move { engine.redrive("readings", TimeRange::ALL).await });
    for key in 1..=KEYS {
        if key % 3 == 0 {
            let (id, value) = (Int64Array::from(vec![key]), Float32Array::from(vec![20.0]));
            let one = rows(vec![("id", Arc::new(id)), ("temperature", Arc::new(value))]);
            fixture.engine.put("readings", one, "test", Durability::Memory).await.unwrap();
        }
        if key % 500 == 0 {
            fixture.engine.flush().await.unwrap();
        }
    }
    let done = redriving.await.unwrap().unwrap();
    assert_eq!(done.letters, KEYS as u64);
    assert_eq!(done.accepted + done.superseded, KEYS as u64);
    for (key, temperature) in fixture.temperatures().await {
        assert_eq!(temperature, if key % 3 == 0 { 20.0 } else { 70.0 }, "key {key}");
    }
}

#[tokio::test]
async fn a_submission_whose_rows_were_put_meanwhile_is_not_taken() {
    let fixture = Fixture::new().await;
    fixture.temperature(10.0).await;
    let target = fixture.engine.table("readings").unwrap();
    let precondition = |view: &Arc<View>| Precondition {
        table: Arc::clone(target),
        view: Arc::clone(view),
        rows: by_hour(&[(Key::new(1), Timestamp::from_micros(AT))]),
    };
    let put = async |precondition: Precondition| {
        let one = rows(vec![("temperature", Arc::new(Float32Array::from(vec![30.0])))]);
        let one = validate(&target.schema, &one, &fixture.engine.rules(target)).unwrap().accepted;
        let entries = vec![entry(target, one, "test").unwrap()];
        let room = fixture.engine.reserve_tail(100).unwrap();
        fixture.engine.submit_unchanged(entries, room, precondition).await.unwrap().is_some()
    };
    let view = target.view.load_full();
    // Another row of the same hour, and none at all.
    let other = rows(vec![("id", Arc::new(Int64Array::from(vec![2])) as ArrayRef)]);
    fixture.put(other).await;
    assert!(put(precondition(&view)).await);
    assert!(!put(precondition(&view)).await, "the row was put since");
    let view = target.view.load_full();
    fixture.temperature(20.0).await;
    assert!(!put(precondition(&view)).await);
    let view = target.view.load_full();
    fixture.engine.flush().await.unwrap();
    assert!(!put(precondition(&view)).await, "it has landed since");
    assert_eq!(fixture.temperatures().await[0], (1, 20.0));
    assert!(put(precondition(&target.view.load_full())).await);
}

#[tokio::test]
async fn rows_as_they_stood_in_a_file_and_old_letters_stay_and_are_told_apart() {
    let fixture = Fixture::new().await;
    let rows = [
        r#"{"id":1,"at":"2026-01-01T00:00:00Z","temperature":50}"#,
        r#"{"id":"1","at":"2026-01-01T00:00:00Z","temperature":"50"}"#,
        r#"{"id":1.0,"at":"2026-01-01T00:00:00Z","temperature":null}"#,
    ];
    let rejected = rows.map(|row| crate::validate::Rejected {
        reason: "as it stood".to_owned(),
        row: row.to_owned(),
    });
    fixture.engine.put_rejected("readings", &rejected, "a.csv", Durability::Disk).await.unwrap();
    let expected = RedriveReport { letters: 3, unreadable: 3, ..RedriveReport::default() };
    assert_eq!(fixture.redrive().await, expected);
    assert!(fixture.temperatures().await.is_empty());
}
