//! Plans that the reference promises: no sort where rows are in order, conditions moved below an as-of join where that
//! is safe, parameters and `now()` as ends of a range, bounded memory.

use std::sync::Arc;

use barograph_query::functions::register;
use datafusion::arrow::array::{AsArray, Int32Array, RecordBatch, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use datafusion::catalog::MemTable;
use datafusion::common::ScalarValue;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext, col};

use crate::session;

const MINUTE: i64 = 60_000_000;

/// `rows` minutes of `cities` cities, sorted by city and time, as one partition that declares its order.
fn ordered(context: &SessionContext, name: &str, cities: i32, rows: i64) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("city_id", DataType::Int32, false),
        Field::new("reading_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("v", DataType::Int32, true),
    ]));
    let keys: Vec<(i32, i64)> =
        (0..cities).flat_map(|city| (0..rows).map(move |i| (city, i * MINUTE))).collect();
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(Int32Array::from_iter_values(keys.iter().map(|k| k.0))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(keys.iter().map(|k| k.1))),
            Arc::new(Int32Array::from_iter_values(0..keys.len() as i32)),
        ],
    );
    let order = vec![vec![col("city_id").sort(true, true), col("reading_at").sort(true, true)]];
    let table = MemTable::try_new(schema, vec![vec![batch.unwrap()]]).unwrap();
    context.register_table(name, Arc::new(table.with_sort_order(order))).unwrap();
}

async fn physical(context: &SessionContext, sql: &str) -> String {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

async fn count(context: &SessionContext, sql: &str) -> usize {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn nothing_is_sorted_that_is_in_order() {
    let context = session(1, 8192);
    ordered(&context, "readings", 5, 100);
    ordered(&context, "forecasts", 5, 10);
    for sql in [
        "SELECT avg(heat_index(v, v)) OVER (PARTITION BY city_id ORDER BY reading_at
           RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) FROM readings",
        "SELECT city_id, date_bin_gapfill(INTERVAL '5 minutes', reading_at) AS t, locf(avg(v)) FROM readings
         GROUP BY city_id, t ORDER BY city_id, t",
        "SELECT r.v, f.v FROM readings r LEFT JOIN forecasts f
           ON f.city_id = r.city_id AND asof(r.reading_at, f.reading_at)
         ORDER BY r.city_id, r.reading_at",
    ] {
        let plan = physical(&context, sql).await;
        assert!(!plan.contains("SortExec"), "{plan}");
    }
}

#[tokio::test]
async fn safe_conditions_go_below_an_as_of_join() {
    let context = session(1, 8192);
    ordered(&context, "readings", 5, 100);
    ordered(&context, "forecasts", 5, 10);
    let sql = "SELECT * FROM (
                 SELECT r.city_id, r.reading_at, f.v AS forecast FROM readings r
                 LEFT JOIN forecasts f ON f.city_id = r.city_id AND asof(r.reading_at, f.reading_at))
               WHERE city_id = 3 AND reading_at < '1970-01-01T00:20:00' AND forecast < 35";
    let plan = context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
    let text = plan.display_indent().to_string();
    let (above, below) = text.split_once("AsOf: Left").expect("the node");
    // The chosen row is asked; pushed below, the condition would choose another.
    assert!(above.contains("f.v < Int32(35)"), "{text}");
    assert!(!below.contains("< Int32(35)"), "{text}");
    for side in ["readings", "forecasts"] {
        assert!(below.contains(&format!("{side}.city_id = Int32(3)")), "{text}");
    }
    assert!(below.contains("readings.reading_at < Timestamp"), "{text}");
    assert!(below.contains("forecasts.reading_at <= Timestamp"), "{text}");
    // Columns that nobody asks for are not read.
    assert!(below.contains("TableScan: readings projection=[city_id, reading_at]"), "{text}");
    assert_eq!(count(&context, sql).await, 5);
}

#[tokio::test]
async fn a_range_may_be_parameters_or_now() {
    let context = session(2, 10);
    ordered(&context, "readings", 2, 3);
    let sql =
        "SELECT date_bin_gapfill(INTERVAL '1 minute', reading_at) AS t, locf(max(v)) FROM readings
               WHERE city_id = 1 AND reading_at >= $1 AND reading_at < $2 GROUP BY t";
    let at = |minutes: i64| ScalarValue::TimestampMicrosecond(Some(minutes * MINUTE), None);
    let frame = context.sql(sql).await.unwrap().with_param_values(vec![at(-5), at(10)]).unwrap();
    let rows: usize = frame.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 15);

    // A year and a half of days ends now.
    let sql = "SELECT count(*) AS n, bool_and(t <= now()) AS past, max(t) > now() - INTERVAL '25 hours' AS fresh
               FROM (SELECT date_bin_gapfill(INTERVAL '1 day', at) AS t FROM
                       (VALUES (now() - INTERVAL '500 days'), (now() + INTERVAL '3 days')) AS v(at)
                     WHERE at <= now() GROUP BY t)";
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let days = batches[0].column(0).as_primitive::<Int64Type>().value(0);
    assert!((500..=501).contains(&days), "{days}");
    assert!(batches[0].column(1).as_boolean().value(0));
    assert!(batches[0].column(2).as_boolean().value(0));
}

#[tokio::test]
async fn many_windows_need_little_memory_and_stop_when_nobody_reads() {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(16 << 20, 1.0).build_arc().unwrap();
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config_rt(config, runtime);
    register(&context).unwrap();
    ordered(&context, "readings", 2, 3);
    // Every microsecond of five minutes of two cities: 240 million windows, of which a thousand are read.
    let sql = "SELECT city_id, date_bin_gapfill(INTERVAL '1 microsecond', reading_at) AS t, interpolate(max(v))
               FROM readings WHERE reading_at < '1970-01-01T00:05:00' GROUP BY city_id, t LIMIT 1000";
    assert_eq!(count(&context, sql).await, 1000);

    // One thread serves the query and the clock: the clock is heard only if the query yields.
    let all = "SELECT count(*) FROM (
                 SELECT city_id, date_bin_gapfill(INTERVAL '1 microsecond', reading_at) AS t FROM readings
                 WHERE reading_at < '1970-01-01T10:00:00' GROUP BY city_id, t)";
    let wait = std::time::Duration::from_millis(100);
    assert!(tokio::time::timeout(wait, count(&context, all)).await.is_err());
}
