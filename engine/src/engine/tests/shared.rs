//! Tests of several engines over one log in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use barograph_lake::store::faults::{FaultPlan, FaultStore};
use barograph_lake::{Key, LakeStore, LogId, Size, Span, TimeRange, Timestamp};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use parking_lot::Mutex;

use super::{HOUR, MINUTE, START, batch, put, rows, table, until};
use crate::dead_letters::DEAD_LETTERS;
use crate::log::{BatchId, LogSettings, Place};
use crate::{
    AppendedGroup, Clock, Durability, Engine, EngineSettings, Error, ErrorKind, ForwardedBatch,
    LogSource, ManualClock, Peers, Result, Role, SystemClock,
};

struct Store(Arc<InMemory>);

impl Store {
    async fn open(&self) -> Arc<Engine> {
        let settings =
            EngineSettings { poll_commits_every: Span::millis(20), ..EngineSettings::default() };
        Engine::builder(self.lake())
            .settings(settings)
            .log(LogSource::Store { address: String::new() })
            .table(table("readings"))
            .open()
            .await
            .unwrap()
    }

    fn lake(&self) -> LakeStore {
        LakeStore::with_store(self.0.clone(), "memory:///lake".parse().unwrap())
    }
}

/// Engines that reach each other by address, and how many batches each was handed.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) engines: Mutex<BTreeMap<String, Arc<Engine>>>,
    forwarded: Mutex<usize>,
    loses_replies: Mutex<bool>,
    /// Answers wait for it.
    pub(super) answers: tokio::sync::Mutex<()>,
}

impl Peers for Network {
    fn is_alive<'a>(&'a self, address: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.engines.lock().contains_key(address) })
    }

    fn forward<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
        batches: Vec<ForwardedBatch>,
    ) -> BoxFuture<'a, Result<Vec<Result<Place>>>> {
        Box::pin(async move {
            let engine = self.engines.lock().get(address).cloned();
            let gone = || Error::new(ErrorKind::Unavailable, "nobody is there");
            *self.forwarded.lock() += batches.len();
            let places = engine.ok_or_else(gone)?.accept_forwarded(log, batches).await?;
            drop(self.answers.lock().await);
            if *self.loses_replies.lock() { Err(gone()) } else { Ok(places) }
        })
    }

    fn groups<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<AppendedGroup>>>> {
        Box::pin(async move {
            let engine = self.engines.lock().get(address).cloned();
            let gone = || Error::new(ErrorKind::Unavailable, "nobody is there");
            Ok(engine.ok_or_else(gone)?.groups(log)?.map(Ok).boxed())
        })
    }
}

/// A store, a clock and a network for some engines.
pub(super) struct Site {
    pub(super) objects: Arc<InMemory>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) network: Arc<Network>,
    pub(super) polls_every: Span,
    pub(super) lateness: Span,
}

impl Site {
    pub(super) fn new() -> Self {
        Self {
            objects: Arc::default(),
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(START))),
            network: Arc::default(),
            polls_every: Span::seconds(10),
            lateness: EngineSettings::default().lateness,
        }
    }

    pub(super) async fn open(&self, address: &str) -> (Arc<Engine>, Arc<FaultStore>) {
        let store = FaultStore::new(self.objects.clone(), FaultPlan::none());
        let lake = LakeStore::with_store(store.clone(), "memory:///lake".parse().unwrap());
        // Each group is soon followed by a checkpoint, to which the floor moves.
        let log = LogSettings { segment_bytes: Size::bytes(64 << 10), ..LogSettings::default() };
        let engine = Engine::builder(lake)
            .settings(EngineSettings {
                log,
                poll_commits_every: self.polls_every,
                lateness: self.lateness,
                ..EngineSettings::default()
            })
            .log(LogSource::Store { address: address.to_owned() })
            .clock(self.clock.clone())
            .peers(self.network.clone())
            .table(table("readings"))
            .open()
            .await
            .unwrap();
        self.network.engines.lock().insert(address.to_owned(), Arc::clone(&engine));
        (engine, store)
    }

    /// Lets time pass, in steps in which requests are answered, until `condition` holds.
    pub(super) async fn pass_until(
        &self,
        what: &str,
        step: Span,
        mut condition: impl FnMut() -> bool,
    ) {
        until(what, || {
            self.clock.set(self.clock.now() + step);
            condition()
        })
        .await;
    }
}

