//! Tests of import runs: every row is accounted for through full sinks, failures and stops, and the figures of real
//! observations are right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float32Type, Int32Type};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_query::SqlExpressions;
use barograph_test_support::weather_table;

use super::*;

/// A table in memory: what an engine must end up with.
#[derive(Default)]
struct Memory {
    rows: Mutex<BTreeMap<i32, Option<f32>>>,
    rejected: Mutex<Vec<Rejected>>,
    calls: AtomicU64,
    /// Every so many calls the sink is full.
    full_every: u64,
    /// After this many calls it fails for good.
    fails_after: u64,
    /// Told to stop after so many calls.
    stops: Option<(u64, Stop)>,
}

impl Memory {
    fn call(&self) -> Result<()> {
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((after, stop)) = &self.stops
            && calls >= *after
        {
            stop.stop();
        }
        if self.fails_after > 0 && calls > self.fails_after {
            return Err(Error::new(ErrorKind::Unavailable, "gone"));
        }
        if self.full_every > 0 && calls.is_multiple_of(self.full_every) {
            return Err(Error::new(ErrorKind::Resources, "full")
                .with_retry_after(Some(Duration::from_millis(1))));
        }
        Ok(())
    }
}

impl Sink for Memory {
    async fn put(&self, _: &str, rows: RecordBatch, _: &str) -> Result<PutOutcome> {
        tokio::task::yield_now().await;
        self.call()?;
        let keys = rows.column_by_name("id").unwrap().as_primitive::<Int32Type>();
        let values = rows.column_by_name("v").unwrap().as_primitive::<Float32Type>();
        let mut taken = PutOutcome::default();
        for (key, value) in keys.iter().zip(values) {
            match value {
                Some(value) if value > 1e6 => taken.rejected += 1,
                value => {
                    self.rows.lock().unwrap().insert(key.unwrap(), value);
                    taken.accepted += 1;
                }
            }
        }
        Ok(taken)
    }

    async fn put_rejected(&self, _: &str, rejected: &[Rejected], _: &str) -> Result<PutOutcome> {
        self.call()?;
        self.rejected.lock().unwrap().extend_from_slice(rejected);
        Ok(PutOutcome { accepted: 0, rejected: rejected.len() as u64 })
    }
}

fn table() -> Arc<TableSchema> {
    let value = ValueColumn::new("v", ValueType::Float32);
    let declaration = TableDeclaration::new("id", "at").column(value);
    Arc::new(TableSchema::new("things", declaration).unwrap())
}

