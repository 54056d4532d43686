//! Tests of depth bounds: whatever can be nested is answered up to the bound and refused one level past it.

use super::*;
use crate::limits::bounds::Bounds;
use crate::statement::prepare::measured;

fn settings() -> SqlSettings {
    SqlSettings { threads: 2, ..SqlSettings::default() }
}

/// A construct nested `n` times in itself.
type Deep = fn(usize) -> String;

fn chain(term: &str, operator: &str, n: usize) -> String {
    vec![term; n].join(operator)
}

fn around(left: &str, inner: &str, right: &str, n: usize) -> String {
    format!("{}{inner}{}", left.repeat(n), right.repeat(n))
}

fn numbered(n: usize, of: impl Fn(usize) -> String, between: &str) -> String {
    (0..n).map(of).collect::<Vec<_>>().join(between)
}

/// Constructs that give one row at any depth.
const CONSTRUCTS: &[(&str, Deep)] = &[
    ("+", |n| format!("SELECT {}", chain("1", "+", n))),
    ("+ of columns", |n| format!("SELECT {} FROM (VALUES (1)) AS t(a)", chain("a", "+", n))),
    ("||", |n| format!("SELECT {}", chain("'a'", "||", n))),
    ("|| of columns", |n| format!("SELECT {} FROM (VALUES ('x')) AS t(a)", chain("a", "||", n))),
    ("AND", |n| format!("SELECT {} FROM (VALUES (true)) AS t(a)", chain("a", " AND ", n))),
    ("OR", |n| format!("SELECT {} FROM (VALUES (true)) AS t(a)", chain("a", " OR ", n))),
    ("OR in WHERE", |n| {
        let terms = numbered(n, |i| format!("a = {i}"), " OR ");
        format!("SELECT a FROM (VALUES (0)) AS t(a) WHERE {terms}")
    }),
    ("AND in WHERE", |n| {
        let terms = numbered(n, |i| format!("a <> {}", i + 1), " AND ");
        format!("SELECT a FROM (VALUES (0)) AS t(a) WHERE {terms}")
    }),
    ("AND of a table", |n| {
        let terms = numbered(n, |i| format!("city_id <> {}", i + 1), " AND ");
        format!("SELECT count(*) FROM readings WHERE {terms}")
    }),
    ("= of =", |n| format!("SELECT {}", chain("true", " = ", n))),
    ("NOT", |n| format!("SELECT {}", around("NOT ", "true", "", n))),
    ("NOT of a column", |n| {
        format!("SELECT {} FROM (VALUES (true)) AS t(a)", around("NOT ", "a", "", n))
    }),
    ("-", |n| format!("SELECT {}", around("- ", "1", "", n))),
    ("- of a column", |n| format!("SELECT {} FROM (VALUES (1)) AS t(a)", around("- ", "a", "", n))),
    ("brackets", |n| format!("SELECT {}", around("(", "1", ")", n))),
    ("brackets and +", |n| format!("SELECT {}", around("(1+", "1", ")", n))),
    ("CASE in THEN", |n| {
        format!(
            "SELECT {} FROM (VALUES (1)) AS t(a)",
            around("CASE WHEN a = 1 THEN ", "a", " END", n)
        )
    }),
    ("CASE in ELSE", |n| {
        let case = around("CASE WHEN a = 2 THEN 1 ELSE ", "a", " END", n);
        format!("SELECT {case} FROM (VALUES (1)) AS t(a)")
    }),
    ("CASE in WHEN", |n| {
        let case = around("CASE WHEN ", "a", " THEN true ELSE false END", n);
        format!("SELECT {case} FROM (VALUES (true)) AS t(a)")
    }),
    ("::", |n| format!("SELECT 1{}", "::bigint::int".repeat(n / 2))),
    ("CAST", |n| format!("SELECT {}", around("CAST(", "1", " AS bigint)", n))),
    ("CAST of a column", |n| {
        format!(
            "SELECT {} FROM (VALUES (1)) AS t(a)",
            around("CAST(CAST(", "a", " AS text) AS int)", n / 2)
        )
    }),
    ("abs", |n| format!("SELECT {}", around("abs(", "1", ")", n))),
    ("abs of a column", |n| {
        format!("SELECT {} FROM (VALUES (1)) AS t(a)", around("abs(", "a", ")", n))
    }),
    ("coalesce", |n| {
        format!("SELECT {} FROM (VALUES (1)) AS t(a)", around("coalesce(a, ", "a", ")", n))
    }),
    ("concat", |n| {
        format!("SELECT {} FROM (VALUES ('a')) AS t(a)", around("concat('x', ", "a", ")", n))
    }),
    ("IN in IN", |n| {
        format!("SELECT {} FROM (VALUES (true)) AS t(a)", around("a IN (a, ", "a", ")", n))
    }),
    ("IN of IN", |n| format!("SELECT true{}", " IN (true)".repeat(n))),
    ("BETWEEN", |n| {
        format!("SELECT {}", around("CASE WHEN 1 BETWEEN 0 AND ", "1", " THEN 1 END", n))
    }),
    ("LIKE", |n| {
        format!("SELECT {}", around("CASE WHEN 'a' LIKE ", "'a'", " THEN 'a' END", n / 2))
    }),
    ("IS NULL", |n| format!("SELECT 1{}", " IS NULL".repeat(n))),
    ("IS DISTINCT FROM", |n| {
        format!("SELECT {}", around("(true IS DISTINCT FROM ", "false", ")", n))
    }),
    ("AT TIME ZONE", |n| {
        format!("SELECT TIMESTAMP '2026-01-01'{}", " AT TIME ZONE 'UTC'".repeat(n))
    }),
    ("INTERVAL", |n| format!("SELECT DATE '2026-01-01' + {}", chain("INTERVAL '1 day'", " + ", n))),
    ("arrays", |n| format!("SELECT array_length({})", around("[", "1", "]", n))),
    ("subscripts", |n| format!("SELECT ({}){}", around("[", "1", "]", n), "[1]".repeat(n))),
    ("structs", |n| format!("SELECT {} IS NULL", around("{a: ", "1", "}", n))),
    ("types", |n| format!("SELECT CAST(NULL AS int{}) IS NULL", "[]".repeat(n))),
    ("subquery in FROM", |n| around("SELECT * FROM (", "SELECT 1 AS a", ") AS t", n / 2)),
    ("subqueries with conditions", |n| {
        let half = n / 3;
        around("SELECT * FROM (", "SELECT 1 AS a", ") AS t WHERE a < 7", half)
    }),
    ("UNION ALL", |n| format!("SELECT count(*) FROM ({})", chain("SELECT 1", " UNION ALL ", n))),
    ("UNION", |n| chain("SELECT 1", " UNION ", n)),
    ("UNION in brackets", |n| {
        format!("SELECT count(*) FROM ({})", around("SELECT 1 UNION ALL (", "SELECT 1", ")", n / 2))
    }),
    ("EXCEPT", |n| format!("SELECT 1{}", " EXCEPT SELECT 2".repeat(n / 2))),
    ("WITH of one another", |n| {
        let tables = numbered(n / 2, |i| format!("t{} AS (SELECT a FROM t{i})", i + 1), ", ");
        format!("WITH t0 AS (SELECT 1 AS a), {tables} SELECT a FROM t{}", n / 2)
    }),
    ("WITH in WITH", |n| around("WITH t AS (", "SELECT 1 AS a", ") SELECT a FROM t", n / 3)),
    ("JOIN", |n| {
        let joins = numbered(n / 4, |i| format!("JOIN one t{i} ON t{i}.a = t.a"), " ");
        format!("WITH one AS (SELECT 1 AS a) SELECT t.a FROM one t {joins}")
    }),
    ("JOIN … USING", |n| {
        let joins = numbered(n / 4, |i| format!("FULL JOIN one t{i} USING (a)"), " ");
        format!("WITH one AS (SELECT 1 AS a) SELECT a FROM one t {joins}")
    }),
    ("NATURAL JOIN", |n| {
        let joins = numbered(n / 4, |i| format!("NATURAL JOIN one t{i}"), " ");
        format!("WITH one AS (SELECT 1 AS a) SELECT a FROM one t {joins}")
    }),
    ("JOIN in brackets", |n| {
        let left = numbered(n, |i| format!("(one AS t{i} CROSS JOIN "), "");
        let right = ")".repeat(n);
        format!("WITH one AS (SELECT 1 AS a) SELECT count(*) FROM {left}one{right}")
    }),
    ("window", |n| {
        let n = n / 3;
        around("SELECT sum(a) OVER (ORDER BY a) AS a FROM (", "SELECT 1 AS a", ") AS t", n)
    }),
    ("GROUPING SETS", |n| {
        let inner =
            around("SELECT a, count(*) AS n FROM (", "SELECT 1 AS a", ") AS t GROUP BY a", n / 3);
        format!("SELECT count(*) FROM ({inner})")
    }),
];