async fn put_with_id(engine: &Arc<Engine>, rows: &[super::Row], id: BatchId) -> crate::Ack {
    let prepared = engine.prepare("readings", batch(rows), "test").await.unwrap();
    prepared.with_id(id).submit(Durability::Memory).await.unwrap().acknowledged().await.unwrap()
}

pub(super) async fn comes_to(engine: &Arc<Engine>, expected: &[super::Row], what: &str) {
    let begun = SystemClock.elapsed();
    while rows(engine, "readings").await.unwrap() != expected {
        assert!(SystemClock.elapsed() - begun < Span::seconds(600), "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The deletion of all rows of a key.
pub(super) fn deletion(key: i64) -> crate::DeletionRequest {
    crate::DeletionRequest {
        keys: Some(vec![Key::new(key)]),
        time: TimeRange::ALL,
        by: "test".to_owned(),
        reason: "wrong".to_owned(),
    }
}

fn tail_rows(engine: &Arc<Engine>) -> u64 {
    let view = engine.view("readings").unwrap();
    view.tail.hours().iter().map(|hour| hour.rows()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_acknowledges_all_see_in_one_order() {
    let store = Store(Arc::default());
    let (a, b) = (store.open().await, store.open().await);
    put(&a, "readings", &[(1, START, 1.0), (2, START, 1.0)]).await.unwrap();
    comes_to(&b, &[(1, START, 1.0), (2, START, 1.0)], "b never followed").await;
    put(&b, "readings", &[(1, START, 2.0)]).await.unwrap();
    // It has not followed, and comes after.
    put(&a, "readings", &[(2, START, 3.0)]).await.unwrap();
    let all = [(1, START, 2.0), (2, START, 3.0)];
    assert_eq!(rows(&a, "readings").await.unwrap(), all);
    comes_to(&b, &all, "b never followed again").await;
    comes_to(&store.open().await, &all, "a start").await;
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_lands_leaves_all_tails_and_lands_once() {
    let store = Store(Arc::default());
    let (a, b) = (store.open().await, store.open().await);
    let early = [(1, START, 1.0), (2, START + MINUTE, 2.0)];
    put(&a, "readings", &early).await.unwrap();
    comes_to(&b, &early, "b never followed").await;
    a.flush().await.unwrap();
    put(&b, "readings", &[(3, START + HOUR, 3.0)]).await.unwrap();
    until("the landed rows stay in b", || tail_rows(&b) == 1).await;
    let all = [(1, START, 1.0), (2, START + MINUTE, 2.0), (3, START + HOUR, 3.0)];
    assert_eq!(rows(&b, "readings").await.unwrap(), all);
    comes_to(&a, &all, "a never followed").await;
    // Both land at once: one loses, and finds nothing left to do.
    let (one, other) = tokio::join!(a.flush(), b.flush());
    assert_eq!(one.unwrap().rows + other.unwrap().rows, 1);
    for engine in [&a, &b] {
        assert_eq!(rows(engine, "readings").await.unwrap(), all);
        let view = engine.view("readings").unwrap();
        let landed: u64 = view.snapshot.files().iter().map(|file| file.rows).sum();
        assert_eq!(landed, 3);
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_deletes_no_other_brings_back() {
    let store = Store(Arc::default());
    let (a, b) = (store.open().await, store.open().await);
    let all = [(1, START, 1.0), (2, START, 2.0)];
    put(&a, "readings", &all).await.unwrap();
    comes_to(&b, &all, "b never followed").await;
    a.delete("readings", deletion(1)).await.unwrap();
    b.flush().await.unwrap();
    comes_to(&b, &all[1..], "b shows a deleted row").await;
    comes_to(&store.open().await, &all[1..], "a start brings it back").await;
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_several_processes_at_one_instant_are_all_kept() {
    let site = Site::new();
    let ((a, _), (b, _)) = (site.open("").await, site.open("").await);
    let wrong = [(1, START + 9 * HOUR, 1.0), (2, START + 9 * HOUR, 1.0)];
    for engine in [&a, &b, &a] {
        let ack = put(engine, "readings", &wrong).await.unwrap();
        assert_eq!((ack.accepted, ack.rejected), (0, 2));
    }
    let all = async |engine: &Arc<Engine>| {
        let view = engine.view(DEAD_LETTERS).unwrap();
        let request =
            crate::PointQuery { keys: None, point: crate::Point::Latest, columns: vec![2] };
        let newest = engine.point(&view, &request).await.unwrap();
        let ids =
            arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(newest.column(0));
        ids.values().to_vec()
    };
    let position = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap().position;
    b.wait_for(position).await.unwrap();
    let ids = all(&a).await;
    assert_eq!(ids.len(), 6);
    assert_eq!(all(&b).await, ids, "the same everywhere");
    let (again, _) = site.open("").await;
    assert_eq!(all(&again).await, ids, "and after a restart");
    a.flush().await.unwrap();
    assert_eq!(all(&a).await, ids, "and in the lake");
    for engine in [a, b, again] {
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_anywhere_counts_once() {
    let site = Site::new();
    let ((a, _), (b, _)) = (site.open("").await, site.open("").await);
    let id = BatchId::random();
    let first = put_with_id(&a, &[(1, START, 1.0)], id).await;
    assert_eq!(first.durability, Durability::Replicated, "whatever was asked for");
    let second = put(&b, "readings", &[(1, START, 2.0)]).await.unwrap();
    for engine in [&b, &a] {
        engine.wait_for(second.position).await.unwrap();
        assert_eq!(put_with_id(engine, &[(1, START, 1.0)], id).await, first);
        assert_eq!(rows(engine, "readings").await.unwrap(), [(1, START, 2.0)]);
    }
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_of_one_process_knows_repeats_while_it_lives() {
    let bed = super::Bed::new(EngineSettings::default());
    let engine = bed.open().await;
    let id = BatchId::random();
    let (first, again) = tokio::join!(
        put_with_id(&engine, &[(1, START, 1.0)], id),
        put_with_id(&engine, &[(1, START, 1.0)], id)
    );
    assert_eq!(first, again);
    put(&engine, "readings", &[(1, START, 2.0)]).await.unwrap();
    assert_eq!(put_with_id(&engine, &[(1, START, 1.0)], id).await, first);
    assert_eq!(rows(&engine, "readings").await.unwrap(), [(1, START, 2.0)]);
    assert_eq!(engine.members().await.unwrap(), []);
    engine.wait_for(first.position).await.unwrap();
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_hands_its_batches_to_the_leader() {
    let site = Site::new();
    let ((a, _), (b, _)) = (site.open("a").await, site.open("b").await);
    let first = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    assert_eq!(b.leader().unwrap().address, "a");
    let wrong = (3, START + 9 * HOUR, 1.0);
    let ack = put(&b, "readings", &[(1, START, 2.0), (2, START, 2.0), wrong]).await.unwrap();
    assert_eq!((ack.accepted, ack.rejected), (2, 1));
    assert_eq!(*site.network.forwarded.lock(), 1);
    let all = [(1, START, 2.0), (2, START, 2.0)];
    assert_eq!(rows(&b, "readings").await.unwrap(), all, "it is seen where it was put");
    assert!(a.leader().unwrap().is_self, "and the leader stays");
    // The reply is lost: the follower would append the batch itself, and finds it under its id.
    *site.network.loses_replies.lock() = true;
    put(&b, "readings", &[(1, START, 3.0)]).await.unwrap();
    *site.network.loses_replies.lock() = false;
    let last = put(&b, "readings", &[(4, START, 4.0)]).await.unwrap();
    a.wait_for(last.position).await.unwrap();
    for engine in [&a, &b] {
        let all = [(1, START, 3.0), (2, START, 2.0), (4, START, 4.0)];
        assert_eq!(rows(engine, "readings").await.unwrap(), all);
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_answer_is_replaced_within_seconds() {
    let site = Site::new();
    let ((a, _), (b, _)) = (site.open("a").await, site.open("b").await);
    let first = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    for _ in 0..20 {
        site.clock.set(site.clock.now() + Span::SECOND);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!b.leader().unwrap().is_self, "it answers");
    site.network.engines.lock().remove("a");
    site.pass_until("b never leads", Span::millis(100), || b.leader().unwrap().is_self).await;
    let members = b.members().await.unwrap();
    let roles: Vec<_> = members.iter().map(|m| (m.address.as_str(), m.role, m.is_self)).collect();
    assert_eq!(roles.last(), Some(&("b", Role::Leader, true)), "{roles:?}");
    assert_eq!(roles.len(), 2, "{roles:?}");
    b.shutdown().await.unwrap();
    let left = a.members().await.unwrap();
    assert_eq!(left.iter().map(|m| m.address.as_str()).collect::<Vec<_>>(), ["a"]);
    a.shutdown().await.unwrap();
}

/// A process that was asleep while the others landed, moved the floor and deleted rows goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_passed_by_the_floor_reads_the_log_anew() {
    let site = Site::new();
    let ((a, _), (b, cut_off)) = (site.open("").await, site.open("").await);
    let first = put(&a, "readings", &[(1, START, 1.0), (2, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    cut_off.set_plan(FaultPlan::seeded(0, 1_000, Duration::ZERO));
    a.delete("readings", deletion(1)).await.unwrap();
    // Enough for several checkpoints.
    let many: Vec<_> =
        (0..20_000).map(|n| (3 + n % 7, START - i64::from(n) * 1_000, 5.0)).collect();
    for _ in 0..4 {
        put(&a, "readings", &many).await.unwrap();
        a.flush().await.unwrap();
    }
    // The floor is asked for again after a minute.
    let stale = rows(&b, "readings").await.unwrap();
    assert_eq!(stale, [(1, START, 1.0), (2, START, 1.0)], "b sees what it saw");
    site.clock.set(site.clock.now() + 2 * Span::MINUTE);
    assert!(b.staleness() >= Duration::from_secs(120));
    cut_off.set_plan(FaultPlan::none());
    let expected = rows(&a, "readings").await.unwrap();
    assert_eq!(expected.len(), 20_001);
    let begun = SystemClock.elapsed();
    while rows(&b, "readings").await.unwrap() != expected {
        assert!(SystemClock.elapsed() - begun < Span::seconds(600), "b never goes on");
        let count = rows(&b, "readings").await.unwrap().len();
        assert!(
            count == 2 || count == 20_001,
            "neither the view before nor the one after: {count}"
        );
        site.clock.set(site.clock.now() + Span::millis(100));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(b.failure().is_none());
    assert_eq!((b.log_gauge().reads_anew(), a.log_gauge().reads_anew()), (1, 0));
    let last = put(&b, "readings", &[(9, START, 9.0)]).await.unwrap();
    a.wait_for(last.position).await.unwrap();
    assert_eq!(rows(&a, "readings").await.unwrap(), rows(&b, "readings").await.unwrap());
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// Between the reading of the log and the rebuilding of the tails nothing is put, and what was read waits for them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_while_the_log_is_read_anew_takes_no_rows_away() {
    let site = Site::new();
    let ((a, _), (b, slow)) = (site.open("a").await, site.open("b").await);
    let first = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    let mut hold = slow.hold_lists("_landed");
    b.writer.handle().read_anew().await.unwrap();
    let reached = tokio::spawn(async move {
        hold.reached().await;
        hold
    });
    let step = Span::millis(100);
    site.pass_until("the tables are not read", step, || reached.is_finished()).await;
    let hold = reached.await.unwrap();
    let error = put(&b, "readings", &[(2, START, 2.0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(*site.network.forwarded.lock(), 0, "nobody takes what cannot be seen here");
    drop(hold);
    site.pass_until("b never goes on", step, || b.log_gauge().reads_anew() > 0).await;
    assert_eq!(rows(&b, "readings").await.unwrap(), [(1, START, 1.0)]);
    put(&b, "readings", &[(2, START, 2.0)]).await.unwrap();
    assert_eq!(rows(&b, "readings").await.unwrap(), [(1, START, 1.0), (2, START, 2.0)]);
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// The leader tells of its versions, so that followers need not wait for their next look.
#[tokio::test(flavor = "multi_thread")]
async fn followers_hear_of_versions_through_the_log() {
    let site = Site { polls_every: Span::seconds(1_000_000_000), ..Site::new() };
    let ((a, _), (b, _)) = (site.open("").await, site.open("").await);
    let first = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    a.flush().await.unwrap();
    site.pass_until("b never hears of it", Span::millis(50), || tail_rows(&b) == 0).await;
    assert_eq!(rows(&b, "readings").await.unwrap(), [(1, START, 1.0)]);
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// A tail holds a row that was deleted elsewhere, and the watermark that says so is forgotten: the row lies below the
/// floor.
#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_that_is_forgotten_brings_no_row_back() {
    // Nothing lands by itself.
    let site = Site { lateness: 1_000 * Span::HOUR, ..Site::new() };
    let ((a, _), (b, cut_off)) = (site.open("").await, site.open("").await);
    put(&a, "readings", &[(1, START - 100 * HOUR, 1.0)]).await.unwrap();
    // Enough for a checkpoint. Their writer leads, so that the other tells it nothing.
    let many: Vec<_> =
        (0..20_000).map(|n| (3 + n % 7, START - i64::from(n) * 1_000, 5.0)).collect();
    put(&b, "readings", &many).await.unwrap();
    let last = put(&b, "readings", &[(2, START, 2.0)]).await.unwrap();
    a.wait_for(last.position).await.unwrap();
    cut_off.set_plan(FaultPlan::seeded(0, 1_000, Duration::ZERO));
    a.delete("readings", deletion(1)).await.unwrap();
    a.flush().await.unwrap();
    let expected = rows(&a, "readings").await.unwrap();
    assert_eq!(expected.len(), 20_001);
    let lake = LakeStore::with_store(site.objects.clone(), "memory:///lake".parse().unwrap());
    let lake = lake.child("readings");
    let watermarks = || {
        let folder = lake.path("_landed");
        let listed = futures::StreamExt::count(lake.object().list(Some(&folder)));
        futures::executor::block_on(listed)
    };
    assert!(
        watermarks() > 0,
        "the hour of the deleted row has no file that says through where it landed"
    );
    // A letter makes its writer the leader, which forgets watermarks.
    put(&a, "readings", &[(1, START + 9 * HOUR, 1.0)]).await.unwrap();
    site.pass_until("it is never forgotten", Span::seconds(10), || watermarks() == 0).await;
    assert_eq!(tail_rows(&b), 20_002, "it has not looked");
    cut_off.set_plan(FaultPlan::none());
    let begun = SystemClock.elapsed();
    while tail_rows(&b) > 0 || rows(&b, "readings").await.unwrap() != expected {
        assert!(SystemClock.elapsed() - begun < Span::seconds(600), "b never looks");
        site.clock.set(site.clock.now() + Span::millis(100));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    b.flush().await.unwrap();
    for engine in [&a, &b] {
        assert_eq!(rows(engine, "readings").await.unwrap(), expected);
        engine.shutdown().await.unwrap();
    }
}
