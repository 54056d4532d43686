//! Tests of executors: a statement whose thread is in a long operation delays no other statement, and its client hears
//! of its end at once.
//!
//! The function `hold` keeps a thread for as long as a test wants.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use arrow::datatypes::DataType;
use barograph_engine::{Clock, ErrorKind};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use futures::StreamExt;

use super::guard::until;
use super::*;
use crate::Answer;
use crate::QueryInfo;
use crate::QueryState;

fn settings() -> SqlSettings {
    SqlSettings { threads: 1, ..SqlSettings::default() }
}

/// A function that keeps its thread until it is released.
#[derive(Debug, Clone)]
struct Hold(Arc<Held>, Signature);

#[derive(Debug, Default)]
struct Held {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    begun: usize,
    released: bool,
}

impl PartialEq for Hold {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Hold {}

impl std::hash::Hash for Hold {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Hold {
    /// Registers the function in `fixture` as `hold`. With constant arguments it is evaluated when a statement is
    /// planned.
    fn given(fixture: &Fixture) -> Self {
        let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
        let hold = Self(Arc::default(), signature);
        fixture.sql.register(ScalarUDF::new_from_impl(hold.clone()));
        hold
    }

    fn begun(&self) -> usize {
        self.0.state.lock().unwrap().begun
    }

    fn release(&self) {
        self.0.state.lock().unwrap().released = true;
        self.0.changed.notify_all();
    }
}

impl ScalarUDFImpl for Hold {
    fn name(&self) -> &str {
        "hold"
    }

