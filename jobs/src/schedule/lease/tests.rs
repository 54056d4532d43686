//! Tests of leases: nobody takes one that is held, an abandoned one is taken over, and in any order of operations and
//! faults at most one process holds it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use barograph_engine::ManualClock;
use barograph_lake::LakeStore;
use barograph_lake::store::faults::{FaultPlan, FaultStore};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use super::*;

const JOB: &str = "verify";
const LEASE: Span = Span::seconds(30);

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn store(object: Arc<dyn ObjectStore>) -> LakeStore {
    LakeStore::with_store(object, "memory:///jobs".parse().unwrap())
}

fn leases(object: &Arc<InMemory>, clock: &Arc<ManualClock>, by: &str) -> Leases {
    let store = JobStore::new(store(object.clone()));
    Leases::new(store, clock.clone(), LEASE, by.to_owned())
}

fn ours(taken: Taken) -> Lease {
    match taken {
        Taken::Ours(lease) => lease,
        Taken::Lost => panic!("the lease was lost"),
    }
}

#[tokio::test]
async fn a_lease_is_taken_over_only_when_it_is_over() {
    let (object, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::new(at(1_000))));
    let [a, b] = ["a", "b"].map(|by| leases(&object, &clock, by));
    assert_eq!(a.peek(JOB).await.unwrap(), None);
    let free = a.read(JOB).await.unwrap();
    assert_eq!((free.until, free.slot, free.ended), (None, at(1_000), true));
    let held = ours(a.take(JOB, &free, at(5)).await.unwrap());
    assert_eq!((held.run, held.slot, held.ended), (2, at(5), false));

    assert_eq!(b.take(JOB, &free, at(5)).await.unwrap(), Taken::Lost, "it was decided on the past");
    let seen = b.read(JOB).await.unwrap();
    assert_eq!(seen, held);
    assert_eq!(b.take(JOB, &seen, at(5)).await.unwrap(), Taken::Lost, "it is taken");
    clock.set(at(1_000) + LEASE - Span::MICROSECOND);
    let held = ours(a.renew(JOB, &held).await.unwrap());
    clock.set(held.until.unwrap() - Span::MICROSECOND);
    let seen = b.read(JOB).await.unwrap();
    assert_eq!(b.take(JOB, &seen, at(5)).await.unwrap(), Taken::Lost, "it was kept");
    clock.set(held.until.unwrap());
    let taken = ours(b.take(JOB, &seen, at(5)).await.unwrap());
    assert_eq!((taken.deaths, taken.run), (1, taken.number));
    assert_eq!(a.renew(JOB, &held).await.unwrap(), Taken::Lost, "its lease is over");
    clock.set(held.until.unwrap() - Span::MICROSECOND);
    assert_eq!(a.renew(JOB, &held).await.unwrap(), Taken::Lost, "another was first");

    let back = ours(b.give_back(JOB, &taken, true).await.unwrap());
    assert_eq!((back.until, back.ended, back.deaths, back.run), (None, true, 0, taken.run));
    let numbers = a.register(JOB).list().await.unwrap().numbers;
    assert_eq!(numbers, [back.number], "what was replaced is deleted");
    // Who acts on what was deleted long since is not let through either.
    clock.set(at(i64::MAX / 2));
    assert_eq!(a.take(JOB, &free, at(9)).await.unwrap(), Taken::Lost);
    assert_eq!(a.read(JOB).await.unwrap(), back);
}

#[tokio::test]
async fn a_lease_that_was_taken_by_a_clock_ahead_is_free_when_it_is_right() {
    const YEARS: Span = Span::seconds(10 * 31_557_600);
    let (object, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::new(at(1_000))));
    let [a, b] = ["a", "b"].map(|by| leases(&object, &clock, by));
    let free = a.read(JOB).await.unwrap();
    clock.step(YEARS);
    let held = ours(a.take(JOB, &free, at(5)).await.unwrap());
    clock.step(-1 * YEARS);
    let seen = b.read(JOB).await.unwrap();
    assert!(!seen.is_taken(clock.now()) && seen.is_abandoned(clock.now()));
    assert_eq!(a.renew(JOB, &held).await.unwrap(), Taken::Lost, "both see it so");
    let taken = ours(b.take(JOB, &seen, at(5)).await.unwrap());
    assert_eq!(taken.until, Some(at(1_000) + LEASE));

    // One of an older program, which does not say how long its lease is.
    let path = store(object.clone()).path("verify/seat/00000000000000000009.json");
    let old = r#"{"by":"c","until":"2036-01-01T00:00:00Z","run":7,"slot":"1970-01-01T00:00:00Z","ended":false,"deaths":0}"#;
    object.put(&path, old.into()).await.unwrap();
    let seen = b.read(JOB).await.unwrap();
    assert_eq!((seen.number, seen.run, seen.is_taken(clock.now())), (9, 7, false));
}

