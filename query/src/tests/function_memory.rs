//! Tests of function memory: results are bounded before they are produced, counted while they are held, and right where
//! they are produced in pieces.

use barograph_engine::ErrorKind;
use datafusion::prelude::SessionContext;

use super::*;

fn settings() -> SqlSettings {
    SqlSettings {
        threads: 2,
        memory_bytes_max: Size::mebibytes(128),
        value_bytes_max: Size::mebibytes(1),
        ..SqlSettings::default()
    }
}

/// Calls that would produce gigabytes of constants, and what they produce.
const CONSTANTS: &[&str] = &[
    "repeat('x', 2000000000)",
    "repeat(repeat('x', 1000000), 1000000)",
    "lpad('x', 2000000000)",
    "rpad('x', 2000000000, 'ab')",
    "range(0, 2000000000)",
    "range(2000000000, 0, -1)",
    "generate_series(1, 400000000)",
    "generate_series(TIMESTAMP '1970-01-01', TIMESTAMP '2026-01-01', INTERVAL '1 millisecond')",
    "range(DATE '0001-01-01', DATE '9999-01-01', INTERVAL '1 day')",
    "array_repeat(1, 400000000)",
    "array_repeat(array_repeat('abc', 1000), 1000000)",
    "array_resize([1], 400000000, 7)",
    "replace(repeat('a', 100000), 'a', repeat('b', 100000))",
    "replace(repeat('a', 100000), '', repeat('b', 100000))",
    "regexp_replace(repeat('a', 100000), 'a', repeat('b', 100000), 'g')",
    "regexp_replace(repeat('a', 1000000), '(a+)', repeat('\\1', 1000))",
    "concat_ws(repeat('x', 600000), '1', '2', '3')",
    "concat(repeat('x', 600000), repeat('y', 600000))",
    "repeat('x', 600000) || repeat('y', 600000)",
    "array_to_string(range(0, 1000), repeat('x', 100000))",
    "array_replace_all(array_repeat('a', 1000), 'a', repeat('b', 100000))",
    "array_concat(range(0, 100000), range(0, 100000))",
    "range(0, 100000) || range(0, 100000)",
    "translate(repeat('a', 600000), 'a', '😀')",
];