/// 1,000 rows: every 100th unreadable, every 125th of the rest implausible.
fn csv(folder: &tempfile::TempDir) -> PathBuf {
    let mut text = String::from("id,at,v,extra\n");
    for i in 1..=1000 {
        let value = match i {
            i if i % 100 == 0 => "x".to_owned(),
            i if i % 125 == 0 => "1e7".to_owned(),
            i => i.to_string(),
        };
        writeln!(text, "{i},2026-01-01,{value},e").unwrap();
    }
    let path = folder.path().join("things.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn import(sink: &Memory, stop: Stop) -> Import<'_, Memory> {
    Import {
        sink,
        target: "memory".to_owned(),
        table: table(),
        mapping: Mapping::default(),
        options: Options { batch_rows: 30, in_flight: 3, ..Options::new(Arc::new(SqlExpressions)) },
        stop,
        seen: Default::default(),
    }
}

fn state(folder: &tempfile::TempDir) -> State {
    State::open(folder.path().join("state.json")).unwrap()
}

/// Everything that must be in the sink after the whole file.
fn assert_whole(sink: &Memory) {
    let rows = sink.rows.lock().unwrap();
    let expected: BTreeMap<i32, Option<f32>> =
        (1..=1000).filter(|i| i % 100 != 0 && i % 125 != 0).map(|i| (i, Some(i as f32))).collect();
    assert_eq!(*rows, expected);
}

#[tokio::test]
async fn every_row_is_accounted_for_even_if_the_sink_is_full_at_times() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Memory { full_every: 3, ..Memory::default() };
    let mut seen = Vec::new();
    let mut progress = |p: Progress| seen.push(p.rows);
    let path = csv(&folder);
    let summary = import(&sink, Stop::default())
        .file(&path, &mut state(&folder), &mut progress)
        .await
        .unwrap();
    assert_whole(&sink);
    assert_eq!((summary.read, summary.unreadable, summary.implausible), (1000, 10, 6));
    assert_eq!(summary.accepted, 984);
    assert_eq!(summary.ignored, ["extra"]);
    assert!(seen.is_sorted() && seen.last() == Some(&1000), "{seen:?}");
    let rejected = sink.rejected.lock().unwrap().clone();
    assert_eq!(rejected.len(), 10);
    assert_eq!(rejected[0].reason, "v: \"x\" is not a number (row 100)");
    assert_eq!(rejected[0].row, r#"{"id":"100","at":"2026-01-01","v":"x","extra":"e"}"#);

    let calls = sink.calls.load(Ordering::SeqCst);
    let again = import(&sink, Stop::default());
    let summary = again.file(&path, &mut state(&folder), &mut |_| ()).await.unwrap();
    assert_eq!((summary.earlier, summary.read), (1000, 0));
    assert_eq!(sink.calls.load(Ordering::SeqCst), calls);

    let mut restarted = import(&sink, Stop::default());
    restarted.options.restart = true;
    let summary = restarted.file(&path, &mut state(&folder), &mut |_| ()).await.unwrap();
    assert_eq!((summary.earlier, summary.read), (0, 1000));
}

/// A sink that takes the first batch last.
struct Slow {
    memory: Memory,
    others: tokio::sync::Semaphore,
}

impl Sink for Slow {
    async fn put(&self, table: &str, rows: RecordBatch, source: &str) -> Result<PutOutcome> {
        let keys = rows.column_by_name("id").unwrap().as_primitive::<Int32Type>();
        if keys.values().first() == Some(&1) && self.memory.calls.load(Ordering::SeqCst) == 0 {
            self.others.acquire().await.unwrap().forget();
        }
        let taken = self.memory.put(table, rows, source).await;
        self.others.add_permits(1);
        taken
    }

    async fn put_rejected(
        &self,
        table: &str,
        rejected: &[Rejected],
        source: &str,
    ) -> Result<PutOutcome> {
        self.memory.put_rejected(table, rejected, source).await
    }
}

#[tokio::test]
async fn a_row_that_replaces_another_is_put_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.csv");
    let mut text = String::from("id,at,v\n");
    for (id, value) in (1..=60).map(|id| (id, id)).chain([(2, 200), (61, 61)]) {
        writeln!(text, "{id},2026-01-01,{value}").unwrap();
    }
    std::fs::write(&path, text).unwrap();
    let sink = Slow { memory: Memory::default(), others: tokio::sync::Semaphore::new(0) };
    let options =
        Options { batch_rows: 30, in_flight: 3, ..Options::new(Arc::new(SqlExpressions)) };
    let import = Import {
        sink: &sink,
        target: "slow".to_owned(),
        table: table(),
        mapping: Mapping::default(),
        options,
        stop: Stop::default(),
        seen: Default::default(),
    };
    let summary = import.file(&path, &mut state(&folder), &mut |_| ()).await.unwrap();
    assert_eq!((summary.accepted, summary.replaced.rows), (62, 1));
    let rows = sink.memory.rows.lock().unwrap();
    assert_eq!((rows[&2], rows.len()), (Some(200.0), 61));
}

#[tokio::test]
async fn after_a_failure_a_later_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = csv(&folder);
    let mut sink = Memory { fails_after: 11, ..Memory::default() };
    let failed = import(&sink, Stop::default()).file(&path, &mut state(&folder), &mut |_| ()).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    sink.fails_after = 0;
    let summary =
        import(&sink, Stop::default()).file(&path, &mut state(&folder), &mut |_| ()).await.unwrap();
    assert!(summary.earlier >= 150, "{}", summary.earlier);
    assert_eq!(summary.earlier + summary.read, 1000);
    assert_whole(&sink);
}

#[tokio::test]
async fn a_stop_ends_the_run_after_what_is_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = csv(&folder);
    let stop = Stop::default();
    let mut sink = Memory { stops: Some((5, stop.clone())), ..Memory::default() };
    let summary = import(&sink, stop).file(&path, &mut state(&folder), &mut |_| ()).await.unwrap();
    assert!(summary.stopped && summary.read >= 90 && summary.read < 1000, "{summary:?}");
    sink.stops = None;
    let rest =
        import(&sink, Stop::default()).file(&path, &mut state(&folder), &mut |_| ()).await.unwrap();
    assert_eq!(rest.earlier, summary.read);
    assert_eq!(rest.earlier + rest.read, 1000);
    assert_whole(&sink);
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_refused_before_any_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.csv");
    std::fs::write(&path, "a,b\n1,2\n").unwrap();
    let sink = Memory::default();
    let error = import(&sink, Stop::default())
        .file(&path, &mut state(&folder), &mut |_| ())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert_eq!(sink.calls.load(Ordering::SeqCst), 0);
}

