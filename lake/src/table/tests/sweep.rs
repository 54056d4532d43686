//! Tests of sweeping: objects that no version needs are deleted, and those that a reader may need stay.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::fixture::{Fixture, MIDNIGHT, hour};
use crate::{Operation, Span, Timestamp};

/// Later than anything is.
const LATE: Timestamp = Timestamp::from_micros(i64::MAX / 2);
const SECOND: Span = Span::SECOND;

fn touch(path: &Path, at: Timestamp) {
    let time = UNIX_EPOCH + Duration::from_micros(at.as_micros() as u64);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn old_objects_that_no_version_needs_go() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let local = |name: &str| fixture.store().local_path(name).unwrap();
    let one = fixture.land(&table, &base, hour(1), &[(1, 0, None)]).await;
    let two = fixture.land(&table, &one, hour(1), &[(1, 0, Some(2.0))]).await;
    let (orphan, bytes) = fixture.file(hour(2), &[(1, 0, None)]);
    table.write_file(&orphan, bytes.clone()).await.unwrap();
    let (young, bytes) = fixture.file(hour(3), &[(1, 0, None)]);
    table.write_file(&young, bytes).await.unwrap();
    fs::write(local("hour/notes.txt"), "not ours").unwrap();
    let stale = format!("{}#123", one.files()[0].path);
    fs::write(local(&stale), "cut off").unwrap();
    let fresh = format!("{}#124", one.files()[0].path);
    fs::write(local(&fresh), "being written").unwrap();

    let (replaced, active) = (one.files()[0].path.to_string(), two.files()[0].path.to_string());
    for name in [&replaced, &active, &orphan.path.to_string(), &stale, &"hour/notes.txt".to_owned()]
    {
        touch(&local(name), MIDNIGHT);
    }
    for version in 0..=2 {
        touch(&local(&format!("_delta_log/{version:020}.json")), MIDNIGHT - SECOND);
    }
    touch(&local(&young.path.to_string()), MIDNIGHT + SECOND);
    touch(&local(&fresh), MIDNIGHT + SECOND);

    assert!(table.sweep(&two, MIDNIGHT).await.unwrap().is_empty(), "nothing is older");
    let mut expected = vec![replaced.clone(), orphan.path.to_string(), stale];
    expected.sort();
    assert_eq!(table.sweep(&two, MIDNIGHT + SECOND).await.unwrap(), expected);
    for name in [&active, &young.path.to_string(), &fresh, &"hour/notes.txt".to_owned()] {
        assert!(local(name).exists(), "{name}");
    }
    assert!(!local(&format!("hour/{}", hour(2))).exists(), "an empty folder goes too");
    assert_eq!(table.sweep(&two, MIDNIGHT + SECOND).await.unwrap(), Vec::<String>::new());
    assert_eq!(table.refresh().await.unwrap().files(), two.files());
}

#[tokio::test]
async fn a_file_stays_for_as_long_after_its_removal() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let local = |name: &str| fixture.store().local_path(name).unwrap();
    let one = fixture.land(&table, &base, hour(1), &[(1, 0, None)]).await;
    let two = fixture.land(&table, &one, hour(1), &[(1, 0, Some(2.0))]).await;
    let replaced = one.files()[0].path.to_string();
    touch(&local(&replaced), MIDNIGHT);
    for version in 0..=2 {
        touch(&local(&format!("_delta_log/{version:020}.json")), MIDNIGHT + version * SECOND);
    }
    let limit = MIDNIGHT + 2 * SECOND;
    assert!(table.sweep(&two, limit).await.unwrap().is_empty(), "removed at the limit");
    let found = table.unreferenced(&two, limit + Span::MICROSECOND).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path.to_string(), replaced);
    assert!(found[0].bytes > 0);
    assert_eq!(table.sweep(&two, limit + Span::MICROSECOND).await.unwrap(), [replaced]);
}

#[tokio::test]
async fn a_file_stays_that_was_removed_while_the_clock_was_behind() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let local = |name: &str| fixture.store().local_path(name).unwrap();
    let one = fixture.land(&table, &base, hour(1), &[(1, 0, None)]).await;
    let two = fixture.land(&table, &one, hour(1), &[(1, 0, Some(2.0))]).await;
    touch(&local(&one.files()[0].path.to_string()), MIDNIGHT - 9 * SECOND);
    let commit = |version: i64| local(&format!("_delta_log/{version:020}.json"));
    touch(&commit(0), MIDNIGHT - 9 * SECOND);
    touch(&commit(1), MIDNIGHT);
    touch(&commit(2), Timestamp::UNIX_EPOCH + SECOND);
    assert!(table.sweep(&two, MIDNIGHT).await.unwrap().is_empty());
    assert_eq!(table.sweep(&two, MIDNIGHT + SECOND).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_stale_snapshot_sweeps_nothing_that_is_active() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let one = fixture.land(&table, &base, hour(1), &[(1, 0, None)]).await;
    let two = fixture.land(&table, &one, hour(2), &[(1, 0, None)]).await;
    assert!(table.sweep(&base, LATE).await.unwrap().is_empty());
    let report = table.check(&two, &mut |_, _| {}).await.unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);

    // A reader still holds version 2 while version 3 has removed its files.
    let three = table.commit(&two, two.files(), vec![], Operation::Expire, MIDNIGHT).await.unwrap();
    assert!(table.sweep(&two, LATE).await.unwrap().is_empty());
    assert_eq!(table.sweep(&three, LATE).await.unwrap().len(), 2);
}
