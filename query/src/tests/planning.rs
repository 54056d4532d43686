//! Tests of planning: a short text stays small on its way to a plan.

use barograph_engine::ErrorKind;

use super::*;

/// A chain of `steps` queries, each of which uses the column `x` of the previous one four times.
fn chain(steps: usize, end: &str) -> String {
    use std::fmt::Write;
    let mut text =
        "WITH c0 AS (SELECT city_id, reading_at, pressure AS x FROM readings)".to_owned();
    for step in 1..=steps {
        let before = step - 1;
        let _ = write!(
            text,
            ", c{step} AS (SELECT city_id, reading_at, CASE WHEN x > {step} THEN x - 1 ELSE x * 0 + x END AS x FROM c{before})"
        );
    }
    format!("{text} {}", end.replace("LAST", &format!("c{steps}")))
}

fn chained(steps: usize, mut x: f64) -> f64 {
    for step in 1..=steps {
        let bound = f64::from(u32::try_from(step).unwrap());
        x = if x > bound { x - 1.0 } else { x * 0.0 + x };
    }
    x
}

#[tokio::test]
async fn chains_of_computed_columns_are_planned_once_a_step() {
    let fixture = Fixture::new().await;
    for steps in [3, 12, 40] {
        let rows = || {
            let known = fixture.model.iter().filter_map(|(key, row)| Some((*key, row.pressure?)));
            known.map(move |(key, x)| (key, chained(steps, x)))
        };
        let limit = 900.0;
        let counted = rows().filter(|(_, x)| *x > limit).count();
        let text = chain(steps, "SELECT count(*) FROM LAST WHERE x > 900");
        assert_eq!(fixture.lines(&text).await, [counted.to_string()], "{steps}");

        let text = chain(steps, "SELECT count(*) FROM LAST WHERE x > 900 AND city_id = 7");
        let counted = rows().filter(|((city, _), x)| *city == 7 && *x > limit).count();
        assert_eq!(fixture.lines(&text).await, [counted.to_string()], "{steps}");
        // The key still finds its rows.
        assert!(fixture.plan(&text).await.contains("keys=[7]"), "{}", fixture.plan(&text).await);

        let mut sorted: Vec<_> = rows().map(|(_, x)| x).collect();
        sorted.sort_by(f64::total_cmp);
        let largest: Vec<_> = sorted.iter().rev().take(3).map(|x| format!("{x:?}")).collect();
        let text = chain(steps, "SELECT x FROM LAST WHERE x IS NOT NULL ORDER BY x DESC LIMIT 3");
        assert_eq!(fixture.lines(&text).await, largest, "{steps}");

        let largest = sorted.last().copied().unwrap();
        let text = format!("SELECT max(x) = {largest:?}, count(*) FROM LAST");
        let counted = fixture.model.len();
        assert_eq!(fixture.lines(&chain(steps, &text)).await, [format!("true|{counted}")]);

        let matched = sorted.iter().filter(|x| **x == largest).count();
        let text = format!(
            "SELECT count(*) FROM LAST a JOIN (VALUES ({largest:?}), (-1e9)) AS b(y) ON a.x = b.y"
        );
        assert_eq!(fixture.lines(&chain(steps, &text)).await, [matched.to_string()], "{steps}");

        let text =
            "SELECT count(*) FROM (SELECT x, count(*) AS n FROM LAST GROUP BY x HAVING x > 900)";
        let mut groups: Vec<_> =
            sorted.iter().filter(|x| **x > limit).map(|x| x.to_bits()).collect();
        groups.dedup();
        assert_eq!(fixture.lines(&chain(steps, text)).await, [groups.len().to_string()], "{steps}");
    }
}

#[tokio::test]
async fn conditions_still_reach_the_table_where_that_is_cheap() {
    let fixture = Fixture::new().await;
    let plan =
        fixture.plan(&chain(2, "SELECT count(*) FROM LAST WHERE x > 900 AND city_id = 7")).await;
    assert!(!plan.contains("Fence"), "{plan}");
    let plan = fixture.plan(&chain(9, "SELECT count(*) FROM LAST WHERE x > 900")).await;
    assert!(plan.contains("FenceExec"), "{plan}");
}

/// A chain of `steps` structs, each of which contains the previous one twice.
fn structs(of: &str, steps: usize, end: &str) -> String {
    let step = |step: usize| format!(", c{step} AS (SELECT {of} AS x FROM c{})", step - 1);
    let chain: String = (1..=steps).map(step).collect();
    format!("WITH c0 AS (SELECT 1 AS x){chain} {}", end.replace("LAST", &format!("c{steps}")))
}

#[tokio::test]
async fn types_of_structs_in_structs_are_bounded() {
    let fixture = Fixture::empty(SqlSettings::default()).await;
    for of in ["struct(x, x)", "(x, x)", "{'a': x, 'b': x}", "named_struct('a', x, 'b', x)"] {
        assert_eq!(fixture.ask(&structs(of, 9, "SELECT x FROM LAST")).await.num_rows(), 1);
        for (steps, end) in [(14, "SELECT x"), (60, "SELECT count(x)"), (300, "SELECT [x, x]")] {
            let error = fixture.refused(&structs(of, steps, &format!("{end} FROM LAST"))).await;
            assert!(error.contains("would have more than 10000 fields"), "{error}");
        }
    }
}

#[tokio::test]
async fn grouping_sets_are_bounded() {
    let fixture = Fixture::empty(SqlSettings::default()).await;
    let of = |word: &str, count: usize| {
        let columns: Vec<_> = (0..count).map(|at| format!("city_id + {at}")).collect();
        format!("SELECT count(*) FROM readings GROUP BY {word}({})", columns.join(", "))
    };
    for text in [of("CUBE", 10), of("ROLLUP", 60)] {
        fixture.ask(&text).await;
    }
    for (text, sets) in [
        (of("CUBE", 13), "CUBE of 13 columns would group by 8192 sets"),
        (of("CUBE", 30), "CUBE of 30 columns would group by 1073741824 sets"),
        (of("CUBE", 70), "CUBE of 70 columns would group by"),
    ] {
        let error = fixture.refused(&text).await;
        assert!(error.contains(sets) && error.contains("GROUPING SETS"), "{error}");
    }
    let error = fixture.refused(&of("ROLLUP", 1_000)).await;
    assert!(error.contains("more than 64 columns"), "{error}");
}

#[tokio::test]
async fn memory_of_planning_counts_among_that_of_queries() {
    let memory_bytes_max = Size::mebibytes(4);
    let fixture = Fixture::empty(SqlSettings { memory_bytes_max, ..SqlSettings::default() }).await;
    let columns: Vec<_> = (0..8_000).map(|at| format!("pressure * {at} AS c{at}")).collect();
    let text = format!("SELECT {} FROM readings", columns.join(", "));
    let error = fixture.try_ask(&text, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources, "{error}");
    assert!(error.to_string().contains("sql.memory_bytes_max"), "{error}");
    assert!(error.to_string().contains("planning"), "{error}");
    // Nothing of it is left, and others are planned.
    assert_eq!(fixture.lines("SELECT 1 + 1").await, ["2"]);
    let columns = columns.get(..100).unwrap().join(", ");
    assert_eq!(fixture.ask(&format!("SELECT {columns} FROM readings")).await.num_rows(), 0);
}