#[test]
fn large_batches_are_cut() {
    let wide = "x".repeat(1 << 20);
    let texts = arrow::array::StringArray::from(vec![wide.as_str(); 30]);
    let rows =
        RecordBatch::try_from_iter([("t", Arc::new(texts) as arrow::array::ArrayRef)]).unwrap();
    let parts = parts(rows.clone());
    assert_eq!(parts.iter().map(RecordBatch::num_rows).sum::<usize>(), 30);
    assert!(parts.len() >= 4 && parts.iter().all(|part| part.num_rows() <= 8));
    assert!(super::parts(rows.slice(0, 0)).is_empty());
}

#[test]
fn large_letters_are_handed_over_in_parts() {
    let letter = |bytes| Rejected { reason: "wrong".to_owned(), row: "x".repeat(bytes) };
    let rejected: Vec<_> = (0..300).map(|_| letter(60 << 10)).collect();
    let parts = letters(&rejected);
    assert_eq!(parts.concat(), rejected);
    assert!((3..=4).contains(&parts.len()), "{}", parts.len());
    assert!(parts.iter().all(|part| part.len() < 150));
    let small: Vec<_> = (0..10_001).map(|_| letter(1)).collect();
    assert_eq!(letters(&small).iter().map(|part| part.len()).collect::<Vec<_>>(), [10_000, 1]);
    assert!(letters(&[]).is_empty());
}

/// Rows with computed columns in single precision, as the table holds them.
fn single(rows: &RecordBatch) -> RecordBatch {
    let columns = rows.schema_ref().fields().iter().zip(rows.columns()).map(|(field, column)| {
        let column = match column.data_type() {
            DataType::Float64 => arrow::compute::cast(column, &DataType::Float32).unwrap(),
            _ => Arc::clone(column),
        };
        (field.name().clone(), column)
    });
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Takes the real observations and sums what it gets.
#[derive(Default)]
struct Observations(Mutex<BTreeMap<i32, [f64; 6]>>);

impl Sink for Observations {
    async fn put(&self, _: &str, rows: RecordBatch, _: &str) -> Result<PutOutcome> {
        let rows = single(&rows);
        let value = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Float32Type>();
        let cities = rows.column_by_name("city_id").unwrap().as_primitive::<Int32Type>();
        let mut sums = self.0.lock().unwrap();
        let mut taken = PutOutcome::default();
        for row in 0..rows.num_rows() {
            let sum = sums.entry(cities.value(row)).or_default();
            let wind = value("wind_speed").iter().nth(row).flatten();
            if wind.is_some_and(|wind| wind > 120.0) {
                taken.rejected += 1;
                continue;
            }
            taken.accepted += 1;
            sum[0] += 1.0;
            if let Some(temperature) = value("temperature").iter().nth(row).flatten() {
                sum[1] += 1.0;
                sum[2] += f64::from(temperature);
            }
            sum[3] += f64::from(u8::from(value("pressure").iter().nth(row).flatten().is_some()));
            sum[4] += f64::from(wind.unwrap_or_default());
            sum[5] += f64::from(value("precipitation").value(row));
        }
        Ok(taken)
    }

    async fn put_rejected(&self, _: &str, rejected: &[Rejected], _: &str) -> Result<PutOutcome> {
        Ok(PutOutcome { accepted: 0, rejected: rejected.len() as u64 })
    }
}

/// The figures were computed from the CSV by a program of its own: rows, temperatures, their mean in °C,
/// pressures, sum of wind in m/s over 8,700, mm of rain; without the implausible row.
#[tokio::test]
async fn the_real_observations_come_to_the_figures_computed_from_the_csv() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sink = Observations::default();
    let import = Import {
        sink: &sink,
        target: "memory".to_owned(),
        table: Arc::new(weather_table()),
        mapping: Mapping::read(&root.join("examples/nyc-weather.toml")).unwrap(),
        options: Options { batch_rows: 5_000, ..Options::new(Arc::new(SqlExpressions)) },
        stop: Stop::default(),
        seen: Default::default(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = root.join("tests/data/nyc-weather-2013.csv");
    let summary = import.file(&path, &mut state(&folder), &mut |_| ()).await.unwrap();
    assert_eq!((summary.read, summary.accepted), (26_115, 26_114));
    assert_eq!((summary.unreadable, summary.implausible), (0, 1));
    let sums = sink.0.into_inner().unwrap();
    for (city, expected) in [
        (5_101_798, [8_702.0, 8_701.0, 13.0824732789335, 7_767.0, 4.176581, 1_114.552]),
        (5_128_581, [8_706.0, 8_706.0, 12.484527911785047, 7_875.0, 5.1286, 881.126]),
        (5_133_273, [8_706.0, 8_706.0, 13.201447277739563, 7_743.0, 4.752109, 968.756]),
    ] {
        let [rows, temperatures, sum, pressures, wind, rain] = sums[&city];
        let found = [rows, temperatures, sum / temperatures, pressures, wind / 8_700.0, rain];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{city}: {found} instead of {expected}");
        }
    }
}
