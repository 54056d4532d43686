//! Tests of plans: the planner uses what a scan can do.

use super::*;

#[tokio::test]
async fn counts_and_bounds_read_no_data() {
    let fixture = Fixture::new().await;
    let text = "SELECT count(*), min(reading_at), max(reading_at), min(city_id), max(city_id) FROM readings";
    let plan = fixture.plan(text).await;
    assert!(!plan.contains("ScanExec"), "{plan}");
    let at = |at: i64| Timestamp::from_micros(at);
    let times = fixture.model.keys().map(|key| key.1);
    let expected = format!(
        "{}|{}|{}|0|{}",
        fixture.model.len(),
        at(times.clone().min().unwrap()),
        at(times.max().unwrap()),
        CITIES - 1
    );
    assert_eq!(fixture.lines(text).await, [expected]);
    // Whole hours are exact too.
    let hour = "SELECT count(*) FROM readings WHERE reading_at >= '2026-01-01T01:00:00Z' AND reading_at < '2026-01-01T03:00:00Z'";
    let plan = fixture.plan(hour).await;
    assert!(!plan.contains("ScanExec"), "{plan}");
    let inside = |at: i64| (START + 60 * MINUTE..START + 180 * MINUTE).contains(&at);
    let wanted = fixture.model.keys().filter(|(_, at)| inside(*at)).count();
    assert_eq!(fixture.lines(hour).await, [wanted.to_string()]);
    // Parts of hours are not.
    let part = "SELECT count(*) FROM readings WHERE reading_at >= '2026-01-01T01:30:00Z'";
    assert!(fixture.plan(part).await.contains("HoursExec"));
    let wanted = fixture.model.keys().filter(|(_, at)| *at >= START + 90 * MINUTE).count();
    assert_eq!(fixture.lines(part).await, [wanted.to_string()]);
}

#[tokio::test]
async fn values_of_landed_rows_are_known_without_reading() {
    let fixture = Fixture::new().await;
    fixture.engine.flush().await.unwrap();
    let text = "SELECT count(temperature), min(temperature), max(pressure) FROM readings";
    let plan = fixture.plan(text).await;
    assert!(!plan.contains("ScanExec"), "{plan}");
    let temperatures = fixture.model.values().filter_map(|row| row.temperature);
    let expected = format!(
        "{}|{:?}|{:?}",
        temperatures.clone().count(),
        temperatures.fold(f32::MAX, f32::min),
        fixture.model.values().filter_map(|row| row.pressure).fold(f64::MIN, f64::max)
    );
    assert_eq!(fixture.lines(text).await, [expected]);
}

#[tokio::test]
async fn order_is_declared_so_that_nothing_is_sorted() {
    let fixture = Fixture::new().await;
    for text in [
        "SELECT * FROM readings ORDER BY city_id, reading_at",
        "SELECT temperature FROM readings WHERE city_id = 7 ORDER BY reading_at",
        "SELECT city_id, count(DISTINCT note) FROM readings GROUP BY city_id",
        "SELECT city_id, avg(temperature) OVER (PARTITION BY city_id ORDER BY reading_at ROWS 3 PRECEDING) FROM readings",
        "SELECT city_id, reading_at, lag(temperature) OVER (PARTITION BY city_id ORDER BY reading_at) FROM readings",
    ] {
        let plan = fixture.plan(text).await;
        assert!(!plan.contains("SortExec"), "{text}\n{plan}");
        assert!(plan.contains("ScanExec"), "{text}\n{plan}");
        assert!(!plan.contains("RepartitionExec: partitioning=Hash"), "{text}\n{plan}");
    }
    let rows =
        fixture.ask("SELECT city_id, reading_at FROM readings ORDER BY city_id, reading_at").await;
    assert_eq!(rows.num_rows(), fixture.model.len());
}

