//! Tests of dialects: syntax of other databases is read with the meaning it has there.

use super::*;

async fn fixture() -> Fixture {
    Fixture::empty(SqlSettings { threads: 2, ..SqlSettings::default() }).await
}

#[tokio::test]
async fn an_escape_character_takes_the_meaning_from_the_next() {
    let fixture = fixture().await;
    for (condition, expected) in [
        ("'50%' LIKE '50!%' ESCAPE '!'", "true"),
        ("'501' LIKE '50!%' ESCAPE '!'", "false"),
        ("'a_b' LIKE 'a#_b' ESCAPE '#'", "true"),
        ("'axb' LIKE 'a#_b' ESCAPE '#'", "false"),
        ("'axb' NOT LIKE 'a#_b' ESCAPE '#'", "true"),
        ("'A_B' ILIKE 'a#_b' ESCAPE '#'", "true"),
        ("'a#b' LIKE 'a##b' ESCAPE '#'", "true"),
        (r"'a\b' LIKE 'a\b' ESCAPE '#'", "true"),
        (r"'a\b' LIKE 'a\b' ESCAPE ''", "true"),
        (r"'a%b' LIKE 'a\%b' ESCAPE '\'", "true"),
        (r"'axb' LIKE 'a\%b' ESCAPE '\'", "false"),
        ("'x1' LIKE 'xx1' ESCAPE 'x'", "true"),
    ] {
        assert_eq!(fixture.lines(&format!("SELECT {condition}")).await, [expected], "{condition}");
        let text = format!("SELECT {condition} FROM (VALUES (1)) AS t(a) WHERE a = 1");
        assert_eq!(fixture.lines(&text).await, [expected], "{text}");
    }
    for (condition, part) in [
        ("'a' LIKE 'a!' ESCAPE '!'", "nothing stands after the last !"),
        ("'a' LIKE 'a' ESCAPE 'ab'", "single character"),
        ("'a' LIKE upper('a') ESCAPE '!'", "a pattern that is written as text"),
    ] {
        let error = fixture.refused(&format!("SELECT {condition}")).await;
        assert!(error.contains(part), "{condition}: {error}");
    }
}

#[tokio::test]
async fn bounds_of_windows_may_be_computed() {
    let fixture = fixture().await;
    let expected = ["1", "3", "6", "9"];
    for bounds in [
        "ROWS BETWEEN CAST(2 AS BIGINT) PRECEDING AND CURRENT ROW",
        "ROWS BETWEEN (1 + 1) PRECEDING AND 0 FOLLOWING",
        "ROWS BETWEEN 4 - 2 PRECEDING AND CURRENT ROW",
        "ROWS BETWEEN -(-2) PRECEDING AND CURRENT ROW",
        "RANGE BETWEEN CAST(2 AS DOUBLE) PRECEDING AND CURRENT ROW",
        "ROWS CAST('2' AS TINYINT) PRECEDING",
    ] {
        let text = format!(
            "SELECT sum(a) OVER (ORDER BY a {bounds}) FROM (VALUES (1), (2), (3), (4)) AS t(a) ORDER BY a"
        );
        assert_eq!(fixture.lines(&text).await, expected, "{bounds}");
        let text = format!(
            "SELECT sum(a) OVER w FROM (VALUES (1), (2), (3), (4)) AS t(a) WINDOW w AS (ORDER BY a {bounds}) ORDER BY a"
        );
        assert_eq!(fixture.lines(&text).await, expected, "{bounds}");
    }
    let text = "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM (VALUES (1)) AS t(a)";
    let error = fixture.refused(text).await;
    assert!(error.contains("less than 0"), "{error}");
}

#[tokio::test]
async fn functions_of_other_databases_are_there() {
    let fixture = fixture().await;
    for (text, expected) in [
        ("SELECT mod(7, 3), mod(-7, 3), mod(7.5, 2)", "1|-1|1.5"),
        ("SELECT mod(a, 2) + 1 FROM (VALUES (5)) AS t(a)", "2"),
        ("SELECT sign(-2.5), sign(0), sign(7)", "-1.0|0.0|1.0"),
        (
            "SELECT current_schema AS a, current_schema(), current_database(), current_catalog",
            "public|public|barograph|barograph",
        ),
        (
            "SELECT mode(a) FROM (VALUES (1), (2), (2), (3), (3), (NULL), (NULL), (NULL)) AS t(a)",
            "2",
        ),
        ("SELECT mode(a) FROM (VALUES ('b'), ('a'), ('b')) AS t(a)", "b"),
        ("SELECT mode(a) FROM (VALUES (1)) AS t(a) WHERE a > 1", "null"),
        (
            "SELECT mode(a) FROM (VALUES (0.0::double), (-0.0::double), (1.0), (1.0), (0.0)) AS t(a)",
            "0.0",
        ),
        (
            "SELECT count(mode), max(mode) FROM (SELECT mode(value % 7) AS mode FROM generate_series(1, 50000) GROUP BY value % 100)",
            "100|2",
        ),
    ] {
        assert_eq!(fixture.lines(text).await, [expected], "{text}");
    }
    let sliding = "SELECT mode(b) OVER (ORDER BY a ROWS 2 PRECEDING) FROM (VALUES (1, 5), (2, 5), (3, 4), (4, 4), (5, 9)) AS t(a, b) ORDER BY a";
    assert_eq!(fixture.lines(sliding).await, ["5", "5", "5", "4", "4"]);
}

#[tokio::test]
async fn columns_are_counted_from_one() {
    let fixture = fixture().await;
    let text = "SELECT column_name, ordinal_position FROM information_schema.columns WHERE table_name = 'readings' AND ordinal_position <= 2 ORDER BY 2";
    assert_eq!(fixture.lines(text).await, ["city_id|1", "reading_at|2"]);
    let text = "SELECT min(c.ordinal_position), count(*) - max(c.ordinal_position) FROM information_schema.columns AS c WHERE c.table_name = 'readings'";
    assert_eq!(fixture.lines(text).await, ["1|0"]);
}

#[tokio::test]
async fn no_refusal_shows_the_tree_of_a_statement() {
    let fixture = fixture().await;
    for text in [
        "SELECT a AT TIME ZONE a FROM (VALUES ('x')) AS t(a)",
        "SELECT 1 COLLATE \"de\"",
        "SELECT a MEMBER OF (b) FROM (VALUES (1, 2)) AS t(a, b)",
        "SELECT 'a' SIMILAR TO 'a' ESCAPE 'b'",
        "SELECT INTERVAL (1 + a) DAY FROM (VALUES (1)) AS t(a)",
        "SELECT count(*) FROM generate_series(1, 3) t(v), LATERAL (SELECT unnest(range(0, t.v)))",
        "SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b int)",
        "SELECT PRIOR a FROM (VALUES (1)) AS t(a)",
        "SELECT sum(a) OVER (ORDER BY a RANGE BETWEEN a PRECEDING AND CURRENT ROW) FROM (VALUES (1)) AS t(a)",
        "SELECT array_transform([1], x -> y -> x)",
        "SELECT MATCH (a) AGAINST ('x') FROM (VALUES (1)) AS t(a)",
    ] {
        match fixture.try_ask(text, &[]).await {
            Ok(_) => {}
            Err(error) => {
                let said = error.to_string();
                let tree = ["Span", "span:", "quote_style", "Ident", "Field {", "None,", "Some("];
                assert!(!tree.iter().any(|part| said.contains(part)), "{text}: {said}");
            }
        }
    }
}
