//! Tests of transactions: conflicts, lost replies, two writers, and unknown outcomes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::register::Entry;
use crate::store::faults::{Fault, FaultPlan, FaultStore, Operation as StoreOperation};
use crate::table::Deletion;
use crate::table::tests::fixture::{Fixture, MIDNIGHT, hour};
use crate::{Key, LakeStore};

const DAY: Span = Span::DAY;

/// A table behind a store that fails on plan.
struct Bed {
    fixture: Fixture,
    faults: Arc<FaultStore>,
    table: LakeTable,
    base: Snapshot,
}

impl Bed {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let faults = FaultStore::new(Arc::clone(fixture.store().object()), FaultPlan::none());
        let store = LakeStore::with_store(faults.clone(), fixture.store().url().clone());
        let (table, base) = LakeTable::open(store, Arc::clone(fixture.schema())).await.unwrap();
        Self { fixture, faults, table, base }
    }

    /// The `nth` put goes wrong.
    fn strike(&self, nth: u64, fault: Fault) {
        self.faults.set_plan(FaultPlan::none().on(StoreOperation::Put, nth, fault));
    }

    async fn file(&self, of: i64, key: i32) -> Arc<FileEntry> {
        let (entry, bytes) =
            self.fixture.file(hour(of), &[(key, 0, Some(1.5)), (key + 1, 0, None)]);
        self.table.write_file(&entry, bytes).await.unwrap();
        Arc::new(entry)
    }

    async fn land(&self, base: &Snapshot, file: &Arc<FileEntry>) -> Outcome {
        let change = Change::of(file.hours(), None);
        let landing = self.table.transaction(base, Operation::Land, change);
        landing.add(vec![Arc::clone(file)]).commit(MIDNIGHT).await.unwrap()
    }

    async fn newest(&self) -> Snapshot {
        self.table.refresh().await.unwrap()
    }
}

fn committed(outcome: Outcome) -> Snapshot {
    outcome.committed().unwrap()
}

#[tokio::test]
async fn of_two_writers_the_second_decides_again_on_the_newest_version() {
    let bed = Bed::new().await;
    let (one, two) = (bed.file(0, 1).await, bed.file(1, 1).await);
    let first = committed(bed.land(&bed.base, &one).await);
    let Outcome::Conflicted(conflict) = bed.land(&bed.base, &two).await else {
        panic!("both made version 1");
    };
    let base = Retry::default().newest(conflict).await.unwrap();
    assert_eq!((base.version(), base.files()), (first.version(), first.files()));
    let second = committed(bed.land(&base, &two).await);
    assert_eq!(second.files(), [one, two]);
    assert_eq!(bed.newest().await.files(), second.files());
}

