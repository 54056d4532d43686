//! Random queries over lake, tail, late rows and a dimension, held against plain DataFusion over the same rows in
//! memory.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::config::ConfigOptions;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};

use super::*;
use crate::corrections::single_precision::SinglePrecision;

/// The rows of the model in plain DataFusion.
async fn plain(fixture: &Fixture) -> SessionContext {
    over(fixture, SessionStateBuilder::new().with_default_features()).await
}

/// The same rows with no optimizer rules but those without which a plan cannot run.
async fn without_rules(fixture: &Fixture) -> SessionContext {
    let needed: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(ReplaceDistinctWithAggregate::new())];
    let state = SessionStateBuilder::new().with_default_features().with_optimizer_rules(needed);
    over(fixture, state).await
}

async fn over(fixture: &Fixture, state: SessionStateBuilder) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(1);
    let mut config = config.set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    config.options_mut().execution.time_zone = None;
    let context = SessionContext::new_with_state(state.with_config(config).build());
    crate::functions::register(&context).unwrap();
    let rows: Vec<_> = fixture.model.clone().into_iter().collect();
    let rows = batch(&rows);
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    context.register_table("readings", Arc::new(table)).unwrap();
    let rows = cities();
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    context.register_table("cities", Arc::new(table)).unwrap();
    context
}

/// Plans a query for plain DataFusion, with numbers compared to single precision as they are here.
async fn planned(context: &SessionContext, text: &str) -> datafusion::common::Result<DataFrame> {
    let plan = context.state().create_logical_plan(text).await?;
    let plan = SinglePrecision.analyze(plan, &ConfigOptions::default())?;
    context.execute_logical_plan(plan).await
}

/// Random queries; with `fine`, also instants between two µs, which DataFusion's rules cut to µs.
struct Queries {
    random: SmallRng,
    fine: bool,
}

impl Queries {
    fn one(&mut self, list: &[&str]) -> String {
        list[self.random.random_range(0..list.len())].to_owned()
    }

    fn op(&mut self) -> String {
        self.one(&["=", "<>", "<", "<=", ">", ">="])
    }

    fn instant(&mut self) -> String {
        let minute = self.random.random_range(-10..HOURS * 60 + 10);
        let micros = self.one(&["", ".5", ".000001"]);
        let at = chrono::DateTime::from_timestamp_micros(START + minute * MINUTE).unwrap();
        let text = at.format("%Y-%m-%dT%H:%M:%S");
        let kind = self.random.random_range(0..4);
        match kind {
            0 => format!("'{text}{micros}Z'"),
            1 => format!("timestamp '{text}{micros}'"),
            2 if self.fine => format!("to_timestamp('{text}.0000005Z')"),
            2 => format!("to_timestamp('{text}Z')"),
            _ => format!("arrow_cast('{text}', 'Timestamp(Second, Some(\"UTC\"))')"),
        }
    }

    fn leaf(&mut self) -> String {
        let op = self.op();
        match self.random.random_range(0..22) {
            0 => format!("city_id {op} {}", self.random.random_range(-2..CITIES + 3)),
            1 => format!(
                "city_id IN ({}, {}, NULL)",
                self.random.random_range(0..CITIES),
                self.random.random_range(0..CITIES)
            ),
            2 => {
                let list: Vec<_> =
                    (0..6).map(|_| self.random.random_range(0..CITIES).to_string()).collect();
                format!("city_id {} ({})", self.one(&["IN", "NOT IN"]), list.join(", "))
            }
            3 => format!(
                "city_id BETWEEN {} AND {}",
                self.random.random_range(0..30),
                self.random.random_range(10..CITIES)
            ),
            4 | 5 => format!("reading_at {op} {}", self.instant()),
            6 => format!("reading_at BETWEEN {} AND {}", self.instant(), self.instant()),
            7 => format!(
                "temperature {op} {}",
                self.one(&["0", "-0.0", "12.3", "0.1", "-5", "1e-50", "1e300", "30"])
            ),
            8 => {
                format!("humidity {op} {}", self.one(&["0", "50", "33.3", "'NaN'::float", "1e300"]))
            }
            9 => format!("pressure {op} {}", self.one(&["0", "-0.0", "950", "950.125", "1e-300"])),
            10 => format!(
                "wind_direction {op} {}",
                self.one(&["90", "90.5", "-1", "70000", "1e9", "180::bigint"])
            ),
            11 => format!("flashes {op} {}", self.one(&["0", "10", "10.5", "9223372036854775807"])),
            12 => {
                format!("note {op} {}", self.one(&["'fog'", "'calm'", "''", "'Zürich'", "'zzz'"]))
            }
            13 => format!("note IN ('fog', {}, 'gusts', 'x')", self.one(&["'calm'", "NULL"])),
            14 => {
                let column =
                    self.one(&["temperature", "humidity", "note", "seen_at", "city_id", "flashes"]);
                format!("{column} IS {} NULL", self.one(&["", "NOT"]))
            }
            15 => format!("seen_at {op} {}", self.instant()),
            16 => format!("temperature {op} pressure"),
            17 => format!("seen_at {op} reading_at"),
            // Plain DataFusion takes equal days for equal instants and then does not sort by them.
            18 => {
                let op = self.one(&["<>", "<", "<=", ">", ">="]);
                let window = self.window();
                match self.random.random_range(0..2) {
                    0 => format!(
                        "reading_at::date {op} '2026-01-0{}'",
                        self.random.random_range(1..3)
                    ),
                    _ => format!("{window} {op} {}", self.instant()),
                }
            }
            19 => format!("flashes {op} city_id"),
            20 => format!("note LIKE '%{}%'", self.one(&["o", "u", "x"])),
            _ => self.one(&[
                "TRUE",
                "NULL",
                "temperature * 2 > flashes",
                "date_part('minute', reading_at) = 30",
            ]),
        }
    }