#[tokio::test]
async fn filters_go_into_the_scan() {
    let fixture = Fixture::new().await;
    for (condition, part) in [
        ("city_id = 7", "keys=[7]"),
        ("city_id IN (5, 3, 9)", "keys=[3, 5, 9]"),
        ("city_id = 5 OR city_id = 3", "keys=[3, 5]"),
        ("city_id BETWEEN 10 AND 20 AND city_id < 15", "keys=10..=14"),
        ("reading_at >= '2026-01-01T01:30:00Z'", "from=2026-01-01T01:30:00Z"),
        ("reading_at < timestamp '2026-01-01 01:30:00'", "to=2026-01-01T01:30:00Z"),
        ("reading_at::date = '2026-01-01'", "from=2026-01-01T00:00:00Z, to=2026-01-02T00:00:00Z"),
        ("temperature > 30.5", "filter=temperature > 30.5"),
        ("temperature <> 0.1", "filter=temperature <> 0.1"),
        (
            "wind_direction IS NULL AND note = 'fog'",
            "filter=wind_direction IS NULL AND note = 'fog'",
        ),
        ("NOT (flashes > 3 OR temperature < 1)", "filter="),
    ] {
        let plan = fixture.plan(&format!("SELECT * FROM readings WHERE {condition}")).await;
        assert!(plan.contains(part), "{condition}\n{plan}");
        assert!(!plan.contains("FilterExec"), "{condition}\n{plan}");
    }
    for condition in ["humidity > 30", "note LIKE '%o%'", "temperature * 2 > 10"] {
        let plan = fixture.plan(&format!("SELECT * FROM readings WHERE {condition}")).await;
        assert!(plan.contains("FilterExec"), "{condition}\n{plan}");
    }
}

#[tokio::test]
async fn groupings_by_key_and_window_are_done_by_the_scan() {
    let fixture = Fixture::new().await;
    for text in [
        "SELECT city_id, date_bin(interval '1 hour', reading_at) h, avg(temperature), count(*) FROM readings GROUP BY 1, 2",
        "SELECT date_trunc('day', reading_at) d, city_id, min(temperature), max(flashes), count(note) FROM readings GROUP BY 1, 2",
        "SELECT city_id, max(temperature), sum(wind_direction), sum(temperature), avg(wind_direction) FROM readings WHERE temperature > 0 GROUP BY city_id",
        "SELECT city_id, date_bin(interval '15 minutes', reading_at) w, avg(temperature), sum(temperature) FROM readings GROUP BY 1, 2 ORDER BY 1, 2",
    ] {
        let plan = fixture.plan(text).await;
        assert!(plan.contains("windows=") && !plan.contains("AggregateExec"), "{text}\n{plan}");
        assert!(!plan.contains("SortExec"), "{text}\n{plan}");
    }
    for text in [
        "SELECT city_id, min(humidity) FROM readings GROUP BY city_id",
        "SELECT city_id, sum(flashes) FROM readings GROUP BY city_id",
        "SELECT city_id, date_bin(interval '1 month', reading_at), count(*) FROM readings GROUP BY 1, 2",
        "SELECT city_id, date_bin(interval '1 hour', reading_at, timestamp '2026-01-01 00:30:00'), count(*) FROM readings GROUP BY 1, 2",
        "SELECT city_id, avg(temperature) FILTER (WHERE flashes > 1) FROM readings GROUP BY city_id",
        "SELECT city_id, count(DISTINCT flashes) FROM readings GROUP BY city_id",
    ] {
        let plan = fixture.plan(text).await;
        assert!(plan.contains("AggregateExec"), "{text}\n{plan}");
    }
}

#[tokio::test]
async fn a_join_narrows_the_scan_while_it_runs() {
    let fixture = Fixture::new().await;
    let text = "SELECT count(*), max(r.city_id) FROM readings r JOIN cities c ON r.city_id = c.city_id WHERE c.name IN ('city 3', 'city 41') AND r.temperature > -50";
    let rows = fixture.ask(&format!("EXPLAIN ANALYZE {text}")).await;
    let shown = pretty_format_batches(&[rows]).unwrap().to_string();
    assert!(shown.contains("dynamic="), "{shown}");
    let wanted = fixture.model.iter().filter(|((city, _), row)| {
        [3, 41].contains(city) && row.temperature.is_some_and(|t| t > -50.0)
    });
    assert_eq!(fixture.lines(text).await, [format!("{}|41", wanted.clone().count())]);
    let read: usize = shown
        .split("slice_rows=")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap_or(0))
        .max()
        .unwrap();
    assert_eq!(read, wanted.count(), "{shown}");
}

#[tokio::test]
async fn explain_shows_the_cost() {
    let fixture = Fixture::new().await;
    let plan = fixture.plan("SELECT temperature FROM readings WHERE city_id = 7 AND reading_at >= '2026-01-01T01:30:00Z'").await;
    assert!(plan.contains("3 of 4 files") && plan.contains("bytes"), "{plan}");
    let rows =
        fixture.ask("EXPLAIN VERBOSE SELECT temperature FROM readings WHERE city_id = 7").await;
    let shown = pretty_format_batches(&[rows]).unwrap().to_string();
    assert!(shown.contains("row groups") && shown.contains("Scan readings at version"), "{shown}");
}