    fn signature(&self) -> &Signature {
        &self.1
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(
        &self,
        mut args: ScalarFunctionArgs,
    ) -> datafusion::common::Result<ColumnarValue> {
        let mut state = self.0.state.lock().unwrap();
        state.begun += 1;
        while !state.released {
            state = self.0.changed.wait(state).unwrap();
        }
        Ok(args.args.remove(0))
    }
}

/// Releases the threads however a test ends.
struct Release(Hold);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.release();
    }
}

const HELD: &str = "SELECT sum(hold(value)) FROM generate_series(1, 10)";

/// A fixture with a running query whose only thread is held.
async fn held(settings: SqlSettings, session: SqlSession) -> (Fixture, Release, Answer) {
    let fixture = Fixture::empty(settings).await;
    let release = Release(Hold::given(&fixture));
    let statement = fixture.sql.prepare(&session, HELD).await.unwrap();
    let answer = fixture.sql.execute(&session, &statement, &[]).await.unwrap();
    until("its thread is held", || release.0.begun() > 0).await;
    (fixture, release, answer)
}

fn info(fixture: &Fixture, answer: &Answer) -> QueryInfo {
    fixture.sql.queries().get(answer.id).unwrap()
}

fn timeout(seconds: u64) -> SqlSession {
    SqlSession { timeout: Some(Duration::from_secs(seconds)), ..SqlSession::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_told_at_its_moment_whatever_its_threads_do() {
    let one_place = || SqlSettings { queries_max: 1, queue_max: 0, ..settings() };
    for end in ["time", "kill", "leave"] {
        let (fixture, release, mut answer) = held(one_place(), timeout(60)).await;
        let id = answer.id;
        let before = fixture.clock.now();
        let error = match end {
            "time" => {
                fixture.clock.set(before + Span::MINUTE);
                answer.batches.next().await.unwrap().unwrap_err().kind()
            }
            "kill" => {
                fixture.sql.queries().cancel(id).unwrap();
                answer.batches.next().await.unwrap().unwrap_err().kind()
            }
            _ => {
                drop(answer);
                until("it has ended", || fixture.sql.queries().running() == 0).await;
                ErrorKind::Cancelled
            }
        };
        let (kind, state) = match end {
            "time" => (ErrorKind::Timeout, QueryState::TimedOut),
            _ => (ErrorKind::Cancelled, QueryState::Cancelled),
        };
        assert_eq!(error, kind, "{end}");
        let ended = fixture.sql.queries().get(id).unwrap();
        assert_eq!((ended.state, ended.tasks > 0), (state, true), "{end}: {ended:?}");
        // The only place is free, and so are threads.
        let shown =
            "SELECT count(*) FROM system.queries WHERE tasks > 0 AND finished_at IS NOT NULL";
        assert_eq!(fixture.lines(shown).await, ["1"], "{end}");
        release.0.release();
        let worked = || fixture.sql.queries().get(id).unwrap().tasks > 0;
        until("nothing works for it", || !worked()).await;
        until("its executor is free", || fixture.sql.executors.abandoned() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_run_beside_a_query_that_keeps_its_threads() {
    let (fixture, release, answer) = held(settings(), SqlSession::default()).await;
    for _ in 0..20 {
        assert_eq!(fixture.lines("SELECT 1").await, ["1"]);
    }
    assert_eq!(info(&fixture, &answer).state, QueryState::Running);
    release.0.release();
    let rows: Vec<_> = answer.batches.try_collect().await.unwrap();
    assert_eq!(lines(&rows[0]), ["55"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_allowed_are_abandoned() {
    let settings = SqlSettings { abandoned_max: 1, ..settings() };
    let (fixture, release, answer) = held(settings, SqlSession::default()).await;
    let statement = fixture.sql.prepare(&fixture.session, "SELECT 1").await.unwrap();
    fixture.sql.queries().cancel(answer.id).unwrap();
    until("it is abandoned", || fixture.sql.executors.abandoned() == 1).await;
    // The next waits a moment for it, and is refused then.
    let pass = async {
        let waits = || fixture.sql.queries().list().iter().any(|q| q.state == QueryState::Queued);
        until("it waits", waits).await;
        fixture.clock.set(fixture.clock.now() + Span::SECOND);
    };
    let execute = fixture.sql.execute(&fixture.session, &statement, &[]);
    let (refused, ()) = tokio::join!(execute, pass);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Resources);
    assert!(refused.to_string().contains("sql.abandoned_max"), "{refused}");
    assert!(refused.retry_after().is_some());
    // Once it has ended, the next goes on.
    let (answer, ()) = tokio::join!(fixture.lines("SELECT 2"), async { release.0.release() });
    assert_eq!(answer, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planning_ends_at_its_moment_whatever_its_threads_do() {
    // Of a statement that is prepared, and of one that is executed.
    let texts =
        ["SELECT * FROM generate_series(1, hold(7))", "SELECT hold(7) FROM (SELECT hold(8))"];
    for (at, text) in texts.into_iter().enumerate() {
        let fixture = Fixture::empty(settings()).await;
        let release = Release(Hold::given(&fixture));
        let session = timeout(60);
        let ask = async {
            let statement = fixture.sql.prepare(&session, text).await?;
            let answer = fixture.sql.execute(&session, &statement, &[]).await?;
            answer.batches.try_collect::<Vec<_>>().await
        };
        let pass = async {
            until("it is planned", || release.0.begun() > 0).await;
            assert_eq!(fixture.lines("SELECT 1").await, ["1"], "others are planned");
            fixture.clock.set(fixture.clock.now() + Span::MINUTE);
        };
        let (error, ()) = tokio::join!(ask, pass);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout, "{text}");
        // That of the other statement counts until its last task has let it go.
        until("it alone is abandoned", || fixture.sql.executors.abandoned() == 1).await;
        assert_eq!(release.0.begun(), 1, "{text}");
        release.0.release();
        until("its executor is free", || fixture.sql.executors.abandoned() == 0).await;
        // What was to be planned after it was not.
        assert_eq!(release.0.begun(), 1, "{at}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planning_can_be_cancelled_by_its_number() {
    let fixture = Fixture::empty(settings()).await;
    let release = Release(Hold::given(&fixture));
    let text = "SELECT * FROM generate_series(1, hold(7))";
    let kill = async {
        until("it is planned", || release.0.begun() > 0).await;
        let planned = fixture.sql.queries().list();
        assert_eq!((planned[0].state, &*planned[0].text), (QueryState::Planning, text));
        fixture.sql.queries().cancel(planned[0].id).unwrap();
    };
    let (error, ()) = tokio::join!(fixture.sql.prepare(&fixture.session, text), kill);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(fixture.sql.queries().list()[0].state, QueryState::Cancelled);
}
