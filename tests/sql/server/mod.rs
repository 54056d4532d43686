//! SQL scripts over real tables. Each script runs against an engine of its own, whose rows are put and landed as
//! `rows.slt` says: in the lake, late in the tail, and in open hours.
//!
//! ```text
//! do put readings           rows of a query, put into a table
//! do flush                  lands everything
//! do time_zone Asia/Tokyo   zone of the session; none: the server's own
//! do timeout 5              longest time of a statement in ms; none: the server's own
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::{Clock, Durability, Engine, ManualClock};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{Span, TableSchema, Timestamp};
use barograph_query::{Sql, SqlSession, SqlSettings};
use barograph_test_support::{engine_in, landing_on_request};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::script::{Subject, run};

/// 2026-03-29T03:30:00Z in µs: the day on which clocks changed in Europe, at 01:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_774_755_000_000_000);

/// An engine with SQL over it.
struct Served {
    engine: Arc<Engine>,
    sql: Arc<Sql>,
    session: SqlSession,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

fn readings() -> TableSchema {
    let declaration = TableDeclaration::new("city_id", "reading_at")
        .column(ValueColumn::new("temperature", ValueType::Float32).range(-90.0, 60.0))
        .column(ValueColumn::new("humidity", ValueType::Float32).range(0.0, 100.0))
        .column(ValueColumn::new("wind_direction", ValueType::Int16).range(0.0, 360.0))
        .column(ValueColumn::new("note", ValueType::Utf8));
    TableSchema::new("readings", declaration).unwrap()
}

/// A table whose numbers have no range.
fn probes() -> TableSchema {
    let declaration = TableDeclaration::new("probe_id", "at")
        .column(ValueColumn::new("level", ValueType::Float64))
        .column(ValueColumn::new("depth", ValueType::Float32).range(-10.0, 10.0))
        .column(ValueColumn::new("total", ValueType::Int64));
    TableSchema::new("probes", declaration).unwrap()
}

const CITIES: &str = "SELECT arrow_cast(column1, 'Int32') AS city_id, arrow_cast(column2, 'Utf8') AS name, \
    arrow_cast(column3, 'Utf8') AS country, column4 AS latitude \
    FROM (VALUES (1, 'Bern', 'CH', 46.95), (2, 'Oslo', 'NO', 59.91), (3, 'Lima', 'PE', -12.05), (4, 'Apia', 'WS', -13.83))";

/// The rows of a query, without a server.
async fn rows(query: &str) -> Result<RecordBatch, String> {
    let frame = SessionContext::new().sql(query).await.map_err(|e| e.to_string())?;
    let batches = frame.collect().await.map_err(|e| e.to_string())?;
    batches.into_iter().next().ok_or_else(|| format!("no rows: {query}"))
}

impl Served {
    async fn start(settings: SqlSettings, tables: Vec<TableSchema>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let engine = engine_in(folder.path()).settings(landing_on_request());
        let engine = engine.clock(Arc::clone(&clock) as _).tables(tables).open().await.unwrap();
        let cities = rows(CITIES).await.unwrap();
        let dimensions = BTreeMap::from([("cities".to_owned(), cities)]);
        let sql = Sql::with_dimensions(Arc::clone(&engine), settings, dimensions).unwrap();
        let session = SqlSession { user: "script".to_owned(), ..SqlSession::default() };
        Self { engine, sql, session, clock, _folder: folder }
    }