#[tokio::test]
async fn groupings_by_time_are_read_hour_by_hour() {
    let fixture = Fixture::new().await;
    for text in [
        "SELECT date_bin(interval '1 minute', reading_at), max(temperature), count(*) FROM readings GROUP BY 1",
        "SELECT date_trunc('day', reading_at), avg(temperature) FROM readings GROUP BY 1",
        "SELECT date_bin(interval '7 minutes', reading_at), min(seen_at) FROM readings GROUP BY 1",
        "SELECT count(*) FROM readings WHERE temperature > 25",
        "SELECT avg(temperature), sum(wind_direction) FROM readings WHERE city_id < 50",
    ] {
        let plan = fixture.plan(text).await;
        assert!(plan.contains("HoursExec"), "{text}\n{plan}");
    }
    for text in [
        "SELECT date_bin(interval '1 month', reading_at), count(*) FROM readings GROUP BY 1",
        "SELECT date_bin(interval '1 hour', reading_at), min(humidity) FROM readings GROUP BY 1",
        "SELECT date_bin(interval '1 hour', seen_at), count(*) FROM readings GROUP BY 1",
        "SELECT note, count(*) FROM readings GROUP BY 1",
        "SELECT count(*) FILTER (WHERE flashes > 1) FROM readings",
    ] {
        let plan = fixture.plan(text).await;
        assert!(!plan.contains("HoursExec"), "{text}\n{plan}");
    }
}

#[tokio::test]
async fn a_limit_on_newest_windows_ends_the_reading() {
    let fixture = Fixture::new().await;
    let text = "SELECT date_bin(interval '10 minutes', reading_at) AS w, max(temperature) FROM readings \
                WHERE reading_at < '2026-01-01T05:00:00Z' GROUP BY 1 ORDER BY 1 DESC LIMIT 3";
    let plan = fixture.plan(text).await;
    assert!(plan.contains("newest first") && !plan.contains("SortExec"), "{plan}");
    let rows = fixture.lines(text).await;
    let window = |at: i64| at.div_euclid(10 * MINUTE) * 10 * MINUTE;
    let mut windows: BTreeMap<i64, f32> = BTreeMap::new();
    for ((_, at), row) in &fixture.model {
        let most = windows.entry(window(*at)).or_insert(f32::MIN);
        *most = most.max(row.temperature.unwrap_or(f32::MIN));
    }
    let before = windows.range(..START + 5 * 60 * MINUTE).rev().take(3);
    let format = Timestamp::from_micros;
    let expected: Vec<_> = before.map(|(at, most)| format!("{}|{most:?}", format(*at))).collect();
    assert_eq!(rows, expected);
    let queries = fixture.sql.queries().list();
    let read = queries.iter().find(|query| query.text == text).map(|query| query.rows_read);
    assert!(read < Some(fixture.model.len() as u64 / 2), "{read:?}");
}

#[tokio::test]
async fn a_statement_that_is_asked_again_sees_what_is_true_then() {
    let mut fixture = Fixture::new().await;
    let texts = [
        "SELECT count(*) FROM readings",
        "SELECT city_id, reading_at FROM readings WHERE city_id = 7 ORDER BY reading_at DESC LIMIT 1",
        "SELECT count(*) > 0 FROM readings WHERE reading_at < now()",
    ];
    let mut before = Vec::new();
    for text in texts {
        before.push(fixture.lines(text).await);
        assert_eq!(fixture.lines(text).await, before[before.len() - 1], "{text}");
    }
    let at = START + HOURS * 60 * MINUTE - MINUTE / 2;
    let mut rng = SmallRng::seed_from_u64(9);
    let row = row(&mut rng, at);
    fixture.put(vec![((7, at), row)]).await;
    let count: usize = before[0][0].parse().unwrap();
    assert_eq!(fixture.lines(texts[0]).await, [(count + 1).to_string()]);
    let newest = format!("7|{}", Timestamp::from_micros(at));
    assert_eq!(fixture.lines(texts[1]).await, [newest]);
    let now = fixture.lines("SELECT now()").await;
    fixture.clock.set(minute(100 * 60));
    assert_ne!(fixture.lines("SELECT now()").await, now);
}
