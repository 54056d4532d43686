//! Tests of the log over time: checkpoints, expiry, history, and any sequence of commits.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::fixture::{Fixture, MIDNIGHT, hour};
use crate::{LakeTable, Operation, Snapshot};

async fn reopened(fixture: &Fixture) -> Snapshot {
    LakeTable::open_existing(fixture.store().clone()).await.unwrap().1
}

fn assert_same(read: &Snapshot, held: &Snapshot) {
    assert_eq!(read.version(), held.version());
    assert_eq!(read.files(), held.files());
}

#[tokio::test]
async fn a_checkpoint_and_later_commits_give_the_same_table() {
    let fixture = Fixture::new();
    let (table, mut snapshot) = fixture.open().await;
    for n in 0..5 {
        snapshot = fixture.land(&table, &snapshot, hour(n), &[(n as i32, n, Some(0.1))]).await;
    }
    table.checkpoint(&snapshot).await.unwrap();
    assert_same(&reopened(&fixture).await, &snapshot);
    let log = fixture.store().local_path("_delta_log").unwrap();
    assert!(log.join("00000000000000000005.checkpoint.parquet").exists());
    assert!(log.join("_last_checkpoint").exists());

    snapshot = fixture.land(&table, &snapshot, hour(2), &[(-1, 7, None)]).await;
    assert_same(&reopened(&fixture).await, &snapshot);
    // Without the commits that the checkpoint covers.
    for version in 0..=5 {
        fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_same(&reopened(&fixture).await, &snapshot);
    table.checkpoint(&snapshot).await.unwrap();
    table.checkpoint(&snapshot).await.unwrap();
    assert_same(&reopened(&fixture).await, &snapshot);
}

#[tokio::test]
async fn an_old_log_expires_behind_a_checkpoint() {
    const DAY: u64 = 24 * 3_600;
    let fixture = Fixture::new();
    let (table, mut snapshot) = fixture.open().await;
    for n in 0..3 {
        snapshot = fixture.land(&table, &snapshot, hour(n), &[(1, 0, None)]).await;
    }
    table.checkpoint(&snapshot).await.unwrap();
    snapshot = fixture.land(&table, &snapshot, hour(3), &[(1, 0, None)]).await;
    let log = fixture.store().local_path("_delta_log").unwrap();
    let long_ago =
        UNIX_EPOCH + Duration::from_secs(MIDNIGHT.as_micros() as u64 / 1_000_000 - 400 * DAY);
    for entry in fs::read_dir(&log).unwrap() {
        let path = entry.unwrap().path();
        let file = File::options().write(true).open(&path).unwrap();
        // The clock has gone on for an hour since the newest commit: it did not just leap here.
        let time = match path.ends_with("00000000000000000004.json") {
            true => file.metadata().unwrap().modified().unwrap() - Duration::from_secs(3_600),
            false => long_ago,
        };
        file.set_modified(time).unwrap();
    }
    table.checkpoint(&snapshot).await.unwrap();
    let mut left: Vec<_> = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "00000000000000000003.checkpoint.parquet",
            "00000000000000000003.json",
            "00000000000000000004.checkpoint.parquet",
            "00000000000000000004.json",
            "_last_checkpoint",
        ]
    );
    assert_same(&reopened(&fixture).await, &snapshot);
    snapshot = fixture.land(&table, &snapshot, hour(4), &[(1, 0, None)]).await;
    assert_same(&reopened(&fixture).await, &snapshot);
}

#[tokio::test]
async fn the_history_tells_what_was_committed() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let one = fixture.land(&table, &base, hour(0), &[(1, 0, None), (2, 0, None)]).await;
    table.checkpoint(&one).await.unwrap();
    let two = fixture.land(&table, &one, hour(0), &[(1, 0, None)]).await;
    let history = table.history().await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|c| {
            (c.version.get(), c.operation.as_str(), c.files_added, c.files_removed, c.rows_added)
        })
        .collect();
    assert_eq!(told, [(0, "CREATE TABLE", 0, 0, 0), (1, "LAND", 1, 0, 2), (2, "LAND", 1, 1, 1)]);
    assert_eq!((history[1].at, history[2].bytes_added), (MIDNIGHT, two.files()[0].bytes));
}

#[derive(Debug, Clone)]
enum Step {
    Land(i64),
    Expire(usize),
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8i64).prop_map(Step::Land),
        1 => (1..4usize).prop_map(Step::Expire),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_chained_snapshot_is_what_the_log_says(steps in proptest::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new();
            let (mut table, mut held) = fixture.open().await;
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Land(of) => {
                        let (entry, _) = fixture.file(hour(of), &[(n as i32, of, Some(n as f32 / 3.0))]);
                        let removed: Vec<_> = held.files_of_hour(hour(of)).to_vec();
                        let added = vec![Arc::new(entry)];
                        held = table.commit(&held, &removed, added, Operation::Land, MIDNIGHT).await.unwrap();
                    }
                    Step::Expire(count) => {
                        let removed: Vec<_> = held.files().iter().take(count).cloned().collect();
                        held = table.commit(&held, &removed, vec![], Operation::Expire, MIDNIGHT).await.unwrap();
                    }
                    Step::Checkpoint => table.checkpoint(&held).await.unwrap(),
                    Step::Reopen => table = fixture.open().await.0,
                }
                assert_same(&table.refresh().await.unwrap(), &held);
            }
        });
    }
}