    fn condition(&mut self, depth: u32) -> String {
        match self.random.random_range(0..if depth == 0 { 1 } else { 5 }) {
            0 | 1 => self.leaf(),
            2 => format!("({} AND {})", self.condition(depth - 1), self.condition(depth - 1)),
            3 => format!("({} OR {})", self.condition(depth - 1), self.condition(depth - 1)),
            _ => format!("NOT ({})", self.condition(depth - 1)),
        }
    }

    fn window(&mut self) -> String {
        self.one(&[
            "date_bin(interval '1 hour', reading_at)",
            "date_bin(interval '10 minutes', reading_at)",
            "date_bin(interval '17 minutes', reading_at)",
            "date_trunc('hour', reading_at)",
            "date_trunc('day', reading_at)",
        ])
    }

    fn query(&mut self) -> String {
        let condition = self.condition(2);
        let window = self.window();
        match self.random.random_range(0..14) {
            0..=2 => format!(
                "SELECT city_id, reading_at, temperature, humidity, pressure, wind_direction, flashes, note, seen_at FROM readings WHERE {condition} ORDER BY city_id, reading_at"
            ),
            3 => format!(
                "SELECT note, city_id, reading_at FROM readings WHERE {condition} ORDER BY reading_at DESC, city_id LIMIT 7"
            ),
            // Zeros with and without a sign are equal, but sorts may part them: no order by temperature.
            4 => format!(
                "SELECT {0}, city_id, reading_at FROM readings WHERE {condition} ORDER BY {0} DESC NULLS LAST, city_id, reading_at LIMIT 5",
                self.one(&["pressure", "flashes", "wind_direction"])
            ),
            5 => format!(
                "SELECT count(*), count(temperature), min(reading_at), max(reading_at), min(city_id), max(city_id), min(flashes), {} FROM readings WHERE {condition}",
                self.one(&[
                    "sum(flashes)",
                    "sum(wind_direction)",
                    "avg(temperature), max(pressure), min(temperature), avg(wind_direction)",
                ])
            ),
            6 => format!(
                "SELECT city_id, {window} AS w, avg(temperature), min(temperature), max(temperature), count(*), count(note), sum(temperature), sum(wind_direction) FROM readings WHERE {condition} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            7 => format!(
                "SELECT city_id, max(pressure), avg(humidity), count(*), min(flashes), max(seen_at), avg(wind_direction) FROM readings WHERE {condition} GROUP BY city_id ORDER BY city_id"
            ),
            8 => format!(
                "SELECT {window} AS w, avg(temperature), count(*), max(flashes), min(seen_at), sum(wind_direction), max(pressure), count(note) FROM readings WHERE {condition} GROUP BY 1 ORDER BY 1 {}",
                self.one(&[
                    "",
                    "DESC",
                    "LIMIT 4",
                    "DESC LIMIT 4",
                    "DESC NULLS LAST LIMIT 2 OFFSET 1"
                ])
            ),
            9 => format!(
                "SELECT c.name, count(*), avg(r.temperature), min(r.reading_at) FROM readings r JOIN cities c ON r.city_id = c.city_id WHERE c.country = 'CH' AND {} GROUP BY c.name ORDER BY c.name",
                condition.replace("city_id", "r.city_id")
            ),
            10 => format!(
                "SELECT c.city_id, c.name, r.n FROM cities c LEFT JOIN (SELECT city_id, count(*) n FROM readings WHERE {condition} GROUP BY city_id) r ON r.city_id = c.city_id ORDER BY c.city_id"
            ),
            11 => format!(
                "SELECT city_id, reading_at, avg(temperature) OVER (PARTITION BY city_id ORDER BY reading_at RANGE BETWEEN interval '1 hour' PRECEDING AND CURRENT ROW) a, row_number() OVER (PARTITION BY city_id ORDER BY reading_at) n FROM readings WHERE {condition} ORDER BY city_id, reading_at"
            ),
            12 => format!(
                "SELECT DISTINCT note, wind_direction > 180 AS west FROM readings WHERE {condition} ORDER BY 1, 2"
            ),
            _ => format!(
                "SELECT a.city_id, a.reading_at, b.temperature FROM readings a JOIN readings b ON a.city_id = b.city_id AND a.reading_at = b.reading_at WHERE {} ORDER BY 1, 2",
                self.condition(1)
                    .replace("city_id", "a.city_id")
                    .replace("reading_at", "a.reading_at")
                    .replace("temperature", "a.temperature")
                    .replace("humidity", "a.humidity")
                    .replace("pressure", "a.pressure")
                    .replace("wind_direction", "a.wind_direction")
                    .replace("flashes", "a.flashes")
                    .replace("note", "a.note")
                    .replace("seen_at", "a.seen_at")
            ),
        }
    }
}

