//! Tests of slow readers: an answer that nobody reads holds no slot, and ends after the reader timeout.

use std::time::Duration;

use barograph_engine::{Clock, ErrorKind};
use futures::StreamExt;

use super::guard::until;
use super::*;
use crate::Answer;
use crate::QueryState;

/// More rows than the channel between a query and its reader holds.
const ROWS: &str = "SELECT value FROM generate_series(1, 1000000)";
const COUNT: usize = 1_000_000;

/// Time passes in these tests only when they say so.
fn settings() -> SqlSettings {
    let long = Span::seconds(1 << 30);
    SqlSettings { threads: 1, timeout: long, reader_timeout: long, ..SqlSettings::default() }
}

impl Fixture {
    async fn answer(&self, text: &str) -> Answer {
        let statement = self.sql.prepare(&self.session, text).await.unwrap();
        self.sql.execute(&self.session, &statement, &[]).await.unwrap()
    }

    /// Waits until an answer counts as unread.
    async fn unread(&self, answer: &Answer) {
        let is_unread = || {
            self.clock.set(self.clock.now() + Span::SECOND);
            self.sql.queries().get(answer.id).unwrap().state == QueryState::Unread
        };
        until("nobody reads it", is_unread).await;
    }
}

async fn rest(answer: Answer) -> usize {
    let batches: Vec<_> = answer.batches.try_collect().await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_hold_no_place() {
    let fixture = Fixture::empty(SqlSettings { queries_max: 2, queue_max: 0, ..settings() }).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        let answer = fixture.answer(ROWS).await;
        fixture.unread(&answer).await;
        let info = fixture.sql.queries().get(answer.id).unwrap();
        assert!(info.memory_bytes > 0 && info.memory_bytes < 1 << 20, "{info:?}");
        answers.push(answer);
    }
    assert_eq!(fixture.lines("SELECT 1").await, ["1"]);
    for answer in answers {
        let id = answer.id;
        assert_eq!(rest(answer).await, COUNT);
        let info = fixture.sql.queries().get(id).unwrap();
        assert_eq!((info.state, info.memory_bytes), (QueryState::Done, 0), "{info:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_on_waits_for_a_place_however_many_wait() {
    let fixture = Fixture::empty(SqlSettings { queries_max: 1, queue_max: 0, ..settings() }).await;
    let first = fixture.answer(ROWS).await;
    fixture.unread(&first).await;
    let second = fixture.answer(ROWS).await;
    let states = || {
        let state = |answer: &Answer| fixture.sql.queries().get(answer.id).unwrap().state;
        (state(&first), state(&second))
    };
    assert_eq!(states(), (QueryState::Unread, QueryState::Running));
    // The first gives what it has, and waits for the second.
    let id = first.id;
    let reading = tokio::spawn(rest(first));
    let read = || fixture.sql.queries().get(id).unwrap();
    assert_eq!(rest(second).await, COUNT);
    assert_eq!(reading.await.unwrap(), COUNT);
    assert_eq!(read().state, QueryState::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_pauses_for_too_long_is_told() {
    let settings = SqlSettings { reader_timeout: Span::seconds(60), ..settings() };
    let fixture = Fixture::empty(settings).await;
    let mut answer = fixture.answer(ROWS).await;
    assert!(answer.batches.next().await.unwrap().unwrap().num_rows() > 0);
    let ended = || {
        fixture.clock.set(fixture.clock.now() + Span::SECOND);
        fixture.sql.queries().running() == 0
    };
    until("it has ended", ended).await;
    let error = answer.batches.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("sql.reader_timeout"), "{error}");
    assert!(error.to_string().contains("60000 ms"), "{error}");
    let info = fixture.sql.queries().get(answer.id).unwrap();
    assert_eq!(info.state, QueryState::TimedOut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_query_runs_while_nobody_reads_it() {
    let mut fixture = Fixture::empty(settings()).await;
    fixture.session.timeout = Some(Duration::from_secs(1 << 20));
    let mut answer = fixture.answer(ROWS).await;
    fixture.unread(&answer).await;
    fixture.clock.set(fixture.clock.now() + (1 << 20) * Span::SECOND);
    // At once, whatever is still to be read.
    let error = loop {
        match answer.batches.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a short answer without an error"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("sql.timeout"), "{error}");
}
