//! Tests of the corrections: each is needed as long as DataFusion alone, in the version built here, gives a wrong
//! answer to a statement that shows only that fault. A correction whose statement fails here has become needless and
//! should be removed.

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

/// Outcome of a statement.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Rows(Vec<String>),
    Refused,
}

/// A fault of DataFusion that a module corrects.
struct Fault {
    module: &'static str,
    statement: &'static str,
    right: Outcome,
}

fn fault(module: &'static str, statement: &'static str, rows: &[&str]) -> Fault {
    let rows = rows.iter().map(|row| (*row).to_owned()).collect();
    Fault { module, statement, right: Outcome::Rows(rows) }
}

fn passed_over(module: &'static str, statement: &'static str) -> Fault {
    Fault { module, statement, right: Outcome::Refused }
}

fn faults() -> Vec<Fault> {
    vec![
        fault(
            "corrections/limit_pushdown",
            "SELECT count(*) FROM (SELECT DISTINCT x, sum(x) OVER (ORDER BY x) FROM (VALUES (1), (2), (3)) t(x) LIMIT 2) d",
            &["2"],
        ),
        fault("corrections/dialect", "SELECT '50%' LIKE '50!%' ESCAPE '!'", &["true"]),
        fault("corrections/dialect", "SELECT mod(5, 3)", &["2"]),
        fault("corrections/dialect", "SELECT count(*) FROM (VALUES (1)) t(x) GROUP BY ()", &["1"]),
        fault(
            "corrections/volatile_between",
            "SELECT count(*) BETWEEN 1800 AND 2200 FROM generate_series(1, 10000) WHERE random() BETWEEN 0.4 AND 0.6",
            &["true"],
        ),
        fault(
            "corrections/time_precision",
            "SELECT count(*) FROM (SELECT arrow_cast(column1, 'Timestamp(Microsecond, None)') AS t FROM (VALUES ('2026-01-01T00:00:00'))) \
             WHERE t = arrow_cast('2026-01-01T00:00:00.0000005', 'Timestamp(Nanosecond, None)')",
            &["0"],
        ),
        fault(
            "corrections/single_precision",
            "SELECT count(*) FROM (SELECT arrow_cast(column1, 'Float32') AS t FROM (VALUES (21.3))) WHERE t = 21.3",
            &["1"],
        ),
        fault(
            "corrections/in_subqueries",
            "SELECT count(*) FROM (VALUES (1), (2)) t(x) WHERE x > 5 OR x NOT IN (SELECT y FROM (VALUES (2), (NULL)) u(y))",
            &["0"],
        ),
        fault(
            "corrections/in_subqueries",
            "SELECT count(*) FROM (VALUES (2, NULL)) t(x, k) WHERE x NOT IN \
             (SELECT a FROM (VALUES (2, 0), (3, NULL)) u(a, b) WHERE b = x AND k > 0)",
            &["1"],
        ),
        fault(
            "corrections/multisets",
            "SELECT 'fog' FROM generate_series(1, 3) EXCEPT ALL SELECT 'fog' FROM generate_series(1, 2)",
            &["fog"],
        ),
        fault(
            "corrections/named_windows",
            "SELECT sum(x) OVER (w ORDER BY x) FROM (VALUES (1, 1), (1, 2), (2, 3)) t(k, x) WINDOW w AS (PARTITION BY k) \
             ORDER BY x",
            &["1", "3", "3"],
        ),
        fault(
            "corrections/information_schema",
            "SELECT min(ordinal_position) FROM information_schema.columns WHERE table_name = 'readings'",
            &["1"],
        ),
        fault(
            "corrections/null_equal_joins",
            "SELECT count(*) FROM (VALUES (1, NULL), (2, 3)) a(x, y) JOIN (VALUES (1, NULL), (2, 3)) b(x, y) \
             ON a.x IS NOT DISTINCT FROM b.x WHERE a.y = b.y",
            &["1"],
        ),
        fault("corrections/number_literals", "SELECT 1_000", &["1000"]),
        fault("corrections/number_literals", "SELECT 0b11", &["3"]),
        fault("corrections/number_literals", "SELECT 0x1F", &["31"]),
        passed_over("corrections/number_literals", "SELECT 1a"),
        fault(
            "corrections/interval_analysis",
            "SELECT x FROM (VALUES (3.9), (3.2), (3.5)) t(x) WHERE CAST(x AS INT) = 3 ORDER BY x",
            &["3.2", "3.5", "3.9"],
        ),
        fault(
            "corrections/distinct_order",
            "SELECT DISTINCT x % 2 FROM (VALUES (1), (2), (3)) t(x) ORDER BY x % 2",
            &["0", "1"],
        ),
        fault("corrections/precedence", "SELECT true IS DISTINCT FROM true OR true", &["true"]),
        fault(
            "corrections/intervals",
            "SELECT CAST(DATE '2026-09-21' + INTERVAL '15 hours' AS TIMESTAMP)",
            &["2026-09-21T15:00:00"],
        ),
        fault(
            "corrections/intervals",
            "SELECT INTERVAL '1 month' > INTERVAL '40 days'",
            &["false"],
        ),
        fault(
            "corrections/spelling",
            "SELECT k, sum(x) + 1 FROM (VALUES (1, 2), (2, 1)) t(k, x) GROUP BY k ORDER BY 2",
            &["2|2", "1|3"],
        ),
        fault(
            "corrections/spelling",
            "SELECT NOT (a AND b), NOT a AND b FROM (VALUES (true, false)) t(a, b)",
            &["true|false"],
        ),
        fault(
            "corrections/subqueries",
            "SELECT count(*) FROM (VALUES (1)) t(x) WHERE EXISTS (SELECT count(*) FROM (VALUES (1)) u(y) WHERE y > x)",
            &["1"],
        ),
        fault(
            "corrections/global_aggregates",
            "SELECT n FROM (SELECT count(*) AS n FROM (VALUES (1)) t(x)) q WHERE n NOT IN (2, NULL)",
            &[],
        ),
        passed_over("corrections/ignored_clauses", "SELECT x FROM (VALUES (1)) t(x) FOR UPDATE"),
        passed_over(
            "corrections/ignored_clauses",
            "SELECT x FROM (VALUES (1)) t(x) PREWHERE x > 1",
        ),
        fault(
            "corrections/three_valued_logic",
            "SELECT (x IN (1, 2) AND x NOT IN (2, NULL)) IS NULL FROM (VALUES (1)) t(x)",
            &["true"],
        ),
        fault(
            "corrections/using_joins",
            "SELECT k FROM (VALUES (1)) a(k) FULL JOIN (VALUES (2)) b(k) USING (k) ORDER BY k",
            &["1", "2"],
        ),
        fault(
            "functions/frames",
            "SELECT stddev(x) OVER (ORDER BY i ROWS 1 PRECEDING) FROM (VALUES (1, 1e9), (2, 0.1), (3, 0.1)) t(i, x) \
             ORDER BY i DESC LIMIT 1",
            &["0.0"],
        ),
        passed_over("functions/numbers", "SELECT 9223372036854775807 + x FROM (VALUES (1)) t(x)"),
        passed_over(
            "functions/numbers",
            "SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)",
        ),
        fault(
            "functions/zeros",
            "SELECT max(r) FROM (SELECT rank() OVER (ORDER BY x) AS r FROM (VALUES (0e0), (0e0 * -1e0)) t(x))",
            &["1"],
        ),
        fault(
            "limits/growth",
            "SELECT rank() OVER (PARTITION BY x ORDER BY sqrt(x)) FROM (VALUES (1)) t(x)",
            &["1"],
        ),
    ]
}

