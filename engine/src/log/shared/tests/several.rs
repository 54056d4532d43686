//! Tests of several processes over one log, and of a store that fails.

use std::sync::Arc;
use std::time::Duration;

use barograph_lake::store::faults::{Fault, FaultPlan, FaultStore, Operation};
use barograph_lake::{LakeStore, LogPosition, Span, TableVersion, Timestamp};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::super::group::Group;
use super::{memory, open, open_by};
use crate::log::conformance::{assert_same, record, replayed, small};
use crate::log::{Batch, BatchId, Log, Notice, Origin, Placement, Record, SharedLog};
use crate::{Clock, ErrorKind, ManualClock};

type Records = Vec<(LogPosition, Record)>;

fn follow(log: &mut SharedLog) -> Records {
    let mut seen = Vec::new();
    log.follow(&mut |position, record| {
        seen.push((position, record));
        Ok(())
    })
    .unwrap();
    seen
}

fn append(log: &mut SharedLog, record: Record) -> (LogPosition, Record) {
    let positions = log.append(std::slice::from_ref(&record), true).unwrap();
    (positions[0], record)
}

/// Appends behind whatever others have appended, which it adds to `seen`.
fn append_behind(log: &mut SharedLog, record: Record, seen: &mut Records) {
    loop {
        match log.append(std::slice::from_ref(&record), true) {
            Ok(positions) => return seen.push((positions[0], record)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Behind, "{error}"),
        }
        seen.extend(follow(log));
    }
}

fn batch(id: BatchId, records: Vec<Record>) -> Batch {
    Batch { id, origin: None, records }
}

#[test]
fn who_has_not_seen_the_end_cannot_append() {
    let lake = memory();
    let (mut a, mut b) = (open(&lake), open(&lake));
    assert_eq!(a.id(), b.id());
    let first = append(&mut a, record(1, 10));
    let error = b.append(&[record(2, 10)], true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Behind);
    assert_eq!(b.append(&[record(2, 10)], true).unwrap_err().kind(), ErrorKind::Behind);
    assert_same(&follow(&mut b), std::slice::from_ref(&first), "what was there");
    let second = append(&mut b, record(2, 10));
    assert!(second.0 > first.0);
    assert!(b.leader().unwrap().is_self);
    assert_same(&follow(&mut a), std::slice::from_ref(&second), "");
    assert!(!a.leader().unwrap().is_self);
    a.take_lead().unwrap();
    assert!(a.leads());
    for log in [&mut a, &mut b, &mut open(&lake)] {
        follow(log);
        assert_same(&replayed(log, LogPosition::new(0)), &[first.clone(), second.clone()], "");
    }
}