/// Whether two answers are equal, sums of floats up to rounding.
fn same(ours: &RecordBatch, plain: &RecordBatch) -> Result<(), String> {
    if ours.num_rows() != plain.num_rows() {
        return Err(format!("{} rows, plain {}", ours.num_rows(), plain.num_rows()));
    }
    for (at, (a, b)) in ours.columns().iter().zip(plain.columns()).enumerate() {
        if a.data_type() != b.data_type() {
            return Err(format!("column {at}: {} and plain {}", a.data_type(), b.data_type()));
        }
        let close = match a.data_type() {
            DataType::Float64 => {
                let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
                a.iter().zip(b).all(|(a, b)| match (a, b) {
                    (Some(a), Some(b)) => {
                        a == b
                            || (a.is_nan() && b.is_nan())
                            || (a - b).abs() <= 1e-9 * a.abs().max(1.0)
                    }
                    (a, b) => a.is_none() && b.is_none(),
                })
            }
            DataType::Float32 => {
                let (a, b) = (a.as_primitive::<Float32Type>(), b.as_primitive::<Float32Type>());
                a.iter()
                    .zip(b)
                    .all(|(a, b)| a == b || a.zip(b).is_some_and(|(a, b)| a.is_nan() && b.is_nan()))
            }
            _ => a.as_ref() == b.as_ref(),
        };
        if !close {
            let (a, b) = (lines(ours), lines(plain));
            let first = a.iter().zip(&b).find(|(a, b)| a != b);
            return Err(format!("column {at} differs, first {first:?}"));
        }
    }
    Ok(())
}

async fn compare(fixture: &Fixture, context: &SessionContext, seed: u64, count: usize) {
    let fine =
        !context.state().optimizers().iter().any(|rule| rule.name() == "simplify_expressions");
    let mut queries = Queries { random: SmallRng::seed_from_u64(seed), fine };
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..count {
        let text = queries.query();
        let plain = match planned(context, &text).await {
            Ok(frame) => {
                let schema = Arc::new(frame.schema().as_arrow().clone());
                frame.collect().await.map(|batches| (schema, batches))
            }
            Err(error) => Err(error),
        };
        match (fixture.try_ask(&text, &[]).await, plain) {
            (Ok(ours), Ok((schema, batches))) => {
                let batches: Vec<_> = batches
                    .into_iter()
                    .map(|batch| barograph_engine::scan::with_schema(&schema, batch).unwrap())
                    .collect();
                let plain = concat_batches(&schema, &batches).unwrap();
                if let Err(why) = same(&ours, &plain) {
                    let plan = fixture.plan(&text).await;
                    panic!("seed {seed}: {text}\n{why}\n{plan}");
                }
                answered += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            // Without rules some functions stay what they only are before a rule.
            (Ok(_), Err(error))
                if fine && error.to_string().contains("should have been simplified") => {}
            (Ok(_), Err(error)) => panic!("seed {seed}: {text}\nonly plain fails: {error}"),
            (Err(error), Ok(_)) => panic!("seed {seed}: {text}\nonly ours fails: {error}"),
        }
    }
    assert!(answered > refused * 10, "{answered} answered, {refused} refused");
}

/// Compares with the seed and number of queries that the environment sets, or else with these.
async fn compare_asked(fixture: &Fixture, context: &SessionContext, seed: u64, count: usize) {
    let asked = |name: &str| std::env::var(name).ok();
    let seed = asked("BAROGRAPH_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(seed);
    let count = asked("BAROGRAPH_QUERIES").and_then(|count| count.parse().ok()).unwrap_or(count);
    compare(fixture, context, seed, count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_give_what_plain_datafusion_gives() {
    let fixture = Fixture::new().await;
    let context = plain(&fixture).await;
    compare_asked(&fixture, &context, 1, 400).await;
}

/// A wrong rule that both sides use shows only beside a session that does not use it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_give_what_datafusion_gives_without_its_rules() {
    let fixture = Fixture::new().await;
    let context = without_rules(&fixture).await;
    compare_asked(&fixture, &context, 3, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn landing_changes_no_answer() {
    let fixture = Fixture::new().await;
    let context = plain(&fixture).await;
    fixture.engine.flush().await.unwrap();
    compare(&fixture, &context, 2, 100).await;
}
