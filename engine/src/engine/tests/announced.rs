//! Tests of what engines that share a log tell each other beside rows: versions that answers have to show, and groups
//! right after they are appended.

use std::sync::Arc;
use std::time::Duration;

use barograph_lake::store::faults::{FaultPlan, FaultStore};
use barograph_lake::{Hour, LakeStore, LakeTable, LogId, Span, TableVersion, Timestamp};
use bytes::Bytes;
use object_store::memory::InMemory;

use super::shared::{Site, comes_to, deletion};
use super::{HOUR, START, put, rows};
use crate::log::{LogSettings, announce};
use crate::{AppendedGroup, Clock, Engine, SystemClock};

/// Whether something is not ready, though requests were answered meanwhile.
async fn waits(what: impl Future) -> bool {
    tokio::time::timeout(Duration::from_millis(200), what).await.is_err()
}

/// A deletion is a commit, of which the log has no record: a notice tells those who answer for the position behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_seen_behind_its_position_by_all() {
    // Nobody looks for commits by itself.
    let site = Site { polls_every: Span::seconds(1_000_000_000), ..Site::new() };
    let ((a, _), (b, store_of_b)) = (site.open("").await, site.open("").await);
    let all = [(1, START, 1.0), (2, START, 2.0)];
    let first = put(&a, "readings", &all).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    let report = a.delete("readings", deletion(1)).await.unwrap();
    assert_eq!((report.rows, report.files), (1, 1));
    let position = report.position.unwrap();
    assert!(position > first.position);
    a.wait_for(position).await.unwrap();
    b.wait_for(position).await.unwrap();
    for engine in [&a, &b] {
        assert_eq!(rows(engine, "readings").await.unwrap(), all[1..]);
    }
    // Whoever answers for a later position shows it, too, if its store does not let it look.
    let view = b.view("readings").unwrap();
    store_of_b.set_plan(FaultPlan::seeded(0, 1_000, Duration::ZERO));
    let report = a.delete("readings", deletion(2)).await.unwrap();
    let last = put(&a, "readings", &[(3, START, 3.0)]).await.unwrap().position;
    assert!(waits(b.wait_for(last)).await);
    assert!(Arc::ptr_eq(&b.view("readings").unwrap(), &view), "it sees what it saw");
    store_of_b.set_plan(FaultPlan::none());
    b.wait_for(last).await.unwrap();
    assert_eq!(rows(&b, "readings").await.unwrap(), [(3, START, 3.0)]);
    // Deleted again, by whomever, as whoever asked may have heard of nothing: the position is one that tells of it.
    let again = b.delete("readings", deletion(2)).await.unwrap();
    assert_eq!((again.rows, again.version), (0, None));
    assert!(again.position.unwrap() >= report.position.unwrap());
    let (c, _) = site.open("").await;
    c.wait_for(again.position.unwrap()).await.unwrap();
    assert_eq!(rows(&c, "readings").await.unwrap(), [(3, START, 3.0)]);
    for engine in [a, b, c] {
        engine.shutdown().await.unwrap();
    }
}

/// A process that has heard of a deletion does not answer for its position before its view shows it.
#[tokio::test(flavor = "multi_thread")]
async fn who_knows_of_a_deletion_and_cannot_look_does_not_answer_for_it() {
    let site = Site { polls_every: Span::seconds(1_000_000_000), ..Site::new() };
    let ((a, _), (b, _)) = (site.open("").await, site.open("").await);
    let first = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    // A version that is not there yet.
    let version = TableVersion::new(b.view("readings").unwrap().snapshot.version().get() + 1);
    let position = a.announce("readings", version).await.unwrap().unwrap();
    assert_eq!(a.announce("readings", version).await.unwrap(), Some(position), "it was told");
    for engine in [&a, &b] {
        assert!(waits(engine.wait_for(position)).await);
    }
    a.flush().await.unwrap();
    for engine in [&a, &b] {
        let of = Arc::clone(engine);
        let waiting = tokio::spawn(async move { of.wait_for(position).await });
        let step = Span::millis(100);
        site.pass_until("it never looks", step, || waiting.is_finished()).await;
        waiting.await.unwrap().unwrap();
        assert_eq!(engine.view("readings").unwrap().snapshot.version(), version);
        assert_eq!(rows(engine, "readings").await.unwrap(), [(1, START, 1.0)]);
    }
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// A command that restores a table shares no log, and tells those who do.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_beside_the_engines_is_seen_behind_its_position() {
    let site = Site { polls_every: Span::seconds(1_000_000_000), ..Site::new() };
    let ((a, _), (b, _)) = (site.open("a").await, site.open("b").await);
    put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    a.flush().await.unwrap();
    let version = a.view("readings").unwrap().snapshot.version();
    put(&b, "readings", &[(2, START, 2.0)]).await.unwrap();
    b.flush().await.unwrap();
    let lake = LakeStore::with_store(site.objects.clone(), "memory:///lake".parse().unwrap());
    let (table, newest) = LakeTable::open_existing(lake.child("readings")).await.unwrap();
    let plan = table.plan_restore(&newest, version).await.unwrap();
    let restored = table.restore(&plan, site.clock.now()).await.unwrap().committed().unwrap();
    let (of, clock) = (lake.clone(), site.clock.clone());
    let told = tokio::task::spawn_blocking(move || {
        announce(&of, &LogSettings::default(), clock, "readings", restored.version())
    });
    let position = told.await.unwrap().unwrap().unwrap();
    for engine in [&a, &b] {
        engine.wait_for(position).await.unwrap();
        assert_eq!(rows(engine, "readings").await.unwrap(), [(1, START, 1.0)]);
    }
    // The command appended last and is gone: one that is reached takes the lead.
    site.pass_until("nobody leads", Span::millis(100), || {
        a.leader().is_some_and(|leader| !leader.address.is_empty())
    })
    .await;
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
    let alone = LakeStore::with_store(Arc::new(InMemory::new()), "memory:///lake".parse().unwrap());
    let told = tokio::task::spawn_blocking(move || {
        announce(&alone, &LogSettings::default(), Arc::new(SystemClock), "readings", version)
    });
    assert_eq!(told.await.unwrap().unwrap(), None, "nobody shares a log");
}

