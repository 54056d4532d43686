//! Tests of statements: they are read as they are meant, and refused with a message that helps.

use arrow::datatypes::DataType;
use barograph_engine::ErrorKind;

use super::*;

#[tokio::test]
async fn unknown_names_are_answered_with_the_nearest() {
    let fixture = Fixture::empty(SqlSettings::default()).await;
    for (text, parts) in [
        ("SELECT temprature FROM readings", ["did you mean \"temperature\"?", "column 8"]),
        ("SELECT r.humidty FROM readings r", ["did you mean \"humidity\"?", "humidty"]),
        ("SELECT * FROM readigs", ["did you mean readings?", "readigs"]),
        ("SELECT * FROM files", ["did you mean system.files?", "files"]),
        ("SELECT * FROM nowhere", ["there are", "readings"]),
        ("SELECT meen(temperature) FROM readings", ["meen", "mean"]),
        ("SELECT * FROM readings WHERE", ["Expected", "found: EOF"]),
        ("SELECT *\nFORM readings", ["Line: 2", "Column: "]),
        ("SELECT 1; SELECT 2", ["single", "statement"]),
        ("  ;", ["empty", "SELECT 1"]),
    ] {
        let error = fixture.refused(text).await;
        for part in parts {
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

#[tokio::test]
async fn writing_is_refused() {
    let fixture = Fixture::empty(SqlSettings::default()).await;
    for text in [
        "INSERT INTO readings VALUES (1)",
        "DELETE FROM readings",
        "UPDATE readings SET temperature = 1",
        "CREATE TABLE t (a int)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY readings TO '/tmp/x.csv'",
        "DROP TABLE readings",
        "TRUNCATE readings",
        "EXPLAIN INSERT INTO readings SELECT * FROM readings",
        "EXPLAIN ANALYZE DELETE FROM readings",
    ] {
        let error = fixture.refused(text).await;
        assert!(error.contains("only reads") && error.contains("DoPut"), "{text}: {error}");
    }
    for (text, part) in [
        ("SET datafusion.execution.batch_size = 1", "session"),
        ("BEGIN", "transactions"),
        ("PREPARE p AS SELECT 1", "driver"),
    ] {
        let error = fixture.refused(text).await;
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[tokio::test]
async fn parameters_have_the_types_of_their_places() {
    let fixture = Fixture::new().await;
    let text =
        "SELECT count(*) FROM readings WHERE city_id = $1 AND reading_at >= $2 AND note <> $3";
    let statement = fixture.sql.prepare(&fixture.session, text).await.unwrap();
    let types: Vec<_> =
        statement.parameters().fields().iter().map(|f| f.data_type().clone()).collect();
    assert_eq!(types[0], DataType::Int32);
    assert!(matches!(types[1], DataType::Timestamp(..)), "{types:?}");
    assert_eq!(types[2], DataType::Utf8);
    assert!(statement.is_query());
    let wanted = fixture
        .model
        .iter()
        .filter(|((city, at), row)| {
            *city == 3
                && *at >= START + 60 * MINUTE
                && row.note.as_deref().is_some_and(|n| n != "fog")
        })
        .count();
    let values = [
        ScalarValue::Int64(Some(3)),
        ScalarValue::Utf8(Some("2026-01-01T01:00:00Z".to_owned())),
        ScalarValue::Utf8(Some("fog".to_owned())),
    ];
    for _ in 0..2 {
        let answer = fixture.try_ask(text, &values).await.unwrap();
        assert_eq!(lines(&answer), [wanted.to_string()]);
    }
    let error = fixture.try_ask(text, &values[..2]).await.unwrap_err();
    assert!(error.to_string().contains("2 parameters were given, the statement has 3"), "{error}");
    let wrong = [ScalarValue::Utf8(Some("x".to_owned())), values[1].clone(), values[2].clone()];
    let error = fixture.try_ask(text, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.to_string().contains("parameter $1"), "{error}");
}

#[tokio::test]
async fn no_view_types_reach_the_client() {
    let fixture = Fixture::new().await;
    let text = "SELECT arrow_cast(note, 'Utf8View') AS v, make_array(arrow_cast(note, 'Utf8View')) AS l, \
                upper(note) AS u, 'x' AS x FROM readings LIMIT 5";
    let rows = fixture.ask(text).await;
    let types: Vec<_> = rows.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
    assert!(types.iter().all(|of| !of.contains("View")), "{types:?}");
    assert_eq!(rows.num_rows(), 5);
    assert_eq!(rows.schema().field(0).name(), "v");
}

#[tokio::test]
async fn times_are_read_in_the_zone_of_the_session() {
    let mut fixture = Fixture::new().await;
    let utc = fixture
        .lines("SELECT count(*) FROM readings WHERE reading_at >= '2026-01-01 02:00:00'")
        .await;
    fixture.session.time_zone = Some("Europe/Zurich".to_owned());
    let zoned = fixture.lines("SELECT arrow_typeof(now())").await;
    assert_eq!(zoned, ["Timestamp(ns, \"Europe/Zurich\")"]);
    let count = |from: i64| fixture.model.keys().filter(|(_, at)| *at >= from).count().to_string();
    assert_eq!(utc, [count(START + 120 * MINUTE)]);
    fixture.session.time_zone = Some("Mars/Olympus".to_owned());
    assert!(fixture.refused("SELECT 1").await.contains("Mars/Olympus"));
}

#[tokio::test]
async fn the_clock_of_the_engine_rules_now() {
    let fixture = Fixture::new().await;
    fixture.clock.set(minute(90));
    let text = "SELECT count(*) FROM readings WHERE reading_at > now() - interval '30 minutes' AND reading_at <= now()";
    let wanted = fixture
        .model
        .keys()
        .filter(|(_, at)| *at > START + 60 * MINUTE && *at <= START + 90 * MINUTE)
        .count();
    assert_eq!(fixture.lines(text).await, [wanted.to_string()]);
}

#[tokio::test]
async fn tables_are_listed() {
    let fixture = Fixture::empty(SqlSettings::default()).await;
    let tables = fixture.sql.tables();
    let find = |name: &str| tables.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(find("readings").primary_key, ["city_id", "reading_at"]);
    assert_eq!(find("readings").table_type, "TABLE");
    assert_eq!(find("cities").primary_key, ["city_id"]);
    assert_eq!(find("queries").table_type, "SYSTEM TABLE");
    let listed = fixture
        .lines("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('public', 'system') ORDER BY 1, 2")
        .await;
    let mut expected: Vec<_> =
        tables.iter().map(|entry| format!("{}|{}", entry.schema, entry.name)).collect();
    expected.sort();
    assert_eq!(listed, expected);
    assert!(!fixture.lines("SHOW TABLES").await.is_empty());
    assert!(fixture.lines("DESCRIBE readings").await[0].starts_with("city_id|Int32"));
}

#[tokio::test]
async fn rows_of_one_day_or_hour_stay_in_order() {
    let fixture = Fixture::new().await;
    let hour = START + 120 * MINUTE..START + 180 * MINUTE;
    let mut expected: Vec<_> = fixture.model.keys().filter(|key| hour.contains(&key.1)).collect();
    expected.sort_by_key(|(city, at)| (-at, *city));
    let line = |(city, at): &&(i32, i64)| format!("{city}|{}", Timestamp::from_micros(*at));
    let expected: Vec<_> = expected.iter().map(line).collect();
    for condition in [
        "date_trunc('hour', reading_at) = '2026-01-01T02:00:00Z'",
        "date_bin(interval '1 hour', reading_at) = '2026-01-01T02:00:00Z'",
        "reading_at::date = '2026-01-01' AND date_part('hour', reading_at) = 2",
        "date_trunc('hour', reading_at) BETWEEN '2026-01-01T01:00:01Z' AND '2026-01-01T02:59:00Z'",
    ] {
        let text = format!(
            "SELECT city_id, reading_at FROM readings WHERE {condition} ORDER BY reading_at DESC, city_id"
        );
        assert_eq!(fixture.lines(&text).await, expected, "{condition}");
        let plan = fixture.plan(&text).await;
        assert!(plan.contains("from=2026-01-01T0"), "{plan}");
    }
    let text = "SELECT count(*) FROM readings WHERE date_trunc('hour', reading_at) = '2026-01-01T02:00:01Z'";
    assert_eq!(fixture.lines(text).await, ["0"]);
}

#[tokio::test]
async fn what_is_equal_after_a_function_is_still_sorted() {
    let fixture = Fixture::new().await;
    for (condition, column) in [
        ("date_trunc('month', reading_at) = '2026-01-01T00:00:00Z'", "reading_at"),
        ("seen_at::date = '2026-01-01'", "seen_at"),
        ("date_trunc('day', seen_at) = '2026-01-01T00:00:00Z'", "seen_at"),
        ("temperature::int = 3", "temperature"),
        ("floor(temperature) = 3", "temperature"),
        ("flashes::double = 3", "flashes"),
        ("(flashes > 3)::int = 1", "flashes"),
        ("flashes / 10 = 2", "flashes"),
        ("-(temperature::int) = 3", "temperature"),
    ] {
        let text = format!(
            "SELECT {column} FROM readings WHERE {condition} ORDER BY {column} DESC NULLS LAST"
        );
        let rows = fixture.ask(&text).await;
        let options = arrow::compute::SortOptions { descending: true, nulls_first: false };
        let sorted = arrow::compute::sort(rows.column(0), Some(options)).unwrap();
        assert!(rows.num_rows() > 0, "{text}");
        assert_eq!(sorted.as_ref(), rows.column(0).as_ref(), "{text}");
    }
}

#[tokio::test]
async fn the_newest_row_of_every_key_is_a_table() {
    let fixture = Fixture::new().await;
    let mut newest: BTreeMap<i32, (i64, Row)> = BTreeMap::new();
    for ((city, at), row) in &fixture.model {
        newest.insert(*city, (*at, row.clone()));
    }
    let shown = fixture
        .lines("SELECT city_id, reading_at, flashes FROM latest('readings') ORDER BY city_id")
        .await;
    let line = |(city, (at, row)): (&i32, &(i64, Row))| {
        let flashes = row.count.map_or("null".to_owned(), |count| count.to_string());
        format!("{city}|{}|{flashes}", Timestamp::from_micros(*at))
    };
    assert_eq!(shown, newest.iter().map(line).collect::<Vec<_>>());
    // A condition is asked of the newest row, not of the newest that satisfies it.
    let negative = newest.values().filter(|(_, row)| row.count.is_some_and(|c| c < 0)).count();
    let text = "SELECT count(*) FROM latest('readings') WHERE flashes < 0";
    assert_eq!(fixture.lines(text).await, [negative.to_string()]);
    let text = "SELECT c.name, l.reading_at IS NOT NULL FROM latest('readings') l JOIN cities c USING (city_id) WHERE l.city_id IN (5, 7, 999) ORDER BY 1";
    assert_eq!(fixture.lines(text).await, ["city 5|true", "city 7|true"]);
    let error = fixture.refused("SELECT * FROM latest('readigs')").await;
    assert!(error.contains("readigs") && error.contains("readings"), "{error}");
}