#[tokio::test]
async fn a_lease_that_is_not_ours_to_read_is_named() {
    let (object, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::new(at(1))));
    let a = leases(&object, &clock, "a");
    a.read(JOB).await.unwrap();
    let path = store(object.clone()).path("verify/seat/00000000000000000009.json");
    object.put(&path, "{ torn".into()).await.unwrap();
    let error = a.read(JOB).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage);
    assert!(error.to_string().contains("00000000000000000009.json"), "{error}");
}

/// The holder of the lease as far as the test knows, and until when; and the slots that were begun.
#[derive(Default)]
struct Held {
    by: Option<(usize, Timestamp)>,
    slots: BTreeSet<Timestamp>,
    runs: u64,
}

impl Held {
    /// Process `me` was told that the lease is its own.
    fn told(&mut self, me: usize, lease: &Lease, now: Timestamp) {
        if lease.is_abandoned(now) {
            return;
        }
        if let Some((other, until)) = self.by.filter(|(other, _)| *other != me) {
            assert!(until <= now, "{me} holds the lease beside {other} until {until} at {now}");
        }
        self.by = Some((me, lease.until.unwrap()));
    }
}

/// One process: takes the lease, keeps it for a while, gives it back or dies.
async fn process(
    me: usize,
    leases: Leases,
    clock: Arc<ManualClock>,
    held: Arc<Mutex<Held>>,
    seed: u64,
) {
    let mut state = seed.wrapping_mul(31).wrapping_add(me as u64 + 1);
    let mut draw = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..12 {
        tokio::task::yield_now().await;
        clock.set(clock.now() + draw(20) as i64 * Span::SECOND);
        let Ok(seen) = leases.read(JOB).await else { continue };
        let free = seen.until.is_none();
        let slot = if free { seen.slot + Span::MICROSECOND } else { seen.slot };
        let Ok(Taken::Ours(mut lease)) = leases.take(JOB, &seen, slot).await else { continue };
        {
            let mut held = held.lock();
            assert!(!free || held.slots.insert(slot), "the slot {slot} was begun twice");
            held.told(me, &lease, clock.now());
            held.runs += 1;
        }
        for _ in 0..draw(4) {
            clock.set(clock.now() + draw(25) as i64 * Span::SECOND);
            match leases.renew(JOB, &lease).await {
                Ok(Taken::Ours(kept)) => {
                    held.lock().told(me, &kept, clock.now());
                    lease = kept;
                }
                Ok(Taken::Lost) => break,
                Err(_) => {}
            }
        }
        if draw(3) > 0 {
            {
                let mut held = held.lock();
                if held.by.is_some_and(|(by, _)| by == me) {
                    held.by = None;
                }
            }
            let _ = leases.give_back(JOB, &lease, true).await;
        }
    }
}

#[tokio::test]
async fn in_any_order_of_operations_and_faults_at_most_one_holds() {
    let mut runs = 0;
    for seed in 0..150 {
        let clock = Arc::new(ManualClock::new(at(1)));
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let plan = FaultPlan::seeded(seed, 60, Duration::from_micros(300));
        let object = FaultStore::new(inner, plan);
        let held = Arc::new(Mutex::new(Held::default()));
        let processes = (0..3).map(|me| {
            let store = JobStore::new(store(object.clone()));
            let leases = Leases::new(store, clock.clone(), LEASE, format!("process {me}"));
            process(me, leases, clock.clone(), held.clone(), seed)
        });
        futures::future::join_all(processes).await;
        runs += held.lock().runs;
    }
    assert!(runs > 500, "the processes took too few leases to prove anything: {runs}");
}