/// A look that failed is tried again behind the next append, and may have been answered long before the end is asked for.
#[test]
fn the_end_is_where_it_is_when_it_is_asked_for() {
    let store = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
    let lake = LakeStore::with_store(Arc::clone(&store) as _, "memory:///lake".parse().unwrap());
    let (mut a, mut b) = (open(&lake), open(&lake));
    store.set_plan(FaultPlan::none().on(Operation::Get, 0, Fault::Fail));
    let error = b.follow(&mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.set_plan(FaultPlan::none());
    let first = append(&mut b, record(1, 10));
    while store.count(Operation::Get) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_same(&follow(&mut a), &[first], "");
    let second = append(&mut a, record(2, 10));
    assert_same(&follow(&mut b), &[second], "what was there before it was asked for");
}

/// What is offered needs no request, and what nobody should offer does no harm.
#[test]
fn a_group_can_be_offered() {
    let store = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
    let lake = LakeStore::with_store(Arc::clone(&store) as _, "memory:///lake".parse().unwrap());
    let (mut a, mut b) = (open(&lake), open(&lake));
    let first = append(&mut a, record(1, 10));
    let (position, group) = a.newest().unwrap();
    let gets = store.count(Operation::Get);
    assert_same(&offer(&mut b, position, &group).unwrap(), std::slice::from_ref(&first), "");
    assert_eq!(b.end(), a.end());
    assert_eq!(store.count(Operation::Get), gets);
    assert_same(&offer(&mut b, position, &group).unwrap(), &[], "it was there");
    assert_same(&follow(&mut b), &[], "");
    assert!(b.newest().is_none());
    // One that is cut, one of another log, and one that comes too soon.
    let mut other = open(&memory());
    append(&mut other, record(1, 10));
    append(&mut other, record(2, 10));
    assert_eq!(other.newest().unwrap().0, b.end());
    let strange = other.newest().unwrap().1;
    append(&mut a, record(3, 10));
    let (second, group) = a.newest().unwrap();
    append(&mut a, record(4, 10));
    let (third, early) = a.newest().unwrap();
    for (position, group) in [(second, group.slice(..99)), (second, strange), (third, early)] {
        assert_eq!(offer(&mut b, position, &group).unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(b.stopped().is_none());
    }
    assert_eq!(offer(&mut b, second, &group).unwrap().len(), 1);
    assert_eq!(follow(&mut b).len(), 1);
    append(&mut b, record(2, 10));
}

/// Offers a group, and gives what is shown by it.
fn offer(log: &mut SharedLog, position: LogPosition, group: &Bytes) -> crate::Result<Records> {
    let mut seen = Vec::new();
    let mut visit = |position, record| {
        seen.push((position, record));
        Ok(())
    };
    log.offer(position, group.clone(), &mut visit)?;
    Ok(seen)
}

#[test]
fn an_awaited_version_is_told_once_and_its_position_is_known_to_all() {
    let lake = memory();
    let (mut a, mut b) = (open(&lake), open(&lake));
    let notice = |version| Notice {
        table: "readings".into(),
        version: TableVersion::new(version),
        is_awaited: true,
    };
    let hint = Notice { is_awaited: false, ..notice(3) };
    a.tell(hint.clone());
    a.send_notices().unwrap();
    assert_eq!(b.announce(notice(3)).unwrap_err().kind(), ErrorKind::Behind);
    assert_same(&follow(&mut b), &[], "");
    assert_eq!(b.notices(), [hint]);
    // A hint of a version that is to come goes with it.
    b.tell(Notice { is_awaited: false, ..notice(4) });
    let position = b.announce(notice(3)).unwrap();
    let end = b.end();
    assert!(position < end);
    assert_eq!(b.announce(notice(2)).unwrap(), position, "a later version is told");
    assert_eq!(b.end(), end, "nothing was appended");
    follow(&mut a);
    assert_eq!(a.notices(), [notice(4)]);
    assert_eq!(a.announce(notice(4)).unwrap(), position);
    assert!(a.announce(notice(5)).unwrap() >= end);
    assert_eq!(b.notices(), [], "its own");
    // A start knows what was told before.
    assert_eq!(open(&lake).announce(notice(3)).unwrap(), a.announce(notice(5)).unwrap());
}

#[test]
fn threads_append_in_one_order() {
    let lake = memory();
    let threads: Vec<_> = (0..3u64)
        .map(|thread| {
            let lake = lake.clone();
            std::thread::spawn(move || {
                let mut log = open(&lake);
                let mut seen = replayed(&mut log, LogPosition::new(0));
                for n in 0..40 {
                    append_behind(&mut log, record(thread * 100 + n, 200), &mut seen);
                }
                (log, seen)
            })
        })
        .collect();
    let mut ends: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for (log, seen) in &mut ends {
        seen.extend(follow(log));
    }
    assert_eq!(ends[0].1.len(), 120);
    for (_, seen) in &ends {
        assert_same(seen, &ends[0].1, "one order");
    }
    assert_same(&replayed(&mut open(&lake), LogPosition::new(0)), &ends[0].1, "");
}

#[test]
fn a_batch_counts_once_by_its_id() {
    let lake = memory();
    let (mut a, mut b) = (open(&lake), open(&lake));
    let id = BatchId::random();
    let records = vec![record(1, 10), record(2, 10)];
    let placed = a.append_batches(vec![batch(id, records.clone())], true).unwrap();
    let Placement::Appended(positions) = &placed[0] else { panic!("{placed:?}") };
    assert_eq!(
        b.append_batches(vec![batch(id, records.clone())], true).unwrap_err().kind(),
        ErrorKind::Behind
    );
    assert_eq!(follow(&mut b).len(), 2);
    let new = batch(BatchId::random(), vec![record(3, 1)]);
    let placed = b.append_batches(vec![batch(id, records.clone()), new], true).unwrap();
    let Placement::Duplicate(place) = placed[0] else { panic!("{placed:?}") };
    assert_eq!((place.position, place.ingested_at), (positions[1], records[1].ingested_at));
    assert!(matches!(placed[1], Placement::Appended(_)));
    assert_eq!(replayed(&mut open(&lake), LogPosition::new(0)).len(), 3);
}

#[test]
fn a_source_goes_on_where_it_is() {
    let lake = memory();
    let mut log = open(&lake);
    let part = |first: u64, next: u64| Batch {
        id: BatchId::random(),
        origin: Some(Origin { source: "topic".into(), partition: 0, first, next }),
        records: vec![record(first, 10)],
    };
    assert_eq!(log.offset("topic", 0), None);
    log.append_batches(vec![part(0, 10)], true).unwrap();
    let placed = log.append_batches(vec![part(5, 15), part(10, 20)], true).unwrap();
    assert_eq!(placed[0], Placement::Stale { next: 10 });
    assert_eq!(open(&lake).offset("topic", 0), Some(20));
}

/// A lake in memory whose store fails as planned.
fn failing(plan: FaultPlan) -> (LakeStore, Arc<FaultStore>) {
    let store = FaultStore::new(Arc::new(InMemory::new()), plan);
    (LakeStore::with_store(Arc::clone(&store) as _, "memory:///lake".parse().unwrap()), store)
}

#[test]
fn an_own_group_is_recognised_when_the_reply_is_lost() {
    // The first put makes the floor.
    let plan = FaultPlan::none().on(Operation::Put, 1, Fault::LoseReply).on(
        Operation::Put,
        3,
        Fault::Fail,
    );
    let (lake, _) = failing(plan);
    let mut log = open(&lake);
    let appended = [append(&mut log, record(1, 10)), append(&mut log, record(2, 10))];
    assert_same(&replayed(&mut open(&lake), LogPosition::new(0)), &appended, "");
}

/// An append that is given up stays under way: nothing else goes under its name, and it turns up as those of others do.
#[test]
fn an_unknown_outcome_stops_nothing() {
    let plan = (2..8).fold(FaultPlan::none(), |plan, n| plan.on(Operation::Put, n, Fault::Fail));
    let (lake, store) = failing(plan.on(Operation::Put, 1, Fault::Late));
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let mut log = open_by(&lake, Arc::clone(&clock) as Arc<dyn Clock>);
    let (failures, waiting) = (Arc::clone(&store), Arc::clone(&clock));
    let patience = std::thread::spawn(move || {
        while failures.faults() < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        waiting.set(Timestamp::from_micros(31_000_000));
    });
    let error = log.append(&[record(1, 10)], true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(log.stopped().is_none());
    patience.join().unwrap();
    assert_eq!(futures::executor::block_on(store.deliver()), 1);
    let mut seen = Vec::new();
    append_behind(&mut log, record(2, 10), &mut seen);
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].1.clone(), seen[1].1.clone()), (record(1, 10), record(2, 10)));
    assert_same(&replayed(&mut open(&lake), LogPosition::new(0)), &seen, "");
}