#[tokio::test]
async fn who_is_never_first_gives_up_and_says_so() {
    let bed = Bed::new().await;
    let (mut retry, mut base, mut conflicts) = (Retry::default(), bed.base.clone(), 0);
    let error = loop {
        // Somebody else always is.
        bed.table.commit(&base, &[], vec![], Operation::Compact, MIDNIGHT).await.unwrap();
        let late = bed.table.transaction(&base, Operation::Compact, Change::Moved);
        let Outcome::Conflicted(conflict) = late.commit(MIDNIGHT).await.unwrap() else {
            panic!("two commits made one version");
        };
        conflicts += 1;
        match retry.newest(conflict).await {
            Ok(newest) => base = newest,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), conflicts), (ErrorKind::Conflict, 12));
    let told = error.to_string();
    for part in ["\"readings\"", "12 times", "try again", "version 12"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_decide_again_lose_no_row_and_double_none() {
    let bed = Arc::new(Bed::new().await);
    let writers = (0..4).map(|writer: i32| {
        let bed = Arc::clone(&bed);
        tokio::spawn(async move {
            let mut base = bed.newest().await;
            for round in 0..4 {
                let mut retry = Retry::default();
                base = loop {
                    // Each adds a row to the same hour.
                    let held =
                        base.files_of_hour(hour(0)).first().map_or(0, |home| home.rows as i32);
                    let rows: Vec<_> =
                        (0..=held).map(|key| (key, 0, Some((writer * 4 + round) as f32))).collect();
                    let (entry, bytes) = bed.fixture.file(hour(0), &rows);
                    bed.table.write_file(&entry, bytes).await.unwrap();
                    let change = Change::of([hour(0)], Some(vec![Key::from(held)]));
                    let merge = bed.table.transaction(&base, Operation::Merge, change);
                    let merge = merge.remove(base.files()).add(vec![Arc::new(entry)]);
                    match merge.commit(MIDNIGHT).await.unwrap() {
                        Outcome::Committed(after) => break after,
                        Outcome::Conflicted(conflict) => {
                            base = retry.newest(conflict).await.unwrap();
                        }
                        Outcome::Unknown(unknown) => panic!("{}", Error::from(unknown)),
                    }
                };
            }
        })
    });
    futures::future::try_join_all(writers).await.unwrap();
    let last = bed.newest().await;
    assert_eq!((last.version(), last.files().len()), (TableVersion::new(16), 1));
    assert_eq!(last.files()[0].rows, 16);
}

#[tokio::test]
async fn ones_own_commit_is_known_again_when_its_reply_is_lost() {
    let bed = Bed::new().await;
    let file = bed.file(0, 1).await;
    bed.strike(0, Fault::LoseReply);
    let landed = committed(bed.land(&bed.base, &file).await);
    assert_eq!((landed.version(), bed.faults.faults()), (TableVersion::new(1), 1));

    // Nor can it be read at first.
    let plan = FaultPlan::none().on(StoreOperation::Put, 0, Fault::LoseReply);
    bed.faults.set_plan(plan.on(StoreOperation::Get, 0, Fault::Fail));
    let compaction = bed.table.transaction(&landed, Operation::Compact, Change::Moved);
    let nonce = compaction.nonce().to_owned();
    let compacted = committed(compaction.commit(MIDNIGHT).await.unwrap());
    assert_eq!((compacted.version(), bed.faults.faults()), (TableVersion::new(2), 2));
    let told: Vec<_> = bed.table.history().await.unwrap();
    assert_eq!(told[2].nonce, Some(nonce));
    let nonces: std::collections::HashSet<_> = told.iter().map(|commit| &commit.nonce).collect();
    assert_eq!(nonces.len(), 3, "each has its own");
}

#[tokio::test]
async fn a_commit_that_comes_while_it_is_looked_for_is_found() {
    let bed = Arc::new(Bed::new().await);
    let file = bed.file(0, 1).await;
    bed.strike(0, Fault::Late);
    let landing = tokio::spawn({
        let (bed, file) = (Arc::clone(&bed), Arc::clone(&file));
        async move { bed.land(&bed.base, &file).await }
    });
    // It comes at some time: before the last look, or after it.
    while bed.faults.deliver().await == 0 {
        tokio::task::yield_now().await;
    }
    match landing.await.unwrap() {
        Outcome::Committed(after) => assert_eq!(after.files(), bed.newest().await.files()),
        Outcome::Unknown(unknown) => assert_eq!(unknown.version(), TableVersion::new(1)),
        Outcome::Conflicted(_) => panic!("nobody else was there"),
    }
    assert_eq!(bed.newest().await.files(), [file]);
}

#[tokio::test]
async fn what_is_not_known_is_made_later_or_never() {
    for comes_first in [true, false] {
        let bed = Bed::new().await;
        let (one, two) = (bed.file(0, 1).await, bed.file(1, 1).await);
        bed.strike(0, Fault::Late);
        let Outcome::Unknown(unknown) = bed.land(&bed.base, &one).await else {
            panic!("nobody can know");
        };
        assert_eq!(unknown.version(), TableVersion::new(1));
        let error = Error::from(unknown);
        assert_eq!(error.kind(), ErrorKind::Store);
        for part in ["version 1", "\"readings\"", "not known", "injected"] {
            assert!(error.to_string().contains(part), "{part} in {error}");
        }
        if comes_first {
            // Whoever decides on what was seen before meets it, and has it in what is decided on next.
            assert_eq!(bed.faults.deliver().await, 1);
            let Outcome::Conflicted(conflict) = bed.land(&bed.base, &one).await else {
                panic!("it was made twice");
            };
            let newest = Retry::default().newest(conflict).await.unwrap();
            assert_eq!(newest.files(), [one]);
        } else {
            // Somebody else's commit of that version keeps it out for good.
            let other = committed(bed.land(&bed.base, &two).await);
            assert_eq!(bed.faults.deliver().await, 1);
            assert_eq!(bed.newest().await.files(), other.files());
            let again = committed(bed.land(&other, &one).await);
            assert_eq!(again.files(), [one, two]);
        }
    }
}

#[tokio::test]
async fn who_cannot_leave_it_open_repeats_the_put() {
    for (fault, is_taken) in [(Fault::Fail, false), (Fault::Late, false), (Fault::Late, true)] {
        let bed = Bed::new().await;
        let (one, two) = (bed.file(0, 1).await, bed.file(1, 1).await);
        bed.strike(0, fault);
        let Outcome::Unknown(unknown) = bed.land(&bed.base, &one).await else {
            panic!("nobody can know");
        };
        let expected = match is_taken {
            true => committed(bed.land(&bed.base, &two).await),
            false => bed.base.apply(TableVersion::new(1), &[], vec![Arc::clone(&one)]),
        };
        match unknown.repeat().await.unwrap() {
            Outcome::Committed(after) => {
                assert!(!is_taken && after.files() == expected.files());
            }
            Outcome::Conflicted(_) => assert!(is_taken),
            Outcome::Unknown(_) => panic!("the store is sound"),
        }
        bed.faults.deliver().await;
        assert_eq!(bed.newest().await.files(), expected.files());
        assert_eq!(bed.newest().await.version(), TableVersion::new(1), "it is made once");
    }
}

#[tokio::test]
async fn what_fails_before_the_commit_changes_nothing() {
    let bed = Bed::new().await;
    let file = bed.file(0, 1).await;
    let landed = committed(bed.land(&bed.base, &file).await);
    // The watermark of the hour that goes is put first.
    bed.strike(0, Fault::Fail);
    let expired = bed.table.expire(&landed, landed.files(), MIDNIGHT).await;
    assert_eq!(expired.unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(bed.newest().await.version(), landed.version());
    let twice = bed.table.transaction(&landed, Operation::Merge, Change::Moved);
    let twice = twice.add(vec![Arc::clone(&file), file]).commit(MIDNIGHT).await;
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::Request);
}

#[tokio::test]
async fn what_changed_is_told_as_it_was_said() {
    let bed = Bed::new().await;
    let rows = |hours: &[i64], keys: Option<Vec<Key>>| {
        Change::of(hours.iter().rev().map(|n| hour(*n)), keys)
    };
    let mut base = bed.base.clone();
    let told = [
        (Change::Moved, Some(vec![]), None),
        (rows(&[1, 2], None), Some(vec![hour(1), hour(2)]), None),
        (
            rows(&[3], Some([4, 7].map(Key::new).to_vec())),
            Some(vec![hour(3)]),
            Some([4, 7].map(Key::new).to_vec()),
        ),
        (rows(&[], None), Some(vec![]), None),
        (Change::All, None, None),
    ];
    for (change, ..) in &told {
        let merge = bed.table.transaction(&base, Operation::Merge, change.clone());
        base = committed(merge.commit(MIDNIGHT).await.unwrap());
    }
    let history = bed.table.history_after(bed.base.version()).await.unwrap();
    for (commit, (change, hours, keys)) in history.iter().zip(&told) {
        assert_eq!((&commit.hours, &commit.keys), (hours, keys), "{change:?}");
        assert_eq!(commit.operation, Operation::Merge.to_string());
    }
    assert_eq!(history.len(), told.len());
}

fn deletion(base: &Snapshot, file: &FileEntry) -> Deletion {
    Deletion {
        version: next(base.version()),
        at: MIDNIGHT,
        by: "tester".to_owned(),
        reason: "they asked for it".to_owned(),
        keys: None,
        from: None,
        to: None,
        rows: file.rows,
        files: vec![file.path.to_string()],
        commit: None,
    }
}

#[tokio::test]
async fn the_record_of_a_deletion_follows_its_commit_whenever_that_comes() {
    for comes in [true, false] {
        let bed = Bed::new().await;
        let file = bed.file(0, 1).await;
        let landed = committed(bed.land(&bed.base, &file).await);
        // The record and the watermark are put before the commit.
        bed.strike(2, Fault::Late);
        let of = deletion(&landed, &file);
        let outcome = bed.table.delete(&landed, landed.files(), vec![], &of).await.unwrap();
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        // As long as the version is open the record stays: its commit may come.
        bed.table.settle_deletions().await.unwrap();
        assert!(bed.table.deletions().await.unwrap().is_empty());
        if comes {
            assert_eq!(bed.faults.deliver().await, 1);
        } else {
            // The same deletion, asked for again at the same time of the clock.
            let again = bed.table.delete(&landed, landed.files(), vec![], &of).await.unwrap();
            committed(again);
            assert_eq!(bed.faults.deliver().await, 1);
        }
        bed.table.settle_deletions().await.unwrap();
        let deletions = bed.table.deletions().await.unwrap();
        assert_eq!(deletions.len(), 1, "one was made: {deletions:?}");
        let made = bed.table.history().await.unwrap().pop().unwrap();
        assert_eq!((made.operation.as_str(), &made.nonce), ("DELETE", &deletions[0].commit));
        assert!(bed.newest().await.files().is_empty());
        let error = bed.table.check_there(landed.version(), vec![file]).await.unwrap_err();
        assert!(error.to_string().contains("has rows that were deleted"), "{error}");
    }
}

#[tokio::test]
async fn a_record_of_an_older_program_is_told_by_the_time_of_its_commit() {
    let bed = Bed::new().await;
    let file = bed.file(0, 1).await;
    let landed = committed(bed.land(&bed.base, &file).await);
    let of = deletion(&landed, &file);
    let done = bed.table.delete(&landed, landed.files(), vec![], &of).await.unwrap();
    committed(done);
    // As a crash before the end left it: begun, and without the name of a commit.
    let folder = bed.fixture.store().local_path("_deletions").unwrap();
    let record = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut old: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    old.as_object_mut().unwrap().remove("commit").unwrap();
    std::fs::write(record.with_extension("begun"), old.to_string()).unwrap();
    std::fs::remove_file(&record).unwrap();
    bed.table.settle_deletions().await.unwrap();
    let deletions = bed.table.deletions().await.unwrap();
    assert_eq!((deletions.len(), &deletions[0].commit), (1, &None));
}

#[tokio::test]
async fn who_stood_still_for_days_does_not_commit_into_an_expired_log() {
    let bed = Bed::new().await;
    let (one, late) = (bed.file(0, 1).await, bed.file(5, 1).await);
    let old = committed(bed.land(&bed.base, &one).await);
    let mut newest = old.clone();
    for _ in 0..3 {
        newest = bed
            .table
            .commit(&newest, &[], vec![], Operation::Compact, MIDNIGHT + DAY)
            .await
            .unwrap();
    }
    bed.table.checkpoint(&newest).await.unwrap();
    // The commits that the checkpoint covers expire.
    for version in 0..=3 {
        let commit = bed.fixture.store().local_path(&format!("_delta_log/{version:020}.json"));
        std::fs::remove_file(commit.unwrap()).unwrap();
    }
    let landing = bed.table.transaction(&old, Operation::Land, Change::Moved);
    let landing = landing.add(vec![Arc::clone(&late)]).commit(MIDNIGHT + 9 * DAY).await.unwrap();
    let Outcome::Conflicted(conflict) = landing else {
        panic!("what nobody reads was taken for a commit: {landing:?}");
    };
    let base = Retry::default().newest(conflict).await.unwrap();
    assert_eq!(base.version(), newest.version());
    committed(bed.land(&base, &late).await);
    assert_eq!(bed.newest().await.files(), [one, late]);
}

#[tokio::test]
async fn whatever_the_store_does_a_table_is_as_it_was_or_as_it_was_to_be() {
    for seed in 0..16 {
        let bed = Bed::new().await;
        let (mut base, mut acknowledged) = (bed.base.clone(), Vec::new());
        let mut doubtful = Vec::new();
        for n in 0..6 {
            bed.faults.set_plan(FaultPlan::none());
            let file = bed.file(n, 1).await;
            bed.faults.set_plan(FaultPlan::seeded(seed * 10 + n as u64, 250, Duration::ZERO));
            let change = Change::of(file.hours(), None);
            let landing = bed.table.transaction(&base, Operation::Land, change);
            match landing.add(vec![Arc::clone(&file)]).commit(MIDNIGHT).await {
                Ok(Outcome::Committed(_)) => acknowledged.push(file),
                Ok(Outcome::Conflicted(_)) => panic!("seed {seed}: nobody else was there"),
                Ok(Outcome::Unknown(_)) => doubtful.push(file),
                Err(_) => {}
            }
            bed.faults.set_plan(FaultPlan::none());
            base = bed.newest().await;
        }
        for file in base.files() {
            let known = acknowledged.contains(file) || doubtful.contains(file);
            assert!(known, "seed {seed}: {} was said to have failed", file.path);
        }
        assert!(acknowledged.iter().all(|file| base.files().contains(file)), "seed {seed}");
    }
}

#[tokio::test]
async fn a_commit_of_another_program_is_never_taken_for_ones_own() {
    let bed = Bed::new().await;
    let commit = |text: &str| Commit::decode(text.as_bytes()).unwrap();
    let foreign = commit(r#"{"commitInfo":{"operation":"WRITE"}}"#);
    let torn = commit("{ torn");
    let log = delta::log(bed.table.store());
    assert!(matches!(log.put(1, &foreign).await.unwrap(), Put::Made | Put::Found(_)));
    // Not even by another one without a nonce.
    assert!(matches!(log.put(1, &torn).await.unwrap(), Put::Taken));
}