/// The greatest depth at which a construct is accepted.
fn deepest(deep: Deep, bounds: &Bounds) -> usize {
    let (mut fits, mut over) = (4, bounds.depth.0 * 4);
    while over - fits > 1 {
        let middle = fits.midpoint(over);
        match measured(bounds, &deep(middle)) {
            Ok(_) => fits = middle,
            Err(_) => over = middle,
        }
    }
    fits
}

/// Every construct, on stacks made for this bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_as_deep_as_it_may_be_is_answered() {
    let fixture = Fixture::empty(SqlSettings { depth_max: 96, ..settings() }).await;
    let bounds = fixture.sql.settings().bounds();
    for &(name, deep) in CONSTRUCTS {
        let n = deepest(deep, &bounds);
        assert!(n >= 10, "{name}: only {n} deep");
        // What takes long says which it was.
        eprintln!("{name}: {n}");
        let rows = fixture.ask(&deep(n)).await;
        assert_eq!(rows.num_rows(), 1, "{name}");
        fixture.ask(&format!("EXPLAIN {}", deep(n))).await;
        let error = fixture.refused(&deep(n + 1)).await;
        assert!(error.contains("sql.depth_max allows 96"), "{name}: {error}");
        let error = fixture.refused(&deep(20 * n)).await;
        assert!(error.contains("sql.depth_max allows 96"), "{name}: {error}");
    }
    assert_eq!(fixture.lines("SELECT 1").await, ["1"]);
}