/// Watermarks are listed after the snapshot that they are to be of was read, and may tell of what landed after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_landed_after_a_snapshot_was_read_stays_seen() {
    let site = Site { polls_every: Span::seconds(1_000_000_000), ..Site::new() };
    let ((a, _), (b, slow)) = (site.open("").await, site.open("").await);
    put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    a.flush().await.unwrap();
    let early = Arc::clone(&a.view("readings").unwrap().snapshot);
    let late = (2, START - HOUR, 2.0);
    let last = put(&a, "readings", &[late]).await.unwrap().position;
    b.wait_for(last).await.unwrap();
    let mut hold = slow.hold_lists("_landed");
    let looking = tokio::spawn({
        let b = Arc::clone(&b);
        async move { b.delete("readings", deletion(99)).await }
    });
    // It has read the version before.
    hold.reached().await;
    a.flush().await.unwrap();
    let lake = LakeStore::with_store(site.objects.clone(), "memory:///lake".parse().unwrap());
    let (table, _) = LakeTable::open_existing(lake.child("readings")).await.unwrap();
    let hour = Hour::of(Timestamp::from_micros(late.1)).unwrap();
    table.note_landed(&early, [(hour, last)]).await.unwrap();
    drop(hold);
    looking.await.unwrap().unwrap();
    assert_eq!(rows(&b, "readings").await.unwrap(), [(1, START, 1.0), late]);
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// Who would append behind groups that it has not seen finds them, and the end of the log is behind them from then on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_beside_other_work_is_seen_before_it_counts_as_applied() {
    let site = Site::new();
    let ((a, _), (b, _)) = (site.open("").await, site.open("").await);
    let first = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    let position = put(&a, "readings", &[(1, START, 2.0)]).await.unwrap().position;
    // Time stands still: b does not look by itself.
    let writer = b.writer.handle();
    writer.take_lead().unwrap();
    // As it is told first by a leader that it follows: where the log ends.
    let told = AppendedGroup { position, object: Bytes::new() };
    assert_eq!(b.cluster.as_ref().unwrap().offered.push(told), (true, true));
    writer.take_offered().unwrap();
    let mut applied = b.gauge.applied_to();
    applied.wait_for(|applied| *applied > position.get()).await.unwrap();
    assert_eq!(rows(&b, "readings").await.unwrap(), [(1, START, 2.0)]);
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// Whether a leader sends an engine what it appends.
fn is_sent_groups(engine: &Arc<Engine>) -> bool {
    engine.cluster.as_ref().unwrap().offered.is_live()
}

/// A leader, and a follower that is sent what it appends, and for which the store fails until it has another plan.
async fn followed_without_store(site: &Site) -> (Arc<Engine>, Arc<Engine>, Arc<FaultStore>) {
    let ((a, _), (b, cut_off)) = (site.open("a").await, site.open("b").await);
    let first = put(&a, "readings", &[(1, START, 1.0)]).await.unwrap();
    b.wait_for(first.position).await.unwrap();
    site.pass_until("b never subscribes", Span::millis(100), || is_sent_groups(&b)).await;
    // The floor is known, and the store says no more.
    cut_off.set_plan(FaultPlan::seeded(0, 1_000, Duration::ZERO));
    (a, b, cut_off)
}

/// Followers that are sent what the leader appends ask the store for nothing, and fall back to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_sends_what_it_appends() {
    let site = Site::new();
    let (a, b, cut_off) = followed_without_store(&site).await;
    let second = put(&a, "readings", &[(1, START, 2.0)]).await.unwrap();
    comes_to(&b, &[(1, START, 2.0)], "b was not sent a group").await;
    b.wait_for(second.position).await.unwrap();
    // b leads: the stream ends, and a follows b.
    cut_off.set_plan(FaultPlan::none());
    site.network.engines.lock().remove("a");
    site.pass_until("b never leads", Span::millis(100), || b.leader().unwrap().is_self).await;
    assert!(b.groups(LogId::random()).is_err(), "of another log");
    site.pass_until("a never subscribes", Span::millis(100), || is_sent_groups(&a)).await;
    assert!(a.leader().is_some_and(|leader| !leader.is_self));
    put(&b, "readings", &[(1, START, 3.0)]).await.unwrap();
    comes_to(&a, &[(1, START, 3.0)], "a was not sent a group").await;
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// A follower whose batch the leader has not answered for yet shows that batch, and those of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_waits_for_the_leader_takes_what_it_is_sent() {
    let site = Site::new();
    let (a, b, cut_off) = followed_without_store(&site).await;
    let held = site.network.answers.lock().await;
    let at_b = Arc::clone(&b);
    let waiting =
        tokio::spawn(async move { put(&at_b, "readings", &[(1, START, 2.0)]).await.unwrap() });
    comes_to(&b, &[(1, START, 2.0)], "b was not sent its own batch").await;
    put(&a, "readings", &[(1, START, 3.0)]).await.unwrap();
    comes_to(&b, &[(1, START, 3.0)], "b was not sent the batch of another").await;
    assert!(!waiting.is_finished(), "the leader has not answered");
    drop(held);
    assert_eq!(waiting.await.unwrap().accepted, 1);
    cut_off.set_plan(FaultPlan::none());
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}