#[test]
fn random_faults_neither_lose_nor_double() {
    for seed in 0..8 {
        let (lake, _) = failing(FaultPlan::seeded(seed, 60, Duration::from_millis(2)));
        let threads: Vec<_> = (0..2u64)
            .map(|thread| {
                let lake = lake.clone();
                std::thread::spawn(move || {
                    let mut log = open(&lake);
                    let mut seen = replayed(&mut log, LogPosition::new(0));
                    for n in 0..15 {
                        append_behind_faults(&mut log, record(thread * 100 + n, 600), &mut seen);
                    }
                    seen
                })
            })
            .collect();
        let seen: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let all = replayed(&mut open(&lake), LogPosition::new(0));
        assert_eq!(all.len(), 30, "seed {seed}");
        for seen in seen {
            assert_same(&seen, &all[..seen.len()], "one order");
        }
    }
}

/// As `append_behind`, where a look for others may fail.
fn append_behind_faults(log: &mut SharedLog, record: Record, seen: &mut Records) {
    loop {
        match log.append(std::slice::from_ref(&record), true) {
            Ok(positions) => return seen.push((positions[0], record)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Behind, "{error}"),
        }
        let _ = log.follow(&mut |position, record| {
            seen.push((position, record));
            Ok(())
        });
    }
}

