//! Tests of the guard: nothing that a query does harms the server.
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits for what is to hold, and looks at it now and then"
)]

use std::time::{Duration, Instant};

use barograph_engine::{Clock, ErrorKind};
use futures::StreamExt;

use super::*;
use crate::QueryState;

/// Joins everything with everything, which takes hours.
const ENDLESS: &str = "SELECT sum(a.value % b.value) FROM generate_series(1, 1000000) a, generate_series(1, 10000000) b";
/// Compares everything with everything over one batch of each side, and finds nothing.
const FRUITLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 10000000) b ON a.value * b.value < 0";
const ENDLESS_ROWS: &str = "SELECT a.value + b.value AS s FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(300);

fn settings() -> SqlSettings {
    SqlSettings { threads: 2, ..SqlSettings::default() }
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_answer_stops_the_work() {
    for text in [ENDLESS, FRUITLESS] {
        dropped(text).await;
    }
}

async fn dropped(text: &str) {
    let fixture = Fixture::empty(settings()).await;
    let (sql, session) = (Arc::clone(&fixture.sql), fixture.session.clone());
    let statement = sql.prepare(&session, text).await.unwrap();
    let answer = sql.execute(&session, &statement, &[]).await.unwrap();
    let id = answer.id;
    until("it runs", || sql.queries().get(id).unwrap().state == QueryState::Running).await;
    drop(answer);
    let left = Instant::now();
    until("the query ends", || sql.queries().running() == 0).await;
    println!("ended {:?} after its client left: {text}", left.elapsed());
    assert_eq!(sql.queries().get(id).unwrap().state, QueryState::Cancelled);
    // The threads of queries are this test's own. What they have done is counted when they rest.
    let begun = Instant::now();
    loop {
        let (looked, before) = (Instant::now(), sql.busy());
        tokio::time::sleep(Duration::from_millis(200)).await;
        let share = (sql.busy() - before).as_secs_f64() / looked.elapsed().as_secs_f64();
        if share < 0.1 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the threads of queries are still busy: {share}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_can_be_cancelled_by_its_number() {
    let fixture = Fixture::empty(settings()).await;
    let statement = fixture.sql.prepare(&fixture.session, ENDLESS_ROWS).await.unwrap();
    let mut answer = fixture.sql.execute(&fixture.session, &statement, &[]).await.unwrap();
    assert!(answer.batches.next().await.unwrap().unwrap().num_rows() > 0);
    let shown = fixture
        .lines("SELECT id, user_name, state, rows > 0, text LIKE '%generate_series%' FROM system.queries WHERE state = 'running' ORDER BY id LIMIT 1")
        .await;
    assert_eq!(shown, [format!("{}|tester|running|true|true", answer.id)]);
    fixture.sql.queries().cancel(answer.id).unwrap();
    let error = loop {
        match answer.batches.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a short answer without an error"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(answer.batches.next().await.is_none());
    let error = fixture.sql.queries().cancel(answer.id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_runs_out_as_an_error_in_the_stream() {
    let mut fixture = Fixture::empty(settings()).await;
    fixture.session.timeout = Some(Duration::from_millis(300));
    let (queries, clock) = (Arc::clone(fixture.sql.queries()), Arc::clone(&fixture.clock));
    let pass = async {
        let runs = || queries.list().iter().any(|query| query.state == QueryState::Running);
        until("it runs", runs).await;
        clock.set(clock.now() + Span::from_micros(299_999));
        assert!(runs(), "a microsecond is left");
        clock.set(clock.now() + Span::MICROSECOND);
    };
    let (error, ()) = tokio::join!(fixture.try_ask(ENDLESS, &[]), pass);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("300 ms"), "{error}");
    let ended = &fixture.sql.queries().list()[0];
    assert_eq!(ended.state, QueryState::TimedOut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_wait_for_a_place_and_no_more_than_allowed_wait() {
    let fixture = Fixture::empty(SqlSettings { queries_max: 1, queue_max: 1, ..settings() }).await;
    let (sql, session) = (Arc::clone(&fixture.sql), fixture.session.clone());
    let endless = sql.prepare(&session, ENDLESS).await.unwrap();
    let one = sql.prepare(&session, "SELECT 1").await.unwrap();
    let running = sql.execute(&session, &endless, &[]).await.unwrap();
    let waiting = tokio::spawn({
        let (sql, session, one) = (Arc::clone(&sql), session.clone(), one.clone());
        async move {
            let answer = sql.execute(&session, &one, &[]).await?;
            answer.batches.try_collect::<Vec<_>>().await
        }
    });
    until("the second waits", || sql.queries().running() == 2).await;
    let states: Vec<_> = sql.queries().list().iter().map(|query| query.state).collect();
    assert_eq!(states, [QueryState::Running, QueryState::Queued]);
    let error = sql.execute(&session, &one, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources);
    assert!(
        error.to_string().contains("sql.queue_max") && error.retry_after().is_some(),
        "{error}"
    );
    drop(running);
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
    // One that waits can be cancelled, and its time runs.
    let running = sql.execute(&session, &endless, &[]).await.unwrap();
    let hurried = SqlSession { timeout: Some(Duration::from_millis(50)), ..session.clone() };
    let pass = async {
        until("it waits", || sql.queries().running() == 2).await;
        fixture.clock.set(fixture.clock.now() + Span::millis(50));
    };
    let (hurried, ()) = tokio::join!(sql.execute(&hurried, &one, &[]), pass);
    assert_eq!(hurried.unwrap_err().kind(), ErrorKind::Timeout);
    drop(running);
    until("all end", || sql.queries().running() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_and_sorts_spill() {
    // More threads sort with less memory each.
    for threads in [2, 8] {
        memory_is_bounded_of(threads).await;
    }
}

async fn memory_is_bounded_of(threads: usize) {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::empty(SqlSettings {
        threads,
        memory_bytes_max: Size::mebibytes(24),
        spill_folder: Some(folder.path().to_owned()),
        ..settings()
    })
    .await;
    // A sort of 3,000,000 rows of some 30 bytes does not fit.
    let text = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY md) r FROM (SELECT (value * 7919) % 3000017 AS md, value AS v, value + 1 AS w FROM generate_series(1, 3000000)))";
    assert_eq!(fixture.lines(text).await, ["3000000"]);
    let ended = fixture.sql.queries().list()[0].clone();
    assert!(ended.memory_bytes_peak > 1 << 20 && ended.memory_bytes_peak <= 24 << 20, "{ended:?}");
    assert_eq!(ended.memory_bytes, 0, "{ended:?}");
    // What cannot spill is refused, and says by which setting.
    let text = "SELECT length(string_agg(repeat('x', 100), ',')) FROM generate_series(1, 3000000)";
    let error = fixture.try_ask(text, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources);
    assert!(error.to_string().contains("sql.memory_bytes_max"), "{error}");
    assert_eq!(fixture.lines("SELECT 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spill_folder_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::empty(SqlSettings {
        memory_bytes_max: Size::mebibytes(24),
        spill_folder: Some(folder.path().to_owned()),
        spill_bytes_max: Size::mebibytes(1),
        ..settings()
    })
    .await;
    let text = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY md) r FROM (SELECT (value * 7919) % 3000017 AS md FROM generate_series(1, 3000000)))";
    let error = fixture.try_ask(text, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources, "{error}");
    assert!(error.to_string().contains("sql.spill_bytes_max"), "{error}");
}

/// A repartition whose inputs spill at the same time may stand still where its files are not complete (`limits::spill`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_spill_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::empty(SqlSettings {
        threads: 2,
        memory_bytes_max: Size::mebibytes(24),
        spill_folder: Some(folder.path().to_owned()),
        ..settings()
    })
    .await;
    let text = "SELECT count(*) FROM (SELECT a FROM (SELECT repeat('x', 10000 + value) a FROM generate_series(1, 2000)) GROUP BY a)";
    for _ in 0..4 {
        // What the two threads hold at a time decides whether the groups find their memory.
        match fixture.try_ask(text, &[]).await {
            Ok(_) => assert_eq!(fixture.lines("SELECT 1").await, ["1"]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Resources, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cost_over_the_budget_is_refused_before_it_runs() {
    let fixture = Fixture::with(SqlSettings { cost_files_max: Some(2), ..settings() }).await;
    let error = fixture.try_ask("SELECT avg(temperature) FROM readings", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    let text = error.to_string();
    assert!(text.contains("4 files") && text.contains("sql.cost_files_max allows 2"), "{text}");
    assert!(text.contains("bound the time"), "{text}");
    assert_eq!(fixture.sql.queries().list()[0].state, QueryState::Failed);
    assert_eq!(fixture.sql.queries().list()[0].cost.unwrap().files, 4);
    fixture
        .ask("SELECT avg(temperature) FROM readings WHERE reading_at >= '2026-01-01T03:00:00Z'")
        .await;
    fixture.ask("EXPLAIN SELECT avg(temperature) FROM readings").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_inside_the_stream_end_it() {
    let fixture = Fixture::new().await;
    let error = fixture.try_ask("SELECT 1 / (city_id - 5) FROM readings", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    let ended = &fixture.sql.queries().list()[0];
    assert_eq!(ended.state, QueryState::Failed);
    assert!(ended.error.as_deref().is_some_and(|error| error.contains("zero")), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_keeps_the_instant_it_began_with() {
    let mut fixture = Fixture::new().await;
    let before = fixture.model.len();
    let statement = fixture
        .sql
        .prepare(&fixture.session, "SELECT city_id, reading_at FROM readings")
        .await
        .unwrap();
    let mut answer = fixture.sql.execute(&fixture.session, &statement, &[]).await.unwrap();
    let first = answer.batches.next().await.unwrap().unwrap();
    let mut rng = SmallRng::seed_from_u64(3);
    fixture.put(hour_of(&mut rng, HOURS - 1, 7)).await;
    fixture.engine.flush().await.unwrap();
    let rest: Vec<_> = answer.batches.try_collect().await.unwrap();
    let rows = first.num_rows() + rest.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(rows, before);
    let again = fixture.sql.execute(&fixture.session, &statement, &[]).await.unwrap();
    let rest: Vec<_> = again.batches.try_collect().await.unwrap();
    assert_eq!(rest.iter().map(RecordBatch::num_rows).sum::<usize>(), fixture.model.len());
    let info = fixture.sql.queries().get(again.id).unwrap();
    assert_eq!(info.rows_read, fixture.model.len() as u64);
    assert_eq!((info.rows, info.state), (fixture.model.len() as u64, QueryState::Done));
}
