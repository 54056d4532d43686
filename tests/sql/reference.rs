//! Tests of the reference page: it equals the generated one, and its examples run.

use std::sync::Arc;

use barograph_engine::{Error, ErrorKind, Result};
use barograph_lake::AsOf;
use barograph_query::functions::{Tables, page, register_tables};
use datafusion::arrow::array::{Int32Array, Int64Array};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::prelude::SessionContext;

use crate::session;

#[test]
fn the_committed_page_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql.md");
    let generated = page().unwrap();
    if std::env::var_os("BAROGRAPH_WRITE_DOCS").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/sql.md is stale: BAROGRAPH_WRITE_DOCS=1 cargo test --release --workspace --test sql"
    );
}

#[test]
fn every_registered_function_is_on_the_page() {
    let page = page().unwrap();
    let plain = SessionContext::new().state();
    let with = session(1, 8192).state();
    let mut added = 0;
    for (name, function) in with.scalar_functions() {
        if !plain.scalar_functions().contains_key(name) {
            assert!(function.documentation().is_some(), "{name}");
            assert!(page.contains(&format!("### `{name}(")), "{name}");
            added += 1;
        }
    }
    for (name, function) in with.aggregate_functions() {
        if !plain.aggregate_functions().contains_key(name) {
            assert!(function.documentation().is_some(), "{name}");
            assert!(page.contains(&format!("### `{name}(")), "{name}");
            added += 1;
        }
    }
    assert_eq!(added, 17);
}

/// A session with small tables of the built-in names and columns.
async fn with_tables() -> SessionContext {
    let context = session(2, 3);
    for sql in [
        "CREATE TABLE readings AS SELECT column1::int AS city_id, column2::timestamp AS reading_at,
           column3::real AS temperature, column4::real AS humidity, column5::real AS pressure,
           column6::real AS wind_speed, column7::smallint AS wind_direction, column8::real AS precipitation
         FROM (VALUES (5128581, '2026-11-21T10:00:00', 8.5, 60, 1011, 3.5, 270, 0.0),
                      (5128581, '2026-11-21T11:00:00', 9.5, 55, 1010, 4.5, 280, 0.2),
                      (2643743, '2026-11-21T10:00:00', 7.0, 80, 1005, 6.0, 200, 1.4),
                      (2643743, '2026-11-22T10:05:00', 6.0, 85, 1002, 7.0, 210, 2.0))",
        "CREATE TABLE cities AS SELECT column1::int AS city_id, column2 AS name
         FROM (VALUES (5128581, 'New York City'), (2643743, 'London'))",
    ] {
        context.sql(sql).await.unwrap().collect().await.unwrap();
    }
    register_tables(&context, Arc::new(Newest(context.clone())));
    context
}

/// Table functions, answered by SQL.
struct Newest(SessionContext);

impl Tables for Newest {
    fn latest(&self, table: &str) -> Result<Arc<dyn TableProvider>> {
        self.rows(
            table,
            "SELECT * FROM readings r WHERE reading_at =
             (SELECT max(reading_at) FROM readings s WHERE s.city_id = r.city_id)",
        )
    }

    fn as_of(&self, table: &str, as_of: AsOf) -> Result<Arc<dyn TableProvider>> {
        match as_of {
            AsOf::Version(version) => {
                self.rows(table, format!("SELECT * FROM readings WHERE city_id < {version}"))
            }
            AsOf::Time(_) => self.rows(table, "SELECT * FROM readings"),
        }
    }

    fn live(&self, rollup: &str) -> Result<Arc<dyn TableProvider>> {
        if rollup != "readings_1h" {
            return Err(Error::new(ErrorKind::Request, format!("there is no rollup {rollup:?}")));
        }
        self.rows(
            "readings",
            "SELECT city_id, date_bin(INTERVAL '1 hour', reading_at) AS window_start,
                    count(*) AS rows, avg(temperature) AS temperature_mean,
                    mean_direction(wind_direction, wind_speed) AS wind_direction_mean
             FROM readings GROUP BY city_id, window_start",
        )
    }
}

impl Newest {
    fn rows(&self, table: &str, sql: impl Into<String>) -> Result<Arc<dyn TableProvider>> {
        if table != "readings" {
            return Err(Error::new(ErrorKind::NotFound, format!("no table {table:?} is declared")));
        }
        let (context, sql) = (self.0.clone(), sql.into());
        let batches = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { context.sql(&sql).await.unwrap().collect().await.unwrap() })
        })
        .join()
        .unwrap();
        let schema = batches.first().map(RecordBatch::schema).unwrap();
        Ok(Arc::new(MemTable::try_new(schema, vec![batches]).unwrap()))
    }
}

#[tokio::test]
async fn every_example_of_the_page_runs() {
    let context = with_tables().await;
    let page = page().unwrap();
    let examples: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(examples.len() > 16, "{}", examples.len());
    for sql in examples {
        let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        let batches = frame.collect().await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert!(rows > 0, "no rows: {sql}");
    }
}

#[tokio::test]
async fn latest_is_a_table() {
    let context = with_tables().await;
    let sql = "SELECT city_id FROM latest('readings') WHERE reading_at > '2026-11-21T10:30:00' ORDER BY 1";
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let cities: Vec<i32> = batches
        .iter()
        .flat_map(|b| b.column(0).as_any().downcast_ref::<Int32Array>().unwrap().values().to_vec())
        .collect();
    assert_eq!(cities, [2643743, 5128581]);

    for (sql, words) in [
        ("SELECT * FROM latest('nothing')", "no table \"nothing\" is declared"),
        ("SELECT * FROM latest(5)", "the name of a table as text"),
        ("SELECT * FROM latest()", "latest('readings')"),
        ("SELECT * FROM live('nothing')", "no rollup \"nothing\""),
    ] {
        let error = context.sql(sql).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn an_earlier_version_is_a_table() {
    let context = with_tables().await;
    for moment in ["3000000", "TIMESTAMP '2026-11-21T10:00:00Z'", "'2026-11-21'", "now()"] {
        let sql = format!("SELECT count(DISTINCT city_id) FROM as_of('readings', {moment})");
        let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let counts = batches[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap().clone();
        assert_eq!(counts.value(0), if moment == "3000000" { 1 } else { 2 }, "{moment}");
    }
    for (arguments, words) in [
        ("'nothing', 1", "no table \"nothing\" is declared"),
        ("5, 1", "the name of a table as text"),
        ("'readings'", "a version or time, both constant"),
        ("'readings', -1", "there is no version -1"),
        ("'readings', 'noon'", "noon"),
        ("'readings', 1.5", "a version or time, not 1.5"),
        ("'readings', NULL", "not NULL"),
    ] {
        let sql = format!("SELECT * FROM as_of({arguments})");
        let error = context.sql(&sql).await.unwrap_err().to_string();
        assert!(error.contains(words), "{sql}: {error}");
    }
}