#[test]
fn a_process_that_the_floor_has_passed_reads_the_log_anew() {
    let lake = memory();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let mut left = open_by(&lake, Arc::clone(&clock) as Arc<dyn Clock>);
    let mut log = open(&lake);
    for n in 0..20 {
        append(&mut log, record(n, 900));
    }
    let end = log.end();
    log.truncate(end).unwrap();
    clock.set(Timestamp::UNIX_EPOCH + Span::HOUR);
    let error = left.append(&[record(1, 1)], true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(left.is_passed() && left.stopped().is_none());
    assert!(error.to_string().contains("reads the log anew"), "{error}");
    let mut none = Records::new();
    let error = left.follow(&mut |position, record| {
        none.push((position, record));
        Ok(())
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(none, []);
    left.read_anew().unwrap();
    assert!(!left.is_passed());
    let anew = follow(&mut left);
    append(&mut left, record(21, 1));
    follow(&mut log);
    // A start takes the state from the checkpoint.
    let mut fresh = open(&lake);
    assert_eq!(fresh.end(), log.end());
    let replayed = replayed(&mut fresh, LogPosition::new(0));
    assert!(replayed.len() < 8);
    assert_same(&replayed[..replayed.len() - 1], &anew, "the same from the floor on");
    append(&mut fresh, record(1, 1));
}

#[test]
fn old_groups_are_deleted_below_an_old_floor() {
    let lake = memory();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let mut log = open_by(&lake, Arc::clone(&clock) as Arc<dyn Clock>);
    let groups = |lake: &LakeStore| {
        let folder = lake.path("_log/groups");
        let listed = futures::StreamExt::count(lake.object().list(Some(&folder)));
        futures::executor::block_on(listed)
    };
    for n in 0..20 {
        append(&mut log, record(n, 900));
    }
    let end = log.end();
    log.truncate(end).unwrap();
    assert_eq!(groups(&lake), 20);
    clock.set(Timestamp::UNIX_EPOCH + 25 * Span::HOUR);
    // The first look only notes the floor, whatever the clock says.
    log.truncate(end).unwrap();
    clock.set(Timestamp::UNIX_EPOCH + 26 * Span::HOUR);
    log.truncate(end).unwrap();
    // Done beside: waits for it.
    log.offset("", 0);
    let kept = replayed(&mut log, LogPosition::new(0));
    let mut left = groups(&lake);
    for _ in 0..500 {
        if left <= kept.len() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
        left = groups(&lake);
    }
    assert_eq!(left, kept.len());
    append(&mut log, record(1, 1));
    assert_eq!(replayed(&mut open(&lake), LogPosition::new(0)).len(), kept.len() + 1);
}

#[test]
fn damage_is_found() {
    let lake = memory();
    let mut log = open(&lake);
    let positions: Vec<_> = (0..3).map(|n| append(&mut log, record(n, 10)).0).collect();
    let folder = lake.path("_log/groups");
    let objects = futures::TryStreamExt::try_collect::<Vec<_>>(lake.object().list(Some(&folder)));
    let mut objects = futures::executor::block_on(objects).unwrap();
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    let middle = &objects[1].location;
    let read = async { lake.object().get(middle).await?.bytes().await };
    let mut bytes = futures::executor::block_on(read).unwrap().to_vec();
    let position = middle.filename().unwrap()[..20].parse().unwrap();
    assert!(
        Group::decode(position, &bytes.clone().into()).is_ok() && position < positions[1].get()
    );
    *bytes.last_mut().unwrap() ^= 1;
    futures::executor::block_on(lake.object().put(middle, bytes.into())).unwrap();
    let clock = Arc::new(crate::SystemClock);
    let error = SharedLog::open(&lake, &small(), clock, LogPosition::new(0), "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
    assert!(error.to_string().contains(&format!("{position:020}")), "{error}");
}