/// Checking a plan takes twice as long for each query that is a value or a condition in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_in_conditions_are_few() {
    let fixture = Fixture::empty(settings()).await;
    let constructs: [Deep; 4] = [
        |n| format!("SELECT {}", around("(SELECT ", "1", ")", n)),
        |n| {
            format!(
                "SELECT 1 WHERE 1 IN ({})",
                around("SELECT 1 WHERE 1 IN (", "SELECT 1", ")", n - 1)
            )
        },
        |n| around("SELECT 1 AS a WHERE EXISTS (", "SELECT 1", ")", n),
        |n| {
            let next = |i| format!("t{} AS (SELECT (SELECT max(a) FROM t{i}) AS a)", i + 1);
            format!("WITH t0 AS (SELECT 1 AS a), {} SELECT a FROM t{n}", numbered(n, next, ", "))
        },
    ];
    for deep in constructs {
        assert_eq!(fixture.lines(&deep(8)).await, ["1"], "{}", deep(8));
        for n in [9, 100, 1_000] {
            let error = fixture.refused(&deep(n)).await;
            let said = error.contains("more than 8 others") || error.contains("sql.depth_max");
            assert!(said, "{error}");
        }
    }
}

/// Chains, whose trees are deeper than the parser counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_of_the_default_length_are_answered() {
    let fixture = Fixture::empty(settings()).await;
    let bounds = fixture.sql.settings().bounds();
    let chains = ["OR in WHERE", "AND of a table", "NOT", "::", "UNION ALL", "IS NULL"];
    for &(name, deep) in CONSTRUCTS.iter().filter(|(name, _)| chains.contains(name)) {
        let n = deepest(deep, &bounds);
        assert!(n > 900, "{name}: {n}");
        assert_eq!(fixture.ask(&deep(n)).await.num_rows(), 1, "{name}");
        let error = fixture.refused(&deep(n + 1)).await;
        assert!(error.contains("sql.depth_max allows 1000"), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bound_values_may_stand_deep() {
    let fixture = Fixture::empty(SqlSettings { depth_max: 96, ..settings() }).await;
    let text = format!("SELECT {}", chain("CAST(? AS bigint)", "+", 90));
    let values = vec![ScalarValue::from(2_i64); 90];
    let rows = fixture.try_ask(&text, &values).await.unwrap();
    assert_eq!(lines(&rows), ["180"]);
    let text = format!("SELECT {}", chain("?", "+", 97));
    let error = fixture.refused(&text).await;
    assert!(error.contains("sql.depth_max"), "{error}");
}

/// Statements that are small as text and large as a plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_with_count_wherever_they_are_used() {
    let fixture = Fixture::empty(settings()).await;
    let doubling = |n| {
        let next = |i| format!("t{} AS (SELECT a FROM t{i} UNION ALL SELECT a FROM t{i})", i + 1);
        let tables = numbered(n, next, ", ");
        format!("WITH t0 AS (SELECT 1 AS a), {tables} SELECT count(*) FROM t{n}")
    };
    assert_eq!(fixture.lines(&doubling(6)).await, ["64"]);
    let error = fixture.refused(&doubling(60)).await;
    assert!(error.contains("sql.nodes_max allows 250000"), "{error}");
    let list = format!("SELECT 1 IN ({})", numbered(300_000, |i| i.to_string(), ","));
    let error = fixture.refused(&list).await;
    assert!(error.contains("sql.nodes_max") || error.contains("bytes"), "{error}");
}
