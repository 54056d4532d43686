//! Tests of system tables: what the server reports about itself is true.

use super::*;

#[tokio::test]
async fn files_hours_and_tail_add_up_to_the_table() {
    let fixture = Fixture::new().await;
    let view = fixture.engine.view("readings").unwrap();
    let files = fixture
        .lines("SELECT count(*), sum(rows), min(key_min), max(time_max) < '2026-01-01T04:00:00Z' FROM system.files WHERE table_name = 'readings'")
        .await;
    let lake: u64 = view.snapshot.files().iter().map(|file| file.rows).sum();
    assert_eq!(files, [format!("{LANDED_HOURS}|{lake}|0|true")]);
    let tail = fixture
        .lines("SELECT sum(rows), max(keys) FROM system.tail WHERE table_name = 'readings'")
        .await;
    assert_eq!(tail, [format!("{}|{CITIES}", view.tail.rows())]);
    let hours = fixture
        .lines("SELECT landed, count(*), sum(lake_rows) > 0, sum(tail_rows) > 0 FROM system.hours WHERE table_name = 'readings' GROUP BY landed ORDER BY landed")
        .await;
    assert_eq!(hours, ["false|2|false|true", "true|4|true|true"]);
    let log = fixture
        .lines(
            "SELECT rows_appended, end_position > 0, bytes > 0, torn_bytes, lost FROM system.log",
        )
        .await;
    assert_eq!(log, [format!("{}|true|true|0|null", view.rows())]);
}

#[tokio::test]
async fn settings_are_shown_with_what_they_are_for() {
    let fixture = Fixture::empty(SqlSettings::default()).await;
    let shown = fixture
        .lines("SELECT name, value FROM system.settings WHERE name IN ('engine.scan_slice_rows', 'engine.log.segment_bytes', 'sql.timeout', 'sql.cost_bytes_max') ORDER BY name")
        .await;
    assert_eq!(
        shown,
        [
            "engine.log.segment_bytes|64MiB",
            "engine.scan_slice_rows|1024",
            "sql.cost_bytes_max|null",
            "sql.timeout|5m"
        ]
    );
    let without = fixture
        .lines(
            "SELECT name FROM system.settings WHERE description IS NULL AND name NOT LIKE '%.log'",
        )
        .await;
    assert_eq!(without, Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_query_is_remembered() {
    let fixture = Fixture::empty(SqlSettings { recent_max: 2, ..SqlSettings::default() }).await;
    fixture.ask("SELECT 1 AS first").await;
    fixture.ask("SELECT 2").await;
    fixture.try_ask("SELECT 1 / (random() * 0)::int", &[]).await.unwrap_err();
    let shown = fixture
        .lines("SELECT text, state, error LIKE '%zero%', finished_at IS NOT NULL FROM system.queries WHERE state <> 'planning' AND state <> 'running' ORDER BY id")
        .await;
    assert_eq!(
        shown,
        ["SELECT 2|done|null|true", "SELECT 1 / (random() * 0)::int|failed|true|true"]
    );
}

/// Readings of three keys, one a minute: the first has all, the second stops at half past one, the third begins late;
/// some of the second's arrived after its hour was closed.
async fn three(every: &str) -> Fixture {
    let settings = SqlSettings { reading_every: every.parse().unwrap(), ..SqlSettings::default() };
    let mut fixture = Fixture::empty(settings).await;
    let mut rng = SmallRng::seed_from_u64(1);
    let mut rows = Vec::new();
    for minute in 0..180 {
        let at = START + minute * MINUTE;
        for city in 1..=3 {
            let there = match city {
                1 => true,
                2 => minute < 90,
                _ => minute >= 120,
            };
            if there {
                rows.push(((city, at), row(&mut rng, at)));
            }
        }
    }
    fixture.clock.set(minute(180));
    let (landed, open): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|((_, at), _)| *at < START + 120 * MINUTE);
    fixture.put(landed).await;
    fixture.engine.flush().await.unwrap();
    fixture.put(open).await;
    fixture
}

#[tokio::test]
async fn completeness_counts_what_is_missing() {
    let mut fixture = three("1m").await;
    let text = "SELECT key, hour, expected, received, silent_since FROM system.completeness WHERE table_name = 'readings' ORDER BY key, hour";
    let shown = fixture.lines(text).await;
    assert_eq!(
        shown,
        [
            "1|2026-01-01T00:00:00Z|60|60|null",
            "1|2026-01-01T01:00:00Z|60|60|null",
            "1|2026-01-01T02:00:00Z|60|60|null",
            "2|2026-01-01T00:00:00Z|60|60|null",
            "2|2026-01-01T01:00:00Z|60|30|2026-01-01T01:29:00Z",
            "2|2026-01-01T02:00:00Z|60|0|2026-01-01T01:29:00Z",
            "3|2026-01-01T02:00:00Z|60|60|null",
        ]
    );
    assert_eq!(fixture.lines(text).await, shown, "from what was kept");
    let narrowed = "SELECT key, hour, received FROM system.completeness WHERE key IN (2, 3) AND hour >= '2026-01-01T01:00:00Z' AND hour < '2026-01-01T02:30:00Z' AND received < expected ORDER BY hour";
    assert_eq!(
        fixture.lines(narrowed).await,
        ["2|2026-01-01T01:00:00Z|30", "2|2026-01-01T02:00:00Z|0"]
    );
    let none = "SELECT count(*) FROM system.completeness WHERE table_name = 'other'";
    assert_eq!(fixture.lines(none).await, ["0"]);
    // The hour that runs is due as far as it has passed.
    fixture.clock.set(minute(200));
    let running = "SELECT key, expected, received, silent_since FROM system.completeness WHERE hour = '2026-01-01T03:00:00Z' ORDER BY key";
    assert_eq!(
        fixture.lines(running).await,
        ["1|20|0|2026-01-01T02:59:00Z", "3|20|0|2026-01-01T02:59:00Z"]
    );
    // The minute that runs is due where its reading is there.
    let mut rng = SmallRng::seed_from_u64(3);
    let here: Vec<_> =
        (180..=200).map(|m| START + m * MINUTE).map(|at| ((1, at), row(&mut rng, at))).collect();
    fixture.clock.set(minute(200) + Span::seconds(30));
    fixture.put(here).await;
    assert_eq!(fixture.lines(running).await, ["1|21|21|null", "3|20|0|2026-01-01T02:59:00Z"]);
    fixture.clock.set(minute(201) + Span::seconds(30));
    assert_eq!(fixture.lines(running).await, ["1|21|21|null", "3|21|0|2026-01-01T02:59:00Z"]);
}

#[tokio::test]
async fn late_readings_are_told_apart_and_counted_once() {
    let mut fixture = three("1m").await;
    let lateness = fixture.engine.settings().lateness;
    fixture.clock.set(minute(120) + lateness + Span::MICROSECOND);
    let mut rng = SmallRng::seed_from_u64(2);
    let late: Vec<_> = (85..100)
        .map(|minute| START + minute * MINUTE)
        .map(|at| ((2, at), row(&mut rng, at)))
        .collect();
    fixture.put(late).await;
    let text = "SELECT received, late FROM system.completeness WHERE key = 2 AND hour = '2026-01-01T01:00:00Z'";
    assert_eq!(fixture.lines(text).await, ["40|15"]);
    fixture.engine.flush().await.unwrap();
    assert_eq!(fixture.lines(text).await, ["40|15"]);
    let all = "SELECT sum(received), sum(late) FROM system.completeness";
    assert_eq!(fixture.lines(all).await, [format!("{}|15", fixture.model.len())]);
}