/// Calls over a number `value` and a text `note` whose values are far too large, together or one by one.
const COLUMNS: &[&str] = &[
    "repeat('x', 100000 + value)",
    "repeat(note, 1000000)",
    "repeat(note, 10000000)",
    "lpad(note, 100000 + value, 'ab')",
    "rpad(note, 100000 + value, 'ab')",
    "range(0, 100000 + value)",
    "generate_series(value, 200000)",
    "array_repeat(value, 50000)",
    "array_repeat(note, 50000)",
    "array_resize([value], 100000, 7)",
    "replace(repeat('a', 1000 + value), 'a', repeat('b', 100))",
    "regexp_replace(repeat('a', 1000 + value), 'a', repeat('b', 100), 'g')",
    "concat(repeat('x', 100000), note)",
    "concat_ws(repeat('x', 100000), note, note)",
    "repeat('x', 100000) || note",
    "note || repeat('x', 100000)",
    "string_to_array(repeat('x,', 40000 + value), ',')",
    "array_to_string(range(0, 1000 + value), repeat('x', 100))",
    "array_append(array_repeat(note, 1000), repeat('x', 100000))",
    "make_array(repeat('x', 100000), note)",
    "[repeat('x', 100000), note]",
    "array_concat(range(0, 50000), [value])",
    "translate(repeat('a', 100000 + value), 'a', '😀')",
    "left(repeat('x', 1000000), 100000 + value)",
    "substr(repeat('x', 1000000), value)",
    "greatest(repeat('x', 100000), note)",
    "upper(repeat('ß', 50000 + value))",
    "reverse(repeat('ab', 50000 + value))",
    "overlay(repeat('x', 100000) PLACING note FROM 3)",
    "to_char(arrow_cast(value, 'Timestamp(Second, None)'), repeat('%c', 50000))",
    "flatten(array_repeat(array_repeat(value, 200), 200))",
    "array_sort(range(0, 100000 + value))",
    "array_distinct(range(0, 100000 + value))",
    "array_union(range(0, 50000), [value])",
    "array_reverse(range(0, 100000 + value))",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_a_value_is_refused_before_it_is_made() {
    let fixture = Fixture::empty(settings()).await;
    for call in CONSTANTS {
        let error = fixture.refused(&format!("SELECT {call}")).await;
        assert!(error.contains("sql.value_bytes_max"), "{call}: {error}");
        // Where the planner asks before anything is pinned, and where a part of a statement is never reached.
        let named = format!(
            "SELECT CASE WHEN value > 5 THEN {call} END IS NULL FROM generate_series(1, 2)"
        );
        assert_eq!(fixture.lines(&named).await, ["true", "true"], "{call}");
    }
    assert_eq!(fixture.lines("SELECT length(repeat('x', 1000000))").await, ["1000000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_a_column_is_refused_or_made_in_pieces() {
    let fixture = Fixture::empty(settings()).await;
    let rows = "(SELECT value, 'note ' || value AS note FROM generate_series(1, 8192))";
    for call in COLUMNS {
        let text =
            format!("SELECT count(a) FROM (SELECT {call} AS a FROM {rows}) WHERE a IS NOT NULL");
        match fixture.try_ask(&text, &[]).await {
            Ok(count) => assert_eq!(lines(&count), ["8192"], "{call}"),
            Err(error) => {
                let text = error.to_string();
                let said = ["sql.value_bytes_max", "sql.memory_bytes_max"];
                assert!(said.iter().any(|setting| text.contains(setting)), "{call}: {text}");
            }
        }
        let peak = fixture.sql.queries().list()[0].memory_bytes_peak;
        assert!(peak <= 128 << 20, "{call}: {peak}");
    }
    assert_eq!(fixture.lines("SELECT 1").await, ["1"]);
}

/// Operators over large values: rows that repeat them, and lists that become rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_repeats_large_values_is_refused_or_in_small_batches() {
    let fixture = Fixture::empty(settings()).await;
    let statements = [
        (
            "SELECT sum(length(b)) FROM (SELECT repeat('x', 100000) b, value FROM generate_series(1, 3000)) WHERE value % 3 = 1",
            "100000000",
        ),
        (
            "SELECT sum(length(CASE WHEN value % 2 = 0 THEN repeat('x', 100000) ELSE repeat('y', 50000) END)) FROM generate_series(1, 1000)",
            "75000000",
        ),
        (
            "SELECT count(*), sum(length(b)), max(a) FROM (SELECT unnest(range(0, 20000)) a, repeat('x', 10000) b)",
            "20000|200000000|19999",
        ),
        (
            "SELECT sum(length(a) + value) FROM (SELECT repeat('x', 100000 + value) a FROM generate_series(1, 1)), generate_series(1, 1000)",
            "100501500",
        ),
        (
            "SELECT count(a), count(b), count(c), sum(a), sum(b) FROM (SELECT unnest(range(0, 30000)) a, unnest(range(0, 9000)) b, 1 c)",
            "30000|9000|30000|449985000|40495500",
        ),
        ("SELECT count(*), count(a) FROM (SELECT unnest([]::bigint[]) a, 1 b)", "0|0"),
        (
            "SELECT count(a), max(a) FROM (SELECT unnest(range(0, value * 10000)) a FROM generate_series(1, 3))",
            "60000|29999",
        ),
    ];
    for (text, expected) in statements {
        assert_eq!(fixture.lines(text).await, [expected], "{text}");
    }
    let refused = [
        "SELECT sum(length(a)) FROM (SELECT first_value(x) OVER (ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) a FROM (SELECT value, CASE WHEN value = 1 THEN repeat('x', 900000 + value) ELSE '' END x FROM generate_series(1, 8192)))",
        "SELECT count(a) FROM (SELECT string_agg(repeat('x', 1000), ',') a FROM generate_series(1, 10000)), generate_series(1, 100000)",
        "WITH RECURSIVE t AS (SELECT 'x' AS a, 1 AS n UNION ALL SELECT a || a, n + 1 FROM t WHERE n < 34) SELECT max(length(a)) FROM t",
    ];
    for text in refused {
        let error = fixture.refused(text).await;
        let said = ["sql.value_bytes_max", "sql.memory_bytes_max"];
        assert!(said.iter().any(|setting| error.contains(setting)), "{text}: {error}");
    }
}

/// Results produced in pieces equal those produced at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_are_what_the_whole_is() {
    let settings = SqlSettings { threads: 2, ..SqlSettings::default() };
    let fixture = Fixture::empty(settings).await;
    let plain = SessionContext::new();
    let rows = "(SELECT value, CASE WHEN value % 7 = 0 THEN NULL ELSE 'note ' || value END AS note \
                FROM generate_series(1, 4000))";
    let calls = [
        "repeat(note, 500 + value % 3)",
        "repeat(note, value - 100)",
        "lpad(note, 9000, note)",
        "rpad(note, 9000 - value, 'ä')",
        "replace(repeat(note, 100), 'o', 'oooooooooooooooo')",
        "replace(note, '', 'x')",
        "regexp_replace(repeat(note, 100), '(\\d)', '<\\1\\1\\1\\1\\1\\1\\1\\1>', 'g')",
        "regexp_replace(note, '(\\d)', '<\\1>')",
        "concat(repeat('x', 9000), note, value)",
        "concat_ws(repeat('x', 3000), note, value, note)",
        "repeat('x', 9000) || note",
        "note || repeat('x', 9000) || value",
        "upper(repeat(note, 300))",
        "translate(repeat(note, 300), 'note', 'NÖTÉ')",
        "array_to_string(range(0, 100 + value), ', ')",
        "array_to_string(string_to_array(repeat(note || ',', 200), ',', ''), '-', '?')",
        "array_to_string(array_concat(range(0, 1000), [value], range(value)), '')",
        "array_to_string(array_repeat(note, 300), '/', '?')",
        "array_to_string(array_resize([value], 1000, value), ' ')",
        "array_to_string(array_replace_all([note, 'a', note], 'a', repeat('y', 3000)), ' ')",
        "array_to_string(generate_series(value, 5000, 3), ' ')",
        "substr(repeat('abc', 4000), value)",
        "coalesce(note, repeat('z', 9000))",
        "greatest(repeat('o', 9000), note)",
        "CASE WHEN value % 2 = 0 THEN repeat('x', 9000) ELSE note END",
        "split_part(repeat(note || ',', 200), ',', value)",
    ];
    for call in calls {
        let text = format!(
            "SELECT sum(length(a)), count(a), max(a || ''), min(reverse(a)), max(value) FROM (SELECT {call} AS a, value FROM {rows})"
        );
        let ours = fixture.ask(&text).await;
        let theirs = plain.sql(&text).await.unwrap().collect().await.unwrap();
        let theirs = concat_batches(&theirs[0].schema(), &theirs).unwrap();
        assert_eq!(lines(&ours), lines(&theirs), "{call}");
    }
}

/// Column names are those that functions without bounds would give.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_stay() {
    let fixture = Fixture::empty(settings()).await;
    let text = "SELECT 'a' || value, upper('a' || value), [1, value], value::text || 'x' AS named FROM generate_series(1, 1) AS t(value) GROUP BY value";
    let plain = SessionContext::new().sql(text).await.unwrap();
    let names = |schema: &arrow::datatypes::Schema| -> Vec<_> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    let ours = fixture.ask(text).await;
    assert_eq!(names(&ours.schema()), names(plain.schema().as_arrow()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_holds_too_much_takes_no_query() {
    let fixture =
        Fixture::empty(SqlSettings { server_bytes_max: Some(Size::mebibytes(1)), ..settings() })
            .await;
    let error = fixture.try_ask("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources);
    assert!(error.to_string().contains("sql.server_bytes_max"), "{error}");
}

#[tokio::test]
async fn long_patterns_are_refused_before_they_are_compiled() {
    let fixture = Fixture::new().await;
    let written = "%a".repeat(20_000);
    for condition in [
        format!("note LIKE '{written}'"),
        format!("note NOT ILIKE '{written}'"),
        "note LIKE repeat('%a', 20000)".to_owned(),
        "note LIKE repeat('%a', 20000 + city_id)".to_owned(),
        "note NOT LIKE repeat('%a', 20000) || note".to_owned(),
        "note SIMILAR TO repeat('a|', 20000)".to_owned(),
        "note ~ repeat('a.*', 20000)".to_owned(),
        "note !~* repeat('a.*', 20000 + city_id)".to_owned(),
        "regexp_like(note, repeat('a.*', 20000))".to_owned(),
        "regexp_replace(note, repeat('a.*', 20000 + city_id), '') = note".to_owned(),
        "regexp_count(note, repeat('a.*', 20000)) = 1".to_owned(),
    ] {
        let text = format!("SELECT count(*) FROM readings WHERE {condition}");
        let error = fixture.refused(&text).await;
        assert!(error.contains("at most 32768 are read"), "{text}: {error}");
    }
    let count = |is: &dyn Fn(&str) -> bool| {
        let notes = fixture.model.values().filter_map(|row| row.note.as_deref());
        vec![notes.filter(|note| is(note)).count().to_string()]
    };
    for (condition, expected) in [
        ("note LIKE '%' || note", count(&|_| true)),
        ("note LIKE concat('%', 'o', '%')", count(&|note| note.contains('o'))),
        ("note ~ concat('^', substr(note, 1, 2))", count(&|_| true)),
        ("regexp_like(note, lower('^F'))", count(&|note| note.starts_with('f'))),
    ] {
        let text = format!("SELECT count(*) FROM readings WHERE {condition}");
        assert_eq!(fixture.lines(&text).await, expected, "{text}");
    }
}