/// DataFusion alone, over a table with the same name.
fn alone(fixture: &Fixture) -> SessionContext {
    let config = SessionConfig::new().with_information_schema(true).with_target_partitions(2);
    let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    let context = SessionContext::new_with_state(state);
    let rows: Vec<_> = fixture.model.clone().into_iter().collect();
    context.register_batch("readings", batch(&rows)).unwrap();
    context
}

async fn outcome_of_datafusion(context: &SessionContext, statement: &str) -> Outcome {
    let Ok(frame) = context.sql(statement).await else { return Outcome::Refused };
    let Ok(batches) = frame.collect().await else { return Outcome::Refused };
    Outcome::Rows(batches.iter().flat_map(lines).collect())
}

async fn outcome_here(fixture: &Fixture, statement: &str) -> Outcome {
    fixture
        .try_ask(statement, &[])
        .await
        .map_or(Outcome::Refused, |rows| Outcome::Rows(lines(&rows)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_correction_is_needed() {
    let fixture = Fixture::new().await;
    let context = alone(&fixture);
    let mut needless = Vec::new();
    for Fault { module, statement, right } in faults() {
        assert_eq!(outcome_here(&fixture, statement).await, right, "{module}: {statement}");
        if outcome_of_datafusion(&context, statement).await == right {
            needless.push(format!("{module}: {statement}"));
        }
    }
    assert!(needless.is_empty(), "DataFusion alone is right by now:\n{}", needless.join("\n"));
}