    async fn put(&self, table: &str, query: &str) -> Result<(), String> {
        let rows = rows(query).await?;
        let schema = self.engine.schema(table).map_err(|e| e.to_string())?;
        let told = schema.arrow().fields().iter().take(rows.num_columns());
        let fields: Vec<Field> = told.map(|field| field.as_ref().clone()).collect();
        let columns = rows.columns().iter().zip(&fields).map(|(column, field)| {
            // Instants are written as text.
            cast(column, &DataType::Utf8).and_then(|text| cast(&text, field.data_type()))
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        let batch = batch.map_err(|e| e.to_string())?;
        self.engine
            .put(table, batch, "script", Durability::Memory)
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    }
}

impl Subject for Served {
    async fn ask(
        &mut self,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Vec<RecordBatch>, String> {
        let statement = self.sql.prepare(&self.session, sql).await.map_err(|e| e.to_string())?;
        let asked = async {
            let answer = self.sql.execute(&self.session, &statement, parameters).await;
            let answer = answer.map_err(|e| e.to_string())?;
            let mut batches = vec![RecordBatch::new_empty(Arc::clone(&answer.schema))];
            let rows: Vec<_> = answer.batches.try_collect().await.map_err(|e| e.to_string())?;
            batches.extend(rows);
            Ok(batches)
        };
        // Time passes once the statement has begun, and for no other.
        let passes = async {
            let Some(timeout) = self.session.timeout else { return std::future::pending().await };
            while self.sql.queries().running() == 0 {
                tokio::task::yield_now().await;
            }
            self.clock.set(self.clock.now() + Span::from_duration(timeout));
            std::future::pending().await
        };
        tokio::select! {
            biased;
            answer = asked => answer,
            () = passes => Err("time does not end".to_owned()),
        }
    }

    async fn act(&mut self, words: &[&str], text: &str) -> Result<(), String> {
        match words {
            ["put", table] => self.put(table, text).await,
            ["flush"] => self.engine.flush().await.map(drop).map_err(|e| e.to_string()),
            ["time_zone", zone] => {
                self.session.time_zone = (*zone != "none").then(|| (*zone).to_owned());
                Ok(())
            }
            ["timeout", millis] => {
                self.session.timeout = millis.parse().ok().map(Duration::from_millis);
                Ok(())
            }
            other => Err(format!("nobody can do {other:?}")),
        }
    }
}

/// Runs a script over the rows of `rows.slt`.
async fn holds(settings: SqlSettings, script: &str) {
    let mut served = Served::start(settings, vec![readings()]).await;
    for text in [include_str!("rows.slt"), script] {
        let wrong = run(&mut served, text).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}

macro_rules! scripts {
    ($($name:ident),*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for threads in [1, 3] {
                let settings = SqlSettings { threads, ..SqlSettings::default() };
                holds(settings, include_str!(concat!(stringify!($name), ".slt"))).await;
            }
        }
    )* };
}

scripts!(
    selects, groups, joins, windows, subqueries, sets, zones, types, newest, gaps, system, explain,
    errors, parameters, standard, clients, spans, using, unknown, literals
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budget() {
    let settings = SqlSettings { cost_files_max: Some(1), ..SqlSettings::default() };
    holds(settings, include_str!("budget.slt")).await;
}

/// Half of the rows of `signs.slt`: -0.0 comes with the first half, 0.0 with the second.
const FIRST: &str = "do put probes
SELECT * FROM (VALUES (1, '2026-03-29T00:00:00Z', -0.0, -0.0, 9223372036854775807),
    (2, '2026-03-29T00:00:00Z', 'NaN'::double, NULL, 5), (3, '2026-03-29T00:00:00Z', 'inf'::double, NULL, 6))
";
const SECOND: &str = "do put probes
SELECT * FROM (VALUES (1, '2026-03-29T01:00:00Z', 0.0, 0.0, 1), (2, '2026-03-29T01:00:00Z', 1.0, NULL, -5),
    (3, '2026-03-29T01:00:00Z', NULL, NULL, NULL))
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signs() {
    let tail = format!("{FIRST}\n{SECOND}");
    let lake = format!("{tail}\ndo flush\n");
    let both = format!("{FIRST}\ndo flush\n\n{SECOND}");
    for rows in [tail, lake, both] {
        for threads in [1, 3] {
            let settings = SqlSettings { threads, ..SqlSettings::default() };
            let mut served = Served::start(settings, vec![probes()]).await;
            for text in [rows.as_str(), include_str!("signs.slt")] {
                let wrong = run(&mut served, text).await;
                assert!(wrong.is_empty(), "{rows}{}", wrong.join("\n\n"));
            }
        }
    }
}
